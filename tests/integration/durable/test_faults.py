"""What a consumer survives (a killed server, a durable gone, refused pulls), and what it refuses (another log)."""

import asyncio
import logging

import pytest
from msgspec import json

from bus import Bus, Delivery, Done, LogChanged, Outcome
from bus.ensure import ensure
from bus.topology import LOG, SECOND
from deploy.embedded.server import Server
from tests.support.jobs import HASTY, JOBS, fill, forever, key, make, nothing_left, working


@pytest.mark.usefixtures("impatient")
async def test_a_server_killed_in_the_middle_loses_nothing(bus: Bus, nats: Server) -> None:
    await make(bus, HASTY)
    names = [f"k{number % 7}" for number in range(400)]
    positions = await fill(bus, *names)
    killed = asyncio.Event()

    async def handle(delivery: Delivery) -> Outcome:
        if len(worker.began) > 100:
            await killed.wait()  # the outcomes of these are said to a server that has forgotten who asked
        return Done()

    async with working(bus, handle, slots=8, prefetch=64, key=key) as worker:
        await worker.until(lambda: len(worker.began) > 100)
        await nats.kill()
        await nats.start()
        killed.set()
        await worker.until(lambda: len(set(worker.done)) == len(names))
        for name in set(names):
            firsts = dict.fromkeys(delivery.position for delivery in worker.began if key(delivery) == name)
            assert set(firsts) == {at for at, other in zip(positions, names, strict=True) if other == name}
        await nothing_left(bus)


@pytest.mark.usefixtures("impatient")
async def test_a_handler_that_outlives_its_server_is_not_started_twice(bus: Bus, nats: Server) -> None:
    await make(bus, HASTY)
    finish = asyncio.Event()

    async def handle(delivery: Delivery) -> Outcome:
        await finish.wait()
        return Done()

    await fill(bus, "a")
    async with working(bus, handle, slots=2, prefetch=2) as worker:
        await worker.until(lambda: len(worker.began) == 1)
        await nats.kill()
        await nats.start()
        await fill(bus, "b")
        await worker.until(lambda: len(worker.began) == 2)
        finish.set()
        await nothing_left(bus)
    assert len(worker.began) == 2


async def test_a_durable_that_is_gone_is_said_once_and_waited_for(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bus")
    (first,) = await fill(bus, "a")
    async with working(bus) as worker:
        await worker.until(lambda: worker.done == [first])
        await bus.connection.api("$JS.API.CONSUMER.DELETE.RIG.jobs")
        await worker.until(lambda: "no durable consumer jobs; `rig up` creates it" in caplog.text)
        (second,) = await fill(bus, "b")
        await make(bus)
        await worker.until(lambda: second in worker.done)
    assert worker.done == [first, first, second], "it begins at the first message ever stored"
    said = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(said) == 1


async def asked_in_a_second(asked: list[str]) -> float:
    """How often; a machine that makes the second longer makes it no more."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.sleep(1.0)
    return len(asked) / (loop.time() - began)


async def test_a_pull_that_ends_at_once_is_never_a_busy_loop(bus: Bus) -> None:
    asked: list[str] = []
    await bus.connection.subscribe("$JS.API.CONSUMER.*.RIG.jobs", lambda message: asked.append(message.subject))
    await bus.connection.subscribe("$JS.API.CONSUMER.MSG.NEXT.RIG.jobs", lambda message: asked.append(message.subject))
    async with working(bus) as worker:
        await worker.until(lambda: any("NEXT" in subject for subject in asked))
        await bus.connection.api("$JS.API.CONSUMER.DELETE.RIG.jobs")
        assert await asked_in_a_second(asked) < 30
        await worker.until(lambda: len(asked) > 3)


async def test_a_pull_that_is_refused_at_once_is_never_a_busy_loop(bus: Bus) -> None:
    """As many pulls wait already as the durable allows."""
    config = {**JOBS.config(), "max_waiting": 1}
    await bus.connection.api("$JS.API.CONSUMER.DELETE.RIG.jobs")
    request = {"stream_name": LOG.name, "config": config}
    await bus.connection.api("$JS.API.CONSUMER.DURABLE.CREATE.RIG.jobs", request)
    asked: list[str] = []
    pull = "$JS.API.CONSUMER.MSG.NEXT.RIG.jobs"
    inbox = bus.connection.inbox()
    await bus.connection.subscribe(inbox, lambda message: asked.append("answered"))
    await bus.connection.publish(pull, json.encode({"batch": 1, "expires": 60 * SECOND}), reply=inbox)
    await bus.connection.subscribe(pull, lambda message: asked.append(message.subject))
    async with working(bus) as worker:
        await worker.until(lambda: bool(asked))
        assert await asked_in_a_second(asked) < 8
        await worker.until(lambda: len(asked) > 2)


@pytest.mark.parametrize("busy", [False, True])
async def test_a_log_recreated_under_a_consumer_is_refused(bus: Bus, *, busy: bool) -> None:
    await make(bus, HASTY)
    await fill(bus, "a")
    async with working(bus, forever if busy else None) as worker:
        await worker.until(lambda: len(worker.began if busy else worker.done) == 1)
        await bus.connection.api(f"$JS.API.STREAM.DELETE.{LOG.name}")
        await ensure(bus.connection)
        await make(bus, HASTY)
        with pytest.raises(LogChanged, match="RIG was recreated under jobs"):
            await worker.task
