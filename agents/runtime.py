"""What every agent is, whatever its work: a replica with a name that joins, shows that it lives and takes assignments.

The policy comes from the log and nowhere else. What the work is, is the handler's business: see dev_e. A replica that
is asked to stop puts its work down; the assignment goes back, to another replica or to itself after a restart.
"""

import asyncio
import logging
import math
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import TypeAlias

from msgspec import Struct

from bus import WORK, Bus, BusError, Durable, Outcome
from machine.lifecycle import Lifecycle, Misconfigured
from schemas import (
    FLEET,
    Actor,
    AgentEvent,
    AgentJoined,
    AgentLeft,
    AgentRef,
    AgentStatus,
    Draft,
    Heartbeat,
    IssueRef,
    LeaveReason,
    Policy,
    PolicyAdopted,
    Recorded,
    branch,
    event_id,
    everything_about,
)

log = logging.getLogger(__name__)

DISTRIBUTION = "rig-choreography"
BEATS = 3
"""An agent is silent after this many heartbeats that did not come."""
FAREWELL_SECONDS = 2.0
"""How long a goodbye may take: whoever stops us is waiting."""


class AgentConfig(Struct, frozen=True, kw_only=True):
    """Who a replica is."""

    name: str
    """Its own and stable: one that restarts takes its place back."""
    role: str
    slots: int
    """How many assignments it takes at once."""
    provider: str
    models: tuple[str, ...] = ()
    """Which of its provider's it uses, where that can be known."""
    capabilities: tuple[str, ...] = ()
    """What there is on its machine that not every machine has."""


class Replica:
    """A replica that is up: its policy, and what it is working on."""

    def __init__(self, bus: Bus, config: AgentConfig, life: Lifecycle) -> None:
        self.config = config
        self.boot = f"b-{secrets.token_hex(5)}"
        self.policy = Policy()
        """The policy in force, once there is one: see `adopted`."""
        self.adopted = asyncio.Event()
        self._bus = bus
        self._life = life
        self._issues: list[IssueRef] = []
        self._changed = asyncio.Event()
        self._times: Counter[str] = Counter()
        """How often it has said each of its events."""

    @contextmanager
    def working_on(self, issue: IssueRef) -> Generator[None]:
        """Shows to everybody that a slot is taken."""
        self._issues.append(issue)
        self._changed.set()
        try:
            yield
        finally:
            self._issues.remove(issue)
            self._changed.set()

    async def follow_policy(self) -> None:
        """Keeps `policy` at what was adopted last, for ever."""
        found = False
        async with self._bus.log.follow([f"{branch(FLEET)}.*.{PolicyAdopted.name()}"]) as reader:
            async for item in reader:
                if isinstance(item, Recorded) and isinstance(item.event.data, PolicyAdopted):
                    self.policy, found = item.event.data.policy, True
                if found and reader.caught_up:
                    self.adopted.set()

    async def show_life(self) -> None:
        """Sends heartbeats, at every change and every so often, for ever; their failing tells how the bus is."""
        while True:
            self._changed.clear()
            try:
                await self._bus.presence.beat(self._heartbeat(), ttl_seconds=self._ttl())
            except BusError as error:
                self._life.check("nats", ok=False, detail=str(error))
            else:
                self._life.check("nats", ok=True)
            try:
                async with asyncio.timeout(self.policy.heartbeat_seconds):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def join(self) -> int:
        """Says that it is up and takes work; the position of that. Raises what publishing raises."""
        config = self.config
        joined = AgentJoined(
            boot=self.boot,
            role=config.role,
            capabilities=config.capabilities,
            provider=config.provider,
            models=config.models,
            slots=config.slots,
            version=version(DISTRIBUTION),
        )
        return await self.say(joined)

    async def keep_name(self, joined: int) -> None:
        """Raises Misconfigured once another process has joined under this name: the log has given it the place."""
        async with self._bus.log.follow([everything_about(AgentRef(self.config.name))], after=joined) as reader:
            async for item in reader:
                said = item.event.data if isinstance(item, Recorded) else None
                if isinstance(said, AgentJoined) and said.boot != self.boot:
                    raise Misconfigured(f"another {self.config.name} has joined: give each replica a name of its own")

    async def leave(self, reason: LeaveReason) -> None:
        """Says that it takes no more work, if that is possible: its silence will tell in the end."""
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self.say(AgentLeft(boot=self.boot, reason=reason))
                await self._bus.presence.leave(self._heartbeat())
        except (BusError, TimeoutError) as error:
            log.warning("%s leaves without a word: %s", self.config.name, error)

    async def say(self, event: AgentEvent) -> int:
        """Says something of itself; the position of that. Raises what publishing raises."""
        draft = Draft(about=AgentRef(self.config.name), data=event)
        before = self._times[event.name()]
        said = event_id(self._bus.log.actor, self.config.name, self.boot, event.name(), *([before] if before else []))
        position = await self._bus.log.publish(draft, said)
        self._times[event.name()] += 1
        return position

    def _heartbeat(self) -> Heartbeat:
        config = self.config
        return Heartbeat(
            agent=config.name,
            role=config.role,
            boot=self.boot,
            status=AgentStatus.WORKING if self._issues else AgentStatus.IDLE,
            slots_free=config.slots - len(self._issues),
            issues=tuple(self._issues),
            provider=config.provider,
        )

    def _ttl(self) -> int:
        return math.ceil(BEATS * self.policy.heartbeat_seconds)


Work: TypeAlias = Callable[[Recorded], Awaitable[Outcome]]
"""Handles one IssueAssigned. Cancelled when the replica stops; must then leave nothing running."""


Beside: TypeAlias = Callable[[Replica], Coroutine[object, object, None]]
"""What a replica does for ever beside its work, from its joining on."""


async def run(
    bus: Bus,
    config: AgentConfig,
    work: Callable[[Replica], Work],
    life: Lifecycle,
    *,
    also: Sequence[Durable] = (),
    beside: Sequence[Beside] = (),
) -> None:
    """Is an agent until `life.stop`. Raises what ends it for good; a bus that is away is waited for.

    Beside the work of its role it takes what comes on the durables `also`, and as much of each at once.
    """
    replica, durables = Replica(bus, config, life), (WORK[Actor(config.role)], *also)
    async with asyncio.TaskGroup() as group:
        policy = group.create_task(replica.follow_policy())
        if await _first(replica.adopted, life.stop):
            await _serve(bus, replica, work(replica), life, durables=durables, beside=beside)
        policy.cancel()


async def _serve(
    bus: Bus, replica: Replica, work: Work, life: Lifecycle, *, durables: Sequence[Durable], beside: Sequence[Beside]
) -> None:
    joined = await replica.join()
    reason = LeaveReason.FAILED
    try:
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(replica.show_life()), group.create_task(replica.keep_name(joined))]
            background += [group.create_task(always(replica)) for always in beside]
            life.ready()
            # One durable for all replicas of the role: the server gives each assignment to one of them.
            # Nothing is prefetched: what this replica does not work on yet, another may.
            async with asyncio.TaskGroup() as working:
                for durable in durables:
                    working.create_task(bus.log.work(durable, work, slots=replica.config.slots, stop=life.stop))
            for task in background:
                task.cancel()
        reason = LeaveReason.STOPPED
    finally:
        await replica.leave(reason)


async def _first(wanted: asyncio.Event, other: asyncio.Event) -> bool:
    """Waits for either event; whether `wanted` came."""
    waits = [asyncio.ensure_future(event.wait()) for event in (wanted, other)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return wanted.is_set()
