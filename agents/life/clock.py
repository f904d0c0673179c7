"""The schedules of one agent against the clock: what is due is said to the log; the server is asked to fire the rest.

The server's timers outlive every process, and whoever of the role hears a firing says what was due, for whichever
agent. They are a cache: whoever holds the agent looks for himself, too, a little later, and says the same word under
the same id. So a lost timer loses no run, and two who hear of it make one.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from agents.character.reload import Watched
from agents.life.schedule import LATE, Missed, Schedule, plan
from bus import Bus, BusError, Done, Drop, Outcome
from bus.delivery import Delivery
from schemas import MALFORMED, AgentRef, Draft, WokenBy, woken

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
    """Of who holds the agent. `last_due` is what the log says was seen to, by the schedule's name."""

    def __init__(self, bus: Bus, watched: Watched, last_due: Mapping[str, datetime]) -> None:
        self._bus = bus
        self._watched = watched
        self._last_due = last_due
        self._began = self._now()
        """A schedule that the log does not know begins here: nothing was missed before it was there."""
        self._when = _when(watched.current.cron)
        self._since: dict[str, datetime] = {}
        """By name, of those that are new, or at other times, since: they begin there."""
        self._set: dict[str, datetime] = {}
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
        schedules = {each.name: each for each in self._watched.current.cron}
        before, self._when = self._when, _when(schedules.values())
        self._since |= {name: now for name, when in self._when.items() if when != before.get(name)}
        nearest = now + timedelta(seconds=LONGEST_SECONDS)
        for schedule in schedules.values():
            last = self._last_due.get(schedule.name, self._began)
            found = plan(schedule, last=max(last, self._since.get(schedule.name, last)), now=now)
            for due in found.due:
                await wake(self._bus, agent, schedule.name, due)
            await self._set_timer(agent, schedule, found.next)
            nearest = min(nearest, found.next + AFTER)
        for name in self._set.keys() - schedules.keys():
            await self._bus.timers.cancel(f"{agent}:{name}")
            del self._set[name]
        return max(0.05, (nearest - now).total_seconds())

    async def _set_timer(self, agent: str, schedule: Schedule, due: datetime) -> None:
        if self._set.get(schedule.name) == due:
            return
        firing = Firing(agent=agent, schedule=schedule.name, due=due, missed=schedule.missed)
        await self._bus.timers.set(f"{agent}:{schedule.name}", due, msgspec.json.encode(firing))
        self._set[schedule.name] = due

    def _now(self) -> datetime:
        return self._bus.connection.now().astimezone(UTC)


def _when(schedules: Iterable[Schedule]) -> dict[str, tuple[str, str]]:
    return {each.name: (each.cron, each.zone) for each in schedules}
