"""Bulk replay against a real server: what is stored comes in order, once, and what was lost on the way is noticed."""

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

import bus.replay
from bus import Bus, LogChanged, Skipped, Unavailable
from bus.connection import Heard, Message
from bus.ensure import ensure
from bus.look import Look
from bus.replay import Replay, replay
from bus.topology import LOG
from deploy.embedded.server import Server
from schemas import Actor, Draft, IssueApproved, IssueRef, Recorded
from tests.conftest import Connect
from tests.support.wire import NOISE, overhear, say


async def positions(bus: Bus, filters: Sequence[str] = ("rig.>",), **bounds: int) -> list[int]:
    return [item.position async for batch in replay(bus.connection, filters, **bounds) for item in batch]


@pytest.fixture
def connect(connect_freely: Connect) -> Connect:
    """These tests use subjects, and make durables, that no role has."""
    return connect_freely


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus.replay, "BATCH_COUNT", 10)


async def test_a_range_is_read_by_position_and_by_time(connect: Connect) -> None:
    role = await connect(Actor.LOCAL)
    assert await positions(role) == []
    await say(role, 1_500)
    middle = datetime.now(UTC)
    await say(role, 1_000)
    assert await positions(role) == list(range(1, 2_501))
    assert await positions(role, after=1_234, until=1_240) == list(range(1_235, 1_241))
    assert await positions(role, after=2_500) == []
    assert await positions(role, after=9_999) == []
    since = [item.position async for item in role.log.replay(since=middle)]
    assert since == list(range(1_501, 2_501))
    assert [item.position async for item in role.log.replay(since=middle, after=2_000)] == list(range(2_001, 2_501))
    assert [item async for item in role.log.replay(since=middle + timedelta(hours=1))] == []
    assert len([item async for item in role.log.replay(since=middle - timedelta(hours=1))]) == 2_500


@pytest.mark.usefixtures("small_batches")
async def test_filters_are_merged_in_order_and_what_two_of_them_match_comes_once(connect: Connect) -> None:
    role = await connect(Actor.LOCAL)
    await say(role, 90, ["rig.fleet.local.a", "rig.fleet.local.b", "rig.fleet.cli.b"])
    await say(role, 60, ["rig.fleet.local.c"])  # a long stretch that matches nothing
    await say(role, 3, ["rig.fleet.local.a", "rig.fleet.local.b", "rig.fleet.cli.b"])
    matching = [number for number in range(1, 91) if number % 3 != 0] + [151, 152]
    assert await positions(role, ["rig.fleet.local.a", "rig.fleet.local.b"]) == matching
    assert await positions(role, ["rig.fleet.*.b", "rig.fleet.cli.*", "rig.fleet.cli.b"]) == [
        number for number in (*range(1, 91), 151, 152, 153) if number % 3 != 1
    ]
    assert await positions(role, ["rig.fleet.local.a", "rig.>"]) == list(range(1, 154))
    assert await positions(role, ["rig.fleet.local.nothing", "rig.issue.>"]) == []


async def test_events_come_decoded_and_what_is_none_is_skipped(connect: Connect) -> None:
    role = await connect(Actor.LOCAL)
    await role.log.publish(
        Draft(about=IssueRef("acme", "web", 7), data=IssueApproved(title="Fix", author="a")), "local:1"
    )
    await say(role, 1)
    first, second = [item async for item in role.log.replay()]
    assert isinstance(first, Recorded)
    assert first == await role.log.at(1)
    assert isinstance(second, Skipped)
    assert second == await role.log.at(2)


async def test_headers_that_a_writer_forged_mean_nothing(connect: Connect) -> None:
    role = await connect(Actor.LOCAL)
    names = ("Sequence", "Last-Sequence", "Num-Pending", "Subject", "Stream", "Time-Stamp")
    for status in ("204", "404", "503"):
        forged = {"Status": status, "Description": "EOB", **{f"Nats-{name}": "0" for name in names}}
        await role.connection.request(NOISE, b"", headers=forged)
    assert await positions(role) == [1, 2, 3]
    assert [item.position for item in [await role.log.at(number) for number in (1, 2, 3)] if item] == [1, 2, 3]


@pytest.mark.usefixtures("small_batches")
async def test_no_more_than_two_batches_are_asked_for_ahead(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    role = await connect(Actor.LOCAL)
    await say(role, 100)
    came = 0

    def count(message: Message, hear: Heard) -> None:
        nonlocal came
        came += "Nats-Sequence" in (message.headers or {})
        hear(message)

    overhear(role.connection, monkeypatch, count)
    look = Look(role.connection, LOG)
    async with Replay(role.connection, ["rig.>"], look, after=0, until=await look.end(0)) as reading:
        assert len(await reading.batch()) == 10
        for _ in range(3):
            await role.connection.check()  # whatever was on its way has come by now
        assert came == 20
        assert len(await reading.batch()) == 10


# ── faults ───────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("filters", [["rig.>"], ["rig.fleet.local.a", "rig.fleet.local.b"]], ids=["one", "two"])
async def test_what_is_lost_on_the_way_is_asked_for_again(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, filters: Sequence[str]
) -> None:
    role = await connect(Actor.LOCAL)
    await say(role, 120, ["rig.fleet.local.a", "rig.fleet.local.b"])
    monkeypatch.setattr(bus.replay, "_PATIENCE_SECONDS", 0.05)
    chance, lost = random.Random(4), 0  # noqa: S311 - a fixed seed

    def drop(message: Message, hear: Heard) -> None:
        nonlocal lost
        if chance.random() < 0.1:
            lost += 1
        else:
            hear(message)

    overhear(role.connection, monkeypatch, drop)
    assert await positions(role, filters) == list(range(1, 121))
    assert lost > 5


@pytest.mark.usefixtures("small_batches")
async def test_a_replay_goes_on_after_a_restart_of_the_server(connect: Connect, nats: Server) -> None:
    role = await connect(Actor.LOCAL)
    await say(role, 100)
    seen: list[int] = []
    async for batch in replay(role.connection, ["rig.>"]):
        seen += [item.position for item in batch]
        if len(seen) in (10, 50):
            await nats.kill()
            await nats.start()
    assert seen == list(range(1, 101))


@pytest.mark.usefixtures("small_batches")
async def test_a_log_that_is_recreated_in_the_middle_is_refused(connect: Connect) -> None:
    role = await connect(Actor.LOCAL)
    await say(role, 100)

    async def reading() -> None:
        async for batch in replay(role.connection, ["rig.>"]):
            if batch[-1].position == 20:
                await role.connection.api(f"$JS.API.STREAM.DELETE.{LOG.name}")
                await ensure(role.connection)

    with pytest.raises(LogChanged, match="recreated"):
        await reading()


@pytest.mark.usefixtures("small_batches")
async def test_a_server_that_does_not_come_back_is_said(
    connect: Connect, nats: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus.replay, "_PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(bus.replay, "_GIVE_UP_SECONDS", 0.2)
    monkeypatch.setattr("bus.look.LOOK_SECONDS", 0.2)
    role = await connect(Actor.LOCAL)
    await say(role, 100)

    async def reading() -> None:
        async for _ in replay(role.connection, ["rig.>"]):
            await nats.stop()

    with pytest.raises(Unavailable):
        await reading()


class Replicated(Look):
    """Believes that the stream has replicas."""

    async def _end(self) -> int:
        last = await super()._end()
        self.replicated = True
        return last


@pytest.mark.usefixtures("small_batches")
async def test_an_end_that_a_lagging_replica_tells_is_not_believed(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that lags answers as if the log ended early: here, to the first questions, as if it ended at once."""
    role = await connect(Actor.LOCAL)
    await say(role, 30)
    publish, asked = role.connection.publish, 0

    async def publishing(
        subject: str, body: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        nonlocal asked
        if "DIRECT.GET" in subject:
            asked += 1
            if asked in (1, 2, 4):
                body = msgspec.json.encode(msgspec.json.decode(body, type=dict[str, object]) | {"seq": 1_000})
        await publish(subject, body, reply=reply, headers=headers)

    monkeypatch.setattr(role.connection, "publish", publishing)
    for filters in (["rig.>"], ["rig.fleet.>"], ["rig.fleet.local.noise"]):
        asked = 0
        look = Replicated(role.connection, LOG)
        end = await look.end(0)
        seen: list[int] = []
        async with Replay(role.connection, filters, look, after=0, until=end) as reading:
            while batch := await reading.batch():
                seen += [item.position for item in batch]
        assert seen == list(range(1, 31))
        assert asked > 4
