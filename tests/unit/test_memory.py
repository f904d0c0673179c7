"""What the rig remembers: what each event makes of a memory and its vector, how it fades, how matches are scored."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from math import hypot

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.projector.fading import FADED, HALF_LIFE_DAYS, due_for_forgetting, freshness, weight
from conductor.projector.memory import EmbeddingRow, MemoryRow, memory_key, unit_vector
from conductor.projector.past import Past
from conductor.recall import Match, scored
from schemas import (
    Draft,
    Event,
    IssueRef,
    MemoriesCompacted,
    MemoryEmbedded,
    MemoryForgotten,
    MemoryKind,
    MemoryRead,
    MemoryRef,
    MemoryUsed,
    MemoryWritten,
    Recorded,
    envelope,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
RIG, ANN = MemoryRef("rig"), MemoryRef("user:ann")

FLAKY = MemoryWritten(memory="flaky", kind=MemoryKind.GOTCHA, title="A test is flaky", text="Run it again.")
EMBEDDED = MemoryEmbedded(memory="flaky", model="m", dimensions=2, vector=(3, 4))
FORGOTTEN = MemoryForgotten(memory="flaky", by="ann")


class Remembered:
    """Both tables, in dictionaries, after events that come a day apart."""

    def __init__(self, *events: Event | tuple[MemoryRef, Event]) -> None:
        past = Past()
        for position, said in enumerate(events, 1):
            past.fold([at(position, *((RIG, said) if isinstance(said, Event) else said))])
        rows = past.tables.rows
        self.memories = {key: row for key, row in rows["memories"].items() if isinstance(row, MemoryRow)}
        self.embeddings = {key: row for key, row in rows["embeddings"].items() if isinstance(row, EmbeddingRow)}

    @property
    def flaky(self) -> MemoryRow | None:
        return self.memories.get(memory_key("rig", "flaky"))

    @property
    def vector(self) -> str | None:
        row = self.embeddings.get(memory_key("rig", "flaky"))
        return None if row is None else row.vector


def at(position: int, about: MemoryRef, event: Event) -> Recorded:
    time = START + (position - 1) * DAY
    said = envelope(Draft(about=about, data=event), id=f"e{position}", actor="dev-e", source="dev-e/dev-e-1", time=time)
    return Recorded(position, time + timedelta(seconds=1), said)


def test_a_memory_is_kept_with_who_wrote_it_and_where() -> None:
    about = IssueRef("acme", "web", 7)
    row = Remembered(msgspec.structs.replace(FLAKY, tags=("ci", "ci", "web"), about=about, importance=5)).flaky
    assert row is not None
    assert (row.scope, row.memory, row.kind, row.title, row.text) == (
        "rig",
        "flaky",
        MemoryKind.GOTCHA,
        "A test is flaky",
        "Run it again.",
    )
    assert (row.actor, row.source, row.position, row.written) == ("dev-e", "dev-e/dev-e-1", 1, START)
    assert (row.tags, row.about, row.importance) == (("ci", "web"), about, 5)
    assert (row.hits, row.uses, row.last_used) == (0, 0, None)


def test_written_again_it_is_replaced_and_keeps_its_uses() -> None:
    row = Remembered(
        FLAKY, MemoryUsed(memory="flaky"), msgspec.structs.replace(FLAKY, title="Fixed", text="It is not.")
    ).flaky
    assert row is not None
    assert (row.title, row.text, row.position, row.uses, row.last_used) == ("Fixed", "It is not.", 3, 1, START + DAY)


def test_a_name_is_of_its_scope_alone() -> None:
    them = Remembered((RIG, FLAKY), (ANN, FLAKY), (ANN, FORGOTTEN))
    assert set(them.memories) == {memory_key("rig", "flaky")}


def test_being_found_and_being_of_use_are_counted_apart() -> None:
    looked = MemoryRead(query="why", found=("flaky", "flaky", "gone"))
    used = MemoryUsed(memory="flaky")
    row = Remembered(FLAKY, looked, looked, used, used, looked).flaky
    assert row is not None
    assert (row.hits, row.uses, row.last_used) == (3, 2, START + 4 * DAY)


def test_what_is_forgotten_is_no_row_and_can_be_written_anew() -> None:
    assert Remembered(FLAKY, EMBEDDED, FORGOTTEN).memories == {}
    assert Remembered(FLAKY, EMBEDDED, FORGOTTEN).embeddings == {}
    late = (MemoryUsed(memory="flaky"), MemoryRead(query="q", found=("flaky",)))
    assert Remembered(FLAKY, FORGOTTEN, *late).memories == {}
    again = Remembered(FLAKY, MemoryUsed(memory="flaky"), FORGOTTEN, FLAKY).flaky
    assert again is not None
    assert (again.position, again.uses) == (4, 0)


def test_compacted_the_old_ones_go_and_the_new_one_says_what_it_was() -> None:
    one, two = (msgspec.structs.replace(FLAKY, memory=name) for name in ("one", "two"))
    into = MemoriesCompacted(into="flaky", replaced=("one", "two", "never"))
    after = Remembered(one, msgspec.structs.replace(EMBEDDED, memory="one"), two, FLAKY, EMBEDDED, into)
    assert set(after.memories) == set(after.embeddings) == {memory_key("rig", "flaky")}
    assert after.flaky is not None
    assert after.flaky.replaces == ("one", "two", "never")


def test_nothing_becomes_part_of_a_memory_that_is_not_there() -> None:
    for before in ((), (FLAKY, FORGOTTEN)):
        other = msgspec.structs.replace(FLAKY, memory="two")
        embedded = msgspec.structs.replace(EMBEDDED, memory="two")
        after = Remembered(*before, other, embedded, MemoriesCompacted(into="flaky", replaced=("two",)))
        assert set(after.memories) == set(after.embeddings) == {memory_key("rig", "two")}


def test_a_memory_that_others_are_compacted_into_may_be_one_of_them() -> None:
    after = Remembered(FLAKY, EMBEDDED, MemoriesCompacted(into="flaky", replaced=("flaky", "two")))
    assert after.flaky is not None
    assert after.flaky.replaces == ("two",)
    assert after.vector is not None


def test_the_newest_vector_of_the_newest_text_counts() -> None:
    assert Remembered(FLAKY, EMBEDDED).vector == "[0.6000000,0.8000000]"
    newer = msgspec.structs.replace(EMBEDDED, model="n", dimensions=1, vector=(-2.0,))
    both = Remembered(FLAKY, EMBEDDED, newer)
    assert both.vector == "[-1.0000000]"
    assert Remembered(FLAKY, EMBEDDED, FLAKY).vector is None, "another text lies elsewhere"


@pytest.mark.parametrize("vector", [(3, 4, 5), (1,), (), (0, 0), (1.7e308, 1.7e308)])
def test_a_vector_that_is_none_changes_nothing(vector: tuple[float, ...]) -> None:
    wrong = msgspec.structs.replace(EMBEDDED, vector=tuple(map(float, vector)))
    assert Remembered(FLAKY, wrong).vector is None
    assert Remembered(FLAKY, EMBEDDED, wrong).vector == "[0.6000000,0.8000000]"


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40))
def test_a_vector_is_stored_with_its_direction_alone(vector: list[float]) -> None:
    stored = unit_vector(vector)
    if stored is None:
        assert hypot(*vector) == 0
        return
    values = [float(value) for value in stored.strip("[]").split(",")]
    assert hypot(*values) == pytest.approx(1, abs=1e-5)
    longest = max(vector, key=abs)
    assert values[vector.index(longest)] * longest > 0


@given(st.text(max_size=6), st.text(max_size=6), st.text(max_size=6), st.text(max_size=6))
def test_different_memories_have_different_keys(scope: str, memory: str, scope_2: str, memory_2: str) -> None:
    same = (scope, memory) == (scope_2, memory_2)
    assert (memory_key(scope, memory) == memory_key(scope_2, memory_2)) is same


# ── fading ───────────────────────────────────────────────────────────────────


def test_half_lives_are_as_agreed_and_every_kind_has_one() -> None:
    assert {kind: HALF_LIFE_DAYS[kind] for kind in (MemoryKind.DECISION, MemoryKind.LEARNING, MemoryKind.ERROR)} == {
        MemoryKind.DECISION: 350,
        MemoryKind.LEARNING: 140,
        MemoryKind.ERROR: 70,
    }
    assert set(HALF_LIFE_DAYS) == set(MemoryKind)


def test_after_a_half_life_a_memory_counts_half() -> None:
    assert freshness(MemoryKind.ERROR, START, START) == 1
    assert freshness(MemoryKind.ERROR, START, START + 70 * DAY) == pytest.approx(0.5)
    assert freshness(MemoryKind.LEARNING, START, START + 280 * DAY) == pytest.approx(0.25)
    assert freshness(MemoryKind.ERROR, START + 9 * DAY, START) == 1, "a clock that is ahead"
    assert weight(MemoryKind.ERROR, 3, START, START + 70 * DAY) == pytest.approx(0.5)
    assert weight(MemoryKind.ERROR, 5, START, START) == pytest.approx(1.2)
    assert weight(MemoryKind.ERROR, 1, START, START) == pytest.approx(0.8)


def due(rows: Iterable[MemoryRow], now: datetime) -> list[tuple[str, str, str]]:
    said = due_for_forgetting(rows, now)
    assert all(isinstance(draft.data, MemoryForgotten) for draft in said)
    return [(str(draft.about), draft.data.memory, draft.data.by) for draft in said]  # pyright: ignore


def test_retention_forgets_what_expired_and_what_faded_unless_it_is_most_important() -> None:
    error = msgspec.structs.replace(FLAKY, kind=MemoryKind.ERROR)
    named = {
        name: msgspec.structs.replace(error, memory=name, **fields)
        for name, fields in {
            "expires": {"expires_at": START + 10 * DAY},
            "old": {},
            "used": {},
            "kept": {"importance": 5},
            "kept-but-expires": {"importance": 5, "expires_at": START + 10 * DAY},
            "decided": {"kind": MemoryKind.DECISION},
        }.items()
    }
    rows = list(Remembered(*named.values(), (ANN, error), MemoryUsed(memory="used")).memories.values())
    assert due(rows, START + 9 * DAY) == []
    expired = [("rig", name, "retention: expired") for name in ("expires", "kept-but-expires")]
    assert due(rows, START + 10 * DAY) == expired
    four_half_lives = START + 287 * DAY
    assert freshness(MemoryKind.ERROR, START + 7 * DAY, four_half_lives) == FADED
    assert due(reversed(rows), four_half_lives) == [
        *expired,
        ("rig", "old", "retention: not used since 2026-01-02"),
        ("user:ann", "flaky", "retention: not used since 2026-01-07"),
    ], "what was used a week later is not faded yet"
    forgotten = [(RIG, draft.data) for draft in due_for_forgetting(rows, START + 10 * DAY)]
    assert {row.memory for row in Remembered(*named.values(), *forgotten).memories.values()} == {
        "old",
        "used",
        "kept",
        "decided",
    }


# ── scores ───────────────────────────────────────────────────────────────────


def match(key: str, rank: float, similarity: float | None, *, importance: int = 3, days: int = 0) -> Match:
    return Match(key, MemoryKind.ERROR, importance, START - days * DAY, rank, similarity)


def test_a_score_is_a_third_of_words_and_two_of_meaning_and_words_alone_without_vectors() -> None:
    found = scored([match("both", 0.2, 0.5), match("words", 0.1, None), match("meaning", 0, 0.9)], START)
    assert [(one.key, round(one.score, 4)) for one in found] == [("both", 0.675), ("meaning", 0.585), ("words", 0.5)]
    assert [(one.text, one.similarity) for one in found] == [(1, 0.5), (0, 0.9), (0.5, None)]


def test_of_equal_matches_the_fresh_and_the_important_come_first() -> None:
    found = scored(
        [match("old", 1, 1, days=70), match("c", 1, 1, importance=5), match("b", 1, 1), match("a", 1, 1)], START
    )
    assert [(one.key, round(one.score, 4)) for one in found] == [("c", 1.2), ("a", 1), ("b", 1), ("old", 0.5)]


def test_what_points_away_and_holds_no_word_is_no_match() -> None:
    found = scored([match("a", 0, -0.5), match("b", 0, None), match("c", 1, -0.5)], START)
    assert [(one.key, one.score, one.similarity) for one in found] == [("c", 0.35, 0)]
    assert scored([], START) == []
