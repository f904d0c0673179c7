"""The word that wakes an agent follows from what woke it, and from nothing else."""

from datetime import UTC, datetime, timedelta, timezone

from schemas import WokenBy, is_id, summary, woken

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
