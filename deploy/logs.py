"""Log files of the programs that run under the rig: opened with a bound on their size, and their ends read back.

Programs write to them by themselves (it is their standard error); nothing here formats or filters.
"""

from io import BufferedWriter
from pathlib import Path

__all__ = ["open_log", "tail"]

LIMIT_BYTES = 8 * 1024 * 1024
TAIL_BYTES = 8 * 1024


def open_log(path: Path) -> BufferedWriter:
    """`path` for appending, mode 0600. One that has grown over the limit becomes `<name>.1` first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LIMIT_BYTES:
        path.rename(path.with_name(f"{path.name}.1"))
    path.touch(mode=0o600)
    return path.open("ab")


def tail(path: Path, *, since: int = 0, lines: int = 20) -> str:
    """The last lines of a log, from byte `since` on; empty when there is nothing."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        log.seek(max(since, path.stat().st_size - TAIL_BYTES))
        return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
