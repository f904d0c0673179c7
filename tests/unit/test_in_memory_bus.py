"""The bus in memory: virtual time, faults on demand, and the same seed, the same log."""

import asyncio
from collections import defaultdict
from datetime import timedelta

import pytest

from bus import Bus, Delivery, Done, Outcome, Retry, Unavailable
from bus.connection import Message
from bus.outcomes import Handler
from bus.testing import InMemoryBus, run
from bus.topology import LOG
from schemas import Actor, Recorded
from tests.support.jobs import HASTY, Worker, fill, key, make, working
from tests.support.saying import approved


def stored(server: InMemoryBus) -> list[tuple[int, str, bytes, int]]:
    """The log as it lies there, without what only tells how it came there."""
    log = server.server.jetstream.streams[LOG.name].store
    return [(message.seq, message.subject, message.data, message.at) for message in log.since(1)]


# ── time ─────────────────────────────────────────────────────────────────────


def test_an_hour_passes_at_once_and_in_order() -> None:
    async def main() -> list[float]:
        loop, heard = asyncio.get_running_loop(), list[float]()

        async def sleeps(seconds: float) -> None:
            await asyncio.sleep(seconds)
            heard.append(loop.time())

        await asyncio.gather(*(sleeps(seconds) for seconds in (3600, 60, 0.5)))
        return heard

    assert run(main()) == [0.5, 60, 3600]


def test_what_would_wait_for_ever_is_said() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="wait for ever"):
        run(main())


def test_a_thread_is_waited_for_in_real_time() -> None:
    async def main() -> float:
        done = asyncio.create_task(asyncio.to_thread(sum, [1, 2]))
        assert await done == 3
        return asyncio.get_running_loop().time()

    assert run(main()) < 10


def test_a_timer_fires_to_the_millisecond() -> None:
    async def main() -> timedelta:
        bus = await InMemoryBus().connect(Actor.CONDUCTOR)
        began, stop = bus.connection.now(), asyncio.Event()

        async def hear(delivery: Delivery) -> Outcome:
            stop.set()
            return Done()

        await bus.timers.set("key", began + timedelta(hours=1), b"")
        await bus.timers.fired(hear, stop=stop)
        took = bus.connection.now() - began
        await bus.close()
        return took

    assert timedelta(hours=1) <= run(main()) < timedelta(hours=1, milliseconds=2)


# ── faults ───────────────────────────────────────────────────────────────────


async def story(seed: int) -> tuple[InMemoryBus, list[int]]:
    """Twelve issues of ten revisions each, said and read on bad wires, with a crash in the middle."""
    server = InMemoryBus(seed=seed)
    buses = [await server.connect(Actor.LOCAL, f"local/{number}") for number in range(3)]
    reader = await server.connect(Actor.CONDUCTOR)
    read: list[int] = []

    faults = server.faults

    async def say(bus: Bus, number: int) -> None:
        for revision in range(10):
            event = approved(number, f"revision {revision}")
            await bus.log.publish(event, f"local:{number}:{revision}", timeout_seconds=600)

    async def follow() -> None:
        async with reader.log.follow() as following:
            faults.drop, faults.duplicate, faults.delay, faults.reorder, faults.lose_ack = 0.03, 0.03, 0.05, 0.05, 0.05
            while len(read) < 120:
                read.append((await following.next()).position)

    async def crash() -> None:
        await asyncio.sleep(1.5)
        server.crash()
        await asyncio.sleep(2)
        server.restart()

    async with asyncio.timeout(3600):
        saying = (say(buses[number % 3], number) for number in range(1, 13))
        await asyncio.gather(*saying, follow(), crash())
    faults.none()
    for bus in (*buses, reader):
        await bus.close()
    return server, read


def test_on_bad_wires_everything_is_stored_once_and_in_order() -> None:
    server, read = run(story(1))
    titles = defaultdict[str, list[bytes]](list)
    for _, subject, body, _ in stored(server):
        titles[subject].append(body)
    assert read == list(range(1, 121)), "each once, and in order"
    for bodies in titles.values():
        assert [b"revision %d" % n in body for n, body in enumerate(bodies)] == [True] * 10


def test_the_same_seed_leaves_the_same_log() -> None:
    first, again, other = (stored(run(story(seed))[0]) for seed in (2, 2, 3))
    assert first == again
    assert first != other


def test_a_lost_acknowledgement_is_no_second_message() -> None:
    async def main() -> list[int]:
        server = InMemoryBus()
        bus = await server.connect(Actor.LOCAL)
        server.faults.lose_ack = 1.0
        saying = asyncio.create_task(bus.log.publish(approved(1), "local:1", new_subject=True))
        await asyncio.sleep(12)
        server.faults.none()
        return [await saying, len(stored(server))]

    assert run(main()) == [1, 1]


def test_messages_of_one_subject_never_overtake_each_other() -> None:
    async def main() -> None:
        server = InMemoryBus(seed=5)
        bus = await server.connect(Actor.LOCAL, free=True)
        heard: list[tuple[str, int]] = []
        await bus.connection.subscribe("news.*", lambda m: heard.append((m.subject, int(m.data))))
        await bus.connection.check()
        server.faults.reorder, server.faults.on = 0.5, ("news.*",)
        for number in range(200):
            await bus.connection.publish(f"news.{number % 4}", b"%d" % number)
        await asyncio.sleep(60)
        assert sorted(number for _, number in heard) == list(range(200))
        assert [number for _, number in heard] != list(range(200)), "some overtook others"
        for subject in {subject for subject, _ in heard}:
            told = [number for where, number in heard if where == subject]
            assert told == sorted(told)

    run(main())


def test_a_crash_undoes_an_open_batch_and_nothing_that_was_stored() -> None:
    async def main() -> None:
        server = InMemoryBus()
        bus = await server.connect(Actor.LOCAL, free=True)
        await bus.log.publish(approved(1), "local:1")
        batch = {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1"}
        await bus.connection.request("rig.fleet.local.x", b"{}", headers=batch)
        server.crash()
        with pytest.raises(Unavailable):
            await server.connect(Actor.LOCAL, free=True)
        server.restart()
        await asyncio.sleep(1)
        assert bus.connection.connected
        assert bus.connection.reconnects == 1
        last = {**batch, "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1"}
        assert b"10176" in await bus.connection.request("rig.fleet.local.x", b"{}", headers=last)
        assert isinstance(await bus.log.at(1), Recorded)
        assert len(stored(server)) == 1

    run(main())


def test_a_crash_right_after_an_acknowledgement_of_work_brings_it_again() -> None:
    """As a real server does: it writes down a moment later what its consumers have done."""

    async def main() -> list[int]:
        server = InMemoryBus()
        bus = await server.connect(Actor.DEV_E, free=True)
        heard: asyncio.Queue[Message] = asyncio.Queue()
        await bus.connection.subscribe("inbox", heard.put_nowait)
        for body in (b"1", b"2"):
            await bus.connection.request("rig.issue.acme.web.7.conductor.assigned.dev-e", body)
        positions: list[int] = []

        async def take() -> None:
            await bus.connection.publish("$JS.API.CONSUMER.MSG.NEXT.RIG.dev-e", b'{"batch":1}', reply="inbox")
            delivery = Delivery.of(await heard.get())
            assert delivery is not None
            await bus.connection.request(delivery.reply, b"+ACK")
            positions.append(delivery.position)

        await take()
        await asyncio.sleep(1)
        await take()
        server.crash()
        server.restart()
        await asyncio.sleep(1)
        await take()
        return positions

    assert run(main()) == [1, 2, 2]


async def beside_another(handle: Handler, *jobs: str) -> Worker:
    """Two replicas work off the jobs on a server that waits 0.4 s; all of them come to the one that began first."""
    server = InMemoryBus()
    bus, other = [await server.connect(Actor.CLI, free=True) for _ in range(2)]
    await make(bus, HASTY)
    await fill(bus, *jobs)
    async with working(bus, handle, prefetch=5, key=key) as worker:
        await worker.until(lambda: len(worker.began) == 1)
        async with working(other) as idle:
            await worker.until(lambda: len(worker.done) == len(jobs))
    assert idle.began == []
    return worker


def test_what_is_handled_for_longer_than_the_server_waits_comes_once() -> None:
    async def slow(delivery: Delivery) -> Outcome:
        await asyncio.sleep(2)
        return Done()

    assert [delivery.attempt for delivery in run(beside_another(slow, "slow", "next")).began] == [1, 1]


def test_a_retry_for_longer_than_the_server_waits_is_nobody_elses() -> None:
    async def again(delivery: Delivery) -> Outcome:
        return Retry(2) if delivery.attempt == 1 else Done()

    assert [delivery.attempt for delivery in run(beside_another(again, "again")).began] == [1, 2]
