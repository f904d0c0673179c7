"""What a consumer has at its end it gives back, and what it has done is confirmed, whatever is lost on the way."""

import asyncio
from typing import Any

import pytest

from bus import Bus, Delivery, Done, Outcome
from deploy.embedded.server import Server
from schemas import (
    Actor,
)
from tests.conftest import Connect
from tests.support.jobs import HASTY, Worker, fill, forever, info, key, make, nothing_left, working

# ── stopping ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cancelled", [False, True])
async def test_who_stops_gives_back_at_once_what_has_no_outcome(bus: Bus, connect: Connect, *, cancelled: bool) -> None:
    positions = await fill(bus, *"abcdef")
    worker = Worker(bus, forever)
    worker.start(slots=2, prefetch=500, key=key)
    await worker.until(lambda: len(worker.began) == 2)
    if cancelled:
        worker.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await worker.task
    else:
        await worker.end()
    assert (await info(bus))["num_waiting"] == 0, "no pull of it is left"
    async with working(await connect(Actor.CLI, "next"), None, prefetch=10) as following:
        await following.until(lambda: len(following.done) == 6)
    assert sorted(following.positions) == positions
    await nothing_left(bus)


async def test_an_outcome_is_not_lost_to_a_stop(bus: Bus) -> None:

    async def handle(delivery: Delivery) -> Outcome:
        worker.stop.set()
        return Done()

    (position,) = await fill(bus, "a")
    worker = Worker(bus, handle)
    worker.start()
    await worker.task
    assert (await info(bus))["ack_floor"]["stream_seq"] == position


async def test_what_is_on_its_way_to_who_stops_goes_back_too(bus: Bus, connect: Connect) -> None:
    for _ in range(399):
        await bus.connection.publish("rig.jobs.large", b"x" * 16_000)
    (last,) = await fill(bus, "last")

    async def handle(delivery: Delivery) -> Outcome:
        worker.stop.set()  # at the first of six megabytes
        return Done()

    worker = Worker(await connect(Actor.CLI, "leaving"), handle)
    worker.start(prefetch=500)
    await worker.task
    async with working(bus, None, prefetch=500) as following:
        await following.until(lambda: len(following.done) + len(worker.done) == 400)
    assert sorted(worker.done + following.done) == list(range(last - 399, last + 1)), "each once"
    await nothing_left(bus)


async def test_who_stops_without_a_server_does_not_wait_for_it(bus: Bus, nats: Server) -> None:
    await fill(bus, "a", "b", "c")
    worker = Worker(bus, forever)
    worker.start(slots=2, prefetch=5)
    await worker.until(lambda: len(worker.began) == 2)
    await nats.stop()
    await worker.end()
    assert (len(worker.began), worker.done) == (2, [])


@pytest.mark.usefixtures("impatient")
async def test_an_outcome_that_is_lost_at_a_stop_is_said_again(bus: Bus) -> None:
    (position,) = await fill(bus, "a")
    forgetful = Forgetful(bus)
    worker = Worker(bus)
    worker.start()
    await worker.until(lambda: forgetful.lost > 0)
    worker.stop.set()
    await asyncio.sleep(0)
    forgetful.losing = False
    await worker.task
    while (await info(bus))["ack_floor"]["stream_seq"] != position:
        pass
    assert worker.positions == [position], "said again, and not done again"


# ── confirmations ────────────────────────────────────────────────────────────


class Forgetful:
    """Between a connection and its server: acknowledgements get lost as long as `losing`."""

    def __init__(self, bus: Bus) -> None:
        self.losing = True
        self.lost = 0
        self._publish = bus.connection.publish
        bus.connection.publish = self

    async def __call__(self, subject: str, body: bytes, **more: Any) -> None:
        if self.losing and body == b"+ACK":
            self.lost += 1
        else:
            await self._publish(subject, body, **more)


@pytest.mark.usefixtures("impatient")
async def test_a_lost_acknowledgement_is_said_again_before_the_message_comes_again(bus: Bus) -> None:
    forgetful = Forgetful(bus)
    await fill(bus, "a", "b")
    async with working(bus) as worker:
        await worker.until(lambda: forgetful.lost > 0)
        forgetful.losing = False
        await nothing_left(bus)
    assert [delivery.attempt for delivery in worker.began] == [1, 1]
    assert (await info(bus))["num_redelivered"] == 0


async def test_what_is_done_and_comes_again_unconfirmed_is_not_done_twice(bus: Bus) -> None:
    await make(bus, HASTY)
    forgetful = Forgetful(bus)
    (position,) = await fill(bus, "a")
    async with working(bus) as worker:
        await worker.until(lambda: forgetful.lost > 0)
        while (await info(bus))["num_redelivered"] == 0:
            pass
        forgetful.losing = False
        await nothing_left(bus)
    assert worker.done == [position]
