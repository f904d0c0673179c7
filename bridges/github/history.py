"""What was delivered in the last three days, as far as GitHub's logs are ours to read; what was read is kept.

So the whole of it is asked for once, and then what is new. A delivery is one guid, however often it was made.
"""

from collections.abc import MutableMapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from bridges.github import deliveries
from bridges.github.api import GitHub
from bridges.github.deliveries import Entry, Log, Unreadable
from bridges.github.errors import Conflict, Forbidden, NotFound, Unexpected, Unprocessable
from schemas import RepoRef, one_line
from schemas.queries import DeliveryLog

__all__ = ["Found", "History"]

KEPT: Final = timedelta(days=3)
"""So long GitHub keeps them."""
OVERLAP: Final = timedelta(hours=1)
"""A log that was read to its end is read again from so long before."""
_UNREADABLE: Final = (Unreadable, NotFound, Forbidden, Unexpected, Unprocessable, Conflict)


class Found(Struct, frozen=True):
    """One delivery, and where it is written down."""

    entry: Entry
    log: Log

    @property
    def guid(self) -> str:
        return self.entry.guid

    @property
    def delivered_at(self) -> datetime:
        return self.entry.delivered_at

    def is_of(self, repository: RepoRef, number: int | None) -> bool:
        """Whether it is about this repository, to which GitHub has given this number."""
        if self.log.repository is not None:
            return self.log.repository == repository
        return number is not None and self.entry.repository_id == number


class _Read(Struct):
    """What was read of one log."""

    until: datetime
    entries: dict[str, Entry]


class History:
    """Of all that one bridge may see."""

    def __init__(self, github: GitHub) -> None:
        self._github = github
        self._read: dict[Log, _Read] = {}

    def found(self) -> list[Found]:
        """Every delivery that is known now, each once."""
        each = {entry.guid: Found(entry, log) for log, read in self._read.items() for entry in read.entries.values()}
        return list(each.values())

    async def read(
        self, now: datetime, served: Sequence[RepoRef], trouble: MutableMapping[RepoRef, str]
    ) -> DeliveryLog:
        """Reads on, and says which logs these are; into `trouble` goes which repositories have none, and why.

        Raises ApiError where the next one would be read no better.
        """
        why = None
        if self._github.app:
            try:
                await self._read_on(app := [deliveries.log_of_app()], now)
            except _UNREADABLE as error:
                why = one_line(str(error))
            else:
                self._forget_all_but(app)
                return DeliveryLog.APP
        logs: list[Log] = []
        for repository in served:
            try:
                its = await deliveries.logs_of_hooks(self._github, repository)
                await self._read_on(its, now)
            except _UNREADABLE as error:
                trouble[repository] = why or one_line(str(error))
            else:
                logs += its
        self._forget_all_but(logs)
        return DeliveryLog.HOOKS if logs else DeliveryLog.NONE

    def _forget_all_but(self, logs: Sequence[Log]) -> None:
        self._read = {log: read for log, read in self._read.items() if log in logs}

    async def _read_on(self, logs: Sequence[Log], now: datetime) -> None:
        oldest = now - KEPT
        for log in logs:
            before = self._read.get(log)
            since = oldest if before is None else max(oldest, before.until - OVERLAP)
            kept = before.entries if before is not None else {}
            found: dict[str, Entry] = {}
            async with aclosing(deliveries.entries(self._github, log, since)) as entries:
                async for entry in entries:
                    found.setdefault(entry.guid, entry)
            still = {guid: entry for guid, entry in kept.items() if entry.delivered_at >= oldest}
            self._read[log] = _Read(now, still | found)
