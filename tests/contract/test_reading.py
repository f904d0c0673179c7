"""Reading the log: in order, to its end, from anywhere, and never another log than before."""

import asyncio

import pytest

from bus import LogChanged, Skipped
from bus.ensure import ensure
from bus.topology import LOG
from schemas import Actor, Recorded
from tests.contract.conftest import Carrier, MakeBus
from tests.support.saying import approved


async def test_a_reader_sees_everything_in_order_and_knows_when_it_has_caught_up(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.LOCAL, free=True)
    async with bus.log.follow() as reader:
        assert reader.caught_up, "an empty log is read to its end"
        for number in range(1, 1_203):
            await bus.connection.publish("rig.fleet.local.noise", b"%d" % number)
        await bus.log.publish(approved(), "local:1")
        positions: list[int] = []
        while not (reader.caught_up and len(positions) > 1_200):
            positions.append((await reader.next()).position)
    assert positions == list(range(1, 1_204))


async def test_a_reader_begins_where_it_is_told_and_reads_its_filter(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.LOCAL)
    for number in range(6):
        await bus.log.publish(approved(number=number % 2 + 1), f"local:{number}")
    async with bus.log.follow(["rig.issue.acme.*.2.>"], after=2) as reader:
        assert [(await reader.next()).position for _ in range(2)] == [4, 6]
        following = asyncio.create_task(reader.next())
        await bus.log.publish(approved(number=1), "local:6")
        await bus.log.publish(approved(number=2), "local:7")
        assert (await following).position == 8, "and what is said from now on"


async def test_a_reader_goes_on_where_it_stood_after_a_crash(make_bus: MakeBus, carrier: Carrier) -> None:
    bus = await make_bus(Actor.LOCAL)
    await bus.log.publish(approved(), "local:1")
    async with bus.log.follow() as reader:
        assert (await reader.next()).position == 1
        await carrier.crash()
        await carrier.restart()
        await bus.log.publish(approved(title="again"), "local:2")
        assert (await reader.next()).position == 2


async def test_a_recreated_log_is_refused(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.LOCAL, free=True)
    await bus.log.publish(approved(), "local:1")
    async with bus.log.follow() as reader:
        await reader.next()
        await bus.connection.api(f"$JS.API.STREAM.DELETE.{LOG.name}")
        await ensure(bus.connection)
        with pytest.raises(LogChanged, match="recreated"):
            await reader.next()


async def test_replay_reads_a_range_and_a_filter(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.LOCAL)
    for number in range(30):
        await bus.log.publish(approved(number=number % 3 + 1), f"local:{number}")
    assert [item.position async for item in bus.log.replay(after=10, until=20)] == list(range(11, 21))
    wanted = ["rig.issue.acme.*.1.>", "rig.issue.acme.*.3.>"]
    assert [item.position async for item in bus.log.replay(wanted, until=9)] == [1, 3, 4, 6, 7, 9]
    assert [item.position async for item in bus.log.replay(["rig.fleet.>"])] == []
    fifth = await bus.log.at(5)
    assert fifth is not None
    assert await anext(bus.log.replay(since=fifth.stored_at)) == fifth


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("rig.fleet.local.noise", b"not json"),
        ("rig.issue.acme%20corp.web.1.local.approved", b"{}"),
        ("rig.nonsense", b"{}"),
    ],
)
async def test_what_is_no_event_is_skipped_with_its_reason(make_bus: MakeBus, subject: str, body: bytes) -> None:
    bus = await make_bus(Actor.LOCAL, free=True)
    await bus.connection.request(subject, body)
    item = await bus.log.at(1)
    assert isinstance(item, Skipped)
    assert item.reason
    await bus.log.publish(approved(), "local:1")
    assert [item.position for item in await bus.log.history(["rig.>"]) if isinstance(item, Recorded)] == [2]
