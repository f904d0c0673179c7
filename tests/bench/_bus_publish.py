"""Publishing: typed events by our writer, against the client's own ways with ready bytes, on one server, fsync on.
Both with the key of one role.

    awaited     `await js.publish` one by one
    gather64    `js.publish` gathered over a semaphore of 64
    ours        256 callers at once, each says a typed event, waits for its position, and says the next
    single      one caller of ours, one by one

The ways take short turns, since a machine and its disk have slow seconds: a ratio is one of neighbours in time, and
the median of the rounds counts, for the p99 too. It is checked that all that was said is stored.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

from nats.aio.client import Client

from bus import Bus
from machine import garbage
from schemas import Actor, Draft, IssueApproved, IssueRef, encode, envelope
from tests.bench._report import Row
from tests.bench._server import bare_client
from tests.support.servers import connected, nats_with_root

ROUNDS = 15
CALLERS = 256
OURS = 8_000
GATHERED = 2_000
AWAITED = 600

Way = Callable[[], Awaitable[float]]
"""Messages per second."""


async def measure(directory: Path) -> list[Row]:
    async with nats_with_root(directory) as server:
        bus = await connected(server, Actor.LOCAL)
        client = await bare_client(server, Actor.LOCAL)
        numbers = itertools.count(1)
        waits: list[list[float]] = []
        """Of each turn of ours."""
        ways: dict[str, Way] = {
            "awaited": lambda: awaited(client, numbers),
            "gather64": lambda: gathered(client, numbers),
            "ours": lambda: ours(bus, numbers, CALLERS, OURS, of_a_turn(waits)),
            "single": lambda: ours(bus, numbers, 1, AWAITED, []),
        }
        for way in ways.values():
            await way()  # warm
        garbage.settle()  # as every role does
        waits.clear()
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                rates[name].append(await way())
        said, stored = next(numbers) - 1, await bus.log.last()
        if stored is None or stored.position != said:
            raise AssertionError(f"{said} events were said, and the log ends with {stored}")
        await bus.close()
        await client.close()

    def ratio(mine: str, other: str) -> float:
        return median(a / b for a, b in zip(rates[mine], rates[other], strict=True))

    return [
        Row("publish_vs_awaited", ratio("ours", "awaited"), "x", bar=10, at_least=True),
        Row("publish_vs_gather64", ratio("ours", "gather64"), "x", bar=5, at_least=True),
        Row("publish_p99_ms", median(quantiles(turn, n=100)[98] for turn in waits) * 1_000, "ms", bar=30),
        Row("publish_single_vs_awaited", ratio("single", "awaited"), "x", bar=0.9, at_least=True),
        *(Row(f"publish_{name}_per_s", median(each), "/s") for name, each in rates.items()),
    ]


def of_a_turn(waits: list[list[float]]) -> list[float]:
    waits.append([])
    return waits[-1]


def draft(number: int) -> Draft:
    """About one of a thousand issues; some 500 bytes when encoded."""
    data = IssueApproved(title="A discount of 10 percent takes 10 cents off", author="ada", body="x" * 110)
    return Draft(about=IssueRef("acme", "web", 1 + number % 1_000), data=data, cause="local:acme:web:41")


async def ours(bus: Bus, numbers: Iterator[int], callers: int, count: int, waits: list[float]) -> float:
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            number = next(numbers)
            began = time.perf_counter()
            await bus.log.publish(draft(number), f"local:acme:web:{number}")
            waits.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return count / (time.perf_counter() - began)


async def awaited(client: Client, numbers: Iterator[int]) -> float:
    stream = client.jetstream()
    messages = ready(numbers, AWAITED)
    began = time.perf_counter()
    for subject, body, headers in messages:
        await stream.publish(subject, body, headers=headers)
    return AWAITED / (time.perf_counter() - began)


async def gathered(client: Client, numbers: Iterator[int]) -> float:
    stream = client.jetstream()
    messages = ready(numbers, GATHERED)
    permits = asyncio.Semaphore(64)

    async def one(subject: str, body: bytes, headers: dict[str, str]) -> None:
        async with permits:
            await stream.publish(subject, body, headers=headers)

    began = time.perf_counter()
    await asyncio.gather(*(one(*message) for message in messages))
    return GATHERED / (time.perf_counter() - began)


def ready(numbers: Iterator[int], count: int) -> list[tuple[str, bytes, dict[str, str]]]:
    """Subjects, bodies and headers of events, made beforehand."""
    made: list[tuple[str, bytes, dict[str, str]]] = []
    for number in itertools.islice(numbers, count):
        name, now = f"local:acme:web:{number}", datetime.now(UTC)
        event = envelope(draft(number), id=name, actor=Actor.LOCAL, source="local", time=now)
        made.append((str(event.subject), encode(event), {"Nats-Msg-Id": name}))
    return made
