"""An agent on played time: the whole of it (lease, reader, schedules, timers, wakes) on the bus in memory.

Its processes come, go, and die between any two things that they say.

What the rest of the rig does every second or so is done seldom here, so that a year takes minutes.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from agents.character import Watched
from agents.life.life import live
from agents.life.mind import Occasion, Rest
from bus import Bus, Unavailable
from bus.testing import InMemoryBus
from machine.lifecycle import Lifecycle
from schemas import (
    Actor,
    AgentRef,
    AgentRested,
    AgentWoken,
    Policy,
    Recorded,
    RestOutcome,
    everything_about,
)
from tests.support.awake import ANN, adopt, character_file

LEASE_SECONDS = 1_200
"""Who died is missed for as long."""
STANDBY_SECONDS = 300.0


def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at every so often in case a word was lost, and here none is: once in a long while."""
    for name, seconds in (
        ("agents.life.life.LEASE_SECONDS", LEASE_SECONDS),
        ("agents.life.life.STANDBY_SECONDS", STANDBY_SECONDS),
        ("agents.character.reload.EVERY_SECONDS", 1e9),
        ("bus.follow.QUIET_SECONDS", 3_600.0),
        ("bus.pulls.PULL_SECONDS", 3_600.0),
        ("bus.pulls._LOST_SECONDS", 3_601.0),
        ("bus.writer.LINGER_SECONDS", 0.0),  # it looks at a clock that does not go while it looks
    ):
        monkeypatch.setattr(name, seconds)

    async def nothing_is_held_for_long(_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("bus.holding.Holding.keep_alive", nothing_is_held_for_long)


class Played:
    """One agent with its schedules, and every process of it that ever was."""

    def __init__(self, server: InMemoryBus, directory: Path, dice: Random) -> None:
        self.server = server
        self.dice = dice
        self._directory = directory
        self.processes: list[Process] = []
        self.began: list[tuple[Process, str, datetime]] = []
        """Who began to think about which run, and when."""

    async def open(self, schedules: Sequence[Mapping[str, object]]) -> None:
        """The rig is there; the agent is not yet."""
        self.cli = await self.server.connect(Actor.CLI)
        self.root = await self.server.connect(Actor.AGENT, "root", free=True)
        await adopt(self.cli, Policy(heartbeat_seconds=3_600))
        self.edit(schedules)

    def edit(self, schedules: Sequence[Mapping[str, object]]) -> None:
        """As a person does; read by who starts afterwards."""
        self._file = character_file(self._directory, cron=[{"text": "Sweep.", **each} for each in schedules])

    async def start(self) -> "Process":
        """One process more, or one again."""
        bus = await self.server.connect(Actor.AGENT, f"agent/{ANN}")
        process = Process(self, bus, Watched(self._file))
        self.processes.append(process)
        return process

    async def later(self, **by: float) -> None:
        """So much time passes."""
        await asyncio.sleep(timedelta(**by).total_seconds())

    @property
    def living(self) -> "list[Process]":
        return [each for each in self.processes if each.ended is None]

    def now(self) -> datetime:
        return self.cli.connection.now()

    async def log(self) -> list[Recorded]:
        """All that was said about the agent."""
        return await self.cli.log.history([everything_about(AgentRef(ANN))])

    async def woken(self) -> list[AgentWoken]:
        """What it was woken for, each once, in the order of the log."""
        said = [each.event.data for each in await self.log()]
        return list({each.run: each for each in said if isinstance(each, AgentWoken)}.values())

    async def due(self) -> list[tuple[str, datetime]]:
        """What it was woken for by the clock."""
        return [(each.key, each.due) for each in await self.woken() if each.due is not None]

    async def once(self) -> None:
        """Each wake has come to rest once; was begun by one process at a time, and by none after that."""
        rests: dict[str, datetime] = {}
        for each in await self.log():
            if isinstance(each.event.data, AgentRested):
                assert each.event.data.run not in rests, "it came to rest twice"
                rests[each.event.data.run] = each.stored_at
        assert {each.run for each in await self.woken()} == rests.keys(), "nothing is left open"
        before: dict[str, Process] = {}
        for process, run, at in self.began:
            ended = before[run].ended if run in before else at
            assert ended is not None
            assert ended <= at <= rests[run], "two did it, or it was done already"
            before[run] = process


class Process:
    """One process of the agent."""

    def __init__(self, played: Played, bus: Bus, watched: Watched) -> None:
        self.began = played.now()
        self.ended: datetime | None = None
        self._played = played
        self._bus = bus
        self._life = Lifecycle()
        self._life.running = True
        self._says = bus.connection.publish
        self._steps, self._after = 0, False
        self._dead = asyncio.Event()
        bus.connection.publish = self._say  # type: ignore[method-assign] - it may die here
        self._work = asyncio.create_task(live(bus, self._life, watched, self._think))

    async def stop(self) -> None:
        """Asked to end, it ends in order."""
        self._life.stop.set()
        await self._work
        self.ended = self._played.now()
        await self._bus.close()

    async def die(self, *, steps: int = 0, after: bool = False) -> None:
        """As by SIGKILL: before, or just after, it says so many things more to the server."""
        if steps:
            self._steps, self._after = steps, after
            dead = asyncio.ensure_future(self._dead.wait())
            await asyncio.wait((dead, self._work), return_when=asyncio.FIRST_COMPLETED)
            if self._work.done():
                self._work.result()  # it has failed
        self._dead.set()
        self.ended = self._played.now()
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)
        await self._bus.connection.close()

    async def _say(
        self, subject: str, body: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        self._steps -= 1
        if self._steps == 0 and self._after:
            await self._says(subject, body, reply=reply, headers=headers)
        if self._steps == 0:
            self._dead.set()
        if self._dead.is_set():
            raise Unavailable("it is dead: nobody hears it")
        await self._says(subject, body, reply=reply, headers=headers)

    async def _think(self, occasion: Occasion) -> Rest:
        if self._dead.is_set():
            await asyncio.Event().wait()
        self._played.began.append((self, occasion.wake.run, self._played.now()))
        await asyncio.sleep(self._played.dice.choice((0.0, 1.0, 30.0, 200.0)))
        return Rest(outcome=RestOutcome.DONE, text="swept", turns=1, cost_usd=0.0)
