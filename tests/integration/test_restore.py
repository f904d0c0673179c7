"""A log that has lost something: named and refused by who reads it, and put back from the read side as it was."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bus import Conflict, LogChanged, Unavailable
from bus.connection import MAX_PAYLOAD
from bus.extent import Extent
from bus.reseed import Kept, put_back
from conductor.projector import restore as restoring
from conductor.projector import run_projector, witness
from conductor.projector.rebuild import rebuild
from conductor.projector.restore import restore
from conductor.projector.verify import verify
from conductor.projector.witness import LogLost, Loss, compare
from deploy import restoring as deploy_restoring
from machine.lifecycle import Lifecycle
from tests.support.lost_log import (
    BIG,
    ODD,
    ODD_SUBJECTS,
    TheLog,
    it_is_whole_again,
    keeping,
    lived,
    loss_of,
    projector,
    put_all_back,
    read_up_to,
    refused,
    silent,
)
from tests.support.proxy import losing_proxy
from tests.support.readside import database, reached, rows
from tests.support.waiting import until


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[TheLog]:
    there = TheLog(tmp_path)
    async with there.server:
        yield there
        await there.server.kill()


# ── what may happen to a log ─────────────────────────────────────────────────


async def test_a_log_that_lacks_nothing_is_left_alone(log: TheLog, postgres_url: str) -> None:
    events = lived()
    await log.say(*events)
    await read_up_to(log, postgres_url, len(events))
    await log.say(b"not read yet")
    before = await log.held()
    assert await put_all_back(log, postgres_url) is None
    assert await log.held() == before


async def test_a_log_that_was_deleted(log: TheLog, postgres_url: str) -> None:
    events = lived()
    await log.say(*events, *ODD, events[0])  # said again later: a repetition
    end = len(events) + len(ODD) + 1
    await read_up_to(log, postgres_url, end)
    before = await log.held()
    await log.deleted()
    said = await refused(log, postgres_url)
    assert f"the log lacks positions 1 to {end}: it ends at 0, and was read up to {end}" in said
    assert "`rig restore`" in said
    assert await put_all_back(log, postgres_url) == (1, end)
    await it_is_whole_again(log, postgres_url, before)


async def test_what_nobody_of_ours_says_is_put_back_too(log: TheLog, postgres_url: str) -> None:
    """Subjects that no table holds as they are; bodies that leave little room for headers, or none."""
    async with await log.connect() as bus:
        for number, subject in enumerate(ODD_SUBJECTS):
            await bus.connection.request(subject, b"%d" % number)
            await read_up_to(log, postgres_url, 2 * number + 1)
            assert not await loss_of(log, postgres_url), "also where it is the last"
            await log.say(b"between")
        for room in (0, 40, 100, 200):
            await bus.connection.request("rig.fleet.cli.odd", b"x" * (MAX_PAYLOAD - room))
    before = await log.held()
    await read_up_to(log, postgres_url, len(before))
    await log.deleted()
    async with asyncio.timeout(30):
        assert await put_all_back(log, postgres_url) == (1, len(before))
    assert [each.body for each in await log.held()] == [each.body for each in before]


async def test_an_older_copy_of_its_files(log: TheLog, postgres_url: str) -> None:
    events = lived()
    await log.say(*events[:10])
    await log.copied()
    await log.say(*events[10:])
    await read_up_to(log, postgres_url, len(events))
    before = await log.held()
    await log.rolled_back()
    assert f"the log lacks positions 11 to {len(events)}" in await refused(log, postgres_url)
    async with keeping(log, postgres_url) as (_, session), await log.connect() as bus:
        shown = await rows(postgres_url, "select key, row::text from rig.issues order by key")
        with pytest.raises(LogChanged, match=f"lacks positions 11 to {len(events)}"):
            await rebuild(bus, session, ["issues"], silent)
        with pytest.raises(LogChanged, match=f"lacks positions 11 to {len(events)}"):
            await verify(bus, session, silent)
        assert await rows(postgres_url, "select key, row::text from rig.issues order by key") == shown
    assert await put_all_back(log, postgres_url) == (11, len(events))
    await it_is_whole_again(log, postgres_url, before)


async def test_an_older_copy_that_has_gone_on(log: TheLog, postgres_url: str) -> None:
    """Both cannot be: what was read comes back when a person says so, and what was said in its place is saved."""
    events = lived()
    await log.say(*events[:10])
    await log.copied()
    await log.say(*events[10:])
    await read_up_to(log, postgres_url, len(events))
    before = await log.held()
    await log.rolled_back()
    others = [b"another %d" % number for number in range(len(events))]
    await log.say(*others[:4])
    said = await refused(log, postgres_url)
    assert "holds at positions 11 to 14 other messages than were read there: an older copy, up to 10, came back" in said
    assert f"lacks positions 15 to {len(events)}" in said
    await log.say(*others[4:])
    assert await loss_of(log, postgres_url) == Loss(
        end=10 + len(events), read=len(events), replaced=((11, len(events)),)
    ), "however far it has gone on"
    changed = await log.held()
    with pytest.raises(LogChanged, match="both cannot be: `rig restore --replace`"):
        await put_all_back(log, postgres_url)
    assert await log.held() == changed, "nothing was changed"
    saved: list[Kept] = []
    assert await put_all_back(log, postgres_url, replace=saved.extend) == (1, len(events))
    assert [(kept.position, kept.body) for kept in saved] == list(enumerate(others, 11))
    await it_is_whole_again(log, postgres_url, before)


async def test_another_log(log: TheLog, postgres_url: str) -> None:
    await log.say(b"one", b"two")
    await read_up_to(log, postgres_url, 2)
    await log.deleted()
    await log.say(b"eins", b"zwei", b"drei")
    assert "holds at positions 1 to 2 other messages than were read there: it is another log" in await refused(
        log, postgres_url
    )


@pytest.mark.parametrize(
    ("blocks", "lost"),
    [((1,), "lacks positions 1 to 9:"), ((2,), "lacks positions 10 to 18:"), ((1, 2), "lacks positions 1 to 18:")],
    ids=["beginning", "middle", "both"],
)
async def test_files_that_are_gone(log: TheLog, postgres_url: str, blocks: Sequence[int], lost: str) -> None:
    """What the log alone holds, since it was not read yet, is kept too."""
    await log.say(*[b"%d " % number + BIG for number in range(20)])
    await read_up_to(log, postgres_url, 20)
    await log.say(b"not read yet", *lived())
    before = await log.held()
    await log.without(*blocks)
    assert lost in await refused(log, postgres_url)
    async with await log.connect() as bus:
        with pytest.raises(LogChanged, match=f"RIG {lost}"):
            await bus.log.history(["rig.>"])  # who decides must not read on either
    assert await put_all_back(log, postgres_url) == (1, len(before))
    await it_is_whole_again(log, postgres_url, before)


async def test_what_nobody_has_is_named_and_nothing_is_changed(log: TheLog, postgres_url: str) -> None:
    await log.say(b"read")
    await read_up_to(log, postgres_url, 1)
    await log.say(*[b"%d " % number + BIG for number in range(20)])
    await log.without(2)
    with pytest.raises(LogChanged, match="positions 11 to 19, which the read side has not read either"):
        await put_all_back(log, postgres_url)


async def test_the_look_before_a_start_waits_for_nobody(
    log: TheLog, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL is there, and somebody holds what is wanted of it."""
    monkeypatch.setattr(deploy_restoring, "LOOK_SECONDS", 0.5)
    async with database(postgres_url) as db, db.transaction(), await log.connect() as bus:
        await db.execute("select pg_advisory_xact_lock(hashtext('rig.migrations'))")
        said = await asyncio.wait_for(deploy_restoring.check_log(bus, postgres_url), 30)
    assert "PostgreSQL took longer than" in (said or "")


async def test_a_leader_that_was_elected_this_moment_is_given_time(
    log: TheLog, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.say(b"one", b"two")
    await read_up_to(log, postgres_url, 2)
    answers = [Extent(end, (), datetime.now(UTC), replicated=True) for end in (1, 2)]

    async def elected(_: object) -> Extent:
        return answers.pop(0)

    monkeypatch.setattr(witness, "extent", elected)
    assert not await loss_of(log, postgres_url)
    assert not answers


# ── while it is read ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("read_before", [False, True], ids=["as it reads", "before it starts"])
async def test_who_reads_notices_an_older_copy_even_when_it_has_gone_on(
    log: TheLog, postgres_url: str, *, read_before: bool
) -> None:
    events = lived()
    await log.say(*events[:10])
    await log.copied()
    await log.say(*events[10:])
    if read_before:
        await read_up_to(log, postgres_url, len(events))
    async with losing_proxy(log.server.url, lose=0, seed=0) as proxy, await projector(proxy.url, log.server) as bus:
        life = Lifecycle()
        life.running = True
        work = asyncio.create_task(run_projector(bus, life, postgres_url))
        await reached(postgres_url, len(events))
        await until(lambda: life.is_ready)
        proxy.shut = True
        await log.rolled_back()
        await log.say(*[b"another %d" % number for number in range(2 * len(events))])
        proxy.shut = False
        with pytest.raises(LogLost, match=f"holds at positions 11 to {len(events)} other messages"):
            await asyncio.wait_for(work, 60)


# ── putting it back ──────────────────────────────────────────────────────────


async def test_interrupted_it_goes_on_where_it_was(
    log: TheLog, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.say(*[b"%d " % number + BIG for number in range(20)])
    await read_up_to(log, postgres_url, 20)
    await log.say(b"not read yet", b"nor this")
    before = await log.held()
    await log.without(1)
    monkeypatch.setattr(restoring, "STEP", 3)
    steps = 0

    def killed(position: int, end: int) -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            raise KeyboardInterrupt

    async with keeping(log, postgres_url) as (connection, session):
        with pytest.raises(KeyboardInterrupt):
            await restore(connection, session, killed)
        assert await compare(connection, session) == Loss(end=9, read=22, missing=((10, 22),))
    assert await put_all_back(log, postgres_url) == (10, 22)
    await it_is_whole_again(log, postgres_url, before)


async def test_interrupted_when_all_is_back_it_leaves_nothing(log: TheLog, postgres_url: str) -> None:
    await log.say(*[b"%d " % number + BIG for number in range(10)])
    await read_up_to(log, postgres_url, 10)
    await log.say(b"not read yet")
    before = await log.held()
    await log.without(1)

    def killed(position: int, end: int) -> None:
        if position == end:
            raise KeyboardInterrupt

    async with keeping(log, postgres_url) as (connection, session):
        with pytest.raises(KeyboardInterrupt):
            await restore(connection, session, killed)
    assert await put_all_back(log, postgres_url) is None
    await it_is_whole_again(log, postgres_url, before)


async def test_a_server_that_stores_nothing_is_given_up(
    log: TheLog, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.say(b"one", b"two")
    await read_up_to(log, postgres_url, 2)
    await log.deleted()
    monkeypatch.setattr(restoring, "GIVE_UP_SECONDS", 0.1)

    async def full(*_: object) -> int:
        raise Unavailable("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(restoring, "put_back", full)
        with pytest.raises(Unavailable, match="no space left"):
            await asyncio.wait_for(put_all_back(log, postgres_url), 60)
    assert await put_all_back(log, postgres_url) == (1, 2)


async def test_a_server_that_falls_silent_stores_nothing_twice(
    log: TheLog, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = lived()
    await log.say(*events)
    await read_up_to(log, postgres_url, len(events))
    before = await log.held()
    await log.deleted()
    monkeypatch.setattr(restoring, "STEP", 7)
    async with keeping(log, postgres_url) as (connection, session):
        answered, request = [0], connection.request

        async def deaf(*arguments: object, **options: object) -> bytes:
            answer: bytes = await request(*arguments, **options)  # type: ignore[arg-type] - whatever it is asked
            if str(arguments[0]).startswith("rig."):
                answered[0] += 1
                if answered[0] % 2:
                    raise restoring.Unavailable("the answer was lost")
            return answer

        monkeypatch.setattr(connection, "request", deaf)
        await restore(connection, session, silent)
    assert answered[0] > 2
    await it_is_whole_again(log, postgres_url, before)


async def test_who_else_writes_is_noticed(log: TheLog, postgres_url: str) -> None:
    await log.say(b"one", b"two")
    await read_up_to(log, postgres_url, 2)
    await log.deleted()
    async with keeping(log, postgres_url) as (connection, session):
        found = await session.rows("kept_between", Kept, 1, 2)
        await log.say(b"somebody else")
        with pytest.raises(Conflict):
            await put_back(connection, found)
    assert [each.body for each in await log.held()] == [b"somebody else"]


async def test_the_time_of_the_first_storing_is_believed_of_what_was_put_back_alone(
    log: TheLog, postgres_url: str
) -> None:
    await log.say(b"one", b"two")
    await read_up_to(log, postgres_url, 2)
    before = await log.held()
    await log.deleted()
    await put_all_back(log, postgres_url)
    async with await log.connect() as bus:
        lie = {"Rig-Stored-At": "2001-01-01T00:00:00+00:00"}
        await bus.connection.request("rig.fleet.cli.odd", b"later", headers=lie)
        assert (await bus.log.at(1) or before[1]).stored_at == before[0].stored_at
        since = [item.position async for item in bus.log.replay(since=before[1].stored_at)]
    now = await log.held()
    assert [each.stored_at for each in now[:2]] == [each.stored_at for each in before]
    assert now[2].stored_at > before[1].stored_at
    assert since == [2, 3]
