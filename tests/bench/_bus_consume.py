"""Consuming durably, each event decoded and acknowledged behind its handler: ours, bare nats-py, FastStream.

One stream on disk with every write synced; each way has a durable of its own in each round, and the ways take turns.
Ours decodes through schemas/, hands over one event of an issue at a time, and every acknowledgement is confirmed.
Bare: fetch(500), msgspec on one Struct, `ack_sync` gathered. FastStream: a pull subscriber of 500 with the same bare
decoder, without its own type casting, which would cost it more; its acknowledgements are not confirmed.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import nats
from faststream.nats import JStream, NatsBroker, PullSub
from nats.js.api import AckPolicy, ConsumerConfig

from bus import Bus, Done, Outcome, make_streams
from bus.outcomes import about
from bus.topology import LOG, Durable
from schemas import Actor, Draft, IssueApproved, IssueRef, Recorded, encode
from tests.bench._bus_codec import Bare
from tests.bench._report import Row
from tests.bench._server import bare_client
from tests.support.servers import as_root, nats_with_root

EVENTS = 6_000
ISSUES = 200
ROUNDS = 7
WARM_UP = 1
BATCH = 500


async def measure(directory: Path) -> list[Row]:
    async with nats_with_root(directory) as server:
        await make_streams(as_root(server))
        bus = await Bus.connect(as_root(server), actor=Actor.LOCAL, source="local")
        client = await bare_client(server)
        await fill(bus)
        ways: dict[str, Callable[[Durable], Awaitable[float]]] = {
            "ours": lambda durable: ours(bus, durable),
            "bare": lambda durable: bare(client, durable),
            "faststream": lambda durable: faststream(as_root(server), durable),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(ROUNDS + WARM_UP):
            for name, way in ways.items():
                durable = Durable(stream=LOG, name=f"{name}-{turn}", filter="rig.issue.>")
                await make(bus, durable)
                seconds[name].append(await way(durable))
                await bus.connection.api(f"$JS.API.CONSUMER.DELETE.{LOG.name}.{durable.name}")
        await client.close()
        await bus.close()
    taken = {name: values[WARM_UP:] for name, values in seconds.items()}
    return [
        Row("consume_vs_bare", ratio(taken["bare"], taken["ours"]), "×", bar=0.85, at_least=True),
        Row("consume_vs_faststream", ratio(taken["faststream"], taken["ours"]), "×", bar=1.5, at_least=True),
        *(Row(f"consume_{name}_per_second", EVENTS / median(values), "/s") for name, values in taken.items()),
    ]


def ratio(theirs: list[float], ours: list[float]) -> float:
    return median(one / other for one, other in zip(theirs, ours, strict=True))


async def fill(bus: Bus) -> None:
    """Events of 500 bytes about many issues."""
    slots = asyncio.Semaphore(64)

    async def store(number: int) -> None:
        data = IssueApproved(title=f"Issue {number}", author="bench", body="x" * 150)
        draft = Draft(about=IssueRef("demo", "shop", 1 + number % ISSUES), data=data, cause="c" * 20)
        event = bus.log.envelope(draft, f"local:{number}")
        async with slots:
            await bus.connection.request(str(event.subject), encode(event))

    await asyncio.gather(*(store(number) for number in range(EVENTS)))


async def make(bus: Bus, durable: Durable) -> None:
    for one in (durable, durable.retries):
        request = {"stream_name": one.stream.name, "config": one.config()}
        await bus.connection.api(f"$JS.API.CONSUMER.DURABLE.CREATE.{one.stream.name}.{one.name}", request)


async def ours(bus: Bus, durable: Durable) -> float:
    stop = asyncio.Event()
    seen = 0

    async def handle(item: Recorded) -> Outcome:
        nonlocal seen
        assert isinstance(item.event.data, IssueApproved)
        seen += 1
        if seen == EVENTS:
            stop.set()
        return Done()

    began = time.perf_counter()
    await bus.log.work(durable, handle, slots=8, stop=stop, key=about, prefetch=2 * BATCH)
    taken = time.perf_counter() - began
    info = json.loads(await bus.connection.api(f"$JS.API.CONSUMER.INFO.{LOG.name}.{durable.name}"))
    assert info["num_ack_pending"] == 0, "every outcome is confirmed"
    return taken


async def bare(client: nats.NATS, durable: Durable) -> float:
    decoder = msgspec.json.Decoder(Bare)
    seen = 0
    began = time.perf_counter()
    pulling = await client.jetstream().pull_subscribe_bind(durable=durable.name, stream=LOG.name)
    while seen < EVENTS:
        messages = await pulling.fetch(BATCH)
        for message in messages:
            assert decoder.decode(message.data).subject
            seen += 1
        await asyncio.gather(*(message.ack_sync(timeout=5) for message in messages))
    taken = time.perf_counter() - began
    await pulling.unsubscribe()
    return taken


async def faststream(url: str, durable: Durable) -> float:
    decoder = msgspec.json.Decoder(Bare)
    done = asyncio.Event()
    seen = 0

    async def decode(message: Any) -> Bare:
        return decoder.decode(message.body)

    broker = NatsBroker(url, apply_types=False, logger=None)

    @broker.subscriber(
        durable.filter,
        durable=durable.name,
        stream=JStream(LOG.name, declare=False),
        config=ConsumerConfig(ack_policy=AckPolicy.EXPLICIT),
        pull_sub=PullSub(batch_size=BATCH),
        decoder=decode,
    )
    async def handle(event: Bare) -> None:
        nonlocal seen
        assert event.subject
        seen += 1
        if seen == EVENTS:
            done.set()

    await broker.connect()
    began = time.perf_counter()
    await broker.start()
    await done.wait()
    taken = time.perf_counter() - began
    await broker.stop()
    return taken
