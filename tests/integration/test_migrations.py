"""Versions of Rig on one real database: who migrates, what waits, who must not write, and what is made anew."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from bus import Bus
from conductor.migrations import Migrated, Migration, WrongTables
from conductor.postgres import PostgresAway, connect, look, open_session
from conductor.projector import run_projector
from conductor.projector.verify import verify
from conductor.sql import migrations
from deploy.doctor import Verdict, examine
from machine.lifecycle import Lifecycle
from schemas import Actor, IssueApproved, IssueRef, RetryRequested, Stopped, branch, encode
from tests.support.readside import database, projecting, reached, rows, say
from tests.support.waiting import until

Connect = Callable[..., Awaitable[Bus]]
APPROVED = IssueApproved(title="Fix total", author="ann")
NAMES = tuple(migration.name for migration in migrations())


@pytest.fixture
async def bus(connect: Connect) -> Bus:
    return await connect(Actor.GITHUB)


def unheard(_: int, __: int) -> None:
    """Of the progress."""


async def run(url: str, statement: str) -> None:
    async with database(url) as db:
        await db.execute(statement)


async def migrate(url: str, *, post: bool = False) -> Migrated:
    session = await open_session(url, name="test")
    try:
        return await session.migrate(post=post)
    finally:
        await session.close()


def this_version_has(monkeypatch: pytest.MonkeyPatch, *more: Migration) -> None:
    monkeypatch.setattr("conductor.postgres.migrations", lambda: [*migrations(), *more])


async def test_of_several_that_migrate_at_once_one_does_and_the_others_find_it_done(postgres_url: str) -> None:
    done = await asyncio.gather(*(migrate(postgres_url) for _ in range(4)))
    assert sorted(one.applied for one in done) == [(), (), (), NAMES]
    assert await rows(postgres_url, "select count(*) from rig.migrations where length(checksum) = 64") == [
        (len(NAMES),)
    ]


async def test_an_older_version_does_not_touch_what_a_newer_one_has_migrated(
    bus: Bus, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        this_version_has(newer, Migration("9000_more.sql", "create table rig.more ()"))
        assert (await migrate(postgres_url)).applied == (*NAMES, "9000_more.sql")
    await say(bus, APPROVED)
    with pytest.raises(WrongTables, match=r"migrated by a newer version of Rig \(9000_more.sql\)"):
        await run_projector(bus, Lifecycle(), postgres_url)
    assert await rows(postgres_url, "select count(*) from rig.events") == [(0,)]


async def test_a_file_that_was_changed_after_it_was_applied_is_refused_by_name(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        this_version_has(before, Migration("9000_more.sql", "create table rig.more ()"))
        await migrate(postgres_url)
    this_version_has(monkeypatch, Migration("9000_more.sql", "create table rig.more (key text)"))
    with pytest.raises(WrongTables, match=r"^9000_more.sql: changed since"):
        await connect(postgres_url, name="test")


async def test_a_migration_that_fails_leaves_everything_as_it_was(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    this_version_has(monkeypatch, Migration("9000_more.sql", "create table rig.more (); select nonsense"))
    with pytest.raises(PostgresAway, match="nonsense"):
        await migrate(postgres_url)
    with pytest.raises(asyncpg.UndefinedTableError):
        await rows(postgres_url, "select from rig.migrations")


async def test_what_can_wait_is_done_by_the_projector_once_it_has_caught_up(
    bus: Bus, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conductor.projector.BATCH", 2)
    for number in range(1, 8):
        await say(bus, APPROVED, issue=IssueRef("demo", "shop", number))
    note = "create table rig.noted as select position from rig.projection"
    this_version_has(monkeypatch, Migration("9000_gone.post.sql", note))
    due = await migrate(postgres_url)
    assert (due.applied, due.waiting) == (NAMES, ("9000_gone.post.sql",))
    async with projecting(bus, postgres_url):
        await reached(postgres_url, 7)
        while not await rows(postgres_url, "select from rig.migrations where name = '9000_gone.post.sql'"):
            pass
        assert await rows(postgres_url, "select position from rig.noted") == [(7,)]
        await reached(postgres_url, await say(bus, Stopped(by="ann")))
    assert (await migrate(postgres_url, post=True)) == Migrated((), ())


async def test_the_read_side_goes_on_without_one_that_fails(
    bus: Bus, postgres_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    this_version_has(monkeypatch, Migration("9000_gone.post.sql", "drop table rig.nothing"))
    async with projecting(bus, postgres_url):
        await until(lambda: "goes on without a migration" in caplog.text)
        await reached(postgres_url, await say(bus, APPROVED))
    session = await open_session(postgres_url, name="test")
    assert await session.migrations_due() == Migrated((), ("9000_gone.post.sql",))
    await session.close()


# ── other folds ──────────────────────────────────────────────────────────────


async def test_tables_of_an_older_version_are_made_anew_before_it_is_ready(
    bus: Bus, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for event in (APPROVED, Stopped(by="ann")):
        await say(bus, event)
    async with projecting(bus, postgres_url) as life:
        await reached(postgres_url, 2)
        assert "models" not in life.checks
    await run(postgres_url, """update rig.issues set row = row || '{"title": "As it was"}'""")
    await run(postgres_url, "update rig.models set version = version - 1 where name = 'issues'")
    await run(postgres_url, "delete from rig.models where name = 'agents'")
    async with projecting(bus, postgres_url) as life:
        life.running = True
        await until(lambda: life.is_ready)
        assert await rows(postgres_url, "select row->>'title' from rig.issues") == [("Fix total",)]
        await reached(postgres_url, await say(bus, RetryRequested(by="ann")))
    assert "models: lost: issues, agents: made anew for this version of Rig, 0 of 2 events read" in caplog.text
    assert await rows(postgres_url, "select state from rig.issues") == [("queued",)]
    session = await connect(postgres_url, name="test")
    assert (await verify(bus, session, unheard)).differs == {}
    await session.close()


async def test_a_read_side_of_the_first_release_is_brought_along(
    bus: Bus, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tables, with rows of which there are other columns now."""
    for event in (APPROVED, Stopped(by="ann")):
        await say(bus, event)
    with monkeypatch.context() as first:
        first.setattr("conductor.postgres.migrations", lambda: list(migrations())[:3])
        await migrate(postgres_url)
    async with database(postgres_url) as db:
        for said in await bus.log.history(["rig.>"]):
            event = said.event
            await db.execute(
                "insert into rig.events values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                *(said.position, event.on, said.stored_at, branch(event.about), event.actor),
                *(event.data.wire_type(), event.id, event.time, encode(event).decode()),
            )
        for table, row in {
            "spend": """{"day": "2026-01-01", "tokens": {"cost": 1}}""",
            "chat": """{"platform": "discord", "conversation": "general", "position": 1}""",
            "embeddings": """{"scope":"rig","memory":"late","model":"m","dimensions":1,"vector":"[1]","position":2}""",
        }.items():
            await db.execute(f"insert into rig.{table} (key, row) values ('then', $1)", row)  # noqa: S608 - our own tables
        await db.execute("update rig.projection set position = 2; alter table rig.migrations drop column checksum")
    async with projecting(bus, postgres_url):
        await reached(postgres_url, await say(bus, RetryRequested(by="ann")))
    session = await connect(postgres_url, name="test")
    assert (await verify(bus, session, unheard)).differs == {}
    await session.close()


async def test_what_this_version_makes_and_a_table_refuses_is_left_out_alone(bus: Bus, postgres_url: str) -> None:
    for number in (1, 2, 3):
        await say(bus, APPROVED, issue=IssueRef("demo", "shop", number))
    async with projecting(bus, postgres_url):
        await reached(postgres_url, 3)
    await run(
        postgres_url,
        "update rig.models set version = 0; delete from rig.issues where key = 'demo/shop#2';"
        " alter table rig.issues add constraint odd check (key <> 'demo/shop#2')",
    )
    async with projecting(bus, postgres_url):
        while await rows(postgres_url, "select position from rig.poison") != [(2,)]:
            pass
        await reached(postgres_url, await say(bus, Stopped(by="ann")))
    assert await rows(postgres_url, "select key from rig.issues order by 1") == [("demo/shop#1",), ("demo/shop#3",)]


async def test_a_projector_that_runs_ends_when_a_newer_version_takes_over(bus: Bus, postgres_url: str) -> None:
    await say(bus, APPROVED)
    work = asyncio.create_task(run_projector(bus, Lifecycle(), postgres_url))
    await reached(postgres_url, 1)
    await run(postgres_url, "update rig.models set version = 99; update rig.projection set changes = changes + 1")
    await say(bus, Stopped(by="ann"))
    with pytest.raises(WrongTables, match="a newer version of Rig keeps the read models now"):
        await work
    assert await rows(postgres_url, "select count(*) from rig.events") == [(1,)]


async def test_a_server_without_pgvector_is_named_with_what_to_do(postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2]
    await run(postgres_url, f"alter database {name} set extension_control_path = '/nonexistent'")
    with pytest.raises(PostgresAway, match="the pgvector extension is missing on this server: install it"):
        await connect(postgres_url, name="test")
    assert not (await look(postgres_url, name="test")).vectors
    report = await examine(
        {"RIG_HOME": "/nonexistent/rig", "RIG_POSTGRES_URL": postgres_url, "RIG_NATS_URL": "nats://127.0.0.1:1"}
    )
    (finding,) = [finding for finding in report.findings if finding.what == "PostgreSQL"]
    assert finding.verdict is Verdict.PROBLEM
    assert "the pgvector extension is missing" in finding.seen
    assert "pgvector/pgvector" in finding.mend
    await run(postgres_url, f"alter database {name} reset extension_control_path")
    await (await connect(postgres_url, name="test")).close()
