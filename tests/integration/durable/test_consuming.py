"""Durable consuming against a real server: outcomes, order per key, bounds, and handlers that take long."""

import asyncio
from typing import Any

import pytest

from bus import Bus, Delivery, Done, Outcome, Retry
from bus.topology import WORK
from schemas import (
    Actor,
    Draft,
    Recorded,
)
from tests.conftest import Connect
from tests.support.clock import HOURS, hours_pass
from tests.support.jobs import HASTY, Alive, Worker, fill, forever, info, key, make, nothing_left, working
from tests.support.saying import assigned, issue

# ── outcomes ─────────────────────────────────────────────────────────────────


async def test_events_are_worked_and_each_outcome_is_confirmed(connect: Connect) -> None:
    conductor, agent = await connect(Actor.CONDUCTOR), await connect(Actor.DEV_E)
    position = await conductor.log.publish(Draft(about=issue(), data=assigned()), "conductor:1")
    stop = asyncio.Event()
    seen: list[Recorded] = []

    async def handle(item: Recorded) -> Outcome:
        seen.append(item)
        if len(seen) == 1:
            return Retry(0.05)
        stop.set()
        return Done()

    await agent.log.work(WORK[Actor.DEV_E], handle, slots=2, stop=stop)
    assert [item.position for item in seen] == [position, position]
    assert seen[0].event.data == assigned()
    assert (await info(agent, WORK[Actor.DEV_E]))["ack_floor"]["stream_seq"] == position


async def test_without_a_key_a_retry_goes_back_and_comes_with_its_attempt(bus: Bus) -> None:
    async def twice(delivery: Delivery) -> Outcome:
        return Done() if delivery.attempt == 2 else Retry(0.02)

    async with working(bus, twice) as worker:
        await fill(bus, "a")
        await worker.until(lambda: len(worker.done) == 1)
    assert [delivery.attempt for delivery in worker.began] == [1, 2]
    await nothing_left(bus)


async def test_a_handler_that_raises_is_tried_again_and_again_with_a_pause(
    bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails_once(delivery: Delivery) -> Outcome:
        if delivery.attempt == 1:
            raise ValueError("on purpose")
        return Done()

    for options in ({}, {"key": key}):
        async with working(bus, fails_once, **options) as worker:
            await fill(bus, "a")
            await worker.until(lambda worker=worker: len(worker.done) == 1)
        assert [delivery.attempt for delivery in worker.began] == [1, 2]
    assert "failed; again in 0.5 s" in caplog.text
    assert "on purpose" in caplog.text


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("said", [None, Done, "done"])
async def test_a_handler_that_returns_no_outcome_is_one_that_failed(
    bus: Bus, said: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def says(delivery: Delivery) -> Outcome:
        return Done() if delivery.attempt == 2 else said

    async with working(bus, says, key=key) as worker:
        await fill(bus, "a")
        await worker.until(lambda: len(worker.done) == 1)
    assert f"the handler returned {type(said).__name__}, which is no outcome" in caplog.text


@pytest.mark.usefixtures("impatient")
async def test_a_handler_that_cancels_itself_is_one_that_failed(bus: Bus) -> None:
    attempts: list[int] = []

    async def cancels(delivery: Delivery) -> Outcome:
        attempts.append(delivery.attempt)
        if delivery.attempt == 1:
            raise asyncio.CancelledError
        return Done()

    async with working(bus, cancels, key=key) as worker:
        await fill(bus, "a")
        await worker.until(lambda: len(worker.done) == 1)
    assert attempts == [1, 2]


# ── order, slots, prefetch ───────────────────────────────────────────────────


async def test_of_a_key_one_at_a_time_in_order_and_keys_side_by_side(bus: Bus) -> None:
    inside: dict[str, int] = {}
    most_at_once = 0

    async def handle(delivery: Delivery) -> Outcome:
        nonlocal most_at_once
        lane = key(delivery)
        inside[lane] = inside.get(lane, 0) + 1
        assert inside[lane] == 1
        most_at_once = max(most_at_once, sum(inside.values()))
        await asyncio.sleep(0)
        inside[lane] -= 1
        return Done()

    names = [f"k{number * 7 % 5}" for number in range(300)]
    positions = await fill(bus, *names)
    async with working(bus, handle, slots=4, prefetch=100, key=key) as worker:
        await worker.until(lambda: len(worker.done) == len(names))
    for name in set(names):
        mine = [position for position, other in zip(positions, names, strict=True) if other == name]
        assert [delivery.position for delivery in worker.began if key(delivery) == name] == mine
    assert most_at_once == 4, "slots are used, and never more"
    await nothing_left(bus)


async def test_a_slot_that_is_free_takes_work_beside_those_that_are_not(bus: Bus) -> None:
    async def handle(delivery: Delivery) -> Outcome:
        return Done() if delivery.body == b"short" else await forever(delivery)

    first = await fill(bus, "long", "long", "long", "short")
    async with working(bus, handle, slots=4) as worker:
        await worker.until(lambda: len(worker.began) == 4 and len(worker.done) == 1)
        later = await fill(bus, "short", "short")
        await worker.until(lambda: len(worker.done) == 3)
    assert worker.done == [first[3], *later]
    assert worker.positions == first + later, "the long ones kept their slots, and came once"


async def test_a_retry_blocks_its_key_alone_and_takes_no_slot(bus: Bus) -> None:
    async def handle(delivery: Delivery) -> Outcome:
        return Retry(HOURS) if delivery.body == b"slow" and delivery.attempt < 3 else Done()

    positions = await fill(bus, "slow", "slow", "other", "slow", "another")
    async with working(bus, handle, slots=1, key=key) as worker:
        await worker.until(lambda: len(worker.done) == 2)
        while len(worker.done) < 5:
            hours_pass()
            await asyncio.sleep(0.002)
    slow = [(delivery.position, delivery.attempt) for delivery in worker.began if delivery.body == b"slow"]
    one, two, three = (positions[index] for index in (0, 1, 3))
    assert slow == [(place, attempt) for place in (one, two, three) for attempt in (1, 2, 3)]
    assert worker.done[:2] == [positions[2], positions[4]], "the others went on, in the one slot and with no prefetch"
    await nothing_left(bus)


async def test_a_retry_that_waits_longer_than_ack_wait_is_kept_alive_here(bus: Bus) -> None:
    """That nobody else gets it: see tests/unit/test_in_memory_bus.py, where no machine is slow."""
    await make(bus, HASTY)
    alive = Alive(bus)

    async def handle(delivery: Delivery) -> Outcome:
        return Retry(HOURS) if delivery.attempt == 1 else Done()

    await fill(bus, "a")
    async with working(bus, handle, key=key) as worker:
        await worker.until(lambda: len(worker.began) == 1)
        await alive.told(1)
        hours_pass()
        await worker.until(lambda: len(worker.done) == 1)
    assert [delivery.attempt for delivery in worker.began] == [1, 2]


async def test_what_may_be_held_is_bounded_and_another_replica_gets_the_rest(bus: Bus, connect: Connect) -> None:
    positions = await fill(bus, *"abcdefghij")
    async with working(bus, forever, slots=2, prefetch=3) as greedy:
        await greedy.until(lambda: len(greedy.began) == 2)
        async with working(await connect(Actor.CLI, "other"), None) as other:
            await other.until(lambda: len(other.done) == 5)
            while (held := (await info(bus))["num_ack_pending"]) > 5:
                pass  # the last of them is on its way to be acknowledged
            assert held == 5, "two at work, three held for them"
        assert greedy.positions == positions[:2]
        assert other.positions == positions[5:]


# ── long handlers, dead replicas ─────────────────────────────────────────────


async def test_a_handler_longer_than_ack_wait_is_kept_alive_and_so_is_what_waits_behind_it(bus: Bus) -> None:
    """That it does not come again: see tests/unit/test_in_memory_bus.py, where no machine is slow."""
    await make(bus, HASTY)
    alive, finish = Alive(bus), asyncio.Event()

    async def slow(delivery: Delivery) -> Outcome:
        await finish.wait()
        return Done()

    positions = await fill(bus, "slow", "next")
    async with working(bus, slow, prefetch=5) as worker:
        await alive.told(2)
        finish.set()
        await worker.until(lambda: len(worker.done) == 2)
    assert worker.positions == positions, "each once"


async def test_the_work_of_a_dead_replica_goes_to_another(bus: Bus, connect: Connect) -> None:
    await make(bus, HASTY)
    dying = Worker(await connect(Actor.CLI, "dying"), forever)
    await fill(bus, "a")
    dying.start()
    await dying.until(lambda: len(dying.began) == 1)
    await dying.bus.connection.close()  # dead: it can neither keep the message alive nor give it back
    async with working(bus) as living:
        await living.until(lambda: len(living.done) == 1)
    dying.task.cancel()
    await asyncio.gather(dying.task, return_exceptions=True)
    assert [delivery.attempt > 1 for delivery in living.began] == [True]
