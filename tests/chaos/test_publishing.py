"""What is acknowledged is there, once and in order: under kill -9 of the server and a network that loses its answers.

`kill -9` shows that nothing waits in the process's memory; that a write has reached the disk it does not show (the page
cache survives): that is what `sync_interval: always` is for, and the bus refuses a server without it.
"""

import asyncio
from collections import Counter, defaultdict

import msgspec
import pytest

from bus import Bus
from bus.client import NatsConnection
from bus.publish import Outgoing
from bus.topology import LOG, SECOND, Stream
from bus.writer import Writer
from deploy.embedded.nats import NatsServer
from schemas import Actor, Draft, IssueApproved, IssueRef, Recorded
from tests.conftest import Connect
from tests.support.proxy import losing_proxy

KEYS = 64
KILLS = 3
TRY_SECONDS = 1.0
FORGETFUL = msgspec.structs.replace(LOG, duplicate_window=SECOND // 2)
"""As the log, but the server forgets ids long before any retry."""


def said(bus: Bus, key: int, count: int) -> Outgoing:
    data = IssueApproved(title=f"number {count}", author="ada")
    draft = Draft(about=IssueRef("acme", "web", key), data=data)
    return Outgoing.of(bus.log.envelope(draft, f"local:{key}:{count}"))


@pytest.mark.parametrize(
    "stream", [pytest.param(LOG, marks=pytest.mark.full), FORGETFUL], ids=["window", "past-the-window"]
)
@pytest.mark.parametrize("events", [960, pytest.param(20_480, marks=pytest.mark.full)])
async def test_each_event_is_stored_once_and_in_order(
    connect: Connect, nats: NatsServer, root: NatsConnection, stream: Stream, events: int
) -> None:
    bus = await connect(Actor.LOCAL)
    await root.api(f"$JS.API.STREAM.UPDATE.{stream.name}", stream)
    stored = 0
    moments = [events * number // (KILLS + 1) for number in range(1, KILLS + 1)]
    reached = {moment: asyncio.Event() for moment in moments}
    async with losing_proxy(nats.url, lose=0.1 if events < 10_000 else 0.04, seed=events) as proxy:
        connection = await NatsConnection.connect(proxy.url, name="through the proxy", key=nats.key(Actor.LOCAL))
        writer = Writer(connection, try_seconds=TRY_SECONDS)
        positions: dict[str, int] = {}

        async def speak(key: int) -> None:
            nonlocal stored
            for count in range(events // KEYS):
                message = said(bus, key, count)
                positions[message.event.id] = await writer.publish(message, timeout_seconds=60)
                stored += 1
                if stored in reached:
                    reached[stored].set()

        async def kill() -> None:
            for moment in moments:
                await reached[moment].wait()
                await nats.kill()
                await nats.start()

        async with asyncio.TaskGroup() as group:
            group.create_task(kill())
            for key in range(1, KEYS + 1):
                group.create_task(speak(key))
        await writer.close()
        await connection.close()
        assert proxy.lost, "the dice have to have fallen for the test to show anything"

    found = [item for item in await bus.log.history(["rig.>"]) if isinstance(item, Recorded)]
    assert {name for name, times in Counter(item.event.id for item in found).items() if times > 1} == set()
    assert {item.event.id: item.position for item in found} == positions
    by_key: defaultdict[str, list[int]] = defaultdict(list)
    for item in found:
        key, count = item.event.id.split(":")[1:]
        by_key[key].append(int(count))
    assert len(by_key) == KEYS
    assert all(counts == list(range(events // KEYS)) for counts in by_key.values())
