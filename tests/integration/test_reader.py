"""The ordered reader against a real server: everything, in order, once, whatever is lost on the way to it."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress

import pytest

import bus.follow
import bus.look
import bus.replay
from bus import Bus, LogChanged, Reader, Unavailable
from bus.connection import Heard, Message
from bus.ensure import ensure
from bus.follow import QUIET_SECONDS
from bus.look import Look
from bus.topology import LOG, PRESENCE, RUNS
from deploy.embedded.server import Server
from schemas import Actor, AgentStatus, Heartbeat
from tests.conftest import Connect
from tests.support.saying import approved
from tests.support.wire import NOISE, overhear, say


@pytest.fixture
def connect(connect_freely: Connect) -> Connect:
    """These tests use subjects, and do to streams, what no role may."""
    return connect_freely


async def read(reader: Reader, count: int) -> list[int]:
    """The positions of the next messages."""
    return [(await reader.next()).position for _ in range(count)]


async def answered(role: Bus) -> None:
    """Waits until the connection is back."""
    while True:
        with suppress(Unavailable):
            return await role.connection.check()


async def recreate(role: Bus) -> None:
    await role.connection.api(f"$JS.API.STREAM.DELETE.{LOG.name}")
    await ensure(role.connection)


async def test_a_reader_sees_everything_in_order_and_knows_when_it_has_caught_up(connect: Connect) -> None:
    role = await connect(Actor.LOCAL)
    async with role.log.follow() as reader:
        assert reader.caught_up, "an empty log is read to its end"
        await say(role, 1_202)
        await role.log.publish(approved(), "local:1")
        positions: list[int] = []
        while not (reader.caught_up and len(positions) > 1_200):
            positions.append((await reader.next()).position)
    assert positions == list(range(1, 1_204))


async def test_caught_up_is_said_with_the_last_event_and_not_before(connect: Connect) -> None:
    role = await connect(Actor.LOCAL)
    await say(role, 1_200, ["rig.fleet.local.a", "rig.fleet.local.b", "rig.fleet.local.c"])
    for filters, last in ([["rig.>"], 1_200], [["rig.fleet.local.a", "rig.fleet.local.b"], 1_199]):
        async with role.log.follow(filters) as reader:
            while not reader.caught_up:
                await reader.next()
        assert reader.position == last
    async with role.log.follow(["rig.issue.>"]) as reader:
        assert reader.caught_up, "nothing is there for it"
    async with role.log.follow(after=1_200) as reader:
        assert reader.caught_up


async def test_what_is_live_is_not_asked_for(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    role = await connect(Actor.LOCAL)
    async with role.log.follow() as everything, role.log.follow(["rig.fleet.local.*", "rig.issue.>"]) as some:
        publish, asked = role.connection.publish, []

        async def publishing(
            subject: str, body: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
        ) -> None:
            asked.append("DIRECT.GET" in subject)
            await publish(subject, body, reply=reply, headers=headers)

        monkeypatch.setattr(role.connection, "publish", publishing)
        monkeypatch.setattr(bus.follow, "QUIET_SECONDS", 60)
        await say(role, 300, [NOISE, "rig.fleet.local.b", "rig.issue.a.b.1.local.c"])
        assert await read(everything, 300) == await read(some, 300) == list(range(1, 301))
        assert everything.caught_up
        assert some.caught_up
        assert True not in asked


async def test_live_messages_on_several_filters_come_in_order_and_once(connect: Connect) -> None:
    role, writer = await connect(Actor.LOCAL), await connect(Actor.CLI)
    async with role.log.follow(["rig.fleet.local.*", "rig.fleet.*.b", "rig.issue.>"]) as reader:
        subjects = ["rig.fleet.local.a", "rig.fleet.local.b", "rig.issue.a.b.1.local.c", "rig.fleet.cli.b"]
        saying = asyncio.create_task(say(writer, 1_000, subjects))
        seen: list[int] = []
        while len(seen) < 1_000:
            if reader.caught_up:
                await asyncio.sleep(0)  # always about to read: also between one subscription's turn and the other's
            else:
                seen += await read(reader, 1)
        assert seen == list(range(1, 1_001))
        await saying


async def test_a_caller_that_gives_up_loses_nothing(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus.replay, "BATCH_COUNT", 10)
    monkeypatch.setattr(bus.follow, "QUIET_SECONDS", 0.01)
    role, writer = await connect(Actor.LOCAL), await connect(Actor.CLI)
    await say(role, 200, [NOISE, "rig.fleet.local.b"])
    chance, seen = random.Random(7), []  # noqa: S311 - a fixed seed
    async with role.log.follow([NOISE, "rig.fleet.local.b"]) as reader:
        saying = asyncio.create_task(say(writer, 200, [NOISE, "rig.fleet.local.b"]))
        while len(seen) < 400:
            try:
                async with asyncio.timeout(chance.random() * 0.002):
                    seen += await read(reader, 1)
            except TimeoutError:
                continue
        await saying
    assert seen == list(range(1, 401))


@pytest.mark.parametrize("lost", ["a look", "the end of a batch"])
async def test_a_reader_of_a_part_says_with_its_last_event_that_it_has_caught_up(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    role = await connect(Actor.LOCAL)
    await say(role, 4, [NOISE, "rig.fleet.local.b"])
    looks, ends, api = 0, 0, role.connection.api

    async def failing(subject: str, request: object = None, *, timeout_seconds: float = 5.0) -> bytes:
        nonlocal looks
        looks += "STREAM.INFO" in subject
        if "STREAM.INFO" in subject and looks == 2 and lost == "a look":
            raise Unavailable("played")
        return await api(subject, request, timeout_seconds=timeout_seconds)

    def drop(message: Message, hear: Heard) -> None:
        nonlocal ends
        ends += (message.headers or {}).get("Status") == "204"
        if (message.headers or {}).get("Status") != "204" or ends > 1 or lost == "a look":
            hear(message)

    overhear(role.connection, monkeypatch, drop)
    monkeypatch.setattr(role.connection, "api", failing)
    monkeypatch.setattr(bus.replay, "_PATIENCE_SECONDS", 0.1)
    async with role.log.follow([NOISE]) as reader:
        assert await read(reader, 1) == [1]
        assert not reader.caught_up
        assert await read(reader, 1) == [3]
        assert reader.caught_up
    assert looks > 2 if lost == "a look" else ends > 0


async def test_who_could_not_read_on_has_not_caught_up(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus.replay, "BATCH_COUNT", 2)
    role = await connect(Actor.LOCAL)
    await say(role, 6)
    silent = True

    def drop(message: Message, hear: Heard) -> None:
        headers = message.headers or {}
        last = headers.get("Nats-Sequence") or headers.get("Nats-Last-Sequence") or "0"
        if not silent or int(last) <= 2:
            hear(message)

    overhear(role.connection, monkeypatch, drop)
    async with role.log.follow() as reader:
        assert await read(reader, 2) == [1, 2]
        with monkeypatch.context() as impatient:
            impatient.setattr(bus.replay, "_PATIENCE_SECONDS", 0.05)
            impatient.setattr(bus.replay, "_GIVE_UP_SECONDS", 0.05)
            given_up = asyncio.Event()
            impatient.setattr(reader, "_wait", lambda *_: given_up.set() or asyncio.sleep(3600))
            reading = asyncio.create_task(reader.next())
            await given_up.wait()
            assert not reader.caught_up
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        silent = False
        assert await read(reader, 4) == [3, 4, 5, 6]
        assert reader.caught_up


# ── a stream that is not the one that was read ───────────────────────────────


async def test_a_recreated_log_is_refused(connect: Connect) -> None:
    role = await connect(Actor.LOCAL)
    await role.log.publish(approved(), "local:1")
    async with role.log.follow() as reader:
        await reader.next()
        await recreate(role)
        with pytest.raises(LogChanged, match="recreated"):
            await reader.next()


async def test_a_recreated_log_is_refused_at_once_when_it_speaks(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus.follow, "QUIET_SECONDS", 60)
    role = await connect(Actor.LOCAL)
    async with role.log.follow() as reader:
        await say(role, 3)
        await read(reader, 3)
        await recreate(role)
        await say(role, 10)
        with pytest.raises(LogChanged, match="recreated"):
            await reader.next()


async def test_a_log_that_ends_before_what_was_read_is_refused(connect: Connect) -> None:
    role = await connect(Actor.LOCAL)
    await say(role, 3)
    with pytest.raises(LogChanged, match="ends at 3, but it was read up to 4"):
        async with role.log.follow(after=4):
            pass


async def test_a_recreated_log_is_refused_by_who_has_only_read_what_was_stored(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus.follow, "QUIET_SECONDS", 60)
    role = await connect(Actor.LOCAL)
    await say(role, 3)
    async with role.log.follow([NOISE]) as reader:
        await read(reader, 3)
        await recreate(role)
        await say(role, 10)
        with pytest.raises(LogChanged, match="recreated"):
            await reader.next()


# ── losses ───────────────────────────────────────────────────────────────────


async def test_a_reader_goes_on_where_it_stood_after_a_restart_of_the_server(connect: Connect, nats: Server) -> None:
    role = await connect(Actor.LOCAL)
    await role.log.publish(approved(), "local:1")
    async with role.log.follow() as reader:
        assert (await reader.next()).position == 1
        await nats.kill()
        await nats.start()
        await role.log.publish(approved(title="again"), "local:2")
        assert (await reader.next()).position == 2


async def test_a_server_that_is_away_at_the_beginning_is_waited_for(
    connect: Connect, nats: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = await connect(Actor.LOCAL)
    await say(role, 1)
    refused, end = asyncio.Event(), Look.end

    async def looking(self: Look, position: int) -> int:
        try:
            return await end(self, position)
        except Unavailable:
            refused.set()
            raise

    monkeypatch.setattr(Look, "end", looking)

    async def reading() -> int:
        async with role.log.follow() as reader:
            assert not reader.caught_up
            return (await reader.next()).position

    await nats.kill()
    with monkeypatch.context() as impatient:
        impatient.setattr(bus.look, "LOOK_SECONDS", 0.1)
        first = asyncio.create_task(reading())
        await refused.wait()
    await nats.start()
    assert await first == 1


async def test_who_reads_on_a_closed_connection_is_told(connect: Connect) -> None:
    role = await connect(Actor.LOCAL)
    async with role.log.follow() as reader:
        await role.close()
        with pytest.raises(Unavailable):
            await reader.next()
        with pytest.raises(Unavailable):
            async with role.log.follow():
                pass


async def test_after_a_reconnect_the_stream_is_read_before_what_is_heard(
    connect: Connect, nats: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus.follow, "QUIET_SECONDS", 60)
    role, writer = await connect(Actor.LOCAL), await connect(Actor.CLI)

    def drop(message: Message, hear: Heard) -> None:
        if (message.headers or {}).get("Nats-Sequence") != "2" or not message.subject.startswith("stored."):
            hear(message)

    overhear(role.connection, monkeypatch, drop)  # it was stored while the reader had no connection
    async with role.log.follow([NOISE]) as reader:
        await say(writer, 2)
        assert await read(reader, 1) == [1]
        reading = asyncio.create_task(read(reader, 2))
        await nats.kill()
        await nats.start()
        await answered(role)
        await answered(writer)
        await say(writer, 1)
        assert await reading == [2, 3]


@pytest.mark.parametrize("filters", [["rig.>"], ["rig.fleet.local.noise", "rig.issue.>"]], ids=["everything", "some"])
async def test_nothing_is_missed_while_a_server_is_killed_again_and_again(
    connect: Connect, nats: Server, filters: Sequence[str]
) -> None:
    role, writer = await connect(Actor.LOCAL), await connect(Actor.CLI)

    async def saying() -> None:
        for number in range(300):
            while True:
                try:
                    headers = {"Nats-Msg-Id": f"{number}"}
                    await writer.connection.request(NOISE, b"%d" % number, headers=headers, timeout_seconds=0.5)
                except Unavailable:
                    continue
                break
            if number in (100, 200):
                await nats.kill()
                await nats.start()

    async with role.log.follow(filters) as reader:
        writing = asyncio.create_task(saying())
        bodies = [(await reader.next()).body for _ in range(300)]
        await writing
    assert bodies == [b"%d" % number for number in range(300)]


async def test_a_caller_that_gives_up_early_does_not_hide_a_silence(connect: Connect, nats: Server) -> None:
    role = await connect(Actor.LOCAL)
    async with role.log.follow() as reader:
        await nats.kill()
        await nats.start()
        await role.log.publish(approved(), "local:1")
        patience, position = 0.25, 0
        while not position:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    position = (await reader.next()).position
            patience = min(1.1 * patience, 0.9 * QUIET_SECONDS)  # always too short to notice that it was quiet
    assert position == 1


async def test_messages_that_are_lost_on_the_way_are_read_from_the_stream(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    role, writer = await connect(Actor.LOCAL), await connect(Actor.CLI)
    chance, lost = random.Random(3), 0  # noqa: S311 - a fixed seed

    def drop(message: Message, hear: Heard) -> None:
        nonlocal lost
        if message.subject.startswith("stored.") and chance.random() < 0.2:
            lost += 1
        else:
            hear(message)

    overhear(role.connection, monkeypatch, drop)
    async with role.log.follow() as reader:
        saying = asyncio.create_task(say(writer, 500))
        assert await read(reader, 500) == list(range(1, 501))
        await saying
    assert lost > 50


@pytest.mark.parametrize("clustered", [False, True], ids=["found in a second of quiet", "in order, in a cluster"])
async def test_a_reader_of_a_part_finds_what_was_lost(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, clustered: bool
) -> None:
    class Looking(Look):
        async def _end(self) -> int:
            last = await super()._end()
            self.clustered = clustered
            return last

    monkeypatch.setattr(bus.follow, "Look", Looking)
    role = await connect(Actor.LOCAL)
    lose = {2} if clustered else {3}  # without a cluster, nothing is lost between two that arrive

    def drop(message: Message, hear: Heard) -> None:
        if message.subject.startswith("stored.") and int((message.headers or {})["Nats-Sequence"]) in lose:
            return
        hear(message)

    overhear(role.connection, monkeypatch, drop)
    async with role.log.follow([NOISE]) as reader:
        await say(role, 3)
        assert await read(reader, 3) == [1, 2, 3]
        assert reader.caught_up


async def test_what_waits_is_bounded_and_then_read_from_the_stream(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus.follow, "WAITING_COUNT", 20)
    role = await connect(Actor.LOCAL)
    kept: set[int] = set()
    async with role.log.follow() as reader, role.log.follow([NOISE]) as other:
        await say(role, 200)
        for number in range(1, 201):
            assert not reader.caught_up
            assert await read(reader, 1) == [number]
            kept.add(len(reader._heard))
        assert reader.caught_up
        assert max(kept) <= 20
        monkeypatch.setattr(bus.follow, "WAITING_BYTES", 4)
        await say(role, 100)
        assert await read(other, 300) == list(range(1, 301))


async def test_what_no_stream_said_is_not_heard(connect: Connect) -> None:
    role = await connect(Actor.LOCAL)
    async with role.log.follow() as reader:
        place = {"Nats-Sequence": "1", "Nats-Subject": NOISE, "Nats-Time-Stamp": "2026-01-01T00:00:00Z"}
        for headers in ({}, place, place | {"Nats-Stream": "OTHER"}, {"Nats-Stream": "RIG", "Nats-Sequence": "x"}):
            await role.connection.publish(f"stored.{NOISE}", b"forged", headers=headers)
            await role.connection.check()  # it has come by now
            assert reader.caught_up
        await say(role, 1)
        assert (await reader.next()).body == b"last"


async def test_a_quiet_second_hides_nothing(connect: Connect) -> None:
    role = await connect(Actor.LOCAL)
    async with role.log.follow() as reader:
        await role.log.publish(approved(), "local:1")
        await reader.next()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5 * QUIET_SECONDS):
                await reader.next()
        assert reader.caught_up
        await say(role, 1)
        assert await read(reader, 1) == [2]


# ── other streams ────────────────────────────────────────────────────────────


async def test_heartbeats_and_their_end_are_read_as_they_are_stored(connect: Connect) -> None:
    role = await connect(Actor.DEV_E)
    beat = Heartbeat(agent="dev-e-1", role="dev-e", boot="b1", status=AgentStatus.IDLE, slots_free=1, provider="none")
    async with Reader(role.connection, ["presence.>"], stream=PRESENCE) as reader:
        await role.presence.beat(beat, ttl_seconds=1)
        first, marker = await reader.next(), await reader.next()
    assert first.subject == marker.subject == "presence.dev-e.dev-e-1"
    assert b"dev-e-1" in first.body
    assert (marker.body, marker.headers["Nats-Marker-Reason"]) == (b"", "MaxAge")


async def test_a_stream_that_says_nothing_again_is_looked_at(connect: Connect) -> None:
    role = await connect(Actor.DEV_E)
    async with Reader(role.connection, ["run.>"], stream=RUNS) as reader:
        await role.runs.write("r1", b"one")
        await role.runs.write("r1", b"two")
        assert [(await reader.next()).body for _ in range(2)] == [b"one", b"two"]
        assert reader.caught_up
