"""The data directory of a rig on one machine: where things are, who holds it, and how others find the running rig.

    lock        held (flock) by whoever runs the rig here, and by its roles; names the process
    cluster/    what `rig cluster` runs, with a lock of its own
    rig.json    where the running rig's servers are; only there while it runs
    keys/       who may speak to the NATS server, as whom: see `keys`
    github/     the keys of an App, where `rig github init` made one
    nats/ postgres/ logs/ agents/ forge/    each the business of its owner

One directory is one rig. Not configuration: what the rig does is policy, and policy is in the log.
"""

import asyncio
import fcntl
import os
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TextIO

import msgspec

from deploy.failures import HomeInUse
from machine import sessions

__all__ = ["Home", "Running"]

PATIENCE_SECONDS = 10.0
"""How long the roles of a rig that was killed may take to notice and leave. Longer than their own grace."""
PAUSE_SECONDS = 0.05
ROOMS = ("keys", "nats", "postgres", "logs", "agents", "forge")


class Running(msgspec.Struct, frozen=True):
    """The rig that runs on a directory. The URLs hold passwords: the file that keeps them is its owner's alone."""

    nats_url: str
    postgres_url: str
    pid: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Home:
    """One data directory. Nothing is touched before `create` or `lock`."""

    path: Path

    @classmethod
    def find(cls, environ: Mapping[str, str]) -> "Home":
        """$RIG_HOME, else $XDG_DATA_HOME/rig, else ~/.local/share/rig."""
        if chosen := environ.get("RIG_HOME"):
            return cls(Path(chosen).expanduser().absolute())
        data = Path(environ.get("XDG_DATA_HOME", ""))
        if not data.is_absolute():  # unset, or to be ignored: the XDG specification says so
            data = Path("~/.local/share").expanduser()
        return cls(data / "rig")

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def nats(self) -> Path:
        return self.path / "nats"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def cluster(self) -> Path:
        """Of `rig cluster`."""
        return self.path / "cluster"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def agents(self) -> Path:
        """Scratch of the agents: clones, worktrees, sessions."""
        return self.path / "agents"

    @property
    def forge(self) -> Path:
        """Scratch of the local forge: worktrees in which it runs checks and merges."""
        return self.path / "forge"

    @property
    def github(self) -> Path:
        """Key and secret of an App that `rig github init` made."""
        return self.path / "github"

    def create(self) -> None:
        """Make the directories, closed to other users. One that is there already keeps its mode."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for room in ROOMS:
            (self.path / room).mkdir(mode=0o700, exist_ok=True)

    # who holds it

    @asynccontextmanager
    async def lock(self, room: str = "") -> AsyncGenerator[int]:
        """Hold the directory, or one room in it, made if need be; yields the lock's file descriptor.

        Roles are given that descriptor too (`Supervisor(keep_open=…)`): were this process killed, the directory
        stays taken until the last of them has left, so two generations never work on one directory. A start in that
        short time waits. Raises HomeInUse.
        """
        self.create()
        place = self.path / room
        place.mkdir(mode=0o700, exist_ok=True)
        with _lock_file(place) as file:
            await _take(file, place)
            file.truncate(0)
            file.write(f"{os.getpid()} {sessions.command_line(os.getpid()) or sys.argv[0]}")
            file.flush()
            try:
                yield file.fileno()
            finally:
                file.truncate(0)

    def held(self) -> bool:
        """Someone has locked the directory. Not where one cannot look: `rig doctor` says what is wrong with that."""
        try:
            with (self.path / "lock").open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    # where the running rig is

    def announce(self, running: Running) -> None:
        """Tell others where the rig is. For the holder of the lock; take it back with `withdraw`."""
        draft = self.path / "rig.json.new"
        with open(draft, "wb", opener=_private) as file:
            file.write(msgspec.json.encode(running))
        draft.replace(self.path / "rig.json")

    def withdraw(self) -> None:
        """The rig stops: what `announce` said is no longer so."""
        (self.path / "rig.json").unlink(missing_ok=True)

    def running(self) -> Running | None:
        """The rig that runs here; None when there is none, also when one was killed and left its file.

        None too where no rig's file can be read: `rig doctor` says what is wrong with such a directory.
        """
        try:
            found = msgspec.json.decode((self.path / "rig.json").read_bytes(), type=Running)
        except (OSError, msgspec.DecodeError):
            return None
        return found if self.held() else None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _lock_file(home: Path) -> TextIO:
    return open(home / "lock", "a+", encoding="utf-8", errors="replace", opener=_private)


async def _take(file: TextIO, path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            written, _, command = file.read().partition(" ")
            pid = int(written) if written.isascii() and written.isdigit() else 0
            # Nothing to read: taken this very moment, or someone looks whether it is held. Both pass.
            if pid and sessions.command_line(pid) is not None:
                raise HomeInUse(str(path), pid, command) from None
            if time.monotonic() > deadline:
                who = f"{command}; killed, but roles of its still run" if pid else "its file `lock` does not say which"
                raise HomeInUse(str(path), pid, who) from None
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            return
