"""The envelope and its codec: what goes round, and what is refused with which reason."""

import json
from datetime import UTC, datetime

import pytest

from schemas import (
    EVENTS,
    FLEET,
    MAX_BODY,
    MAY_SAY,
    Actor,
    AssignReason,
    BadSubject,
    Draft,
    Envelope,
    IssueApproved,
    IssueAssigned,
    IssueRef,
    NotAllowed,
    RepoRef,
    Stopped,
    Undecodable,
    UnknownType,
    decode,
    encode,
    envelope,
)

ISSUE = IssueRef("acme", "web", 42)
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def said(data: IssueApproved | IssueAssigned | Stopped, actor: Actor) -> Envelope:
    draft = Draft(about=ISSUE, data=data, cause="cause", correlation="root")
    return envelope(draft, id="id-1", actor=actor, source=f"{actor}/1", time=NOW)


APPROVED = said(IssueApproved(title="Fix", author="ada", depends_on=(IssueRef("acme", "api", 7),)), Actor.LOCAL)


def changed(**fields: object) -> bytes:
    return json.dumps({**json.loads(encode(APPROVED)), **fields}).encode()


def test_an_event_goes_round() -> None:
    assert decode(encode(APPROVED), subject="rig.issue.acme.web.42.local.approved") == APPROVED


def test_the_document_is_cloudevents() -> None:
    document = json.loads(encode(APPROVED))
    assert document["specversion"] == "1.0"
    assert document["type"] == "rig.issue.approved.v1"
    assert document["subject"] == "rig.issue.acme.web.42.local.approved"
    assert document["source"] == "local/1"
    assert document["time"] == "2026-01-02T03:04:05.678901Z"
    assert (document["causationid"], document["correlationid"]) == ("cause", "root")


def test_an_assignment_names_its_role_in_the_subject() -> None:
    assigned = said(IssueAssigned(epoch=1, role="dev-e", attempt=1, reason=AssignReason.NEW), Actor.CONDUCTOR)
    assert str(assigned.subject) == "rig.issue.acme.web.42.conductor.assigned.dev-e"
    assert decode(encode(assigned)) == assigned


def test_unknown_fields_are_tolerated() -> None:
    data = {**json.loads(encode(APPROVED))["data"], "added_later": 1}
    assert decode(changed(data=data, extension="x")) == APPROVED


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not an event"),
        (b"\xff\xfe", "not an event"),
        (b"[]", "not an event"),
        (changed(specversion="0.3"), "specversion"),
        (changed(data={"title": "x"}), "author"),
        (changed(data={"title": "x\ny", "author": "a"}), "title"),
        (changed(subject="rig.issue.acme.web.42.local"), "not a subject"),
        (changed(subject="rig.issue.acme.web.42.local.revised"), "cannot be said on"),
        (changed(subject="rig.fleet.local.approved"), "cannot be said on"),
        (changed(subject="rig.issue.acme.web.42.local.approved.dev-e"), "does not name the role"),
        (changed(subject="rig.issue.acme.web.42.dev-e.approved"), "dev-e may not say IssueApproved"),
    ],
)
def test_what_is_no_event_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(Undecodable, match=reason):
        decode(body)


def test_a_document_must_come_on_the_subject_that_it_names() -> None:
    with pytest.raises(Undecodable, match="came on"):
        decode(encode(APPROVED), subject="rig.issue.acme.web.43.local.approved")


def test_an_unknown_type_is_told_apart() -> None:
    with pytest.raises(UnknownType, match=r"rig\.issue\.approved\.v9"):
        decode(changed(type="rig.issue.approved.v9"))


def test_a_body_over_the_limit_is_refused_at_the_edge() -> None:
    with pytest.raises(Undecodable, match=str(MAX_BODY)):
        encode(said(IssueApproved(title="x", author="a", url="x" * MAX_BODY), Actor.LOCAL))


def test_what_no_reader_could_decode_never_leaves() -> None:
    with pytest.raises(Undecodable, match="title"):
        encode(said(IssueApproved(title="two\nlines", author="a"), Actor.LOCAL))


def test_what_is_no_text_never_leaves() -> None:
    with pytest.raises(Undecodable, match="surrogates not allowed"):
        said(IssueApproved(title="\ud800", author="a"), Actor.LOCAL)


def test_nobody_speaks_for_another() -> None:
    with pytest.raises(NotAllowed, match="conductor may not say IssueApproved"):
        said(IssueApproved(title="x", author="a"), Actor.CONDUCTOR)


def test_an_event_is_about_its_own_kind_of_thing() -> None:
    for about in (FLEET, RepoRef("a", "b")):
        with pytest.raises(BadSubject, match="is about issue"):
            envelope(Draft(about=about, data=Stopped(by="ada")), id="x", actor=Actor.CLI, source="cli", time=NOW)


def test_two_tries_of_one_fact_say_the_same() -> None:
    later = envelope(
        Draft(about=ISSUE, data=APPROVED.data), id="id-1", actor=Actor.LOCAL, source="local/2", time=datetime.now(UTC)
    )
    assert later.says_the_same(APPROVED)


def test_every_event_may_be_said_by_somebody_and_types_are_unique() -> None:
    sayable = frozenset[type]().union(*MAY_SAY.values())
    assert {event.__name__ for event in EVENTS} == {event.__name__ for event in sayable}
    assert len({event.wire_type() for event in EVENTS}) == len(EVENTS)
