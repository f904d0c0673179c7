"""Conversations with a coding CLI that outlive the replica that had them.

When a run is over, the files in which its CLI keeps the conversation are archived as an object of the bus, under the
issue and the rig's own name of the conversation. Whichever replica is to go on with it puts them back where its CLI
looks for them. It is a help and no part of the work: what cannot be kept or brought back is said in the log of the
process, and the conversation begins anew; a prompt holds all that a coder must know.
"""

import asyncio
import logging
import zlib
from contextlib import aclosing
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec
from msgspec import Struct

from agents.coders.driver import Driver
from bus import BusError, ObjectMissing
from bus.objects import Objects
from schemas import MALFORMED, BadSubject, IssueRef

__all__ = ["MOST_BYTES", "Sessions"]

log = logging.getLogger(__name__)

MOST_BYTES: Final = 32 * 1024 * 1024
"""Of one conversation's files; a longer one is not kept."""
NAMES_BYTES: Final = 1024 * 1024
"""For all that an archive holds beside their content."""
PATIENCE_SECONDS: Final = 20.0
"""With the bus: a run, or its report, is waiting."""


class _Archive(Struct, frozen=True):
    provider: str
    session: str
    """What the CLI calls it; "": there is nothing that anybody could go on with."""
    files: dict[str, bytes]
    """By their path in the CLI's own directory."""


_NOTHING = _Archive("", "", {})


class _TooLarge(Exception):
    """More than is kept."""


class Sessions:
    """The conversations of one replica's coder, whose own directory is `home`."""

    def __init__(self, objects: Objects, driver: Driver, home: Path) -> None:
        self._objects = objects
        self._driver = driver
        self._home = home

    async def bring_back(self, issue: IssueRef, session: str, worktree: Path) -> str | None:
        """What the coder calls that conversation, which it can go on with in `worktree`. None: it begins anew."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                archive = await self._fetched(_name(issue, session))
            if archive.provider != self._driver.provider or not archive.session:
                return None
            if strangers := [path for path in archive.files if not _is_inside(path)]:
                raise ValueError(f"its files lead elsewhere: {', '.join(strangers)}")
            await asyncio.to_thread(self._driver.restore_session, self._home, worktree, archive.session, archive.files)
        except ObjectMissing:
            return None  # its run died, or it was long ago
        except (BusError, BadSubject, TimeoutError, OSError, ValueError, zlib.error, *MALFORMED) as error:
            log.warning("%s: the conversation %s begins anew: %s", issue, session, error or "the bus does not answer")
            return None
        return archive.session

    async def keep(self, issue: IssueRef, session: str, said: str, worktree: Path) -> None:
        """Archives the conversation that the coder calls `said`, in the place of what was archived of it before."""
        try:
            paths = self._driver.session_files(self._home, worktree, said)
            files = await asyncio.to_thread(_read, self._home, paths)
            if files:
                await self._put(issue, session, _Archive(self._driver.provider, said, files))
        except _TooLarge:
            log.warning("%s: the conversation %s is too long to be kept; the next begins anew", issue, session)
            await self.forget(issue, session)
        except (BusError, BadSubject, OSError) as error:
            log.warning("%s: the conversation %s is not kept: %s", issue, session, error)

    async def forget(self, issue: IssueRef, session: str) -> None:
        """Nobody goes on with it: resuming it has failed, or it has grown too long."""
        try:
            await self._put(issue, session, _NOTHING)
        except (BusError, BadSubject) as error:
            log.warning("%s: the conversation %s is not forgotten: %s", issue, session, error)

    async def _put(self, issue: IssueRef, session: str, archive: _Archive) -> None:
        packed = await asyncio.to_thread(lambda: zlib.compress(msgspec.msgpack.encode(archive)))
        await self._objects.put(_name(issue, session), packed, timeout_seconds=PATIENCE_SECONDS)

    async def _fetched(self, name: str) -> _Archive:
        packed = bytearray()
        async with aclosing(self._objects.get(name)) as chunks:
            async for chunk in chunks:
                packed += chunk
        unpack = zlib.decompressobj()
        body = await asyncio.to_thread(unpack.decompress, packed, MOST_BYTES + NAMES_BYTES)  # and no more of any bomb
        return msgspec.msgpack.decode(body, type=_Archive)


def _name(issue: IssueRef, session: str) -> str:
    return f"session {issue} {session}"


def _is_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts and "\0" not in path


def _read(home: Path, paths: tuple[Path, ...]) -> dict[str, bytes]:
    """Those of the files that there are. Raises _TooLarge, OSError."""
    root, files, size = home.resolve(), dict[str, bytes](), 0
    for path in paths:
        file = (root / path).resolve()  # a link that a coder left there may lead anywhere
        if not file.is_relative_to(root) or not file.is_file():
            continue
        size += file.stat().st_size
        if size > MOST_BYTES:
            raise _TooLarge
        files[path.as_posix()] = file.read_bytes()
    return files
