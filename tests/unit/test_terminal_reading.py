"""What was typed → what is meant: references, events, times; and every problem named at once."""

from datetime import UTC, datetime, timedelta

import pytest

from bridges.terminal import BadInput, reading
from schemas import (
    FLEET,
    BadReference,
    Draft,
    IssueApproved,
    IssueRef,
    IssueRevised,
    IssueWithdrawn,
    Policy,
    PolicyAdopted,
    Priority,
    RepoRef,
    RepositoryAdded,
    RepositoryRemoved,
    Stopped,
    UnknownType,
    Withdrawal,
)

SHOP = RepoRef("demo", "shop")
ISSUE = IssueRef("demo", "shop", 7)
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def problems_of(type_name: str, **values: object) -> list[str]:
    with pytest.raises(BadInput) as caught:
        reading.draft(type_name, values)
    return [line.strip() for line in str(caught.value).splitlines()]


@pytest.mark.parametrize("name", ["Stopped", "stopped", "issue.stopped", "STOPPED", "rig.issue.stopped.v1"])
def test_a_type_goes_by_any_of_its_names(name: str) -> None:
    said = reading.draft(name, {"issue": "demo/shop#7", "by": "ann"})
    assert said == Draft(about=ISSUE, data=Stopped(by="ann"))


@pytest.mark.parametrize(
    "about",
    [
        {"issue": "demo/shop#7"},
        {"owner": "demo", "repo": "shop", "number": "7"},
        {"owner": "demo", "repo": "shop", "number": 7},
        {"repo": "demo/shop", "number": "7"},
    ],
)
def test_an_issue_is_named_whole_or_in_parts(about: dict[str, object]) -> None:
    assert reading.draft("Stopped", {**about, "by": "ann"}).about == ISSUE


@pytest.mark.parametrize("about", [{"repo": "demo/shop"}, {"owner": "demo", "repo": "shop"}])
def test_a_repository_is_named_whole_or_in_parts(about: dict[str, object]) -> None:
    assert reading.draft("repo.removed", {**about, "by": "ann"}) == Draft(about=SHOP, data=RepositoryRemoved(by="ann"))


def test_the_fleet_needs_no_name() -> None:
    policy = Policy()
    said = reading.draft("PolicyAdopted", {"policy": {}, "hash": policy.digest(), "by": "ann"})
    assert said == Draft(about=FLEET, data=PolicyAdopted(policy=policy, hash=policy.digest(), by="ann"))


def test_text_becomes_what_the_field_is() -> None:
    said = reading.draft(
        "IssueApproved",
        {
            "issue": "demo/shop#7",
            "title": "Fix total",
            "author": "ann",
            "priority": "high",
            "depends_on": "demo/shop#1, demo/site#2",
            "labels": "a,b",
        },
    )
    assert said.data == IssueApproved(
        title="Fix total",
        author="ann",
        priority=Priority.HIGH,
        depends_on=(IssueRef("demo", "shop", 1), IssueRef("demo", "site", 2)),
        labels=("a", "b"),
    )
    revised = reading.draft("IssueRevised", {"issue": "demo/shop#7", "depends_on": ""})
    assert revised.data == IssueRevised(depends_on=())
    withdrawn = reading.draft("IssueWithdrawn", {"issue": "demo/shop#7", "by": "ann", "reason": "closed"})
    assert withdrawn.data == IssueWithdrawn(reason=Withdrawal.CLOSED, by="ann")
    added = reading.draft("RepositoryAdded", {"repo": "demo/shop", "clone_url": "/srv", "check": "make", "by": "ann"})
    assert added.data == RepositoryAdded(clone_url="/srv", check="make", by="ann")


def test_an_unknown_type_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownType, match="'IssueAproved' is no event type; did you mean IssueApproved"):
        reading.draft("IssueAproved", {})


def test_everything_that_is_wrong_is_said_at_once() -> None:
    assert problems_of("IssueApproved", issue="demo/shop", title="a\nb", priority="urgent", color="red") == [
        "IssueApproved:",
        "issue: 'demo/shop' is not an issue: write OWNER/REPO#NUMBER, like acme/web#42",
        f"color: IssueApproved has no such field (it has {', '.join(IssueApproved.__struct_fields__)})",
        "title: expected one line of 1 to 300 printable characters, got 'a\\nb'",
        "author: missing",
        "priority: expected one of critical, high, normal, low, got 'urgent'",
    ]


def test_what_the_terminal_may_not_say_is_said_with_who_may() -> None:
    assert "cli may not say Merged; local, github may" in problems_of("Merged", issue="demo/shop#7")


def test_an_event_about_nothing_says_how_to_name_it() -> None:
    assert problems_of("Stopped", by="ann") == ["Stopped: issue: missing; write issue=OWNER/REPO#NUMBER"]
    assert problems_of("Stopped", by="ann", repo="demo/shop") == [
        "Stopped: issue: missing; write issue=OWNER/REPO#NUMBER"
    ]
    assert problems_of("Stopped", by="ann", issue="demo/shop#7", repo="demo/shop") == [
        "Stopped: issue: said twice, with issue= and repo="
    ]
    assert problems_of("RepositoryRemoved", by="ann") == ["RepositoryRemoved: repo: missing; write repo=OWNER/REPO"]


@pytest.mark.parametrize("event", ["IssueRevised", "IssueApproved"])
def test_an_issue_cannot_depend_on_itself(event: str) -> None:
    values = {"title": "t", "author": "ann"} if event == "IssueApproved" else {}
    said = problems_of(event, issue="demo/shop#7", depends_on="demo/shop#1,demo/shop#7", **values)
    assert said == [f"{event}: depends_on: demo/shop#7 cannot depend on itself"]


def test_a_title_of_10_kb_is_refused_with_its_length() -> None:
    (problem,) = problems_of("IssueApproved", issue="demo/shop#7", author="ann", title="x" * 10_240)
    assert "expected one line of 1 to 300 printable characters" in problem
    assert "(10242 characters)" in problem


def test_bytes_that_are_no_text_are_refused() -> None:
    assert problems_of("Stopped", issue="demo/shop#7", by="ann", note="\udcff") == ["Stopped: note: not UTF-8 text"]


def test_pairs_are_split_at_the_first_equals_sign() -> None:
    assert reading.pairs(["by=ann", "note=a=b", "body="]) == {"by": "ann", "note": "a=b", "body": ""}
    with pytest.raises(BadInput, match=r"(?s)'note' is not KEY=VALUE.*by: given twice"):
        reading.pairs(["by=ann", "note", "by=bob"])


@pytest.mark.parametrize("document", ["", "[]", "{", '"by"', "{} {}"])
def test_a_json_document_is_one_object(document: str) -> None:
    with pytest.raises(BadInput, match="not one JSON object"):
        reading.json_object(document)


@pytest.mark.parametrize(("typed", "number"), [("3", 3), ("#3", 3), ("demo/shop#3", 3)])
def test_a_dependency_is_a_number_here_or_an_issue_anywhere(typed: str, number: int) -> None:
    assert reading.dependencies([typed, typed], SHOP) == (IssueRef("demo", "shop", number),)


@pytest.mark.parametrize("typed", ["x", "0", "-1", "3.5", "²", "shop#3"])
def test_what_names_no_issue_is_no_dependency(typed: str) -> None:
    with pytest.raises(BadReference):
        reading.dependencies([typed], SHOP)


def test_since_is_a_position_a_time_or_an_age() -> None:
    assert reading.since("120", NOW) == 120
    assert reading.since("15m", NOW) == NOW - timedelta(minutes=15)
    assert reading.since("2026-01-31T12:00:00+01:00", NOW) == NOW - timedelta(hours=1)
    assert reading.since("2026-01-31", NOW) == datetime(2026, 1, 31).astimezone()


@pytest.mark.parametrize("typed", ["", "soon", "-5", "15x", "999999d", "2026-13-01"])
def test_what_is_no_moment_is_refused(typed: str) -> None:
    with pytest.raises(BadInput, match="is no position"):
        reading.since(typed, NOW)


@pytest.mark.parametrize("typed", ["", "a b", "a\nb", "é", "x" * 161])
def test_an_id_is_short_and_plain(typed: str) -> None:
    with pytest.raises(BadInput, match="--id"):
        reading.event_id(typed)
    assert reading.event_id("deploy-7:prod") == "deploy-7:prod"


def test_input_is_text_of_bounded_size() -> None:
    assert reading.text("--body", "wörd".encode()) == "wörd"
    with pytest.raises(BadInput, match=r"--body: not UTF-8 text \(byte 1\)"):
        reading.text("--body", b"a\xff")
    with pytest.raises(BadInput, match="more than 1000000 bytes"):
        reading.text("--body", b"a" * 1_000_001)


def test_a_repository_where_no_work_could_ever_begin_is_refused() -> None:
    added = {"repo": "demo/shop", "clone_url": "x", "check": "true", "by": "ann", "overrides": {"in_progress_max": 0}}
    assert problems_of("RepositoryAdded", **added) == [
        "RepositoryAdded: overrides.in_progress_max: 0: no work could ever begin"
    ]
