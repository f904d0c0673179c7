"""An agent that lives: one process at a time holds it, reads what wakes it and sees every wake through.

Level-triggered: the log says what it was woken for and what of that has come to rest; what is open is done, whoever
began it. Others of the same character stand by, and hear the timers of all. A holder that was stopped and does not know
it can do a wake a second time, and cannot make it two: its words have ids that follow from the wake, and the first rest
counts.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, TypeVar

from msgspec.structs import replace

from agents.character.reload import Watched
from agents.life.clock import Clock, heard
from agents.life.mind import Mind, Rest
from agents.life.told import Told, earlier, line, told, wakes_for
from agents.life.triggers import FRESH, subjects
from agents.life.wakes import Wake, Wakes
from agents.llm.messages import ModelError
from agents.runtime import AgentConfig, Replica
from bus import (
    Bus,
    DuplicateMismatch,
    Lease,
    LeaseHeld,
    LeaseLost,
    LogChanged,
    NoResponder,
    TopologyDrift,
    Unavailable,
)
from machine.lifecycle import Lifecycle
from schemas import (
    Actor,
    AgentJoined,
    AgentRef,
    AgentRested,
    AgentWoken,
    Draft,
    LeaveReason,
    MessageReceived,
    MessageSent,
    Offer,
    Recorded,
    RestOutcome,
    WokenBy,
    branch,
    event_id,
    everything_about,
    printable,
    woken,
)
from schemas.sayings import summary

__all__ = ["PROVIDER", "lease_of", "live"]

LEASE_SECONDS: Final = 10
STANDBY_SECONDS: Final = 2.0
"""Between two looks at an agent that another holds."""
AT_ONCE: Final = 4
"""Wakes of one agent that are seen to at the same time; of one conversation one."""
AGAIN_SECONDS: Final = 1.0
TEXT_CHARACTERS: Final = 60_000
PROVIDER: Final = "gateway"
T = TypeVar("T")

log = logging.getLogger(__name__)


def lease_of(name: str) -> str:
    """The name of the lease of who holds an agent."""
    return f"agent/{name}"


async def live(bus: Bus, life: Lifecycle, watched: Watched, mind: Mind, *, until_rested: str | None = None) -> None:
    """Is one of the processes of this agent until `life.stop`, or until this run has come to rest.

    Raises what ends it for good (LogChanged, TopologyDrift); a server that is away is waited for.
    """
    async with asyncio.TaskGroup() as group:
        timers = group.create_task(bus.timers.fired(lambda delivery: heard(bus, delivery), stop=life.stop))
        life.ready()
        while not life.stop.is_set():
            try:
                lease = await bus.leases.acquire(lease_of(watched.current.name), ttl_seconds=LEASE_SECONDS)
            except (LeaseHeld, Unavailable) as error:
                log.debug("%s: standing by: %s", watched.current.name, error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(life.stop.wait(), STANDBY_SECONDS)
                continue
            if await _held(bus, life, watched, mind, lease=lease, until_rested=until_rested):
                break
        timers.cancel()


async def _held(
    bus: Bus, life: Lifecycle, watched: Watched, mind: Mind, *, lease: Lease, until_rested: str | None
) -> bool:
    """Holds the agent until we stop or the lease is lost; True: the run that was waited for has come to rest."""
    renewing = asyncio.create_task(lease.keep())
    agent = _Agent(bus, life, watched, mind, lease=lease, until_rested=until_rested)
    working = asyncio.create_task(agent.run())
    ends = [asyncio.ensure_future(event.wait()) for event in (life.stop, lease.lost, agent.rested)]
    try:
        await asyncio.wait((working, *ends), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()  # raises: it does not end otherwise
        return agent.rested.is_set()
    finally:
        working.cancel()
        for end in ends:
            end.cancel()
        await asyncio.wait((working, *ends))
        renewing.cancel()
        await asyncio.wait((renewing,))
        await lease.release()


class _Agent:
    """Of who holds it."""

    def __init__(
        self, bus: Bus, life: Lifecycle, watched: Watched, mind: Mind, *, lease: Lease, until_rested: str | None
    ) -> None:
        config = AgentConfig(name=watched.current.name, role=Actor.AGENT.value, slots=AT_ONCE, provider=PROVIDER)
        self.name = config.name
        self._about = AgentRef(config.name)
        self._bus = bus
        self._life = life
        self._watched = watched
        self._mind = mind
        self._lease = lease
        self._until_rested = until_rested
        self._replica = Replica(bus, config, life)
        self._wakes = Wakes()
        self._clock = Clock(bus, watched, self._wakes.last_due)
        self._causes: dict[str, Recorded] = {}
        """By run: events and messages that it is, or is to be, woken for."""
        self._answers: list[str] = []
        """Ids of messages that were answers to what it asked while it worked."""
        self._running: dict[str, str] = {}
        """By run, until its rest is read: its lane, of which there is one at a time."""
        self.rested = asyncio.Event()
        """The run that is waited for has come to rest."""
        self._reread = asyncio.Event()
        self._joined = 0
        """The position of its first joining."""

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._replica.follow_policy())
            await self._replica.adopted.wait()
            await self._insist(self._replica.join)
            try:
                async with asyncio.TaskGroup() as work:
                    work.create_task(self._replica.show_life())
                    work.create_task(self._watched.follow(self._changed))
                    work.create_task(self._read_again_when_changed(work))
            finally:
                if not self._lease.lost.is_set():  # else another has joined, or will
                    await self._replica.leave(LeaveReason.STOPPED)

    # ── reading ──────────────────────────────────────────────────────────────

    def _changed(self) -> None:
        """The character is another, or its file is wrong."""
        problem = self._watched.problem
        self._life.check("character", ok=problem is None, detail=problem or "")
        self._clock.changed.set()
        self._reread.set()

    async def _read_again_when_changed(self, work: asyncio.TaskGroup) -> None:
        """Reads what wakes it; from the beginning again, when other things do."""
        ticking: asyncio.Task[None] | None = None
        while True:
            self._reread.clear()
            filters = subjects(self._watched.current.triggers)
            async with self._bus.log.follow(
                [everything_about(self._about), *filters], after=await self._first()
            ) as reader:
                waiting = asyncio.create_task(self._reread.wait())
                try:
                    while not waiting.done():
                        if reader.caught_up:
                            await self._look(work)
                            if ticking is None:  # it knows by now what was seen to
                                ticking = work.create_task(self._clock.run())
                        coming = asyncio.create_task(reader.next())
                        await asyncio.wait((coming, waiting), return_when=asyncio.FIRST_COMPLETED)
                        if not coming.done():
                            coming.cancel()
                            await asyncio.gather(coming, return_exceptions=True)
                            break
                        item = coming.result().decoded()
                        if isinstance(item, Recorded):
                            self._apply(item)
                finally:
                    waiting.cancel()
                    await asyncio.gather(waiting, return_exceptions=True)

    async def _first(self) -> int:
        """Just before anybody woke it, or it joined: what else happened before that is none of its business."""
        said = [f"{branch(self._about)}.*.{event.name()}" for event in (AgentJoined, AgentWoken)]
        found = await self._insist(lambda: self._bus.log.history(said))
        self._joined = next((each.position for each in found if isinstance(each.event.data, AgentJoined)), 0)
        return found[0].position - 1 if found else 0

    def _apply(self, recorded: Recorded) -> None:
        if recorded.event.about == self._about:
            self._wakes.apply(recorded)
            data = recorded.event.data
            if isinstance(data, AgentRested):
                self._causes.pop(data.run, None)
                self._running.pop(data.run, None)
                if data.run == self._until_rested:
                    self.rested.set()
            self._clock.changed.set()
        by = wakes_for(self._watched.current, recorded)
        if by is not None and recorded.position > self._joined and self._now() - recorded.stored_at < FRESH:
            data, _ = woken(self.name, by, recorded.event.id)
            if data.run not in self._wakes.rested:
                self._causes[data.run] = recorded

    # ── doing ────────────────────────────────────────────────────────────────

    async def _look(self, work: asyncio.TaskGroup) -> None:
        """Says what it is to be woken for, and begins what is open."""
        for run, cause in list(self._causes.items()):
            if not self._wakes.knows(run) and self._lane(cause) not in self._running.values():
                await self._wake_for(run, cause)
        for wake in self._wakes.open:
            lane = self._lane(self._causes[wake.run]) if wake.run in self._causes else wake.run
            if len(self._running) >= AT_ONCE:
                break
            if wake.run not in self._running and lane not in self._running.values():
                self._running[wake.run] = lane
                work.create_task(self._see_through(wake))

    async def _wake_for(self, run: str, cause: Recorded) -> None:
        by = wakes_for(self._watched.current, cause)
        if by is None:
            del self._causes[run]
            return
        data, said = woken(self.name, by, cause.event.id, text=line(cause, summary(cause.event.data)))
        draft = Draft(about=self._about, data=data, cause=cause.event.id, correlation=cause.event.correlationid)
        await self._insist(lambda: self._bus.log.publish(draft, said))

    def _lane(self, cause: Recorded) -> str:
        data = cause.event.data
        return f"{cause.event.about}:{data.thread}" if isinstance(data, MessageReceived) else cause.event.id

    async def _see_through(self, wake: Wake) -> None:
        """Does one wake and says how it went."""
        try:
            rest = await self._insist(lambda: self._done(wake))
            self._lease.check()
            rested = AgentRested(
                run=wake.run,
                outcome=rest.outcome,
                detail=printable(rest.text)[:TEXT_CHARACTERS],
                turns=rest.turns,
                cost_usd=rest.cost_usd,
            )
            draft = Draft(about=self._about, data=rested, cause=wake.id)
            await self._insist(
                lambda: self._bus.log.publish(draft, event_id(Actor.AGENT, self.name, "rested", wake.run))
            )
            log.info("%s: %s (%s) came to rest: %s", self.name, wake.run, wake.by, rest.outcome)
        except LeaseLost as lost:
            log.warning("%s: %s is put down: %s", self.name, wake.run, lost)

    async def _done(self, wake: Wake) -> Rest:
        character, cause = self._watched.current, self._causes.get(wake.run)
        if self._now() - wake.said > FRESH:
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
        return await self._mind(
            self._watched.current,
            wake,
            what,
            history=history,
            answer=lambda text, offers=(): self._answer(wake, what, text, offers),
            answers=self._answers,
        )

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
        """Again and again while the bus is away; the lease ends it. Raises BusError that does not pass."""
        while True:
            try:
                return await work()
            except Unavailable as error:
                log.warning("%s: waits for the bus: %s", self.name, error)
            await asyncio.sleep(AGAIN_SECONDS)

    def _now(self) -> datetime:
        return self._bus.connection.now()
