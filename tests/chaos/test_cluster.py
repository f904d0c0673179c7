"""Three nodes, three replicas: the leader of the log dies under load and comes back, then a node dies for good.

What was acknowledged is there, once and in order; publishing is back within ten seconds each time; who reads and who
works goes on by itself. Of the ten seconds the servers take four to nine: a node that was not heard of for a random
time in between stands for leader, and the first wins. So before a node dies, all have to be up to date: with one that
lags there is one candidate, and nothing to choose the shorter time from.
"""

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from bus import Bus, Delivery, Done, Outcome
from bus.connection import Connection
from bus.consume import consume
from bus.topology import LOG, Durable
from deploy.embedded.cluster import NODES, Cluster, embedded_cluster
from schemas import Actor, Draft, IssueApproved, IssueRef, Recorded
from tests.conftest import FULL
from tests.support.jobs import make
from tests.support.servers import NatsWithRoot, as_root
from tests.support.waiting import until

KEYS = 48
RESUMED_SECONDS = 10.0
"""The contract's own bar, for the longest time without an acknowledgement."""
EVERYTHING = Durable(stream=LOG, name="everything", filter="rig.>", ack_wait_seconds=5.0)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with embedded_cluster(tmp_path / "cluster", tmp_path / "keys", tmp_path, program=NatsWithRoot) as up:
        yield up


class Replica(msgspec.Struct):
    current: bool = False


class Nodes(msgspec.Struct):
    leader: str = ""
    replicas: tuple[Replica, ...] = ()


class Info(msgspec.Struct):
    cluster: Nodes


async def leader_when_all_are_up_to_date(connection: Connection) -> str:
    while True:
        answer = await connection.api(f"$JS.API.STREAM.INFO.{LOG.name}")
        nodes = msgspec.json.decode(answer, type=Info).cluster
        if len(nodes.replicas) == NODES - 1 and all(replica.current for replica in nodes.replicas):
            return nodes.leader
        await asyncio.sleep(0.05)


class Load:
    """Says events on many subjects at once until it is told to stop, and remembers what was acknowledged, and when."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.positions: dict[str, int] = {}
        self.moments: list[float] = []
        self.over = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for key in range(1, KEYS + 1):
                group.create_task(self._speak(key))

    async def more(self, count: int) -> None:
        """Waits until so many more are acknowledged."""
        wanted = len(self.moments) + count
        await until(lambda: len(self.moments) >= wanted)

    @property
    def longest_silence(self) -> float:
        return max(later - earlier for earlier, later in itertools.pairwise(self.moments))

    async def _speak(self, key: int) -> None:
        for count in itertools.count():
            if self.over:
                return
            draft = Draft(about=IssueRef("acme", "web", key), data=IssueApproved(title=f"{count}", author="ada"))
            name = f"local:{key}:{count}"
            self.positions[name] = await self._bus.log.publish(draft, name, timeout_seconds=60)
            self.moments.append(time.monotonic())


class Listening:
    """Reads the log in order, and works on all of it, while servers come and go."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.worked: set[int] = set()
        self.stop = asyncio.Event()

    async def follow(self, bus: Bus) -> None:
        async with bus.log.follow() as reader:
            while True:
                self.read.append((await reader.next()).position)

    async def work(self, bus: Bus) -> None:
        await consume(bus.connection, EVERYTHING, self._handle, slots=8, prefetch=500, stop=self.stop)

    async def _handle(self, delivery: Delivery) -> Outcome:
        self.worked.add(delivery.position)
        return Done()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("crashes", "gone"),
    [
        (1, "another"),
        pytest.param(4, "the leader", marks=pytest.mark.full),
        pytest.param(4, "the one that came back", marks=pytest.mark.full),
    ],
)
async def test_nothing_acknowledged_is_lost_whichever_node_dies(cluster: Cluster, crashes: int, gone: str) -> None:
    key = cluster.key(Actor.LOCAL)
    speaking = await Bus.connect(cluster.url, actor=Actor.LOCAL, source="local", key=key)
    hearing = await Bus.connect(as_root(cluster), actor=Actor.LOCAL, source="root")
    await make(hearing, EVERYTHING)
    load, listening = Load(speaking), Listening()
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run())
        group.create_task(listening.work(hearing))
        following = group.create_task(listening.follow(hearing))
        leader = ""
        for _ in range(crashes):
            await load.more(1_000)
            leader = await leader_when_all_are_up_to_date(hearing.connection)
            await cluster.nodes[leader].kill()
            await load.more(1_000)
            await cluster.nodes[leader].start()
        await load.more(1_000)
        now = await leader_when_all_are_up_to_date(hearing.connection)
        another = next(name for name in cluster.nodes if name not in (now, leader))
        who = {"the leader": now, "the one that came back": leader, "another": another}
        await cluster.nodes[who[gone]].kill()
        await load.more(2_000)
        load.over = True
        last = max(load.positions.values())
        await until(lambda: bool(listening.read) and listening.read[-1] >= last)
        await until(lambda: len(listening.worked) >= last)
        listening.stop.set()
        following.cancel()

    found = [item for item in await speaking.log.history(["rig.>"]) if isinstance(item, Recorded)]
    for bus in (speaking, hearing):
        await bus.close()
    if FULL:  # a machine that does other things beside it may take longer
        assert load.longest_silence <= RESUMED_SECONDS
    stored = [(item.event.id, item.position) for item in found]
    assert len(stored) == len(dict(stored)), "each once"
    assert set(load.positions.items()) <= set(stored)
    assert listening.read == list(range(1, listening.read[-1] + 1))
    by_key: defaultdict[str, list[int]] = defaultdict(list)
    for name, _ in stored:
        _, key, count = name.split(":")
        by_key[key].append(int(count))
    assert len(by_key) == KEYS
    assert all(counts == list(range(len(counts))) for counts in by_key.values())
