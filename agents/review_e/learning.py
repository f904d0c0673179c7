"""What is learned of a review, once its verdict is said: beside the others, so that none waits for it or is lost.

Of the rig's own work alone. What a pull request of somebody else's has to say may be judged, and is not to be
remembered.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct

from agents.llm.messages import Model
from agents.remember import Recalled, learn, reflect, repository_scopes
from agents.review_e.answer import Judgement
from agents.review_e.prompt import Matter
from agents.runtime import Replica
from bus import Bus
from schemas import IssueRef

__all__ = ["Learning", "Reviewed"]

WAITING: Final = 8
"""Reviews that wait to be learned from; of more nothing is learned."""
SECONDS: Final = 120.0
"""For one."""
CHARACTERS: Final = 20_000

log = logging.getLogger(__name__)


class Reviewed(Struct, frozen=True, kw_only=True):
    """A review that is over."""

    issue: IssueRef
    verdict_id: str
    matter: Matter
    judgement: Judgement
    found: tuple[Recalled, ...]
    """What was recalled for it."""

    @property
    def words(self) -> str:
        """What it was about, and what came of it."""
        matter, judgement = self.matter, self.judgement
        parts = [
            f"The change for {matter.about} was reviewed: {matter.title}",
            matter.body,
            *(["Found at an earlier commit of it:", *matter.earlier] if matter.earlier else []),
            f"The verdict: {judgement.verdict.value}. {judgement.summary}",
            *(str(finding) for finding in (*judgement.blocking, *judgement.advice)),
        ]
        return "\n\n".join(part for part in parts if part)[:CHARACTERS]


class Learning:
    """Of one replica."""

    def __init__(
        self,
        bus: Bus,
        models: Callable[[IssueRef], AbstractAsyncContextManager[Model]],
        *,
        keep: timedelta | None = None,
    ) -> None:
        self._bus = bus
        self._models = models
        self._keep = keep
        self._waiting: asyncio.Queue[Reviewed] = asyncio.Queue(WAITING)

    def add(self, reviewed: Reviewed) -> None:
        """Its verdict is said."""
        try:
            self._waiting.put_nowait(reviewed)
        except asyncio.QueueFull:
            log.warning("%s: nothing is learned of its review: too many wait for that", reviewed.issue)

    async def always(self, _: Replica) -> None:
        """Learns, one after the other, for ever; a `runtime.Beside`."""
        while True:
            reviewed = await self._waiting.get()
            try:
                async with asyncio.timeout(SECONDS):
                    await self._learn(reviewed)
            except TimeoutError:
                log.warning("%s: nothing is learned of its review within %g s", reviewed.issue, SECONDS)
            except Exception:  # the replica reviews on
                log.exception("%s: nothing is learned of its review", reviewed.issue)

    async def _learn(self, reviewed: Reviewed) -> None:
        async with self._models(reviewed.issue) as model:
            learned = await reflect(model, reviewed.words, reviewed.found)
        key = reviewed.verdict_id
        await learn(
            self._bus,
            learned,
            reviewed.found,
            scope=repository_scopes(reviewed.issue.repository)[0],
            key=key,
            about=reviewed.issue,
            cause=key,
            expires_at=None if self._keep is None else datetime.now(UTC) + self._keep,
        )
