"""The schedules of one agent against the clock: what is due is said to the log; the server is asked to fire the rest.

Since when it has a schedule is a fact of the log, too: so that is due which was missed while nobody was there, and
nothing from before the schedule was there, or was for other times.

The server's timers outlive every process, and whoever of the role hears a firing says what was due, for whichever
agent. They are a cache: whoever holds the agent looks for himself, too, a little later, and says the same word under
the same id. So a lost timer loses no run, and two who hear of it make one.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from agents.character.reload import Watched
from agents.life.schedule import LATE, Missed, Schedule, plan
from agents.life.wakes import Wakes
from bus import Bus, BusError, Done, Drop, Outcome
from bus.delivery import Delivery
from schemas import MALFORMED, Actor, AgentRef, AgentScheduled, Draft, Scheduled, WokenBy, event_id, woken

__all__ = ["Clock", "Firing", "heard"]

AFTER: Final = timedelta(seconds=2)
"""Behind the due time, the one who holds the agent looks whether it was heard of."""
LONGEST_SECONDS: Final = 3_600.0
"""Without a look: the clock of a machine may be set."""
AGAIN_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


class Firing(Struct, frozen=True, kw_only=True):
    """What a timer carries."""

    agent: str
    schedule: str
    due: datetime
    missed: Missed


async def heard(bus: Bus, delivery: Delivery) -> Outcome:
    """A timer has fired, for this agent or another: what was due is said."""
    try:
        firing = msgspec.json.decode(delivery.body, type=Firing)
    except MALFORMED as error:
        return Drop(f"no firing of a schedule: {error}")
    if firing.missed is Missed.SKIP and bus.connection.now() > firing.due + LATE:
        return Done()
    await wake(bus, firing.agent, firing.schedule, firing.due)
    return Done()


async def wake(bus: Bus, agent: str, schedule: str, due: datetime) -> None:
    """Says that it is due. Raises as publishing does."""
    data, said = woken(agent, WokenBy.SCHEDULE, schedule, due=due)
    await bus.log.publish(Draft(about=AgentRef(agent), data=data), said)


class Clock:
    """Of who holds the agent. `wakes` is what the log says, to its end; when that is more, `changed` is to be set."""

    def __init__(self, bus: Bus, watched: Watched, wakes: Wakes) -> None:
        self._bus = bus
        self._watched = watched
        self._wakes = wakes
        self._set: dict[str, Firing] = {}
        self.changed = asyncio.Event()

    async def run(self) -> None:
        """Says what is due when it is, for ever."""
        while True:
            self.changed.clear()
            try:
                pause = await self.look()
            except BusError as error:
                log.warning("%s: schedules cannot be looked after yet: %s", self._watched.current.name, error)
                pause = AGAIN_SECONDS
            try:
                async with asyncio.timeout(min(pause, LONGEST_SECONDS)):
                    await self.changed.wait()
            except TimeoutError:
                pass

    async def look(self) -> float:
        """Says what is due now and sets the timers for what follows; seconds until the next look. Raises BusError."""
        now, agent = self._now(), self._watched.current.name
        schedules = {_when(each): each for each in self._watched.current.cron}
        if schedules.keys() != self._wakes.since.keys():
            await self._begin(tuple(schedules))
            return LONGEST_SECONDS  # until that is read
        nearest = now + timedelta(seconds=LONGEST_SECONDS)
        for when, schedule in schedules.items():
            since = self._wakes.since[when]
            last = max(since, self._wakes.last_due.get(schedule.name, since))
            found = plan(schedule, last=last, now=now)
            for due in found.due:
                await wake(self._bus, agent, schedule.name, due)
            await self._set_timer(agent, schedule, found.next)
            nearest = min(nearest, found.next + AFTER)
        return max(0.05, (nearest - now).total_seconds())

    async def _begin(self, schedules: tuple[Scheduled, ...]) -> None:
        agent, before = self._watched.current.name, self._wakes.scheduled or "first"
        for gone in {each.name for each in self._wakes.since} - {each.name for each in schedules}:
            await self._bus.timers.cancel(f"{agent}:{gone}")
            self._set.pop(gone, None)
        what = sha256(msgspec.json.encode(schedules)).hexdigest()
        said = event_id(Actor.AGENT, agent, "scheduled", before, what)
        await self._bus.log.publish(Draft(about=AgentRef(agent), data=AgentScheduled(schedules=schedules)), said)

    async def _set_timer(self, agent: str, schedule: Schedule, due: datetime) -> None:
        firing = Firing(agent=agent, schedule=schedule.name, due=due, missed=schedule.missed)
        if self._set.get(schedule.name) == firing:
            return
        await self._bus.timers.set(f"{agent}:{schedule.name}", due, msgspec.json.encode(firing))
        self._set[schedule.name] = firing

    def _now(self) -> datetime:
        return self._bus.connection.now().astimezone(UTC)


def _when(schedule: Schedule) -> Scheduled:
    return Scheduled(name=schedule.name, cron=schedule.cron, zone=schedule.zone)
