"""The machine as untrusted code sees it, where bubblewrap is there: without what is secret, and hardly any to change.

It is for coders and for checks, which run what a coder wrote. Inside, the directory of the work can be changed, what
else is given, temporary directories and the caches of a person's tools; the rest is read-only, and what is hidden is
empty. No processes are seen but its own, and none of them outlives it. It reaches the network unless it must not.

Source: bubblewrap's manual, bwrap(1). It needs user namespaces, which some kernels and containers refuse.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path

from msgspec import Struct

__all__ = ["NoSandbox", "Sandbox", "Sandboxing", "available", "kept", "secret_places", "session_sockets", "wrap"]

PROGRAM = "bwrap"
TRIAL_SECONDS = 20.0


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_SECRET = _names(
    """.ssh .gnupg .aws .azure .kube .docker .nsc .config/gcloud .config/gh .config/op .config/rclone .terraform.d
    .netrc .pypirc .git-credentials .config/git/credentials .cargo/credentials.toml .gem/credentials .vault-token"""
)
_CACHES = _names(
    """.cache .npm .cargo/registry .cargo/git .m2/repository .gradle/caches .gradle/wrapper .gradle/daemon
    .bun/install/cache .yarn .nuget/packages go/pkg .local/share/pnpm/store .local/share/uv/python"""
)
"""Of a person's home what tools fill with what they fetch: not where they take orders from, or programs are found."""
_LOGINS = _names(".claude .codex .config/opencode .local/share/opencode")
"""Logins that a coder looks after itself. They stay its own, and are nobody else's."""
_TEMPORARY = _names("/tmp /var/tmp /dev/shm")  # noqa: S108 - these are bound, nothing is put there


class NoSandbox(Exception):
    """There must be one, and cannot be."""


class Sandboxing(StrEnum):
    """When what is not trusted is kept in a sandbox."""

    OFF = "off"
    AUTO = "auto"
    """Where it can be."""
    REQUIRED = "required"
    """Or it does not run."""
    OFFLINE = "offline"
    """As required, and without a network: where the model is on this machine, or there is none."""


class Sandbox(Struct, frozen=True, kw_only=True):
    """How what one role runs is kept."""

    program: str
    network: bool = True
    hidden: tuple[Path, ...] = ()
    clone: Path | None = None
    """The repository that the worktree belongs to: git writes there. What the worktree says of that counts nothing."""

    def around_coder(self, argv: Sequence[str], worktree: Path, writable: Iterable[Path]) -> tuple[str, ...]:
        """The command that runs a coder in it, with its login."""
        return self._around(argv, worktree, (*_there(_LOGINS), *writable))

    def around_check(self, argv: Sequence[str], worktree: Path, readable: Iterable[Path] = ()) -> tuple[str, ...]:
        """The command that runs a check in it: as a coder, but without any login.

        What is `readable` is there though it be hidden.
        """
        return self._around(argv, worktree, readable=tuple(readable), hidden=_there(_LOGINS))

    def _around(
        self,
        argv: Sequence[str],
        worktree: Path,
        writable: tuple[Path, ...] = (),
        *,
        readable: tuple[Path, ...] = (),
        hidden: tuple[Path, ...] = (),
    ) -> tuple[str, ...]:
        return wrap(
            argv,
            worktree=worktree,
            writable=writable if self.clone is None else (*writable, self.clone),
            readable=readable,
            hidden=(*hidden, *self.hidden),
            network=self.network,
            program=self.program,
        )


def wrap(
    argv: Sequence[str],
    *,
    worktree: Path,
    writable: Collection[Path] = (),
    readable: Collection[Path] = (),
    hidden: Collection[Path] = (),
    network: bool = True,
    program: str = PROGRAM,
) -> tuple[str, ...]:
    """The command that runs `argv` like that, in `worktree`. What can be read or written may lie in what is hidden."""
    command = [program, "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    command += [] if network else ["--unshare-net"]
    command += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    caches = (str(Path.home() / name) for name in _CACHES)
    for place in dict.fromkeys((*_TEMPORARY, tempfile.gettempdir(), *caches)):
        command += ["--bind-try", place, place]
    for place in hidden:
        command += ["--tmpfs", str(place)] if place.is_dir() else ["--ro-bind", os.devnull, str(place)]
    shown = dict.fromkeys(readable, "--ro-bind") | dict.fromkeys((*writable, worktree), "--bind")
    for place in sorted(shown):  # the outer before the inner
        command += [shown[place], str(place), str(place)]
    return (*command, "--chdir", str(worktree), "--", *argv)


def kept(how: Sandboxing, hidden: Iterable[Path] = ()) -> Sandbox | None:
    """The sandbox that is wanted and can be had; None: none. Raises NoSandbox when there must be one."""
    if how is Sandboxing.OFF:
        return None
    program = available()
    if program is not None:
        return Sandbox(
            program=program,
            network=how is not Sandboxing.OFFLINE,
            hidden=(*secret_places(), *session_sockets(), *hidden),
        )
    if how is Sandboxing.AUTO:
        return None
    raise NoSandbox(f"a sandbox is {how.value}, and {PROGRAM} is not there or not let work; see RIG_SANDBOX")


def secret_places(home: Path | None = None) -> tuple[Path, ...]:
    """Of a person's home what holds logins and keys, as far as it is there."""
    return _there(_SECRET, home)


def session_sockets(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Where programs listen that act for a person: the SSH agent, and what the session runs (D-Bus, systemd, gpg)."""
    places = (environ.get("SSH_AUTH_SOCK"), environ.get("XDG_RUNTIME_DIR"), f"/run/user/{os.getuid()}")
    found = dict.fromkeys(Path(place) for place in places if place)
    return tuple(place for place in found if place.is_absolute() and place.exists())


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


def _there(names: Iterable[str], home: Path | None = None) -> tuple[Path, ...]:
    places = ((home or Path.home()) / name for name in names)
    return tuple(place for place in places if place.exists())
