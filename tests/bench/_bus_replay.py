"""Reading the log in bulk: our replay, up to decoded events, against the bare client's batched direct get.

The bare way asks for batches of the same size on a plain inbox and decodes each body with msgspec alone, the envelope's
fields and the event's; it checks nothing and survives nothing. Both read the same stream in turns, in one process.
"""

import asyncio
import gc
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg

from bus import MAX_BATCH, Bus
from bus.replay import BATCH_BYTES, BATCH_COUNT
from deploy.embedded.nats import NatsServer
from schemas import Actor, Draft, IssueApproved, IssueRef, Recorded, encode, envelope
from tests.bench._report import Row
from tests.bench._server import bare_client
from tests.support.servers import connected, nats_with_root

EVENTS: Final = 200_000
COMPARED: Final = 15_000
"""Events of one turn."""
TURNS: Final = 15
ISSUES: Final = 2_000
MIB: Final = 1024 * 1024


async def measure(directory: Path) -> list[Row]:
    """The rows of this part."""
    async with (
        nats_with_root(directory) as server,
        await connected(server, Actor.LOCAL) as bus,
    ):
        bare = await bare_client(server, Actor.LOCAL)
        await fill(bare)
        whole = await read_all(server)
        ours: list[float] = []
        theirs: list[float] = []
        for turn in range(TURNS):
            if turn % 2:
                theirs.append(await rate(bare_batches(bare, COMPARED)))
            ours.append(await rate(replayed(bus, COMPARED)))
            if not turn % 2:
                theirs.append(await rate(bare_batches(bare, COMPARED)))
        await bare.close()
    return [
        # Neighbours in time are compared: a shared machine's rate drifts more between turns than within one.
        Row(
            "replay_vs_bare",
            median(mine / bare for mine, bare in zip(ours, theirs, strict=True)),
            "×",
            bar=0.85,
            at_least=True,
        ),
        Row("replay_per_second", median(ours), "/s"),
        Row("replay_bare_per_second", median(theirs), "/s"),
        Row("replay_all_seconds", whole.seconds, "s"),
        Row("replay_memory_mib", whole.mib, "MiB", bar=100),
    ]


class Whole(Struct):
    """What reading the whole log took."""

    seconds: float
    mib: float
    """The most that the process held, above what it held connected and before it read."""


async def read_all(server: NatsServer) -> Whole:
    """Reads everything in a process of its own, which has held nothing before."""
    arguments = ("-m", "tests.bench._bus_replay", server.url, str(server.key(Actor.LOCAL)))
    root = Path(__file__).parents[2]
    reader = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=root, stdout=subprocess.PIPE)
    said, _ = await reader.communicate()
    return msgspec.json.decode(said, type=Whole)


async def read(url: str, key: Path) -> Whole:
    async with await Bus.connect(url, actor=Actor.LOCAL, source="local", key=key) as bus:
        gc.collect()
        before, most, count = resident(), 0.0, 0
        start = time.perf_counter()
        async for _ in replayed(bus, EVENTS):
            count += 1
            if count % 1_000 == 0:
                most = max(most, resident())
        assert count == EVENTS, count
        return Whole(time.perf_counter() - start, most - before)


async def fill(client: Client) -> None:
    """Real events of about 500 bytes, in raw atomic batches."""
    now = datetime.now(UTC)
    bodies: list[tuple[str, bytes]] = []
    for issue in range(1, ISSUES + 1):
        data = IssueApproved(
            title=f"Issue {issue}", body="The total is wrong. " * 6, author="ada", labels=("bug", "ui")
        )
        event = envelope(
            Draft(
                about=IssueRef("acme", "shop", issue), data=data, cause=f"github:{issue}", correlation=f"local:{issue}"
            ),
            id=f"local:{issue}",
            actor=Actor.LOCAL,
            source="local",
            time=now,
        )
        bodies.append((str(event.subject), encode(event)))
    for first in range(0, EVENTS, MAX_BATCH):
        batch = uuid.uuid4().hex
        for index in range(1, MAX_BATCH + 1):
            subject, body = bodies[(first + index) % ISSUES]
            headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(index)}
            if index < MAX_BATCH:
                await client.publish(subject, body, headers=headers)
            else:
                answer = await client.request(subject, body, headers=headers | {"Nats-Batch-Commit": "1"}, timeout=10)
                assert b"error" not in answer.data, answer.data


async def replayed(bus: Bus, until: int) -> AsyncIterator[object]:
    async for item in bus.log.replay(until=until):
        assert isinstance(item, Recorded)
        yield item


class Document(Struct):
    """The envelope's fields, with the one event of this stream."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    data: IssueApproved
    datacontenttype: str = ""
    correlationid: str | None = None
    causationid: str | None = None
    traceparent: str | None = None


async def bare_batches(client: Client, until: int) -> AsyncIterator[object]:
    decode = msgspec.json.Decoder(Document).decode
    inbox = client.new_inbox()
    messages: list[Msg] = []
    ended = asyncio.Event()

    async def heard(message: Msg) -> None:
        if message.headers is not None and "Status" in message.headers:
            ended.set()
        else:
            messages.append(message)

    subscription = await client.subscribe(inbox, cb=heard)
    position = 0
    while position < until:
        request = {"seq": position + 1, "batch": min(BATCH_COUNT, until - position), "max_bytes": BATCH_BYTES}
        await client.publish("$JS.API.DIRECT.GET.RIG", msgspec.json.encode(request), reply=inbox)
        await ended.wait()
        ended.clear()
        batch = messages.copy()
        messages.clear()
        for message in batch:
            assert message.headers is not None
            position = int(message.headers["Nats-Sequence"])
            yield decode(message.data)
    await subscription.unsubscribe()


async def count(items: AsyncIterator[object]) -> int:
    number = 0
    async for _ in items:
        number += 1
    return number


async def rate(items: AsyncIterator[object]) -> float:
    """Events a second."""
    gc.collect()
    start = time.perf_counter()
    assert await count(items) == COMPARED
    return COMPARED / (time.perf_counter() - start)


def resident() -> float:
    """Memory of this process now, in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / MIB


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(read(sys.argv[1], Path(sys.argv[2])))).decode())
