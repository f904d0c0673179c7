"""Group commit: many at once share a flush, and none of them notices the others."""

import asyncio
import os
import signal
from typing import Any

import msgspec
import pytest

from bus import Bus, BusError, DuplicateMismatch, ServerRefused, Unavailable, writer
from bus.client import NatsConnection
from bus.publish import Batch
from deploy.embedded.server import Server
from schemas import Actor, Undecodable
from tests.conftest import Connect
from tests.support.saying import approved

NUMBERS = range(1, 41)


async def outcome(bus: Bus, number: int, name: str, title: str = "Fix it") -> int | BusError:
    try:
        return await bus.log.publish(approved(number, title), name)
    except BusError as error:
        return error


async def names(bus: Bus) -> list[str]:
    return [item.event.id for item in await bus.log.history(["rig.>"])]


@pytest.fixture
async def bus(connect: Connect) -> Bus:
    return await connect(Actor.LOCAL)


async def say(bus: Bus, numbers: range) -> list[int]:
    """All at once; their positions."""
    return await asyncio.gather(*(bus.log.publish(approved(number), f"local:{number}") for number in numbers))


async def test_each_caller_gets_the_position_of_his_own_event(bus: Bus) -> None:
    positions = await asyncio.gather(
        *(bus.log.publish(approved(number), f"local:{number}") for number in range(1, 901))
    )
    assert sorted(positions) == list(range(1, 901))
    stored = {item.event.id: item.position for item in await bus.log.history(["rig.>"])}
    assert stored == {f"local:{number}": position for number, position in enumerate(positions, start=1)}


async def test_who_comes_first_is_stored_first(bus: Bus) -> None:
    await asyncio.gather(*(bus.log.publish(approved(7, f"number {count}"), f"local:{count}") for count in range(300)))
    assert await names(bus) == [f"local:{count}" for count in range(300)]


async def test_the_same_said_by_many_at_once_is_stored_once(bus: Bus) -> None:
    positions = await asyncio.gather(*(bus.log.publish(approved(7), "local:7") for _ in range(20)))
    assert positions == [1] * 20
    assert await names(bus) == ["local:7"]


async def test_a_bad_neighbour_fails_alone(bus: Bus) -> None:
    await bus.log.publish(approved(3), "local:3")
    await bus.log.publish(approved(5), "local:5")
    results = await asyncio.gather(
        *(outcome(bus, number, f"local:{number}", "another" if number == 5 else "Fix it") for number in range(1, 41))
    )
    mismatch = results.pop(4)
    assert isinstance(mismatch, DuplicateMismatch), mismatch
    assert "local:5" in str(mismatch)
    assert results[2] == 1, "said again, the same: the position of the first"
    assert sorted(position for position in results if isinstance(position, int)) == [1, *range(3, 41)]


async def test_what_the_server_refuses_fails_alone(bus: Bus, root: NatsConnection) -> None:
    # A stream with a bound of its own: the server refuses what exceeds it, and would refuse a whole batch with it.
    await root.api("$JS.API.STREAM.UPDATE.RIG", {**await config(bus), "max_msg_size": 2_000})
    large = approved(20, body="x" * 3_000)
    results = await asyncio.gather(
        *(bus.log.publish(large if number == 20 else approved(number), f"local:{number}") for number in range(1, 41)),
        return_exceptions=True,
    )
    refused = results.pop(19)
    assert isinstance(refused, ServerRefused), refused
    assert sorted(position for position in results if isinstance(position, int)) == list(range(1, 40))


async def config(bus: Bus) -> dict[str, object]:
    info = msgspec.json.decode(await bus.connection.api("$JS.API.STREAM.INFO.RIG"))
    return dict(info["config"])


async def test_what_does_not_fit_is_refused_before_it_is_sent(bus: Bus) -> None:
    with pytest.raises(Undecodable, match="bytes, at most"):
        await bus.log.publish(approved(1, url="x" * 600_000), "local:1")
    assert await bus.log.last() is None


async def test_callers_beyond_the_bound_wait_to_be_let_in(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "WAITING_MESSAGES", 10)
    monkeypatch.setattr(writer, "BATCH_MESSAGES", 4)
    positions = await asyncio.gather(
        *(bus.log.publish(approved(number), f"local:{number}") for number in range(1, 101))
    )
    assert sorted(positions) == list(range(1, 101))


async def test_memory_is_bounded_while_the_server_is_away(
    bus: Bus, nats: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "WAITING_MESSAGES", 2)
    monkeypatch.setattr(writer, "BATCH_MESSAGES", 2)
    await nats.kill()
    patient = asyncio.create_task(say(bus, range(1, 11)))  # two are being stored, two wait, six are not let in
    while not bus.log._writer._crowded:  # noqa: ASYNC110 - nobody says that a caller waits to be let in
        await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="no more fit"):
        await bus.log.publish(approved(11), "local:11", timeout_seconds=0.3)
    assert len(bus.log._writer._queue) == 2
    await nats.start()
    assert sorted(await patient) == list(range(1, 11))


async def test_who_waits_behind_others_has_his_own_deadline(bus: Bus, nats: Server) -> None:
    await nats.kill()
    patient = asyncio.create_task(bus.log.publish(approved(1), "local:1"))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match=r"local:2 on rig\.issue\.acme\.web%2Ejs\.2\..* is not known to be"):
        await bus.log.publish(approved(2), "local:2", timeout_seconds=0.2)
    await nats.start()
    assert await patient == 1
    assert await names(bus) == ["local:1"]


@pytest.mark.parametrize("new_subject", [False, True])
async def test_a_server_that_hangs_holds_nobody_beyond_his_deadline(bus: Bus, nats: Server, new_subject: bool) -> None:
    os.kill(nats.pid, signal.SIGSTOP)
    try:
        # In the middle of the first try: a try that had come to its end would be named.
        with pytest.raises(Unavailable, match=r"local:1 on .* is not known to be stored: the server has not answered"):
            await bus.log.publish(approved(1), "local:1", new_subject=new_subject, timeout_seconds=0.3)
    finally:
        os.kill(nats.pid, signal.SIGCONT)


async def test_a_task_that_fails_leaves_nobody_behind(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [RuntimeError("a bug")]

    class Failing(Batch):
        async def commit(self, *, timeout_seconds: float = 1.0) -> int:
            if failures:
                raise failures.pop()
            return await super().commit(timeout_seconds=timeout_seconds)

    monkeypatch.setattr(writer, "Batch", Failing)
    monkeypatch.setattr(writer, "BATCH_MESSAGES", 20)
    results = await asyncio.gather(
        *(bus.log.publish(approved(number), f"local:{number}") for number in NUMBERS), return_exceptions=True
    )
    assert [isinstance(result, RuntimeError) for result in results] == [True] * 20 + [False] * 20
    assert results[20:] == list(range(1, 21))


async def test_a_refused_look_is_repeated_not_followed_by_a_second_copy(
    bus: Bus, root: NatsConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = 0.1
    await root.api("$JS.API.STREAM.UPDATE.RIG", {**await config(bus), "duplicate_window": int(window * 1e9)})
    store, find, lost, refused = writer.store_one, writer.find, [True], [True]

    async def stores_and_is_silent(*arguments: Any, **named: Any) -> int:
        position = await store(*arguments, **named)
        if lost:
            lost.pop()
            raise Unavailable("the acknowledgement was lost")
        return position

    async def refuses_once(*arguments: Any, **named: Any) -> int | None:
        if refused:
            refused.pop()
            await asyncio.sleep(3 * window)  # until the server has forgotten the id
            raise ServerRefused("looking", 10_023, "insufficient resources")
        return await find(*arguments, **named)

    monkeypatch.setattr(writer, "store_one", stores_and_is_silent)
    monkeypatch.setattr(writer, "find", refuses_once)
    assert await bus.log.publish(approved(1), "local:1") == 1
    assert await names(bus) == ["local:1"]


async def test_who_waits_when_the_bus_closes_is_told(bus: Bus, nats: Server) -> None:
    await nats.kill()
    waiting = asyncio.create_task(bus.log.publish(approved(1), "local:1"))
    await asyncio.sleep(0)
    await bus.log.close()
    with pytest.raises(Unavailable, match=r"closed|stopped"):
        await waiting
    with pytest.raises(Unavailable, match="closed"):
        await bus.log.publish(approved(2), "local:2")


async def test_a_caller_who_is_cancelled_harms_nobody(bus: Bus) -> None:
    calls = [asyncio.create_task(bus.log.publish(approved(number), f"local:{number}")) for number in range(1, 51)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    stored = {item.event.id: item.position for item in await bus.log.history(["rig.>"])}
    for number in range(2, 51, 2):
        assert results[number - 1] == stored[f"local:{number}"]
