"""The durables of the rig: made and mended by `ensure`, refused when they are others, taken at the server's word."""

import asyncio

import pytest
from msgspec import structs

from bus import Bus, TopologyDrift
from bus.consume import consume
from bus.ensure import ensure
from bus.topology import DURABLES, FIRED, LOG, SECOND, WORK
from schemas import (
    Actor,
)
from tests.conftest import Connect
from tests.support.jobs import HASTY, JOBS, Alive, fill, forever, info, make, working


async def test_the_durables_of_the_rig_are_made_and_mended(connect: Connect) -> None:
    bus = await connect(Actor.CLI)
    for durable in DURABLES:
        assert (await info(bus, durable))["config"]["filter_subject"] == durable.filter
    fired = FIRED[Actor.CONDUCTOR]
    await make(bus, structs.replace(fired, ack_wait_seconds=3.0, filter="timer.conductor.fired.x"))
    await ensure(bus.connection)
    config = (await info(bus, fired))["config"]
    assert (config["ack_wait"], config["filter_subject"]) == (10 * SECOND, fired.filter)


async def test_a_durable_that_is_another_is_refused_by_all(connect: Connect) -> None:
    bus = await connect(Actor.CLI)
    await bus.connection.api("$JS.API.CONSUMER.DELETE.RIG.dev-e")
    config = {**WORK[Actor.DEV_E].config(), "deliver_subject": "elsewhere", "headers_only": True}
    request = {"stream_name": LOG.name, "config": config}
    await bus.connection.api("$JS.API.CONSUMER.DURABLE.CREATE.RIG.dev-e", request)
    wrong = r"RIG\.dev-e\.deliver_subject is 'elsewhere' and must be None"
    with pytest.raises(TopologyDrift, match=wrong):
        await ensure(bus.connection)
    with pytest.raises(TopologyDrift, match=wrong):
        await consume(bus.connection, WORK[Actor.DEV_E], forever, slots=1, stop=asyncio.Event())


async def test_a_role_takes_the_patience_of_a_durable_as_the_server_has_it(bus: Bus) -> None:
    await make(bus, HASTY)
    alive = Alive(bus)
    positions = await fill(bus, "a")
    async with working(bus, forever, structs.replace(JOBS, ack_wait_seconds=36_000)) as worker:
        await worker.until(lambda: len(worker.began) == 1)
        await alive.told(1)
    assert set(worker.positions) == set(positions)
    assert (await info(bus, HASTY))["config"]["ack_wait"] == 0.4 * SECOND, "it is not what the role came with"
