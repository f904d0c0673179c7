"""The projector on real servers: the whole log in Postgres, once, in order, whatever goes away in between."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec import Struct

from bus import Bus, LogChanged, Stored
from bus.client import NatsConnection
from conductor.postgres import STATEMENT_SECONDS, PostgresAway, Session
from conductor.postgres import connect as connect_postgres
from conductor.projector import run_projector, witness
from conductor.projector.store import check_contiguous
from deploy.embedded.nats import NatsServer, embedded_nats
from deploy.embedded.postgres import embedded_postgres
from machine.lifecycle import Lifecycle
from schemas import (
    Actor,
    Event,
    IssueApproved,
    IssueRef,
    Priority,
    PriorityChanged,
    RepositoryAdded,
    RetryRequested,
    Stopped,
)
from tests.support.readside import database, projecting, reached, rows, say
from tests.support.servers import connected
from tests.support.waiting import until

Connect = Callable[..., Awaitable[Bus]]

APPROVED = IssueApproved(title="Fix total", author="ann")


@pytest.fixture
async def bus(connect: Connect) -> Bus:
    """Speaks as the GitHub bridge, which may say what people and forges do."""
    return await connect(Actor.GITHUB)


async def say_raw(bus: Bus, body: bytes, *, subject: str = "rig.issue.demo.shop.1.github.stopped") -> None:
    """Whatever a role with a key could put into the log; without an id, the server knows no copy."""
    await bus.connection.request(subject, body)


async def everything(url: str) -> list[list[tuple[Any, ...]]]:
    """What the read side holds, to compare with another time."""
    return [
        await rows(url, f"select * from (select {columns} from rig.{table}) as t order by 1, 2")  # noqa: S608 - our own words
        for table, columns in {
            "events": "position, subject, id, body::text, repeats, skipped",
            "issues": "key, state, row::text",
            "agents": "key, row::text",
            "repositories": "key, row::text",
            "projection": "position, singleton",
        }.items()
    ]


async def test_every_event_is_a_row_and_the_models_tell_what_they_say(bus: Bus, postgres_url: str) -> None:
    await say(bus, RepositoryAdded(clone_url="/srv/shop", check="make test", by="ann"))
    await say(bus, APPROVED)
    last = await say(bus, Stopped(by="ann"))
    async with projecting(bus, postgres_url):
        await reached(postgres_url, last)
    assert await rows(postgres_url, "select position, type, actor, id from rig.events order by position") == [
        (1, "rig.repo.added.v1", "github", "RepositoryAdded-1"),
        (2, "rig.issue.approved.v1", "github", "IssueApproved-1"),
        (3, "rig.issue.stopped.v1", "github", "Stopped-1"),
    ]
    assert await rows(postgres_url, "select key, state, opened from rig.issues") == [("demo/shop#1", "stopped", 2)]
    assert await rows(postgres_url, "select key, removed from rig.repositories") == [("demo/shop", False)]
    assert await rows(postgres_url, "select body->'data'->>'by' from rig.events where position = 3") == [("ann",)]


async def test_started_again_it_goes_on_behind_what_it_has_written(bus: Bus, postgres_url: str) -> None:
    await say(bus, APPROVED)
    async with projecting(bus, postgres_url):
        await reached(postgres_url, 1)
    await say(bus, Stopped(by="ann"))
    async with projecting(bus, postgres_url):
        await reached(postgres_url, 2)
        await say(bus, RetryRequested(by="ann"))
        await reached(postgres_url, 3)
    assert await rows(postgres_url, "select position from rig.events order by 1") == [(1,), (2,), (3,)]
    assert await rows(postgres_url, "select state from rig.issues") == [("queued",)]


async def test_two_projectors_at_once_write_everything_once(bus: Bus, postgres_url: str) -> None:
    numbers = range(1, 401)
    for start in range(0, 400, 50):
        batch = [say(bus, APPROVED, issue=IssueRef("demo", "shop", number)) for number in numbers[start : start + 50]]
        await asyncio.gather(*batch)
    async with projecting(bus, postgres_url), projecting(bus, postgres_url):
        await say(bus, Stopped(by="ann"))
        await reached(postgres_url, 401)
    assert await rows(postgres_url, "select count(*), max(position) from rig.events") == [(401, 401)]
    assert await rows(postgres_url, "select count(*) from rig.issues") == [(400,)]


async def test_the_same_event_long_after_is_recorded_and_changes_nothing(bus: Bus, postgres_url: str) -> None:
    await say(bus, APPROVED)
    await say(bus, Stopped(by="ann"), id="stop")
    await say(bus, RetryRequested(by="ann"))
    stopped = await bus.log.at(2)
    async with projecting(bus, postgres_url):
        await reached(postgres_url, 3)
        (body,) = (await rows(postgres_url, "select body::text from rig.events where position = 2"))[0]
        await say_raw(bus, body.encode())  # outside the server's window, it would store a copy
        await reached(postgres_url, 4)
    assert stopped is not None
    assert await rows(postgres_url, "select id, repeats from rig.events where position = 4") == [("stop", 2)]
    assert await rows(postgres_url, "select state from rig.issues") == [("queued",)]


async def test_another_fact_under_an_id_that_was_used_is_no_repetition(bus: Bus, postgres_url: str) -> None:
    """It is recorded as a fact of its own. The conductor knows a wish by its id, and so that is what is shown."""
    await say(bus, APPROVED)
    await say(bus, PriorityChanged(priority=Priority.HIGH, by="ann"), id="one")
    async with projecting(bus, postgres_url):
        await reached(postgres_url, 2)
        (body,) = (await rows(postgres_url, "select body::text from rig.events where position = 2"))[0]
        changed = body.replace('"high"', '"low"').encode()
        await say_raw(bus, changed, subject="rig.issue.demo.shop.1.github.priority_changed")
        await reached(postgres_url, 3)
    assert await rows(postgres_url, "select repeats from rig.events where position = 3") == [(None,)]
    assert await rows(postgres_url, "select row->>'priority' from rig.issues") == [("high",)]


def document(**changed: object) -> bytes:
    said = {
        "specversion": "1.0",
        "id": "odd",
        "source": "test",
        "type": "rig.issue.stopped.v1",
        "subject": "rig.issue.demo.shop.1.github.stopped",
        "time": "2026-01-01T00:00:00Z",
        "data": {"by": "ann"},
    }
    return json.dumps({**said, **changed}).encode()


ODD = {
    "not JSON": b"\xff{",
    "empty": b"",
    "an unknown type": document(type="rig.issue.vanished.v1"),
    "a naive time": document(time="2026-01-01T00:00:00"),
    "a time that UTC cannot hold": document(time="0001-01-01T00:00:00+14:00"),
    "NUL in its id": document(id="a\0b"),
    "NUL in its text": document(data={"by": "ann", "note": "a\0b"}),
    "an unknown field of bytes that are no text": document(extra="?").replace(b"?", b"\xff\xfe"),
    "an unknown field of half a character": document(extra="\ud800"),
    "a deep unknown field": document(extra=json.loads("[" * 900 + "]" * 900)),
    "a long number": document(extra=10**400),
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD.keys())
async def test_whatever_stands_in_the_log_the_projector_goes_on_behind_it(
    bus: Bus, postgres_url: str, body: bytes
) -> None:
    await say(bus, APPROVED)
    await say_raw(bus, body)
    last = await say(bus, RetryRequested(by="ann"))
    async with projecting(bus, postgres_url):
        await reached(postgres_url, last)
    assert await rows(postgres_url, "select position from rig.events order by 1") == [(1,), (2,), (3,)]


async def test_a_position_that_holds_no_event_is_a_row_with_the_reason(bus: Bus, postgres_url: str) -> None:
    await say_raw(bus, b"not JSON")
    async with projecting(bus, postgres_url):
        await reached(postgres_url, 1)
    ((subject, why),) = await rows(postgres_url, "select subject, skipped from rig.events")
    assert (subject, why[:12]) == ("rig.issue.demo.shop.1.github.stopped", "not an event")


async def test_postgres_goes_away_and_nothing_is_lost(bus: Bus, tmp_path: Path) -> None:
    await say(bus, APPROVED)
    async with embedded_postgres(tmp_path / "postgres") as server, projecting(bus, server.url) as life:
        await reached(server.url, 1)
        for time in range(3):
            await until(lambda: life.checks["postgres"].ok)
            await asyncio.gather(server.kill(), say(bus, Stopped(by="ann"), id=f"stop-{time}"))
            await until(lambda: not life.checks["postgres"].ok)
            assert "PostgreSQL: " in life.checks["postgres"].detail
            last = await say(bus, RetryRequested(by="ann"), id=f"retry-{time}")
            await server.start()
            await reached(server.url, last)
        assert await rows(server.url, "select count(*), max(position) from rig.events") == [(7, 7)]
        assert await rows(server.url, "select state from rig.issues") == [("queued",)]
        await server.kill()  # its data is thrown away: no need to wait until it is on disk


async def test_who_falls_silent_in_a_transaction_loses_its_session(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would hold up every other projector until the network gives it up, hours later."""
    monkeypatch.setattr("conductor.postgres.IDLE_STATEMENTS", 0.1 / STATEMENT_SECONDS)

    async def fall_silent() -> None:
        session = await connect_postgres(postgres_url, name="test")
        async with session.transaction():
            await session.row("lock_position", _Position)
            await session.lost.wait()

    with pytest.raises(PostgresAway, match=r"idle|closed"):
        await fall_silent()


class _Position(Struct):
    position: int


async def test_it_starts_while_postgres_is_away_and_stops_when_asked(bus: Bus) -> None:
    async with projecting(bus, "postgresql://rig@127.0.0.1:1/rig") as life:
        await until(lambda: "postgres" in life.checks)
        assert not life.checks["postgres"].ok


async def test_what_is_dropped_is_written_again_from_the_log(bus: Bus, postgres_url: str) -> None:
    for event in (APPROVED, Stopped(by="ann"), RetryRequested(by="ann")):
        await say(bus, event)
    async with projecting(bus, postgres_url):
        await reached(postgres_url, 3)
        before = await everything(postgres_url)
        async with database(postgres_url) as db:
            await db.execute("drop schema rig cascade")
        await say(bus, PriorityChanged(priority=Priority.LOW, by="ann"))
        await reached_again(postgres_url, 4)
    async with database(postgres_url) as db:
        await db.execute("drop schema rig cascade")
    async with projecting(bus, postgres_url):
        await reached_again(postgres_url, 4)
    after = await everything(postgres_url)
    assert after[0][:3] == before[0]
    assert [len(table) for table in after] == [4, 1, 0, 0, 1]


async def reached_again(url: str, position: int) -> None:
    """As `reached`, while the tables may be gone."""
    while True:
        try:
            if (await rows(url, "select position from rig.projection"))[0][0] >= position:
                return
        except asyncpg.UndefinedTableError:
            await asyncio.sleep(0.002)


async def test_an_older_copy_of_the_database_is_brought_up_to_date_while_it_runs(bus: Bus, postgres_url: str) -> None:
    for event in (APPROVED, Stopped(by="ann")):
        await say(bus, event)
    async with projecting(bus, postgres_url):
        await reached(postgres_url, 2)
        async with database(postgres_url) as db, db.transaction():
            await db.execute("update rig.projection set position = 1; delete from rig.events where position = 2")
        await say(bus, RetryRequested(by="ann"))
        await reached(postgres_url, 3)
    assert await rows(postgres_url, "select position from rig.events order by 1") == [(1,), (2,), (3,)]


async def test_a_log_that_is_read_on_while_it_is_compared_has_lost_nothing(
    bus: Bus, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await say(bus, APPROVED)
    session = await connect_postgres(postgres_url, name="test")
    async with projecting(bus, postgres_url):
        await reached(postgres_url, 1)

        async def position(asking: Session) -> int:
            await reached(postgres_url, await say(bus, Stopped(by="ann")))
            return await at_once(asking)

        at_once = witness.position
        monkeypatch.setattr(witness, "position", position)
        await witness.check(bus.connection, session)
    await session.close()


# ── another log than the one that was read ───────────────────────────────────


@asynccontextmanager
async def a_log(directory: Path, *events: Event) -> AsyncGenerator[Bus]:
    async with (
        embedded_nats(directory) as server,
        await connected(server, Actor.GITHUB) as bus,
    ):
        for event in events:
            await say(bus, event)
        yield bus


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ((), "the log lacks positions 1 to 2: it ends at 0"),
        ((APPROVED,), "the log lacks position"),
        ((APPROVED, Stopped(by="bob"), RetryRequested(by="bob")), "holds at positions 1 to 2 other messages"),
        ((APPROVED, RetryRequested(by="ann")), "holds at positions 1 to 2 other messages"),
    ],
    ids=["empty", "shorter", "other", "other subject"],
)
async def test_another_log_is_refused_by_name_and_nothing_is_written(
    tmp_path: Path, postgres_url: str, other: tuple[Event, ...], why: str
) -> None:
    async with a_log(tmp_path / "one", APPROVED, Stopped(by="ann")) as bus, projecting(bus, postgres_url):
        await reached(postgres_url, 2)
    before = await everything(postgres_url)
    async with a_log(tmp_path / "two", *other) as bus:
        with pytest.raises(LogChanged, match=why):
            await run_projector(bus, Lifecycle(), postgres_url)
    assert await everything(postgres_url) == before


async def test_a_log_that_is_replaced_while_it_is_read_is_refused(
    nats: NatsServer, root: NatsConnection, bus: Bus, postgres_url: str
) -> None:
    await say(bus, APPROVED)
    work = asyncio.create_task(run_projector(bus, Lifecycle(), postgres_url))
    await reached(postgres_url, 1)
    await root.api("$JS.API.STREAM.DELETE.RIG")
    async with await connected(nats, Actor.GITHUB) as again:
        await say(again, Stopped(by="ann"))
        with pytest.raises(LogChanged, match="it is another log"):
            await work


def stored(position: int) -> Stored:
    return Stored(position, "rig.fleet.cli.x", datetime.now(UTC), {}, b"")


def test_a_gap_is_named() -> None:
    check_contiguous(4, [stored(5), stored(6)])
    with pytest.raises(LogChanged, match="from 4 to 6"):
        check_contiguous(4, [stored(6)])
    with pytest.raises(LogChanged, match="from 6 to 8"):
        check_contiguous(4, [stored(5), stored(6), stored(8)])
