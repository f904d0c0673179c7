"""The subscriber on the inbox: what was delivered is translated, said, and noted beside the delivery.

Deliveries of one issue are taken in their order, one at a time; the next is compared with what the log says by then.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Struct

from bridges.github.api import GitHub
from bridges.github.asking import answers
from bridges.github.errors import ApiError, Away, RateLimited, Unauthorized
from bridges.github.journal import Journal
from bridges.github.said import Seen, Translation, Untranslatable
from bridges.github.translate import REVISION, asks, translate
from bus import Arrived, Bus, Delivery, Done, Drop, Outcome, Retry, Unavailable
from schemas import MALFORMED, IssueRef, RepoRef

log = logging.getLogger(__name__)

SLOTS: Final = 8
_EVENT: Final = "x-github-event"
_AGAIN_SECONDS: Final = 5.0
_UNKNOWN_SECONDS: Final = 60.0
"""Before GitHub is asked again that does not know us: it locks out who insists."""


class Note(Struct, frozen=True, omit_defaults=True):
    """What came of a delivery."""

    said: tuple[str, ...] = ()
    """Ids of what was news."""
    looks: tuple[str, ...] = ()
    skipped: str | None = None
    error: str | None = None
    seen: tuple[Seen, ...] = ()


class _Numbered(Struct, frozen=True):
    number: int = 0


class _Repository(Struct, frozen=True):
    full_name: str = ""


class _About(Struct, frozen=True):
    """As much of a payload as tells which lane it goes in."""

    repository: _Repository | None = None
    issue: _Numbered | None = None
    pull_request: _Numbered | None = None


class Interpreter:
    """Of one bridge."""

    def __init__(self, bus: Bus, github: GitHub, journal: Journal, look: Callable[[IssueRef | RepoRef], None]) -> None:
        self._bus = bus
        self._github = github
        self._journal = journal
        self._look = look

    async def work(self, stop: asyncio.Event) -> None:
        """Until `stop`. The fold must have caught up. Raises what ends the work for good."""
        await self._remember()
        await self._bus.inbox.work(self._handle, slots=SLOTS, stop=stop, key=self._lane)

    async def _remember(self) -> None:
        """How new what was delivered before was: the log does not tell of what led to nothing."""
        while True:
            try:
                async with aclosing(self._bus.inbox.noted(Note)) as notes:
                    async for note in notes:
                        self._journal.heard.see(note.seen)
            except Unavailable as error:
                log.warning("what was made of earlier deliveries cannot be read, and nothing is translated: %s", error)
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return

    async def _handle(self, arrived: Arrived) -> Outcome:
        headers = {name.lower(): value for name, value in arrived.headers.items()}
        event, heard = headers.get(_EVENT, ""), self._journal.heard
        try:
            questions = asks(event, arrived.body, heard)
            translation = translate(event, arrived.body, heard, await answers(self._github, questions))
        except Untranslatable as error:
            await self._bus.inbox.note(arrived.delivery, REVISION, Note(error=str(error)))
            return Drop(f"{event} {arrived.delivery}: {error}")
        except RateLimited as limited:
            return Retry(max((limited.until - datetime.now(UTC)).total_seconds(), _AGAIN_SECONDS), counts=False)
        except ApiError as error:
            log.warning("delivery %s waits: %s", arrived.delivery, error)
            # It is stored, and no audit brings it again: it waits as long as GitHub is away, or does not know us.
            pause = _UNKNOWN_SECONDS if isinstance(error, Unauthorized) else _AGAIN_SECONDS
            return Retry(pause, counts=not isinstance(error, Away | Unauthorized))
        said = await self._journal.tell(translation)
        for look in translation.looks:
            self._look(look.about)
        await self._bus.inbox.note(arrived.delivery, REVISION, _note(translation, said))
        return Done()

    def _lane(self, delivery: Delivery) -> str:
        """The issue that it is about, or its repository; a pull request goes with its issue, once that is known."""
        try:
            about = msgspec.json.decode(delivery.body, type=_About)
        except MALFORMED:
            return delivery.subject
        name = about.repository.full_name.lower() if about.repository is not None else ""
        if about.issue is not None:
            return f"{name}#{about.issue.number}"
        if about.pull_request is None:
            return name or delivery.subject
        known = self._journal.heard.repositories.get(name)
        issue = known.pulls.get(about.pull_request.number) if known is not None else None
        return f"{name}#{about.pull_request.number if issue is None else issue.number}"


def _note(translation: Translation, said: list[str]) -> Note:
    looks = tuple(str(look.about) for look in translation.looks)
    return Note(said=tuple(said), looks=looks, skipped=translation.skipped, seen=translation.seen)
