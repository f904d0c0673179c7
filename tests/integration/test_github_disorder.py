"""Half of all deliveries are lost, a tenth comes twice, all of them in disorder: after one audit nothing is missing."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from bus import Bus
from deploy.embedded.nats import NatsServer
from schemas import AuditCompleted, Recorded
from tests.support.bridge import SHOP, bridge
from tests.support.hub import Disorder, hub
from tests.support.hub.day import DELIVERIES, a_day
from tests.support.servers import nats_with_root

pytestmark = pytest.mark.peer

DEPENDS = {"acme/shop#2": ["acme/shop#1", "acme/shop#3"], "acme/shop#12": ["acme/shop#4", "acme/shop#11"]}
STATES = {
    1: "queued",
    2: "queued",
    3: "withdrawn",
    4: "queued",
    5: "withdrawn",
    6: "deploying",
    8: "queued",
    10: "queued",
    11: "queued",
    12: "queued",
}
PRIORITIES = {1: "high", 2: "low", 4: "high", 5: "high", 10: "low", 11: "high"}


@pytest.fixture
async def second_nats(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[NatsServer]:
    async with nats_with_root(tmp_path_factory.mktemp("second")) as server:
        yield server
        await server.kill()


@pytest.mark.parametrize("seed", [20, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(21, 33))])
async def test_what_was_lost_doubled_and_shuffled_ends_as_if_nothing_had_happened(
    nats: NatsServer, second_nats: NatsServer, tmp_path: Path, seed: int
) -> None:
    with hub(tmp_path / "git") as github:
        github.hold()
        github.hide()  # there is nothing to find before it is delivered
        a_day(github, tmp_path / "scratch")

        async with bridge(nats, github) as undisturbed:
            await undisturbed.serve(SHOP, f"{github.url}/acme/shop.git")
            await asyncio.to_thread(github.release)
            await undisturbed.translated(DELIVERIES)
            expected = await undisturbed.state()
        check(expected)

        async with bridge(second_nats, github, audit_seconds=1) as disturbed:
            await disturbed.serve(SHOP, f"{github.url}/acme/shop.git")
            held, dropped, doubled = await asyncio.to_thread(github.release, Disorder(seed))
            assert (held, dropped, doubled) == (DELIVERIES, round(DELIVERIES / 2), round(DELIVERIES / 10))
            await disturbed.translated(held - dropped)
            assert await disturbed.state() != expected, "half of it is no whole"
            github.hide(False)
            audit = await audited(disturbed.cli)
            assert (audit.delivered, audit.missing, audit.reinjected) == (len(github.log), dropped + 1, dropped + 1)
            await disturbed.translated(DELIVERIES)
            found = await disturbed.state()
    assert found == expected


def check(state: dict[str, dict[str, object]]) -> None:
    """What the day comes to."""
    assert {name: each["state"] for name, each in state.items()} == {
        f"{SHOP}#{number}": wanted for number, wanted in STATES.items()
    }


async def audited(cli: Bus) -> AuditCompleted:
    """The first audit that found something missing."""
    async with cli.log.follow() as reader:
        async for item in reader:
            if isinstance(item, Recorded) and isinstance(item.event.data, AuditCompleted) and item.event.data.missing:
                return item.event.data
    raise AssertionError("a reader never ends by itself")
