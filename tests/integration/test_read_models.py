"""What stands in Postgres at a position is what the log says of it, however it came there."""

import random
from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest
from msgspec import Struct, structs

from bus import Stored
from conductor.postgres import Session, connect
from conductor.projector.past import Past, plain
from conductor.projector.projection import Projection
from conductor.projector.store import store
from schemas import EVENTS, IssueRef, IssueState, Recorded, decode, encode
from tests.bench._conductor_cast import Cast
from tests.bench._conductor_world import World
from tests.support.golden import document

POSITIONS = 200


class _Row(Struct):
    key: str
    row: str


async def dumped(session: Session) -> dict[str, dict[str, object]]:
    """Every table that holds anything, as it stands."""
    projection = Projection()
    tables = [of.table for of in (*projection.models, *projection.overviews)]
    found = {table: await session.rows("all_rows", _Row, table=table) for table in tables}
    return {table: {row.key: plain(row.row) for row in rows} for table, rows in found.items() if rows}


def a_log(issues: int) -> Sequence[Stored]:
    """A rig at work, from the first issue to the last, with everything that goes wrong."""
    world = World(replicas=6, record=True, seed=11)
    cast = Cast(world)
    world.approve(issues)
    busy = True
    while busy:
        drafts = world.decide()
        world.land(drafts)
        cast.hear(drafts)
        spoke = [cast.speak() for _ in range(world.random.choice((1, 1, 2, 3)))]
        busy = bool(drafts) or any(spoke)
    assert world.log is not None
    return world.log


def with_everything(log: Sequence[Stored], times: int) -> Sequence[Stored]:
    """The same, and in between whatever can be said at all, in any order: of memories, chats, effects, everything."""
    chance = random.Random(8)  # noqa: S311 - a test's
    entries = [(message.subject, message.body) for message in log]
    for number in range(times):
        for event in EVENTS:
            said = decode(document(event))
            said = structs.replace(said, id=f"{number}:{said.id}", time=said.time + timedelta(days=number))
            entries.insert(chance.randrange(len(entries)), (said.on, encode(said)))
    stored = log[0].stored_at
    return [Stored(position, subject, stored, {}, body) for position, (subject, body) in enumerate(entries, 1)]


@pytest.fixture(scope="module")
def log() -> Sequence[Stored]:
    return a_log(40)


@pytest.mark.parametrize("times", [0, 4], ids=["at work", "with everything"])
async def test_at_any_position_the_tables_hold_what_the_log_says(
    postgres_url: str, log: Sequence[Stored], times: int
) -> None:
    log = with_everything(log, times)
    cuts = sorted({*random.Random(3).sample(range(1, len(log)), POSITIONS - 1), len(log)})  # noqa: S311 - a test's
    session = await connect(postgres_url, name="test")
    live, past, before = Projection(), Past(), 0
    for cut in cuts:
        assert await store(session, live, log[before:cut], {}) == cut
        for message in log[before:cut]:
            past.fold([message.decoded()])
        assert await dumped(session) == past.dump(), cut
        before = cut
    for cut in cuts[:: POSITIONS // 5]:
        at_once, one_by_one = Past(), Past()
        at_once.fold(message.decoded() for message in log[:cut])
        for message in log[:cut]:
            one_by_one.fold([message.decoded()])
        assert at_once.dump() == one_by_one.dump(), cut
    await session.close()


async def test_the_tables_say_what_the_conductor_knows(postgres_url: str, log: Sequence[Stored]) -> None:
    """Nothing that a decision stands on is shown otherwise, whichever event changed it."""
    session = await connect(postgres_url, name="test")
    live = Projection()
    await store(session, live, log, {})
    rows = (await dumped(session))["issues"]
    assert rows.keys() == {str(ref) for ref in live.state.issues}
    assert {msgspec.convert(row, _Shown).standing.state for row in rows.values()} >= {IssueState.DONE}
    for key, row in rows.items():
        shown, known = msgspec.convert(row, _Shown).standing, live.state.issues[IssueRef.parse(key)]
        assert (shown.state, shown.head_sha, shown.merge_sha) == (known.state, known.head, known.merge_sha)
        assert round(shown.committed_usd * 1_000_000) == known.committed
    await session.close()


class _Standing(Struct):
    state: IssueState
    head_sha: str | None
    merge_sha: str | None
    committed_usd: float


class _Shown(Struct):
    standing: _Standing


async def test_a_projector_that_is_behind_another_goes_on_from_where_it_is(
    postgres_url: str, log: Sequence[Stored]
) -> None:
    session = await connect(postgres_url, name="test")
    behind = Projection()
    assert await store(session, Projection(), log[:20], {}) == 20
    assert await store(session, behind, log[:8], {}) == 8
    assert await store(session, behind, log[8:30], {}) == 30
    past = Past()
    past.fold(message.decoded() for message in log[:30])
    assert await dumped(session) == past.dump()
    await session.close()


async def test_an_event_that_no_table_takes_is_left_out_and_the_rest_goes_on(
    postgres_url: str, log: Sequence[Stored]
) -> None:
    session = await connect(postgres_url, name="test")
    live, past = Projection(), Past(poison=(5,))
    await store(session, live, log[:20], {5: "too strange"})
    past.fold(message.decoded() for message in log[:20])
    assert await dumped(session) == past.dump()
    decoded = log[4].decoded()
    assert isinstance(decoded, Recorded)
    await session.close()


async def test_a_projector_that_is_behind_another_follows_it(postgres_url: str, log: Sequence[Stored]) -> None:
    """It says how far it has come itself, and leaves out what the other one has left out since."""
    odd = next(message.position for message in log if message.subject.endswith("work_started"))
    poison, end = {odd: "too strange"}, odd + 200
    session = await connect(postgres_url, name="test")
    ahead, behind, past = Projection(), Projection(), Past(poison)
    assert await store(session, ahead, log[: odd + 20], poison) == odd + 20
    await session.run("add_poison", odd, poison[odd])
    assert await store(session, behind, log[: odd + 10], {}) == odd + 10
    assert await store(session, behind, log[odd + 10 : end], {}) == end
    past.fold(message.decoded() for message in log[:end])
    assert await dumped(session) == past.dump()
    await session.close()
