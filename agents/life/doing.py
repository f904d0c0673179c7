"""Doing one wake: it is thought about, answered where there is a conversation, and said to have come to rest.

A wake that was begun before is done from its beginning: what was answered is found and not answered again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from msgspec.structs import replace

from agents.character.reload import Watched
from agents.life.mind import Mind, Occasion, Rest
from agents.life.told import Told, earlier, told
from agents.life.triggers import FRESH
from agents.life.wakes import Wake
from agents.llm.messages import ModelError
from bus import Bus, DuplicateMismatch, Lease, LeaseLost, LogChanged, NoResponder, TopologyDrift, Unavailable
from schemas import (
    Actor,
    AgentRef,
    AgentRested,
    Draft,
    MessageSent,
    Offer,
    Recorded,
    RestOutcome,
    WokenBy,
    branch,
    event_id,
    everything_about,
    printable,
)

__all__ = ["Doing", "insist"]

AGAIN_SECONDS: Final = 1.0
TEXT_CHARACTERS: Final = 60_000
T = TypeVar("T")

log = logging.getLogger(__name__)


async def insist(name: str, work: Callable[[], Awaitable[T]]) -> T:
    """Again and again while the bus is away; a lease that is lost ends it. Raises BusError that does not pass."""
    while True:
        try:
            return await work()
        except Unavailable as error:
            log.warning("%s: waits for the bus: %s", name, error)
        await asyncio.sleep(AGAIN_SECONDS)


class Doing:
    """Of who holds the agent."""

    def __init__(self, bus: Bus, watched: Watched, mind: Mind, *, lease: Lease) -> None:
        self.name = watched.current.name
        self._bus = bus
        self._watched = watched
        self._mind = mind
        self._lease = lease
        self._answers: list[str] = []
        """Ids of messages that were answers to what it asked while it worked."""

    async def see_through(self, wake: Wake, cause: Recorded | None) -> None:
        """Does one wake and says how it went. `cause`: the event or the message that it is for."""
        try:
            rest = await self._insist(lambda: self._done(wake, cause))
            self._lease.check()
            rested = AgentRested(
                run=wake.run,
                outcome=rest.outcome,
                detail=printable(rest.text)[:TEXT_CHARACTERS],
                turns=rest.turns,
                cost_usd=rest.cost_usd,
            )
            draft = Draft(about=AgentRef(self.name), data=rested, cause=wake.id)
            await self._insist(
                lambda: self._bus.log.publish(draft, event_id(Actor.AGENT, self.name, "rested", wake.run))
            )
            log.info("%s: %s (%s) came to rest: %s", self.name, wake.run, wake.by, rest.outcome)
        except LeaseLost as lost:
            log.warning("%s: %s is put down: %s", self.name, wake.run, lost)

    async def _done(self, wake: Wake, cause: Recorded | None) -> Rest:
        character = self._watched.current
        if self._bus.connection.now() - wake.said > FRESH:
            return Rest(outcome=RestOutcome.CANCELLED, text="it was too long ago", cost_usd=0.0)
        if wake.by is WokenBy.MESSAGE and wake.key in self._answers:  # said, so that who comes next knows it, too
            return Rest(outcome=RestOutcome.DONE, text="it was the answer to a question", cost_usd=0.0)
        what = told(character, wake, cause)
        if what is None:
            return Rest(outcome=RestOutcome.CANCELLED, text="it does not wake for that any more", cost_usd=0.0)
        answered = await self._insist(lambda: self._answered(wake, what))
        if answered is not None:
            return Rest(outcome=RestOutcome.DONE, text=answered)
        try:
            return await self._thought(wake, what)
        except (LeaseLost, LogChanged, TopologyDrift):
            raise
        except Exception as error:
            if isinstance(error, Unavailable) and not isinstance(error, NoResponder):
                raise
            if not isinstance(error, ModelError):
                log.exception("%s: %s failed", self.name, wake.run)
            why = f"{type(error).__name__}: {error}" if not isinstance(error, ModelError) else str(error)
            with suppress(DuplicateMismatch):  # it has answered, and failed behind that
                await self._answer(wake, what, f"I cannot answer now: {why[:500]}")
            return Rest(outcome=RestOutcome.FAILED, text=why)

    async def _thought(self, wake: Wake, what: Told) -> Rest:
        history = ()
        if what.chat is not None and what.message is not None:
            message, chat = what.message, what.chat
            said = await self._insist(lambda: self._bus.log.history([everything_about(chat)]))
            history = earlier(said, message)
        occasion = Occasion(
            character=self._watched.current,
            wake=wake,
            told=what,
            history=history,
            answer=lambda text, offers=(): self._answer(wake, what, text, offers),
            answers=self._answers,
        )
        return await self._mind(occasion)

    async def _answer(self, wake: Wake, what: Told, text: str, offers: Sequence[Offer] = ()) -> None:
        """In the conversation, or where it reports; nowhere, where there is neither."""
        received, chat = what.received, what.chat or what.reports_to
        if chat is None:
            return
        message = printable(text).strip()[:TEXT_CHARACTERS] or "(nothing)"
        sent, cause = MessageSent(message=message), wake.id
        if received is not None:
            sent, cause = replace(sent, thread=received.thread, in_reply_to=wake.key, offers=tuple(offers)), wake.key
        draft = Draft(about=chat, data=sent, cause=cause)
        self._lease.check()
        await self._insist(lambda: self._bus.log.publish(draft, event_id(Actor.AGENT, self.name, "answer", wake.run)))

    async def _answered(self, wake: Wake, what: Told) -> str | None:
        """What was answered or reported before: by who began this wake, and died over it."""
        chat = what.chat or what.reports_to
        if chat is None:
            return None
        subject = f"{branch(chat)}.{Actor.AGENT.value}.{MessageSent.name()}"
        begun = wake.position if what.message is None else what.message.position
        said = await self._bus.log.history([subject], after=begun)
        known_as = event_id(Actor.AGENT, self.name, "answer", wake.run)
        for recorded in said:
            if recorded.event.id == known_as and isinstance(recorded.event.data, MessageSent):
                return recorded.event.data.message
        return None

    async def _insist(self, work: Callable[[], Awaitable[T]]) -> T:
        return await insist(self.name, work)
