"""A character's file, read again when it changes. While it is wrong, the last good one stays in force."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from agents.character.character import Character
from agents.character.shelf import load
from schemas import Invalid

__all__ = ["Watched"]

EVERY_SECONDS: Final = 2.0

log = logging.getLogger(__name__)


class Watched:
    """One character and the file that it comes from. Raises Invalid when the first reading fails."""

    def __init__(
        self,
        file: Path,
        *,
        secrets: Iterable[str] | None = None,
        problems: Callable[[Character], Iterable[str]] = lambda _: (),
    ) -> None:
        self._file = file
        self._problems = problems
        """What is wrong with a character here, whatever the file by itself says."""
        self._secrets = None if secrets is None else frozenset(secrets)
        self._seen = _stamp(file)
        self.current = self._load()
        """The last good one."""
        self.problem: str | None = None
        """Why the file, as it is now, is not in force."""

    def look(self) -> bool:
        """Reads the file again if it has changed; whether another character is in force now."""
        stamp = _stamp(self._file)
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            found = self._load()
            if found.name != self.current.name:
                raise Invalid("character", [f"it is called {found.name!r} now; start that one by itself"])
        except Invalid as error:
            self.problem = str(error)
            log.error("%s is wrong, and what it was before stays in force: %s", self._file, error)
            return False
        self.problem = None
        if found == self.current:
            return False
        self.current = found
        log.info("%s has changed, and is in force", self._file)
        return True

    def _load(self) -> Character:
        found = load(self._file, secrets=self._secrets)
        if wrong := list(self._problems(found)):
            raise Invalid(found.name, wrong)
        return found

    async def follow(self, changed: Callable[[], None]) -> None:
        """Looks every so often, for ever; calls `changed` when another is in force or the file is wrong."""
        before = self.problem
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if await asyncio.to_thread(self.look) or self.problem != before:
                before = self.problem
                changed()


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Changes whenever the file does."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
