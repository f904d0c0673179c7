"""The pure parts of consuming: keys, back-off, filters, and what stands on RIG_DEAD."""

from datetime import UTC, datetime

import pytest
from msgspec import ValidationError, json

from bus.delivery import Delivery
from bus.letters import Verdict, matches, read_letter
from bus.outcomes import Retry, about, after_failure
from bus.stored import Stored

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def delivery(subject: str) -> Delivery:
    return Delivery(
        subject=subject, body=b"", reply="", position=1, order=1, attempt=1, pending=0, stored_at=NOW, headers=None
    )


@pytest.mark.parametrize(
    ("subject", "key"),
    [
        ("rig.issue.acme.web%2Ejs.7.conductor.assigned.dev-e", "rig.issue.acme.web%2Ejs.7"),
        ("rig.issue.acme.web.7.local.approved", "rig.issue.acme.web.7"),
        ("rig.repo.acme.web.cli.added", "rig.repo.acme.web"),
        ("rig.agent.dev-e-1.dev-e.joined", "rig.agent.dev-e-1"),
        ("rig.fleet.conductor.decided", "rig.fleet"),
        ("rig.nonsense", "rig.nonsense"),
        ("rig", "rig"),
        ("", ""),
    ],
)
def test_the_key_of_an_event_is_the_branch_of_what_it_is_about(subject: str, key: str) -> None:
    assert about(delivery(subject)) == key


@pytest.mark.parametrize("after", [-0.1, float("nan"), float("inf")])
def test_a_retry_at_no_time_is_refused_where_it_is_made(after: float) -> None:
    with pytest.raises(ValueError, match="another try in"):
        Retry(after)


def test_the_pause_after_a_failure_grows_and_has_an_end() -> None:
    pauses = [after_failure(attempt).after for attempt in range(1, 30)]
    assert pauses == sorted(pauses)
    assert after_failure(1) == Retry(0.5)
    assert after_failure(10_000) == Retry(30.0)


@pytest.mark.parametrize(
    ("pattern", "subject", "does"),
    [
        ("rig.>", "rig.fleet", True),
        ("rig.>", "rig", False),
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.b.d", False),
        ("a.*", "a.b.c", False),
        ("a.b.c", "a.b", False),
        ("timer.conductor.fired.>", "timer.conductor.set.x", False),
    ],
)
def test_a_filter_takes_what_the_server_would_deliver(pattern: str, subject: str, does: bool) -> None:
    assert matches(pattern, subject) is does


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("dead.letter.RIG.dev-e", b"{}"),
        ("dead.letter.RIG.dev-e", b"[" * 100_000),
        ("dead.RIG.dev-e", b"{}"),
        ("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.RIG.x", b"no"),
        ("$JS.EVENT.ADVISORY.CONSUMER.CREATED.RIG.x", b"{}"),
    ],
)
def test_what_is_no_letter_is_none(subject: str, body: bytes) -> None:
    assert read_letter(Stored(1, subject, NOW, {}, body)) is None


@pytest.mark.parametrize("position", [0, -1, 2**63, 2**64, 10**30])
def test_a_verdict_is_about_a_position_that_a_stream_can_have(position: int) -> None:
    words = '{"letter":%d,"by":"ann","reason":"?","time":"2026-01-01T00:00:00Z"}'
    assert json.decode(words % (2**63 - 1), type=Verdict).letter == 2**63 - 1
    with pytest.raises(ValidationError):
        json.decode(words % position, type=Verdict)


def test_a_letter_is_about_the_durable_of_its_subject() -> None:
    """Its role writes below its own subject alone, whatever it says inside."""
    body = (
        b'{"stream":"RIG","consumer":"dev-e","position":1,"subject":"s","reason":"r","attempts":1,'
        b'"time":"2026-01-01T00:00:00Z","size":0,"body":""}'
    )
    assert read_letter(Stored(1, "dead.letter.RIG.dev-e", NOW, {}, body)) is not None
    assert read_letter(Stored(1, "dead.letter.RIG.review-e", NOW, {}, body)) is None
