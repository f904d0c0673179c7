"""Tracing: what its hooks cost who exports nothing, and what spans cost who does.

    bare        publishing without the hook
    off         publishing, and no exporter is set: what everybody pays
    on          publishing with a span for each event, which the SDK makes and nobody exports

Events are said by 256 callers at once, as in `_bus_publish`; the ways take turns, and the median of the rounds counts.
"""

import itertools
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median
from unittest.mock import patch

from opentelemetry.sdk.trace import TracerProvider

from bus import Log
from bus.publish import Outgoing
from bus.tracing import tracing
from deploy.embedded.nats import embedded_nats
from schemas import Actor, Draft
from tests.bench._bus_publish import CALLERS, ours
from tests.bench._report import Row
from tests.support.servers import connected

ROUNDS = 7
EVENTS = 5_000


async def measure(directory: Path) -> list[Row]:
    async with embedded_nats(directory) as server:
        bus = await connected(server, Actor.LOCAL)
        numbers = itertools.count(1)
        ways = {"bare": unhooked, "off": nullcontext, "on": traced}
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(ROUNDS + 1):
            for name, way in ways.items():
                with way():
                    rate = await ours(bus, numbers, CALLERS, EVENTS, [])
                if turn:  # the first is to get warm
                    rates[name].append(rate)
        await bus.close()
    rate = {name: median(each) for name, each in rates.items()}
    return [
        Row("tracing_off_vs_bare", rate["off"] / rate["bare"], "x", bar=0.8, at_least=True),
        Row("tracing_on_vs_bare", rate["on"] / rate["bare"], "x"),
    ]


@contextmanager
def unhooked() -> Generator[None]:
    async def publish(
        log: Log, draft: Draft, known_as: str, *, new_subject: bool = False, timeout_seconds: float = 30.0
    ) -> int:
        return await log._store(Outgoing.of(log.envelope(draft, known_as)), new_subject, timeout_seconds)

    with patch.object(Log, "publish", publish):
        yield


@contextmanager
def traced() -> Generator[None]:
    tracing.switch_on(TracerProvider(shutdown_on_exit=False))
    try:
        yield
    finally:
        tracing.switch_off()
