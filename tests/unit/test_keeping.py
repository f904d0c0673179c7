"""How memories are looked after: what says the same becomes one, and no word hits a memory that has changed since."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from bridges.terminal.memories import last_words, may_stand
from conductor.projector.compacting import COMPACTED_MAX, normal
from conductor.projector.keeping import Look
from conductor.projector.memory import EmbeddingRow, MemoryRow
from conductor.projector.past import Past
from schemas import (
    Draft,
    Event,
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
LATER = START + 40 * DAY
FACT = MemoryWritten(memory="a", kind=MemoryKind.FACT, title="The CI is slow", text="On Mondays.")


class Remembered:
    """A log of memories, its events a day apart, and the read side's rows."""

    def __init__(self, *events: Event | Draft) -> None:
        self.log: list[Recorded] = []
        self._past = Past()
        self.say(*events)

    def say(self, *events: Event | Draft) -> None:
        for said in events:
            draft = Draft(about=RIG, data=said) if isinstance(said, Event) else said
            position = len(self.log) + 1
            time = START + (position - 1) * DAY
            event = envelope(draft, id=f"e{position}", actor="dev-e", source="dev-e/1", time=time)
            self.log.append(Recorded(position, time, event))
            self._past.fold(self.log[-1:])

    @property
    def all(self) -> list[MemoryRow]:
        """As the keeper reads them."""
        found = [row for row in self._past.tables.rows["memories"].values() if isinstance(row, MemoryRow)]
        return sorted(found, key=lambda row: (row.scope, row.position))

    @property
    def rows(self) -> dict[str, MemoryRow]:
        """Those of the rig, by name."""
        return {row.memory: row for row in self.all if row.scope == "rig"}

    @property
    def vectors(self) -> set[str]:
        found = self._past.tables.rows["embeddings"].values()
        return {row.memory for row in found if isinstance(row, EmbeddingRow)}

    def words(self, now: datetime = LATER, page: int = 100) -> list[Draft]:
        """What is to be said of them."""
        rows, look = self.all, Look(now)
        pages = [look.at(rows[first : first + page]) for first in range(0, len(rows), page)]
        return [draft for words in (*pages, look.end()) for draft in words]


def named(name: str, **fields: object) -> MemoryWritten:
    return replace(FACT, memory=name, **fields)


def embedded(name: str) -> MemoryEmbedded:
    return MemoryEmbedded(memory=name, model="m", dimensions=1, vector=(1,))


# ── what says the same ───────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CI is slow", "  ci IS\n slow. "),
        ("“CI is slow!”", "CI is slow…"),
        ("Straße", "STRASSE;"),
        ("café", "cafe\u0301"),
    ],
)
def test_case_white_space_and_the_punctuation_around_make_no_difference(one: str, other: str) -> None:
    assert normal(one) == normal(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CI is slow", "CI is slow?"),
        ("Use C", "Use C#"),
        ("env is shared", ".env is shared"),
        ("It waits 1.5 s", "It waits 15 s"),
        ("is slow", "is not slow"),
        ("Use curl -k", "Use curl -K"),
        ("Set $PATH", "Set $path"),
        ("See app.Config", "See app.config"),
    ],
)
def test_everything_else_does(one: str, other: str) -> None:
    assert normal(one) != normal(other)


def test_memories_that_say_the_same_become_the_most_important_then_most_used_then_newest() -> None:
    by_importance = Remembered(named("a", importance=4), named("b"), MemoryUsed(memory="b"), named("c"))
    by_use = Remembered(named("a"), named("b"), MemoryUsed(memory="a"), named("c"))
    by_age = Remembered(named("a"), named("b"), named("c"))
    for told, into, others in ((by_importance, "a", ("b", "c")), (by_use, "a", ("b", "c")), (by_age, "c", ("a", "b"))):
        (word,) = told.words()
        positions = {name: told.rows[name].position for name in (into, *others)}
        assert word == Draft(about=RIG, data=MemoriesCompacted(into=into, replaced=others, written=positions))
        told.say(word)
        assert set(told.rows) == {into}
        assert told.rows[into].replaces == others
        assert told.words() == []


def test_only_what_is_of_one_scope_and_kind_and_says_the_same_in_title_and_text() -> None:
    told = Remembered(
        FACT,
        named("kind", kind=MemoryKind.GOTCHA),
        named("title", title="The CI was slow"),
        named("text", text="On Tuesdays."),
        Draft(about=ANN, data=named("scope")),
    )
    assert told.words() == []


def test_what_remains_has_all_that_the_others_had() -> None:
    read = MemoryRead(query="q", found=("a", "b"))
    told = Remembered(
        named("a", importance=4, tags=("ci", "x"), expires_at=START + 90 * DAY),
        named("b", importance=2, tags=("x", "slow"), expires_at=START + 60 * DAY),
        *(read, MemoryUsed(memory="b"), read, MemoryUsed(memory="a"), MemoryUsed(memory="b")),
        *(embedded("a"), embedded("b")),
    )
    told.say(*told.words())
    row = told.rows["a"]
    assert (row.hits, row.uses, row.last_used) == (4, 3, START + 6 * DAY)
    assert (row.importance, row.tags, row.expires_at) == (4, ("ci", "x", "slow"), START + 90 * DAY)
    assert (row.position, row.written, row.replaces) == (1, START + DAY, ("b",))
    assert told.vectors == {"a"}
    told.say(named("c", importance=1))
    told.say(*told.words())
    assert told.rows["a"].expires_at is None, "one of them never expires"
    assert told.rows["a"].replaces == ("b", "c")


def test_one_that_is_written_anew_before_the_word_comes_stays_as_it_is() -> None:
    told = Remembered(named("a", importance=4), named("b"), named("c"), MemoryUsed(memory="b"))
    words = told.words()
    told.say(named("b", text="On Mondays, until the move."), embedded("b"), *words)
    assert set(told.rows) == {"a", "b"}
    assert (told.rows["b"].text, told.rows["b"].uses) == ("On Mondays, until the move.", 1)
    assert (told.rows["a"].replaces, told.rows["a"].uses) == (("c",), 0)
    assert told.vectors == {"b"}


@pytest.mark.parametrize("meanwhile", [named("a", text="Never."), MemoryForgotten(memory="a", by="ann")])
def test_nothing_goes_into_a_memory_that_is_another_or_gone_meanwhile(meanwhile: Event) -> None:
    told = Remembered(named("a", importance=4), named("b"), named("c"))
    words = told.words()
    told.say(meanwhile, *words)
    assert {"b", "c"} <= set(told.rows)


def test_what_is_used_before_the_word_comes_keeps_that_use() -> None:
    told = Remembered(named("a", importance=4), named("b"))
    words = told.words()
    told.say(MemoryUsed(memory="b"), *words)
    assert (told.rows["a"].uses, told.rows["a"].last_used) == (1, START + 2 * DAY)


def test_very_many_become_one_by_several_words() -> None:
    told = Remembered(*(named(f"m{number}") for number in range(COMPACTED_MAX + 10)))
    counts: list[int] = []
    while words := told.words():
        told.say(*words)
        counts.append(len(told.rows))
    assert counts == [10, 1]


@pytest.mark.parametrize("page", [1, 2, 3, 7])
def test_the_same_is_said_however_the_memories_are_paged(page: int) -> None:
    told = Remembered(
        *(named(name, expires_at=START + number * DAY) for number, name in enumerate("abcd", 39)),
        *(Draft(about=ANN, data=named(name)) for name in "abc"),
    )
    assert sorted(map(str, told.words(page=page))) == sorted(map(str, told.words()))
    assert len(told.words(page=page)) == 4, "two expire, and one word for each scope"


def test_a_memory_that_is_written_anew_during_the_look_is_no_twin_of_itself() -> None:
    told = Remembered(FACT)
    look = Look(LATER)
    look.at(told.all)
    told.say(FACT)
    look.at(told.all)
    assert look.end() == []


# ── what is forgotten ────────────────────────────────────────────────────────

EXPIRING = named("a", expires_at=START + 30 * DAY)


def test_the_same_word_whoever_says_it_and_whenever() -> None:
    told = Remembered(EXPIRING, named("old", kind=MemoryKind.ERROR))
    much_later = START + 999 * DAY
    assert told.words(much_later) == told.words(much_later + DAY)
    assert len(told.words(much_later)) == 2


@pytest.mark.parametrize(
    "meanwhile",
    [
        (MemoryUsed(memory="a"),),
        (EXPIRING,),
        (named("b"), MemoriesCompacted(into="a", replaced=("b",))),
        (MemoryForgotten(memory="a", by="ann"), EXPIRING),
    ],
)
def test_a_memory_that_has_changed_since_is_not_forgotten(meanwhile: Sequence[Event]) -> None:
    told = Remembered(EXPIRING)
    words = told.words()
    told.say(*meanwhile, embedded("a"), *words)
    assert set(told.rows) == told.vectors == {"a"}
    again = told.words()
    assert words[0] not in again, "it is due for another reason, or not at all"
    told.say(*again)
    assert set(told.rows) == ({"a"} if not again else set())
    assert told.vectors == set(told.rows)


def test_one_that_stands_as_it_stood_is_forgotten_with_its_vector() -> None:
    told = Remembered(EXPIRING, embedded("a"), named("b"))
    told.say(MemoryRead(query="q", found=("a",)), *told.words())
    assert set(told.rows) == {"b"}
    assert told.vectors == set()
    told.say(embedded("a"))
    assert told.vectors == set(), "it came too late"


# ── as the terminal reads it in the log ──────────────────────────────────────


def test_a_person_can_forget_and_write_anew_what_retention_may_have_spared() -> None:
    told = Remembered(EXPIRING)
    (word,) = told.words()
    told.say(MemoryUsed(memory="a"), word)
    assert may_stand(last_words(told.log)["a"])
    assert not isinstance(last_words(told.log)["a"].event.data, MemoryWritten), "so it is said anew when it is added"
    told.say(named("a"), word)
    assert last_words(told.log)["a"].event.data == named("a"), "that was of another writing"
    told.say(MemoryForgotten(memory="a", by="ann"))
    assert not may_stand(last_words(told.log)["a"])


def test_a_person_sees_what_has_become_one() -> None:
    told = Remembered(named("a", importance=4), named("b"), named("c"))
    words = told.words()
    told.say(named("b", text="Another."), *words)
    last = last_words(told.log)
    assert {name for name in last if may_stand(last[name])} == {"a", "b"}
    told.say(named("a", text="Another, too."), *words)
    assert may_stand(last_words(told.log)["a"])


def test_the_terminal_too_knows_that_nothing_became_part_of_what_was_not_there() -> None:
    told = Remembered(named("b"))
    told.say(MemoriesCompacted(into="a", replaced=("b",)))
    assert set(told.rows) == {"b"}
    assert may_stand(last_words(told.log)["b"])
