"""Names, ids, ownership, and what a person typed."""

from types import UnionType
from typing import Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import (
    EVENTS,
    BadReference,
    FailureKind,
    Invalid,
    IssueApproved,
    IssueRef,
    IssueUnassigned,
    IssueWithdrawn,
    Ownership,
    Policy,
    Priority,
    PriorityChanged,
    RepoRef,
    Stopped,
    UnassignReason,
    UnknownType,
    WorkFailed,
    build,
    by_name,
    event_id,
)
from tests.support.saying import assigned, pushed, started

# ── names ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name",
    ["IssueApproved", "issueapproved", "ISSUE_APPROVED", "issue_approved", "issue.approved", "rig.issue.approved.v1"],
)
def test_a_type_by_any_name_a_person_uses(name: str) -> None:
    assert by_name(name) is IssueApproved


def test_an_unknown_type_suggests_the_nearest() -> None:
    with pytest.raises(UnknownType, match=r"'IssueAproved' is no event type; did you mean IssueApproved"):
        by_name("IssueAproved")


@pytest.mark.parametrize("text", ["acme", "acme/web", "acme/web#", "acme/web#x", "a b/c#1", "/web#1", "a/b/c#1"])
def test_what_names_no_issue_is_refused_by_its_text(text: str) -> None:
    with pytest.raises(BadReference, match="write OWNER/REPO#NUMBER"):
        IssueRef.parse(text)


def test_references_read_and_write() -> None:
    assert str(IssueRef.parse("acme/web.js#42")) == "acme/web.js#42"
    assert RepoRef.parse("acme/web") == IssueRef.parse("acme/web#1").repository


# ── ids ──────────────────────────────────────────────────────────────────────


PARTS = st.lists(st.text("ab:.%", min_size=1, max_size=5), min_size=1, max_size=4)


@given(PARTS, PARTS)
def test_different_parts_make_different_ids(one: list[str], two: list[str]) -> None:
    assert (event_id(*one) == event_id(*two)) == (one == two)


def test_a_long_id_is_hashed_and_still_deterministic() -> None:
    parts = ("local", "x" * 200, 1)
    assert event_id(*parts) == event_id(*parts) != event_id("local", "x" * 200, 2)
    assert len(event_id(*parts)) < 100


# ── ownership ────────────────────────────────────────────────────────────────


def failed(epoch: int, run: str) -> WorkFailed:
    return WorkFailed(epoch=epoch, run=run, kind=FailureKind.NO_CHANGES, detail="")


def test_the_claim_of_the_open_epoch_owns_it_and_its_report_closes_it() -> None:
    own = Ownership()
    assert own.apply(assigned(1))
    assert own.apply(started(1, "a"))
    assert own.owns(1, "a")
    assert own.apply(pushed(1, "a"))
    assert not own.owns(1, "a")
    assert not own.apply(started(1, "b")), "a claim after the report is ignored"


def test_a_later_claim_takes_over() -> None:
    own = Ownership()
    own.apply(assigned(1))
    own.apply(started(1, "a"))
    assert own.apply(started(1, "b"))
    assert not own.apply(failed(1, "a"))
    assert own.apply(failed(1, "b"))


def test_a_new_epoch_ends_every_older_one_and_an_old_one_never_comes_back() -> None:
    own = Ownership()
    own.apply(assigned(1))
    own.apply(started(1, "a"))
    assert own.apply(assigned(2))
    assert not own.owns(1, "a")
    assert not own.apply(started(1, "a"))
    assert not own.apply(assigned(1))


@pytest.mark.parametrize(
    "ending", [IssueUnassigned(epoch=1, reason=UnassignReason.STUCK), Stopped(by="ada"), IssueWithdrawn(by="ada")]
)
def test_what_ends_an_epoch(ending: IssueUnassigned | Stopped | IssueWithdrawn) -> None:
    own = Ownership()
    own.apply(assigned(1))
    own.apply(started(1, "a"))
    assert own.apply(ending)
    assert not own.apply(pushed(1, "a"))


def test_taking_back_an_older_epoch_changes_nothing() -> None:
    own = Ownership()
    own.apply(assigned(2))
    assert not own.apply(IssueUnassigned(epoch=1, reason=UnassignReason.STALE))
    assert own.open


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.sampled_from("ab")), max_size=30))
def test_applying_a_log_twice_in_a_row_changes_nothing(words: list[tuple[int, int, str]]) -> None:
    once, twice = Ownership(), Ownership()
    for kind, epoch, run in words:
        event = (assigned(epoch), started(epoch, run), pushed(epoch, run), failed(epoch, run))[kind]
        once.apply(event)
        twice.apply(event)
        twice.apply(event)
    assert once == twice


# ── what a person typed ──────────────────────────────────────────────────────


def test_text_becomes_an_event() -> None:
    typed = {"title": "Fix", "author": "ada", "priority": "high", "depends_on": "acme/web#1, acme/api#2"}
    assert build(IssueApproved, typed) == IssueApproved(
        title="Fix",
        author="ada",
        priority=Priority.HIGH,
        depends_on=(IssueRef("acme", "web", 1), IssueRef("acme", "api", 2)),
    )


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        build(IssueApproved, {"title": "x" * 10_000, "priority": "urgent", "depends_on": "acme", "colour": "red"})
    problems = "\n".join(caught.value.problems)
    for expected in (
        "title: expected one line of 1 to 300",
        "priority:",
        "depends_on: 'acme'",
        "author: missing",
        "colour:",
    ):
        assert expected in problems
    assert len(caught.value.problems) == 5


@pytest.mark.parametrize("title", ["", "two\nlines", "bell\x07", "x" * 301])
def test_a_title_is_one_line_of_printable_text(title: str) -> None:
    with pytest.raises(Invalid, match="title: expected one line"):
        build(IssueApproved, {"title": title, "author": "ada"})


def test_priorities_sort_by_urgency() -> None:
    assert sorted(Priority, key=lambda priority: priority.rank) == ["critical", "high", "normal", "low"]
    assert build(PriorityChanged, {"priority": "low", "by": "ada"}) == PriorityChanged(priority=Priority.LOW, by="ada")


def test_a_policy_has_one_digest() -> None:
    assert Policy().digest() == Policy().digest() != Policy(attempts_max=4).digest()


# ── what must hold of every event ────────────────────────────────────────────


def _leaves(annotation: object) -> set[object]:
    inner = get_args(annotation)
    if get_origin(annotation) in (Union, UnionType, tuple):
        return {leaf for part in inner if part is not Ellipsis for leaf in _leaves(part)}
    return {annotation}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_an_event_says_what_it_is_and_holds_only_typed_values(event: type) -> None:
    assert event.__doc__
    for name, annotation in get_type_hints(event).items():
        if name not in ("noun", "prefix", "schema_version"):
            assert not _leaves(annotation) & {object, dict, list}, f"{event.__name__}.{name} is not typed"
    assert msgspec.json.schema(event)
