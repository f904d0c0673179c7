"""Throw-away clones: where a merge is tried out and checked, away from the repository that people use.

A clone borrows the repository's objects and holds no hooks. It is deleted when its use ends; what a killed process
left is deleted by the next one that starts. A file lock, which ends with its holder, tells whose directory is whose.
What cannot be deleted (a container left files of root's in it) is said, and is in nobody's way.
"""

import asyncio
import fcntl
import logging
import os
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from machine.git import Git
from machine.trees import remove_tree

log = logging.getLogger(__name__)

_CLONE = ("--quiet", "--shared", "--no-checkout", "--template=", "--config=core.hooksPath=/dev/null")


class Scratch:
    """A directory of this process's own below `under`, for clones."""

    def __init__(self, under: Path) -> None:
        """Makes `under` if it is missing, and removes what dead processes left in it."""
        under.mkdir(parents=True, exist_ok=True)
        with _locked(under):
            for leftover in under.iterdir():
                _remove_if_abandoned(leftover)
            self._room = Path(tempfile.mkdtemp(dir=under))
            self._lock = os.open(self._room, os.O_RDONLY)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove everything of ours."""
        _remove(self._room)
        os.close(self._lock)

    @asynccontextmanager
    async def clone(self, repository: Path) -> AsyncGenerator[Git]:
        """A clone of the repository with nothing checked out; gone when the block ends. Raises GitError."""
        directory = Path(tempfile.mkdtemp(dir=self._room))
        try:
            git = Git(directory)
            source = str(repository.resolve())  # noqa: ASYNC240 - one look at a local path
            await git.run("clone", *_CLONE, "--", source, ".")
            yield git
        finally:
            await asyncio.to_thread(_remove, directory)


def _remove_if_abandoned(room: Path) -> None:
    try:
        lock = os.open(room, os.O_RDONLY)
    except OSError as error:  # another user's: so is its removal
        log.warning("%s is left behind: %s", room, error)
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # its owner lives
    else:
        _remove(room)
    finally:
        os.close(lock)


@contextmanager
def _locked(directory: Path) -> Generator[None]:
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _remove(directory: Path) -> None:
    if error := remove_tree(directory):
        log.warning("%s is left behind: %s", directory, error)
