"""A coder's view of the machine, where bubblewrap is there: all of it but what is secret, and hardly any to change.

It may write to its worktree, to what else it is given, to temporary directories and to its person's caches; the rest is
read-only. What is hidden is empty there. It sees no processes but its own, and none of them outlives it. It reaches the
network unless it must not. A login that a coder looks after itself (`~/.claude`, `~/.codex`) stays its own.

Source: bubblewrap's manual, bwrap(1). It needs user namespaces, which some kernels and containers refuse.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path

from msgspec import Struct

from agents.guard.table import names

__all__ = ["NoSandbox", "Sandbox", "Sandboxing", "available", "kept", "secret_places", "wrap"]

PROGRAM = "bwrap"
TRIAL_SECONDS = 20.0

_SECRET = names(
    """.ssh .gnupg .aws .azure .kube .docker .nsc .config/gcloud .config/gh .config/op .config/rclone .terraform.d
    .netrc .pypirc .git-credentials .config/git/credentials .cargo/credentials.toml .gem/credentials .vault-token"""
)
_OWN = names(
    """.cache .npm .cargo .rustup .m2 .gradle .bun .yarn .nuget go .claude .codex .config/opencode
    .config/pip .config/uv .local/share/pnpm .local/share/uv .local/share/opencode .local/state"""
)
"""Of a person's home what the tools of a coder fill for themselves."""
_TEMPORARY = names("/tmp /var/tmp /dev/shm")  # noqa: S108 - these are bound, nothing is put there


class NoSandbox(Exception):
    """There must be one, and cannot be."""


class Sandboxing(StrEnum):
    """When a coder is kept in a sandbox."""

    OFF = "off"
    AUTO = "auto"
    """Where it can be."""
    REQUIRED = "required"
    """Or no coder runs."""
    OFFLINE = "offline"
    """As required, and without a network: for a coder whose model is on this machine, or that has none."""


class Sandbox(Struct, frozen=True, kw_only=True):
    """How coders of one replica are kept."""

    program: str
    network: bool = True
    hidden: tuple[Path, ...] = ()

    def around(self, argv: Sequence[str], worktree: Path, writable: Iterable[Path]) -> tuple[str, ...]:
        """The command that runs `argv` in it; the clone that the worktree belongs to can be written too."""
        places = (*writable, *_clone_of(worktree))
        return wrap(
            argv, worktree=worktree, writable=places, hidden=self.hidden, network=self.network, program=self.program
        )


def wrap(
    argv: Sequence[str],
    *,
    worktree: Path,
    writable: Collection[Path] = (),
    hidden: Collection[Path] = (),
    network: bool = True,
    program: str = PROGRAM,
) -> tuple[str, ...]:
    """The command that runs `argv` like that, in `worktree`. What is writable may lie within what is hidden."""
    command = [program, "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    command += [] if network else ["--unshare-net"]
    command += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    own = (str(Path.home() / name) for name in _OWN)
    for place in dict.fromkeys((*_TEMPORARY, tempfile.gettempdir(), *own)):
        command += ["--bind-try", place, place]
    for place in hidden:
        command += ["--tmpfs", str(place)] if place.is_dir() else ["--ro-bind", os.devnull, str(place)]
    for place in sorted({*writable, worktree}):
        command += ["--bind", str(place), str(place)]
    return (*command, "--chdir", str(worktree), "--", *argv)


def kept(how: Sandboxing, hidden: Iterable[Path] = ()) -> Sandbox | None:
    """The sandbox that is wanted and can be had; None: none. Raises NoSandbox when there must be one."""
    if how is Sandboxing.OFF:
        return None
    program = available()
    if program is not None:
        return Sandbox(program=program, network=how is not Sandboxing.OFFLINE, hidden=(*secret_places(), *hidden))
    if how is Sandboxing.AUTO:
        return None
    raise NoSandbox(f"a sandbox is {how.value}, and {PROGRAM} is not there or not let work; see RIG_SANDBOX")


def secret_places(home: Path | None = None) -> tuple[Path, ...]:
    """Of a person's home what holds logins and keys, as far as it is there."""
    places = ((home or Path.home()) / name for name in _SECRET)
    return tuple(place for place in places if place.exists())


def available() -> str | None:
    """Where bubblewrap is, when it is there and the kernel lets it work; else None."""
    found = shutil.which(PROGRAM)
    return found if found is not None and _works(found) else None


@cache
def _works(program: str) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        trial = wrap(["true"], worktree=Path(scratch), program=program)
        try:
            done = subprocess.run(trial, capture_output=True, check=False, timeout=TRIAL_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0


def _clone_of(worktree: Path) -> tuple[Path, ...]:
    """The repository that git's pointer file in a worktree names; nothing where it names none."""
    try:
        said = (worktree / ".git").read_text()
    except (OSError, UnicodeDecodeError):
        return ()
    directory = Path(said.partition("gitdir:")[2].strip()).parent.parent
    return (directory,) if (directory / "HEAD").is_file() else ()
