"""Durable consuming against a real server: outcomes, order per key, bounds, and what it survives."""

import asyncio
import logging
from typing import Any

import pytest
from msgspec import json, structs

from bus import Bus, Delivery, Done, LogChanged, Outcome, Retry, TopologyDrift
from bus.consume import consume
from bus.ensure import ensure
from bus.topology import DURABLES, FIRED, LOG, SECOND, WORK
from deploy.embedded.server import Server
from schemas import (
    Actor,
    AssignReason,
    Draft,
    IssueAssigned,
    IssueRef,
    Recorded,
)
from tests.conftest import Connect
from tests.support.jobs import HASTY, JOBS, PATIENT, Worker, fill, forever, info, key, make, working


@pytest.fixture
def connect(connect_freely: Connect) -> Connect:
    """These tests use subjects, and make durables, that no role has."""
    return connect_freely


@pytest.fixture
async def bus(connect: Connect) -> Bus:
    bus = await connect(Actor.CLI)
    await make(bus)
    return bus


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a consumer waits for by the clock comes soon: what it does then is tested, not when."""
    monkeypatch.setattr("bus.holding._AGAIN_SECONDS", 0.2)
    monkeypatch.setattr("bus.outcomes._BACKOFF", (0.05,))
    monkeypatch.setattr("bus.pulls.PULL_SECONDS", 0.4)
    monkeypatch.setattr("bus.pulls._LOST_SECONDS", 0.6)


async def nothing_left(bus: Bus) -> None:
    """Waits until the server counts every message of the jobs as acknowledged."""
    while True:
        said = await info(bus)
        if said["num_ack_pending"] == 0 and said["num_pending"] == 0:
            return


# ── outcomes ─────────────────────────────────────────────────────────────────


async def test_events_are_worked_and_each_outcome_is_confirmed(connect: Connect) -> None:
    conductor, agent = await connect(Actor.CONDUCTOR), await connect(Actor.DEV_E)
    assigned = IssueAssigned(epoch=1, role="dev-e", attempt=1, reason=AssignReason.NEW)
    position = await conductor.log.publish(Draft(about=IssueRef("acme", "web.js", 7), data=assigned), "conductor:1")
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
    assert seen[0].event.data == assigned
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


async def test_a_retry_blocks_its_key_alone_and_takes_no_slot(bus: Bus) -> None:
    async def handle(delivery: Delivery) -> Outcome:
        return Retry(0.1) if delivery.body == b"slow" and delivery.attempt < 3 else Done()

    positions = await fill(bus, "slow", "slow", "other", "slow", "another")
    async with working(bus, handle, slots=1, key=key) as worker:
        await worker.until(lambda: len(worker.done) == 5)
    slow = [(delivery.position, delivery.attempt) for delivery in worker.began if delivery.body == b"slow"]
    one, two, three = (positions[index] for index in (0, 1, 3))
    assert slow == [(place, attempt) for place in (one, two, three) for attempt in (1, 2, 3)]
    assert worker.done[:2] == [positions[2], positions[4]], "the others went on, in the one slot and with no prefetch"
    await nothing_left(bus)


async def test_a_retry_that_waits_longer_than_ack_wait_is_kept_here(bus: Bus, connect: Connect) -> None:
    other = Worker(await connect(Actor.CLI, "other"))

    async def handle(delivery: Delivery) -> Outcome:
        return Retry(1.4) if delivery.attempt == 1 else Done()

    await fill(bus, "a")
    async with working(bus, handle, key=key) as worker:
        await worker.until(lambda: len(worker.began) == 1)
        other.start()
        await worker.until(lambda: len(worker.done) == 1)
        await other.end()
    assert [delivery.attempt for delivery in worker.began] == [1, 2]
    assert other.began == []


async def test_what_may_be_held_is_bounded_and_another_replica_gets_the_rest(bus: Bus, connect: Connect) -> None:
    await make(bus, PATIENT)
    positions = await fill(bus, *"abcdefghij")
    async with working(bus, forever, PATIENT, slots=2, prefetch=3) as greedy:
        await greedy.until(lambda: len(greedy.began) == 2)
        async with working(await connect(Actor.CLI, "other"), None, PATIENT) as other:
            await other.until(lambda: len(other.done) == 5)
            assert (await info(bus))["num_ack_pending"] == 5, "two at work, three held for them"
        assert greedy.positions == positions[:2]
        assert other.positions == positions[5:]


# ── stopping ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cancelled", [False, True])
async def test_who_stops_gives_back_at_once_what_has_no_outcome(bus: Bus, connect: Connect, *, cancelled: bool) -> None:
    await make(bus, PATIENT)
    positions = await fill(bus, *"abcdef")
    worker = Worker(bus, forever)
    worker.start(PATIENT, slots=2, prefetch=500, key=key)
    await worker.until(lambda: len(worker.began) == 2)
    if cancelled:
        worker.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await worker.task
    else:
        await worker.end()
    assert (await info(bus))["num_waiting"] == 0, "no pull of it is left"
    async with working(await connect(Actor.CLI, "next"), None, PATIENT, prefetch=10) as following:
        await following.until(lambda: len(following.done) == 6)
    assert sorted(following.positions) == positions
    await nothing_left(bus)


async def test_an_outcome_is_not_lost_to_a_stop(bus: Bus) -> None:
    await make(bus, PATIENT)

    async def handle(delivery: Delivery) -> Outcome:
        worker.stop.set()
        return Done()

    (position,) = await fill(bus, "a")
    worker = Worker(bus, handle)
    worker.start(PATIENT)
    await worker.task
    assert (await info(bus))["ack_floor"]["stream_seq"] == position


async def test_what_is_on_its_way_to_who_stops_goes_back_too(bus: Bus, connect: Connect) -> None:
    await make(bus, PATIENT)
    for _ in range(399):
        await bus.connection.publish("rig.jobs.large", b"x" * 16_000)
    await fill(bus, "last")

    async def handle(delivery: Delivery) -> Outcome:
        worker.stop.set()  # at the first of six megabytes
        return Done()

    worker = Worker(await connect(Actor.CLI, "leaving"), handle)
    worker.start(PATIENT, prefetch=500)
    await worker.task
    async with working(bus, None, PATIENT, prefetch=500) as following:
        await following.until(lambda: len(following.done) + len(worker.done) == 400)
    await nothing_left(bus)


async def test_who_stops_without_a_server_does_not_wait_for_it(bus: Bus, nats: Server) -> None:
    await fill(bus, "a", "b", "c")
    worker = Worker(bus, forever)
    worker.start(slots=2, prefetch=5)
    await worker.until(lambda: len(worker.began) == 2)
    await nats.stop()
    async with asyncio.timeout(5):
        await worker.end()


@pytest.mark.usefixtures("impatient")
async def test_an_outcome_that_is_lost_at_a_stop_is_said_again(bus: Bus) -> None:
    await make(bus, PATIENT)
    (position,) = await fill(bus, "a")
    forgetful = Forgetful(bus)
    worker = Worker(bus)
    worker.start(PATIENT)
    await worker.until(lambda: forgetful.lost > 0)
    worker.stop.set()
    await asyncio.sleep(0)
    forgetful.losing = False
    await worker.task
    assert (await info(bus))["ack_floor"]["stream_seq"] == position


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
    await make(bus, PATIENT)
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


# ── long handlers, dead replicas ─────────────────────────────────────────────


async def test_a_handler_longer_than_ack_wait_is_kept_alive_and_so_is_what_waits_behind_it(bus: Bus) -> None:
    async def slow(delivery: Delivery) -> Outcome:
        await asyncio.sleep(1.5 if delivery.body == b"slow" else 0)
        return Done()

    positions = await fill(bus, "slow", "next")
    async with working(bus, slow, prefetch=5) as worker:
        await worker.until(lambda: len(worker.done) == 2)
    assert worker.positions == positions, "each once"
    assert {delivery.attempt for delivery in worker.began} == {1}
    assert (await info(bus))["num_redelivered"] == 0


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


# ── what it survives ─────────────────────────────────────────────────────────


@pytest.mark.usefixtures("impatient")
async def test_a_server_killed_in_the_middle_loses_nothing(bus: Bus, nats: Server) -> None:
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


async def test_a_pull_that_ends_at_once_is_never_a_busy_loop(bus: Bus) -> None:
    asked: list[str] = []
    await bus.connection.subscribe("$JS.API.CONSUMER.*.RIG.jobs", lambda message: asked.append(message.subject))
    await bus.connection.subscribe("$JS.API.CONSUMER.MSG.NEXT.RIG.jobs", lambda message: asked.append(message.subject))
    async with working(bus) as worker:
        await worker.until(lambda: any("NEXT" in subject for subject in asked))
        await bus.connection.api("$JS.API.CONSUMER.DELETE.RIG.jobs")
        await asyncio.sleep(1.0)  # a second of a durable that is gone
    assert 3 < len(asked) < 30


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
        await asyncio.sleep(1.0)  # a second of refusals
    assert 2 < len(asked) < 8


async def test_a_log_recreated_under_a_consumer_is_refused(bus: Bus) -> None:
    await fill(bus, "a")
    async with working(bus) as worker:
        await worker.until(lambda: len(worker.done) == 1)
        await bus.connection.api(f"$JS.API.STREAM.DELETE.{LOG.name}")
        await ensure(bus.connection)
        await make(bus)
        with pytest.raises(LogChanged, match="RIG was recreated under jobs"):
            await worker.task


async def test_a_log_recreated_while_all_slots_are_busy_is_refused_too(bus: Bus) -> None:
    await fill(bus, "a")
    async with working(bus, forever) as worker:
        await worker.until(lambda: len(worker.began) == 1)
        await bus.connection.api(f"$JS.API.STREAM.DELETE.{LOG.name}")
        await ensure(bus.connection)
        await make(bus)
        with pytest.raises(LogChanged, match="recreated"):
            await worker.task


# ── the durables ─────────────────────────────────────────────────────────────


async def test_the_durables_of_the_rig_are_made_and_mended(connect: Connect) -> None:
    bus = await connect(Actor.CLI)
    for durable in DURABLES:
        assert (await info(bus, durable))["config"]["filter_subject"] == durable.filter
    await make(bus, structs.replace(FIRED, ack_wait_seconds=3.0, filter="timer.conductor.fired.x"))
    await ensure(bus.connection)
    config = (await info(bus, FIRED))["config"]
    assert (config["ack_wait"], config["filter_subject"]) == (10 * SECOND, FIRED.filter)


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
    async def slow(delivery: Delivery) -> Outcome:
        await asyncio.sleep(1.5)
        return Done()

    await fill(bus, "a")
    async with working(bus, slow, PATIENT) as worker:  # the server's own is one second
        await worker.until(lambda: len(worker.done) == 1)
    assert len(worker.began) == 1
