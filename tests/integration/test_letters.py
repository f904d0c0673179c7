"""What the read side cannot take, on real servers: left out, with a dead letter, and the rest goes on."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from bus import Bus, DeadLetter
from bus.replay import replay
from conductor.evolve import evolve
from conductor.postgres import connect as open_session
from conductor.projector.projection import Poisoned, Projection
from conductor.projector.rebuild import rebuild
from conductor.projector.store import add_poison, poisoned, standing, store
from conductor.projector.verify import verify
from conductor.state import State
from schemas import Actor, Envelope, IssueApproved, IssueRef, RetryRequested, Stopped
from tests.support.letters import open_letters
from tests.support.readside import database, projecting, reached, rows, say

Connect = Callable[..., Awaitable[Bus]]
APPROVED = IssueApproved(title="Fix total", author="ann")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nobody waits for the next look at RIG_DEAD."""
    monkeypatch.setattr("bus.dead.QUIET_SECONDS", 0.02)


@pytest.fixture
async def bus(connect: Connect) -> Bus:
    return await connect(Actor.GITHUB)


@pytest.fixture
async def person(connect: Connect) -> Bus:
    return await connect(Actor.CLI)


@pytest.fixture
async def projector(connect: Connect) -> Bus:
    return await connect(Actor.PROJECTOR)


def issue(number: int) -> IssueRef:
    return IssueRef("demo", "shop", number)


def unheard(_: int, __: int) -> None:
    """Of the progress."""


async def run(url: str, *statements: str) -> None:
    async with database(url) as db:
        for statement in statements:
            await db.execute(statement)


async def odd(url: str) -> None:
    """A table that refuses one row, as a constraint of a newer version or a bug might."""
    await (await open_session(url, name="test")).close()
    await run(url, "alter table rig.issues add constraint odd check (key <> 'demo/shop#2')")


async def three(bus: Bus) -> int:
    for number in (1, 2, 3):
        await say(bus, APPROVED, issue=issue(number))
    return await say(bus, Stopped(by="ann"), issue=issue(2))


async def settled(url: str, wanted: list[tuple[int, str]]) -> None:
    """Waits until the table has these letters, by what they are about, in these states."""
    found: list[tuple[object, ...]] = []
    while found != wanted:
        found = await rows(url, "select (row->>'position')::int, state from rig.dead_letters order by id")


@asynccontextmanager
async def verified(person: Bus, url: str) -> AsyncGenerator[None]:
    """What stands in the tables at the end is what the logs say."""
    yield
    session = await open_session(url, name="test")
    assert (await verify(person, session, unheard)).differs == {}
    await session.close()


async def test_what_a_table_refuses_is_named_dead_lettered_once_and_the_rest_goes_on(
    bus: Bus, person: Bus, projector: Bus, postgres_url: str
) -> None:
    await odd(postgres_url)
    async with verified(person, postgres_url), projecting(projector, postgres_url):
        await reached(postgres_url, await three(bus))
        (letter,) = await open_letters(person.dead, 1)
        about = letter.letter
        assert (about.stream, about.consumer, about.position) == ("RIG", "projector", 2)
        assert about.reason.startswith("PostgreSQL: CheckViolationError: new row")
        assert b"Fix total" in about.body
        await settled(postgres_url, [(2, "open")])
        assert await rows(postgres_url, "select key from rig.issues order by 1") == [("demo/shop#1",), ("demo/shop#3",)]
        assert await rows(postgres_url, "select position, letter from rig.poison") == [(2, letter.id)]
    async with projecting(projector, postgres_url):  # it starts again, and says nothing again
        await reached(postgres_url, await say(bus, RetryRequested(by="ann"), issue=issue(1)))
    await run(postgres_url, "drop schema rig cascade")
    await odd(postgres_url)
    async with projecting(projector, postgres_url):
        await reached(postgres_url, 5)
        await settled(postgres_url, [(2, "open")])
        await linked(postgres_url, letter)
    assert [letter.id for letter in await person.dead.all()] == [letter.id]


async def test_what_the_conductors_own_fold_cannot_take_is_left_out_too(
    bus: Bus, projector: Bus, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evolve_but_one(state: State, event: Envelope | None, position: int) -> None:
        evolve(state, event, position)
        if event is not None and position == 2:
            raise KeyError("no such issue")

    monkeypatch.setattr("conductor.projector.projection.evolve", evolve_but_one)
    async with projecting(projector, postgres_url):
        await reached(postgres_url, await three(bus))
    assert await rows(postgres_url, "select position, why from rig.poison") == [(2, "KeyError: 'no such issue'")]
    assert await rows(postgres_url, "select key from rig.issues order by 1") == [("demo/shop#1",), ("demo/shop#3",)]


async def linked(url: str, letter: DeadLetter) -> None:
    while await rows(url, "select letter from rig.poison") != [(letter.id,)]:
        pass


async def test_a_crash_between_leaving_out_and_its_letter_leaves_neither_out(
    bus: Bus, person: Bus, projector: Bus, postgres_url: str
) -> None:
    """Left out, and no letter; and a letter that the read side does not know of."""
    await odd(postgres_url)
    last = await three(bus)
    async with projecting(projector, postgres_url):
        await reached(postgres_url, last)
        (letter,) = await open_letters(person.dead, 1)
        await linked(postgres_url, letter)
    await run(
        postgres_url,
        "update rig.poison set letter = null",
        "insert into rig.poison values (3, 'told by hand')",
        "update rig.projection set changes = changes + 1",
    )
    async with projecting(projector, postgres_url):
        await settled(postgres_url, [(2, "open"), (3, "open")])
        assert [one.letter.reason for one in await open_letters(person.dead, 2)][1] == "told by hand"
    assert await rows(postgres_url, "select letter from rig.poison order by 1") == [(letter.id,), (letter.id + 1,)]


async def test_a_retry_takes_it_once_more_or_is_a_new_letter(
    bus: Bus, person: Bus, projector: Bus, postgres_url: str
) -> None:
    await odd(postgres_url)
    async with verified(person, postgres_url), projecting(projector, postgres_url):
        last = await three(bus)
        await reached(postgres_url, last)
        (first,) = await open_letters(person.dead, 1)
        await person.dead.retry(first.id, by="ann", reason="perhaps")
        await settled(postgres_url, [(2, "retried"), (2, "open")])
        (second,) = await open_letters(person.dead, 1)
        assert (second.letter.cause or "").startswith("RIG_DEAD:")
        await run(postgres_url, "alter table rig.issues drop constraint odd")
        await person.dead.retry(second.id, by="ann", reason="it is mended")
        while await rows(postgres_url, "select position from rig.poison"):
            pass
        states = "select key, state from rig.issues order by 1"
        assert await rows(postgres_url, states) == [
            ("demo/shop#1", "queued"),
            ("demo/shop#2", "stopped"),
            ("demo/shop#3", "queued"),
        ]
        assert await rows(postgres_url, "select type, skipped from rig.events where position = 2") == [
            ("rig.issue.approved.v1", None)
        ]
        await reached(postgres_url, await say(bus, RetryRequested(by="ann"), issue=issue(2)))
        assert (await rows(postgres_url, states))[1] == ("demo/shop#2", "queued")
        await settled(postgres_url, [(2, "retried"), (2, "retried")])


async def test_what_repeats_an_event_that_was_left_out_repeats_it_once_it_is_taken(
    bus: Bus, person: Bus, projector: Bus, postgres_url: str
) -> None:
    await odd(postgres_url)
    async with verified(person, postgres_url), projecting(projector, postgres_url):
        await reached(postgres_url, await three(bus))
        (body,) = (await rows(postgres_url, "select raw from rig.events where position = 2"))[0]
        await run(postgres_url, "alter table rig.issues drop constraint odd")
        subject = "rig.issue.demo.shop.2.github.approved"
        for _ in range(2):
            await bus.connection.request(subject, body)  # without an id the server stores a copy
        await reached(postgres_url, 6)
        repeats = "select position, repeats from rig.events where position > 4 order by 1"
        assert await rows(postgres_url, repeats) == [(5, None), (6, 5)]
        (letter,) = await open_letters(person.dead, 1)
        await person.dead.retry(letter.id, by="ann", reason="it is mended")
        while await rows(postgres_url, "select position from rig.poison"):
            pass
        assert await rows(postgres_url, repeats) == [(5, 2), (6, 2)]


async def test_a_dropped_letter_stays_closed_and_the_event_out(
    bus: Bus, person: Bus, projector: Bus, postgres_url: str
) -> None:
    await odd(postgres_url)
    async with verified(person, postgres_url), projecting(projector, postgres_url):
        await reached(postgres_url, await three(bus))
        (letter,) = await open_letters(person.dead, 1)
        await person.dead.drop(letter.id, by="ann", reason="of no use")
        await settled(postgres_url, [(2, "dropped")])
    async with projecting(projector, postgres_url):
        await reached(postgres_url, await say(bus, RetryRequested(by="ann"), issue=issue(1)))
        assert await rows(postgres_url, "select position from rig.poison") == [(2,)]
    ((by,),) = await rows(postgres_url, "select row->>'by' from rig.dead_letters")
    assert by == "ann"


async def test_who_writes_rows_with_another_idea_of_what_is_left_out_begins_anew(bus: Bus, postgres_url: str) -> None:
    await three(bus)
    (batch,) = [batch async for batch in replay(bus.connection, ("rig.>",))]
    session = await open_session(postgres_url, name="test")
    began = await standing(session)
    await add_poison(session, Poisoned(2, "another projector says so"))
    assert await store(session, Projection(), batch, {}, began.changes) is None
    assert await rows(postgres_url, "select from rig.events") == []
    assert await store(session, Projection(), batch, await poisoned(session), (await standing(session)).changes) == 4
    await session.close()


async def test_a_rebuild_that_was_overtaken_by_a_retry_begins_again(
    bus: Bus, person: Bus, projector: Bus, postgres_url: str
) -> None:
    await odd(postgres_url)
    session = await open_session(postgres_url, name="test")
    async with verified(person, postgres_url), projecting(projector, postgres_url):
        await reached(postgres_url, await three(bus))
        await linked(postgres_url, (await open_letters(person.dead, 1))[0])
        steps: list[int] = []

        def change(_: int, until: int) -> None:
            steps.append(until)

        await run(postgres_url, "alter table rig.issues drop constraint odd")
        other = await open_session(postgres_url, name="test")
        await rebuild(bus, other, ["issues"], change)
        await rebuild(person, session, ["issues", "agents"], change, once_more=2)
        await other.close()
        await rebuild(person, session, ["issues", "agents"], change, once_more=2)  # which is done: nothing happens
        assert await rows(postgres_url, "select position from rig.poison") == []
    await session.close()
