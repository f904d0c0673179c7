"""An agent that lives: one process at a time holds it, reads what wakes it and sees every wake through.

Level-triggered: the log says what it was woken for and what of that has come to rest; what is open is done, whoever
began it. Others of the same character stand by, and hear the timers of all. A holder that was stopped and does not know
it can do a wake a second time, and cannot make it two: its words have ids that follow from the wake, and the first rest
counts.
"""

import asyncio
import logging
from contextlib import suppress
from datetime import datetime
from typing import Final

from agents.character.reload import Watched
from agents.life.clock import Clock, heard
from agents.life.doing import Doing, insist
from agents.life.mind import Mind
from agents.life.told import line, wakes_for
from agents.life.triggers import FRESH, MESSAGES, spoken_to, subjects
from agents.life.wakes import Wakes
from agents.runtime import AgentConfig, Replica
from bus import Bus, Lease, LeaseHeld, Unavailable
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
    Recorded,
    branch,
    everything_about,
    woken,
)
from schemas.sayings import summary

__all__ = ["PROVIDER", "lease_of", "live"]

LEASE_SECONDS: Final = 10
STANDBY_SECONDS: Final = 2.0
"""Between two looks at an agent that another holds."""
AT_ONCE: Final = 4
"""Wakes of one agent that are seen to at the same time; of one conversation one."""
PROVIDER: Final = "gateway"

log = logging.getLogger(__name__)


def lease_of(name: str) -> str:
    """The name of the lease of who holds an agent."""
    return f"agent/{name}"


async def live(bus: Bus, life: Lifecycle, watched: Watched, mind: Mind, *, only: str | None = None) -> None:
    """Is one of the processes of this agent until `life.stop`.

    With `only` it is the agent for this one run, and until that has come to rest: whatever else is open, said or due
    is for who lives. Raises what ends it for good (LogChanged, TopologyDrift); a server that is away is waited for.
    """
    async with asyncio.TaskGroup() as group:
        if only is None:
            hearing = bus.timers.fired(lambda delivery: heard(bus, delivery), stop=life.stop)
            group.create_task(hearing)
        life.ready()
        while not life.stop.is_set():
            try:
                lease = await bus.leases.acquire(lease_of(watched.current.name), ttl_seconds=LEASE_SECONDS)
            except (LeaseHeld, Unavailable) as error:
                log.debug("%s: standing by: %s", watched.current.name, error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(life.stop.wait(), STANDBY_SECONDS)
                continue
            if await _held(bus, life, watched, mind, lease=lease, only=only):
                break


async def _held(bus: Bus, life: Lifecycle, watched: Watched, mind: Mind, *, lease: Lease, only: str | None) -> bool:
    """Holds the agent until we stop or the lease is lost; True: the run that was waited for has come to rest."""
    renewing = asyncio.create_task(lease.keep())
    agent = _Agent(bus, life, watched, mind, lease=lease, only=only)
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
        self, bus: Bus, life: Lifecycle, watched: Watched, mind: Mind, *, lease: Lease, only: str | None
    ) -> None:
        config = AgentConfig(name=watched.current.name, role=Actor.AGENT.value, slots=AT_ONCE, provider=PROVIDER)
        self.name = config.name
        self._about = AgentRef(config.name)
        self._bus = bus
        self._life = life
        self._watched = watched
        self._lease = lease
        self._doing = Doing(bus, watched, mind, lease=lease)
        self._only = only
        self._replica = Replica(bus, config, life)
        self._wakes = Wakes()
        self._clock = Clock(bus, watched, self._wakes)
        self._causes: dict[str, Recorded] = {}
        """By run: events and messages that it is, or is to be, woken for."""
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
            await insist(self.name, self._replica.join)
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
                waiting, coming = asyncio.create_task(self._reread.wait()), None
                try:
                    while not waiting.done():
                        if reader.caught_up:
                            await self._look(work)
                            if ticking is None and self._only is None:  # it knows by now what was seen to
                                ticking = work.create_task(self._clock.run())
                        coming = asyncio.create_task(reader.next())
                        await asyncio.wait((coming, waiting), return_when=asyncio.FIRST_COMPLETED)
                        if not coming.done():
                            break
                        item = coming.result().decoded()
                        if isinstance(item, Recorded):
                            self._apply(item)
                finally:
                    for task in (waiting, coming):
                        if task is not None:
                            task.cancel()
                            await asyncio.gather(task, return_exceptions=True)

    async def _first(self) -> int:
        """Just before anybody woke it, or it joined, or somebody wrote to it by its name who waits for an answer still.

        What else happened before it joined is none of its business.
        """
        said = [f"{branch(self._about)}.*.{event.name()}" for event in (AgentJoined, AgentWoken)]
        found = await insist(self.name, lambda: self._bus.log.history(said))
        joined = next((each for each in found if isinstance(each.event.data, AgentJoined)), None)
        self._joined = 0 if joined is None else joined.position
        begins = [each.position for each in found[:1]]
        if joined is None or self._is_fresh(joined):
            begins += await insist(self.name, self._letters)
        return min(begins, default=1) - 1

    async def _letters(self) -> list[int]:
        """The positions of what was said to it by its name lately."""
        lately = self._bus.log.replay([MESSAGES], since=self._now() - FRESH)
        return [
            each.position
            async for each in lately
            if isinstance(each, Recorded) and spoken_to(self.name, each.event.data)
        ]

    def _apply(self, recorded: Recorded) -> None:
        if recorded.event.about == self._about:
            self._wakes.apply(recorded)
            data = recorded.event.data
            if isinstance(data, AgentRested):
                self._causes.pop(data.run, None)
                self._running.pop(data.run, None)
                if data.run == self._only:
                    self.rested.set()
            self._clock.changed.set()
        by = wakes_for(self._watched.current, recorded)
        concerns = recorded.position > self._joined or spoken_to(self.name, recorded.event.data)
        if by is not None and concerns and self._is_fresh(recorded):
            data, _ = woken(self.name, by, recorded.event.id)
            if data.run not in self._wakes.rested:
                self._causes[data.run] = recorded

    # ── doing ────────────────────────────────────────────────────────────────

    async def _look(self, work: asyncio.TaskGroup) -> None:
        """Says what it is to be woken for, and begins what is open."""
        if self._only is not None:
            self._causes.clear()
        for run, cause in list(self._causes.items()):
            if not self._wakes.knows(run) and self._lane(cause) not in self._running.values():
                await self._wake_for(run, cause)
        for wake in self._wakes.open:
            lane = self._lane(self._causes[wake.run]) if wake.run in self._causes else wake.run
            if len(self._running) >= AT_ONCE:
                break
            if self._only not in (None, wake.run):
                continue
            if wake.run not in self._running and lane not in self._running.values():
                self._running[wake.run] = lane
                work.create_task(self._doing.see_through(wake, self._causes.get(wake.run)))

    async def _wake_for(self, run: str, cause: Recorded) -> None:
        by = wakes_for(self._watched.current, cause)
        if by is None:
            del self._causes[run]
            return
        data, said = woken(self.name, by, cause.event.id, text=line(cause, summary(cause.event.data)))
        draft = Draft(about=self._about, data=data, cause=cause.event.id, correlation=cause.event.correlationid)
        await insist(self.name, lambda: self._bus.log.publish(draft, said))

    def _lane(self, cause: Recorded) -> str:
        data = cause.event.data
        return f"{cause.event.about}:{data.thread}" if isinstance(data, MessageReceived) else cause.event.id

    def _is_fresh(self, recorded: Recorded) -> bool:
        return self._now() - recorded.stored_at < FRESH

    def _now(self) -> datetime:
        return self._bus.connection.now()
