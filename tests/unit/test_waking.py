"""The word that wakes an agent follows from what woke it, and from nothing else."""

from datetime import UTC, datetime, timedelta, timezone

from agents.life.wakes import Wakes
from schemas import (
    Actor,
    AgentRef,
    AgentRested,
    AgentWoken,
    Draft,
    Recorded,
    RestOutcome,
    WokenBy,
    envelope,
    is_id,
    summary,
    woken,
)

AT = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


def test_the_same_cause_is_the_same_word_on_any_machine() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=2)))
    assert woken("monitor-e", WokenBy.SCHEDULE, "daily", due=AT) == woken(
        "monitor-e", WokenBy.SCHEDULE, "daily", due=elsewhere
    )


def test_every_other_cause_is_another_word_whatever_it_is_called() -> None:
    words = [
        woken("monitor-e", WokenBy.SCHEDULE, "daily", due=AT),
        woken("monitor-e", WokenBy.SCHEDULE, "daily", due=AT + timedelta(hours=1)),
        woken("monitor-e", WokenBy.SCHEDULE, "daily"),
        woken("monitor-e", WokenBy.EVENT, "daily", due=AT),
        woken("monitor-e", WokenBy.SCHEDULE, 'daily","x', due=AT),
        woken("architect-e", WokenBy.SCHEDULE, "daily", due=AT),
        woken("monitor-e", WokenBy.MESSAGE, "ä" * 300),
    ]
    assert len({known_as for _, known_as in words}) == len({word.run for word, _ in words}) == len(words)
    assert all(is_id(known_as) for _, known_as in words)


def test_it_is_told_in_words() -> None:
    word, _ = woken("monitor-e", WokenBy.SCHEDULE, "daily", due=AT, text="look around")
    assert summary(word) == "woken by schedule daily, due 2026-10-25 01:30:00 UTC: look around"


def test_a_wake_that_is_said_twice_is_one_also_when_it_has_rested() -> None:
    """The server knows an id for two minutes: said again later, it stands in the log again."""
    word, known_as = woken("monitor-e", WokenBy.SCHEDULE, "daily", due=AT)
    rest = AgentRested(run=word.run, outcome=RestOutcome.DONE)
    wakes = Wakes()
    for position, (data, named) in enumerate([(word, known_as), (word, known_as), (rest, "r"), (word, known_as)], 1):
        wakes.apply(said(data, named, position))
        assert [wake.position for wake in wakes.open] == ([1] if position < 3 else [])
    assert wakes.knows(word.run)
    late = Wakes()
    late.apply(said(rest, "r", 1))
    late.apply(said(word, known_as, 2))
    assert late.open == (), "the first that was said may have been taken out of the log"


def said(data: AgentWoken | AgentRested, known_as: str, position: int) -> Recorded:
    draft = Draft(about=AgentRef("monitor-e"), data=data)
    return Recorded(position, AT, envelope(draft, id=known_as, actor=Actor.AGENT, source="agent/monitor-e", time=AT))
