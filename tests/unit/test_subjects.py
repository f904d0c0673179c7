"""The subject grammar: escaping and its inverse, parsing and its refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import FLEET, AgentRef, BadSubject, IssueRef, RepoRef, Subject, escape, parse, unescape
from schemas.subjects import MAX_TOKEN, assignments_of, everything_about

TEXT = st.text(min_size=1, max_size=30).filter(lambda text: not any(0xD800 <= ord(c) <= 0xDFFF for c in text))


@given(TEXT)
def test_unescape_is_the_inverse_of_escape(text: str) -> None:
    token = escape(text)
    assert unescape(token) == text
    assert not set(token) & set(". *>\t\r\n")
    assert token.isascii()


@given(TEXT, TEXT)
def test_different_texts_have_different_tokens(one: str, two: str) -> None:
    assert (escape(one) == escape(two)) == (one == two)


@pytest.mark.parametrize("text", ["", "x" * (MAX_TOKEN + 1), "ü" * MAX_TOKEN])
def test_what_cannot_be_a_token_is_refused(text: str) -> None:
    with pytest.raises(BadSubject, match="cannot be a subject token"):
        escape(text)


@pytest.mark.parametrize("token", ["", "a.b", "*", ">", "a b", "%2", "%2e", "%41", "%FF", "ü", "a%"])
def test_a_token_that_escape_would_not_make_is_refused(token: str) -> None:
    with pytest.raises(BadSubject):
        unescape(token)


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        (Subject(IssueRef("acme", "web.js", 42), "local", "approved"), "rig.issue.acme.web%2Ejs.42.local.approved"),
        (
            Subject(IssueRef("acme", "web", 42), "conductor", "assigned", "dev-e"),
            "rig.issue.acme.web.42.conductor.assigned.dev-e",
        ),
        (Subject(RepoRef("acme", "web"), "cli", "added"), "rig.repo.acme.web.cli.added"),
        (Subject(AgentRef("dev-e-1"), "dev-e", "joined"), "rig.agent.dev-e-1.dev-e.joined"),
        (Subject(FLEET, "conductor", "decided"), "rig.fleet.conductor.decided"),
    ],
)
def test_a_subject_and_its_text(subject: Subject, text: str) -> None:
    assert str(subject) == text
    assert parse(text) == subject


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rig",
        "rig.fleet.conductor",
        "rig.issue.acme.web.0.local.approved",
        "rig.issue.acme.web.07.local.approved",
        "rig.issue.acme.web.1.local.Approved",
        "rig.issue.acme.web.1.local.approved.dev-e.more",
        "rig.issue.acme..1.local.approved",
        "rig.issue.acme.*.1.local.approved",
        "other.fleet.conductor.decided",
        "rig.planet.conductor.decided",
    ],
)
def test_what_is_no_subject_is_refused(text: str) -> None:
    with pytest.raises(BadSubject):
        parse(text)


def test_filters() -> None:
    assert everything_about(IssueRef("acme", "a.b", 1)) == "rig.issue.acme.a%2Eb.1.>"
    assert assignments_of("dev-e") == "rig.issue.*.*.*.conductor.assigned.dev-e"
