"""Read models made anew and compared, while a rig is at work: what readers see, and what is found to be wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from unittest.mock import Mock

import pytest

from bus import Bus
from conductor.postgres import connect as open_session
from conductor.projector.projection import Projection
from conductor.projector.rebuild import rebuild
from conductor.projector.verify import as_lines, verify
from schemas import Actor, IssueApproved, IssueRef, Priority, PriorityChanged, Stopped
from tests.support.readside import database, projecting, reached, rows, say

Connect = Callable[..., Awaitable[Bus]]
APPROVED = IssueApproved(title="Fix total", body="It is \0 wrong.", author="ann")
ISSUES = 30


@pytest.fixture
async def bus(connect: Connect) -> Bus:
    return await connect(Actor.GITHUB)


def issue(number: int) -> IssueRef:
    return IssueRef("demo", "shop", number)


def unheard(_: int, __: int) -> None:
    """Of the progress."""


async def test_a_rebuilt_table_takes_the_place_of_the_live_one_at_once(bus: Bus, postgres_url: str) -> None:
    for number in range(1, ISSUES + 1):
        last = await say(bus, APPROVED, issue=issue(number))
    session = await open_session(postgres_url, name="test")
    async with projecting(bus, postgres_url), database(postgres_url) as reader:
        await reached(postgres_url, last)
        await session.run("drop_rows", ["demo/shop#1"], table="issues")
        await session.run("put_rows", ["demo/shop#99"], ['{"opened": 99}'], table="issues")
        async with reader.transaction(isolation="repeatable_read"):
            before = await reader.fetchval("select count(*) from rig.issues")
            steps: list[tuple[int, int]] = []
            rebuilt = await rebuild(bus, session, ["issues", "agents"], lambda *step: steps.append(step))
            assert await reader.fetchval("select count(*) from rig.issues") == before == ISSUES
            assert await reader.fetchval("select count(*) from rig.issues where key = 'demo/shop#99'") == 1
        assert steps[-1] == (last, last)
        assert (rebuilt.position, rebuilt.rows) == (last, {"issues": ISSUES, "agents": 0})
        assert await reader.fetchval("select count(*) from rig.issues where key = 'demo/shop#1'") == 1
        assert await reader.fetchval("select count(*) from rig.issues where key = 'demo/shop#99'") == 0
        await reached(postgres_url, await say(bus, Stopped(by="ann"), issue=issue(1)))
        assert (await verify(bus, session, unheard)).differs == {}
        assert await rows(postgres_url, "select state from rig.issues where key = 'demo/shop#1'") == [("stopped",)]
    await session.close()


async def test_what_is_said_while_it_is_rebuilt_is_there(bus: Bus, postgres_url: str) -> None:
    await say(bus, APPROVED)
    session = await open_session(postgres_url, name="test")
    async with projecting(bus, postgres_url):
        await reached(postgres_url, 1)
        asked = asyncio.Event()

        async def speak() -> int:
            await asked.wait()
            for level in (Priority.HIGH, Priority.LOW, Priority.CRITICAL):
                last = await say(bus, PriorityChanged(priority=level, by="ann"), id=f"to-{level}")
            return last

        speaking = asyncio.create_task(speak())
        await rebuild(bus, session, ["issues"], lambda *_: asked.set())
        await reached(postgres_url, await speaking)
        assert await rows(postgres_url, "select row->>'priority' from rig.issues") == [("critical",)]
        assert (await verify(bus, session, unheard)).differs == {}
    await session.close()


async def test_whatever_differs_from_the_log_is_named(bus: Bus, postgres_url: str) -> None:
    for number in (1, 2, 3):
        await say(bus, APPROVED, issue=issue(number))
    await bus.connection.request("rig.issue.demo.shop.1.github.stopped", b"not JSON")
    session = await open_session(postgres_url, name="test")
    async with projecting(bus, postgres_url):
        await reached(postgres_url, 4)
        good = await verify(bus, session, unheard)
        assert as_lines(good) == ["position 4: 4 events and 3 rows compared with the log", "nothing differs"]
        async with database(postgres_url) as db:
            await db.execute("""update rig.issues set row = row || '{"title": "Another"}' where key = 'demo/shop#2'""")
            await db.execute("delete from rig.issues where key = 'demo/shop#3'")
            await db.execute("update rig.events set body = '{}' where position = 1")
            await db.execute("update rig.events set raw = 'other' where position = 4")
        found = await verify(bus, session, unheard)
        assert as_lines(found) == [
            "position 4: 4 events and 3 rows compared with the log",
            "events: 2 not as the log says: 1, 4",
            "issues: 2 not as the log says: demo/shop#2, demo/shop#3",
        ]
    await session.close()


async def test_an_event_that_a_table_refuses_is_left_out_by_its_position_live_and_anew(
    bus: Bus, postgres_url: str
) -> None:
    session = await open_session(postgres_url, name="test")
    async with database(postgres_url) as db:
        await db.execute("alter table rig.issues add constraint odd check (key <> 'demo/shop#2')")
    async with projecting(bus, postgres_url):
        for number in (1, 2, 3):
            last = await say(bus, APPROVED, issue=issue(number))
        await say(bus, Stopped(by="ann"), issue=issue(2))
        await reached(postgres_url, last + 1)
        assert await rows(postgres_url, "select key from rig.issues order by 1") == [("demo/shop#1",), ("demo/shop#3",)]
        ((position, why),) = await rows(postgres_url, "select position, why from rig.poison")
        assert position == 2
        assert why.startswith("PostgreSQL: CheckViolationError")
        assert await rows(
            postgres_url, "select position, raw is not null from rig.events where skipped is not null"
        ) == [(2, True)]
        assert (await verify(bus, session, unheard)).differs == {}
        await rebuild(bus, session, ["issues"], unheard)
        assert (await verify(bus, session, unheard)).differs == {}
    await session.close()


async def test_which_event_a_table_refuses_is_found_without_reading_the_log_for_each(
    bus: Bus, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is folded anew when a batch was refused, and when the one event was."""
    folds = Mock(wraps=Projection)
    monkeypatch.setattr("conductor.projector.Projection", folds)
    await (await open_session(postgres_url, name="test")).close()
    async with database(postgres_url) as db:
        await db.execute("alter table rig.issues add constraint odd check (key <> 'demo/shop#9')")
    for number in range(1, 13):
        last = await say(bus, APPROVED, issue=issue(number))
    async with projecting(bus, postgres_url):
        await reached(postgres_url, last)
    assert await rows(postgres_url, "select position from rig.poison") == [(9,)]
    assert folds.call_count == 3
