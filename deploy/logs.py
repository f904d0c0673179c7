"""Log files of the programs that run under the rig: kept within a bound of size, and their ends read back.

Programs write to them by themselves (it is their standard error); nothing here formats or filters.
"""

import asyncio
import os
import shutil
from contextlib import suppress
from io import BufferedWriter
from pathlib import Path
from typing import NoReturn

__all__ = ["keep_bounded", "open_log", "tail"]

LIMIT_BYTES = 8 * 1024 * 1024
TAIL_BYTES = 8 * 1024
LOOK_SECONDS = 60.0


def open_log(path: Path) -> BufferedWriter:
    """`path` for appending, mode 0600. One that has grown over the limit becomes `<name>.1` first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LIMIT_BYTES:
        path.rename(path.with_name(f"{path.name}.1"))
    path.touch(mode=0o600)
    return path.open("ab")


async def keep_bounded(directory: Path) -> NoReturn:
    """For ever: a log of a running program that has grown over the limit is put aside as `<name>.1`, and begins anew.

    It is copied and emptied, since the program has it open. What is written between the two is lost.
    """
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        _bound(directory)


def _bound(directory: Path) -> None:
    for path in directory.glob("*.log"):
        with suppress(FileNotFoundError):  # somebody tidied up
            if path.stat().st_size > LIMIT_BYTES:
                with suppress(OSError):  # a full disk: then room is worth more than old lines
                    shutil.copy(path, path.with_name(f"{path.name}.1"))
                os.truncate(path, 0)


def tail(path: Path, *, since: int = 0, lines: int = 20) -> str:
    """The last lines of a log, from byte `since` on; empty when there is nothing."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        size = path.stat().st_size
        log.seek(max(since if since <= size else 0, size - TAIL_BYTES))  # smaller: it began anew meanwhile
        return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
