"""The log as the bridge reads and writes it: both folds, and saying a fact once.

Whoever says something waits until it is read again: what is said next is compared with it.
"""

import asyncio
import logging
from typing import Final

from bridges.github.heard import Heard
from bridges.github.known import Known
from bridges.github.said import Said, Translation
from bus import Bus, Causes, DuplicateMismatch, Skipped, Stored
from schemas import Draft, IssueRef, RepoRef

log = logging.getLogger(__name__)

FILTERS: Final = ("rig.issue.>", "rig.repo.>", "rig.fleet.*.policy_adopted", "rig.fleet.github.budget_raised")
"""The last is what people allow in comments: the bridge waits until it has read what it says."""


class Journal:
    """Of one bridge."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.known = Known()
        self.heard = Heard()
        self.causes = Causes()
        self._position = 0
        self._advanced = asyncio.Condition()

    def fold(self, stored: Stored) -> set[IssueRef | RepoRef]:
        """Reads one message; what it is about, and all that hangs on it."""
        self._position = stored.position
        item = stored.decoded()
        if isinstance(item, Skipped):
            log.warning("position %d is skipped: %s", item.position, item.reason)
            return set()
        self.causes.hear(item.event)
        self.heard.apply(item)
        match self.known.apply(item):
            case RepoRef() as repository:
                return {repository, *(ref for ref in self.known.issues if ref.repository == repository)}
            case IssueRef() as issue:
                return {issue}
            case None:
                return set()

    async def advance(self) -> None:
        """Tells who waits that more was read."""
        async with self._advanced:
            self._advanced.notify_all()

    async def say(self, draft: Draft, id: str) -> None:  # noqa: A002 - CloudEvents' name
        """Says one event, unless it was said before, and returns when it was read. Raises BusError."""
        if self._said(draft, id):
            return
        draft = self.causes.followed(draft)
        try:
            position = await self._bus.log.publish(draft, id)
        except DuplicateMismatch as error:  # the same fact, in other words, a moment ago
            log.warning("%s", error)
            last = await self._bus.log.last(self._bus.log.envelope(draft, id).on)
            position = 0 if last is None else last.position
        async with self._advanced:
            await self._advanced.wait_for(lambda: self._position >= position)

    async def tell(self, translation: Translation) -> list[str]:
        """Says all that a translation comes to; the ids of what was news."""
        news: list[Said] = [said for said in translation.said if not self._said(said.draft, said.id)]
        for said in news:
            await self.say(said.draft, said.id)
        self.heard.see(translation.seen)
        return [said.id for said in news]

    def _said(self, draft: Draft, id_: str) -> bool:
        issue = self.known.issues.get(draft.about) if isinstance(draft.about, IssueRef) else None
        return id_ in self.heard.said or (issue is not None and id_ in issue.heard)
