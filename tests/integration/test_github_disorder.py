"""Half of all deliveries are lost, a tenth comes twice, all of them in disorder: after one audit nothing is missing."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.embedded.nats import NatsServer
from tests.support.bridge import SHOP, Bridge, State, bridge
from tests.support.hub import Delivery, Disorder, Hub, hub
from tests.support.hub.day import DELIVERIES, a_day
from tests.support.rig import rig
from tests.support.servers import nats_with_root, reaching

pytestmark = pytest.mark.peer

DAY: State = {
    "acme/shop#1": {
        "title": "The total is wrong by a cent",
        "state": "queued",
        "priority": "high",
        "labels": ["agent-ready"],
    },
    "acme/shop#2": {
        "title": "Show the total",
        "body": "Depends on #1\nDepends on #3",
        "state": "queued",
        "priority": "low",
        "depends_on": ["acme/shop#1", "acme/shop#3"],
        "labels": ["agent-ready", "priority: low"],
        "milestone": "Spring",
    },
    "acme/shop#3": {"state": "withdrawn"},
    "acme/shop#4": {"title": "A fourth thing", "state": "queued", "priority": "high", "labels": ["P1", "agent-ready"]},
    "acme/shop#5": {"state": "withdrawn"},
    "acme/shop#6": {
        "title": "A sixth thing",
        "state": "deploying",
        "priority": "normal",
        "labels": ["agent-ready"],
        "merged": True,
    },
    "acme/shop#8": {
        "title": "An eighth thing",
        "state": "queued",
        "priority": "normal",
        "labels": ["agent-ready", "needs: node"],
        "requires": ["node"],
    },
    "acme/shop#10": {"title": "A tenth thing", "state": "queued", "priority": "low", "labels": ["agent-ready"]},
    "acme/shop#11": {
        "title": "An eleventh thing",
        "body": "With docs",
        "state": "queued",
        "priority": "high",
        "labels": ["agent-ready", "bug", "priority: high"],
    },
    "acme/shop#12": {
        "title": "A twelfth thing",
        "body": "Depends on acme/shop#11, and later.\n\nDepends on #4",
        "state": "queued",
        "priority": "normal",
        "depends_on": ["acme/shop#4", "acme/shop#11"],
        "labels": ["agent-ready"],
    },
}
"""What the day comes to."""
BEFORE = 1
"""A delivery that was sent before anybody listened: of the branch main."""
PATIENCE_SECONDS = 20


@pytest.fixture
async def second_nats(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[NatsServer]:
    async with nats_with_root(tmp_path_factory.mktemp("second")) as server:
        yield server
        await server.kill()


@pytest.mark.parametrize("seed", [20, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(21, 33))])
async def test_what_was_lost_doubled_and_shuffled_ends_as_if_nothing_had_happened(
    nats: NatsServer, second_nats: NatsServer, tmp_path: Path, seed: int
) -> None:
    with hub(tmp_path / "one") as github:
        day = live(github, tmp_path / "one-scratch")
        async with bridge(nats, github) as undisturbed:
            await undisturbed.serve(SHOP, f"{github.url}/acme/shop.git")
            await asyncio.to_thread(github.release)
            await undisturbed.translated(day)
            assert await came_to(DAY, undisturbed) == DAY

    with hub(tmp_path / "two") as github:
        day = live(github, tmp_path / "two-scratch")
        async with bridge(second_nats, github) as disturbed:
            await disturbed.serve(SHOP, f"{github.url}/acme/shop.git")
            held, dropped, doubled = await asyncio.to_thread(github.release, Disorder(seed))
            assert (held, dropped, doubled) == (DELIVERIES, round(DELIVERIES / 2), round(DELIVERIES / 10))
            await disturbed.arrived(held - dropped)
            assert await disturbed.state() != DAY, "half of it is no whole"
            github.hide(False)
            lost = dropped + BEFORE
            said = await audit(second_nats, tmp_path, "--now")
            delivered = int(said.partition(" ")[0])
            assert said.startswith(f"{delivered} delivered, {lost} missing ({lost} put back), audited ")
            assert delivered >= DELIVERIES + BEFORE, "and what the rig itself did"
            await disturbed.translated(day)
            assert await came_to(DAY, disturbed) == DAY
            assert " delivered, 0 missing, audited " in await audit(second_nats, tmp_path, "--now")


async def came_to(wanted: State, bridge: Bridge) -> State:
    """What the log says once it says this, and at the latest after a while: looking at GitHub takes a moment."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await bridge.state() != wanted:  # noqa: ASYNC110 - it changes with every event
                await asyncio.sleep(0.25)
    return await bridge.state()


def live(github: Hub, scratch: Path) -> list[Delivery]:
    """Lives the day; nobody has heard of it yet, nor could find out."""
    github.hold()
    github.hide()
    a_day(github, scratch)
    github.hold(False)
    return github.log[BEFORE:]


async def audit(server: NatsServer, place: Path, *options: str) -> str:
    """What `rig github audit` says."""
    done = await asyncio.to_thread(rig, place / "home", "github", "audit", *options, **reaching(server, "cli"))
    assert done.returncode == 0, done.stderr
    return done.stdout
