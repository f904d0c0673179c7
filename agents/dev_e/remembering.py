"""What dev-e recalls before a run of the coder, and what is kept of its last words after it. See agents.remember."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from agents.brief import Brief
from agents.coders.driver import Result
from agents.dev_e.manner import Manner
from agents.dev_e.run import Run
from agents.remember import HOW_TO_SAY, Recalled, learn, learned_from, recall, repository_scopes, told
from bus import Bus

__all__ = ["Remembering"]

LEARNING_SECONDS: Final = 5.0
"""With a bus that does not answer: the work waits to be pushed."""


class Remembering:
    """One run's."""

    def __init__(self, bus: Bus, run: Run, manner: Manner) -> None:
        self._bus = bus
        self._run = run
        self._manner = manner
        self._scopes = repository_scopes(run.issue.repository)
        self._found: tuple[Recalled, ...] = ()

    async def before(self, what: Brief) -> str:
        """For the prompt: what may help, and how to say what was learned."""
        query, manner = f"{what.title}\n{what.body}", self._manner
        self._found = await recall(self._bus, scopes=self._scopes, query=query, key=self._run.id, limit=manner.recall)
        how = HOW_TO_SAY if manner.learn else ""
        return "\n\n".join(part for part in (told(self._found), how) if part)

    async def after(self, result: Result) -> None:
        """Says what was of use and what is worth remembering, as far as the coder has said so."""
        if not self._manner.learn:
            return
        learned, run, keep = learned_from(result.text, self._found), self._run, self._manner.keep
        if not learned.used and not learned.lessons:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LEARNING_SECONDS):
                await learn(
                    self._bus,
                    learned,
                    self._found,
                    scope=self._scopes[0],
                    key=run.id,
                    about=run.issue,
                    cause=run.cause,
                    expires_at=None if keep is None else datetime.now(UTC) + keep,
                )
