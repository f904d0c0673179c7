"""Durable work: handled until done, again after a failure or a death, one at a time for each key, else buried."""

import asyncio
from collections import Counter

import pytest

from bus import WORK, Bus, Done, Drop, Outcome, Retry
from bus.letters import read_letter
from bus.outcomes import about
from bus.stored import last
from bus.topology import DEAD
from schemas import Actor, IssueAssigned, Recorded, decode
from tests.contract.conftest import Carrier, MakeBus
from tests.support.saying import assign

DURABLE = WORK[Actor.DEV_E]


async def work(bus: Bus, *outcomes: Outcome) -> list[int]:
    """Takes work until each outcome was given; the positions that came."""
    seen: list[int] = []
    stop = asyncio.Event()

    async def handle(item: Recorded) -> Outcome:
        seen.append(item.position)
        if len(seen) >= len(outcomes):
            stop.set()
        return outcomes[len(seen) - 1]

    await bus.log.work(DURABLE, handle, slots=1, stop=stop)
    return seen


async def test_done_is_done_and_retry_comes_again(make_bus: MakeBus) -> None:
    conductor, worker = await make_bus(Actor.CONDUCTOR), await make_bus(Actor.DEV_E)
    await assign(conductor, (7, 1))
    began = worker.connection.now()
    assert await work(worker, Retry(0.5), Done()) == [2, 2]
    assert (worker.connection.now() - began).total_seconds() >= 0.5, "not before its time"
    await assign(conductor, (7, 2))
    assert await work(worker, Done()) == [4]


async def test_what_can_never_be_handled_is_buried_with_its_reason(make_bus: MakeBus) -> None:
    conductor, worker = await make_bus(Actor.CONDUCTOR), await make_bus(Actor.DEV_E)
    await assign(conductor, (7, 1), (8, 1))
    assert await work(worker, Drop("makes no sense"), Done()) == [2, 3]
    buried = await last(worker.connection, DEAD, "dead.letter.>")
    letter = read_letter(buried) if buried is not None else None
    assert letter is not None
    assert (letter.stream, letter.consumer, letter.position) == ("RIG", "dev-e", 2)
    assert letter.reason == "makes no sense"
    assert isinstance(decode(letter.body).data, IssueAssigned)


async def test_a_handler_that_raises_or_is_cancelled_gets_its_message_again(make_bus: MakeBus) -> None:
    conductor, worker = await make_bus(Actor.CONDUCTOR), await make_bus(Actor.DEV_E)
    await assign(conductor, (7, 1))
    stop, tries = asyncio.Event(), 0

    async def fails_then_hangs(item: Recorded) -> Outcome:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ValueError("once")
        stop.set()
        await asyncio.Event().wait()
        return Done()

    await worker.log.work(DURABLE, fails_then_hangs, slots=1, stop=stop)
    assert await work(worker, Done()) == [2], "it went back at once, not after ack_wait"


async def test_the_work_of_a_dead_replica_goes_to_another(make_bus: MakeBus) -> None:
    conductor = await make_bus(Actor.CONDUCTOR, free=True)
    patience = {**DURABLE.config(), "ack_wait": 400_000_000}
    request = {"stream_name": "RIG", "config": patience}
    await conductor.connection.api("$JS.API.CONSUMER.DURABLE.CREATE.RIG.dev-e", request)
    dying, living = await make_bus(Actor.DEV_E, "dev-e/1", free=True), await make_bus(Actor.DEV_E, "dev-e/2", free=True)
    await conductor.connection.api("$JS.API.CONSUMER.DURABLE.CREATE.RIG.dev-e", request)
    await assign(conductor, (7, 1))
    begun = asyncio.Event()

    async def hangs(item: Recorded) -> Outcome:
        begun.set()
        await asyncio.Event().wait()
        return Done()

    first = asyncio.create_task(dying.log.work(DURABLE, hangs, slots=1, stop=asyncio.Event()))
    await begun.wait()
    await dying.connection.close()  # dead: it can neither keep the message alive nor give it back
    assert await work(living, Done()) == [2]
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_what_is_not_prefetched_comes_in_the_order_of_the_log(make_bus: MakeBus) -> None:
    conductor, worker = await make_bus(Actor.CONDUCTOR), await make_bus(Actor.DEV_E)
    for epoch in (1, 2, 3):
        await assign(conductor, (7, epoch), (8, epoch))
    assert await work(worker, *[Done()] * 6) == [2, 3, 5, 6, 8, 9], "and so do those of one issue"


async def test_one_of_a_key_at_a_time_in_order_and_many_keys_at_once(make_bus: MakeBus) -> None:
    conductor, worker = await make_bus(Actor.CONDUCTOR), await make_bus(Actor.DEV_E)
    for epoch in range(1, 6):
        await assign(conductor, *((number, epoch) for number in range(1, 7)))
    stop = asyncio.Event()
    inside: Counter[str] = Counter()
    together, handled = 0, dict[str, list[int]]()

    async def handle(item: Recorded) -> Outcome:
        nonlocal together
        assert isinstance(item.event.data, IssueAssigned)
        key, epoch = str(item.event.subject).rsplit(".", 3)[0], item.event.data.epoch
        assert not inside[key], "two of one key at once"
        inside[key] += 1
        together = max(together, inside.total())
        await asyncio.sleep(0.01)
        inside[key] -= 1
        told = handled.setdefault(key, [])
        if epoch == 3 and told.count(3) == 0 and key.endswith(".2"):
            told.append(-3)
            return Retry(0.1) if told.count(-3) == 1 else Done()
        told.append(epoch)
        if sum(len(each) for each in handled.values()) >= 31:
            stop.set()
        return Done()

    await worker.log.work(DURABLE, handle, slots=6, stop=stop, key=about, prefetch=30)
    assert together > 1
    for key, told in handled.items():
        expected = [1, 2, -3, -3, 4, 5] if key.endswith(".2") else [1, 2, 3, 4, 5]
        assert told == expected, "in order, and those behind a retry wait for it"


async def test_work_goes_on_after_a_crash(make_bus: MakeBus, carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.pulls.PULL_SECONDS", 0.4)
    monkeypatch.setattr("bus.pulls._LOST_SECONDS", 0.6)
    conductor, worker = await make_bus(Actor.CONDUCTOR, free=True), await make_bus(Actor.DEV_E, free=True)
    await assign(conductor, (7, 1))
    stop, seen = asyncio.Event(), list[int]()
    first = asyncio.Event()

    async def handle(item: Recorded) -> Outcome:
        seen.append(item.position)
        first.set()
        if item.position == 4:
            stop.set()
        return Done()

    working = asyncio.create_task(worker.log.work(DURABLE, handle, slots=1, stop=stop))
    await first.wait()
    while b'"num_ack_pending":0' not in await conductor.connection.api("$JS.API.CONSUMER.INFO.RIG.dev-e"):  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.01)
    await carrier.crash()
    await carrier.restart()
    await assign(conductor, (7, 2))
    await working
    assert sorted(set(seen)) == [2, 4]
