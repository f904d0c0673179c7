"""Deliveries in any order say what they would have said in theirs: what comes late is judged by when it happened."""

from collections.abc import Mapping

import pytest

from bridges.github.said import Answer, BlockedBy, Look, Permission, Question
from bridges.github.translate import asks
from schemas import (
    Event,
    IssueApproved,
    IssueRef,
    IssueWithdrawn,
    Merged,
    Priority,
    PriorityChanged,
    RetryRequested,
    Stopped,
    Withdrawal,
)
from tests.support.github_payloads import body, comment, issue, issues, merged, pull_request, sha
from tests.support.translated import ISSUE, WEB, Desk, desk

BOB_MAY: Mapping[Question, Answer] = {Permission(WEB, "bob"): "write"}
CLOSED = issues("closed", issue(7, "agent-ready", second=300, state="closed", state_reason="completed"))
OPENED = issues("opened", issue(7, "agent-ready", second=10))


def say(it: Desk, text: str, second: float, number: int = 501) -> list[Event]:
    return it.deliver("issue_comment", body(comment(text, second=second, id=number)), BOB_MAY)


def test_what_was_wanted_and_is_heard_of_after_its_end_is_told_of_and_looked_at() -> None:
    it = desk()
    assert it.deliver("issues", CLOSED) == []
    (approved,) = it.deliver("issues", OPENED)
    assert isinstance(approved, IssueApproved)
    assert it.last.looks == (Look(ISSUE),), "the API knows how it ended"
    assert it.deliver("issues", OPENED) == [], "once"


def test_a_comment_that_comes_before_its_issue_brings_it_along() -> None:
    it = desk()
    approved, changed = say(it, "/rig priority high", 60)
    assert (type(approved), changed) == (IssueApproved, PriorityChanged(priority=Priority.HIGH, by="bob"))
    assert it.deliver("issues", issues("opened", issue(7, "agent-ready", second=0))) == []


def test_what_blocks_an_issue_is_asked_whatever_brings_it() -> None:
    it = desk()
    told = comment("/rig retry", second=60)
    told["issue"]["issue_dependencies_summary"] = {"total_blocked_by": 1}
    assert asks("issue_comment", body(told), it.heard) == (Permission(WEB, "bob"), BlockedBy(ISSUE))
    answers: Mapping[Question, Answer] = {**BOB_MAY, BlockedBy(ISSUE): ("acme/web#3",)}
    approved, _ = it.deliver("issue_comment", body(told), answers)
    assert isinstance(approved, IssueApproved)
    assert approved.depends_on == (IssueRef("acme", "web", 3),)


def test_a_comment_from_before_the_issue_was_wanted_commands_nothing() -> None:
    early = comment("/rig stop", second=60)
    early["issue"] = issue(7, second=60)  # as it was then, without the label
    first, second = desk(), desk()
    assert first.deliver("issue_comment", body(early), BOB_MAY) == []
    second.deliver("issues", issues("labeled", issue(7, "agent-ready", second=90), label="agent-ready"))
    assert second.deliver("issue_comment", body(early), BOB_MAY) == []
    assert second.last.skipped == "#7 is no issue of the rig's yet"


@pytest.mark.parametrize(("word", "later"), [("/rig stop", "/rig retry"), ("/rig retry", "/rig stop")])
def test_who_says_otherwise_later_is_not_overtaken_by_a_delivery_that_is_late(word: str, later: str) -> None:
    it = desk()
    it.deliver("issues", OPENED)
    (said,) = say(it, later, 90, 502)
    assert isinstance(said, Stopped if later == "/rig stop" else RetryRequested)
    assert say(it, word, 60, 501) == []
    assert it.last.skipped == f"{word.removeprefix('/rig ')}: somebody said otherwise later"


def test_what_a_persons_merge_closed_is_merged_also_where_its_end_was_heard_first() -> None:
    it = desk()
    it.deliver("issues", OPENED)
    assert it.deliver("issues", CLOSED) == [IssueWithdrawn(reason=Withdrawal.CLOSED, by="ada")]
    assert it.last.looks == (Look(ISSUE),), "perhaps by a merge that was delivered, and meant nothing, before this"
    pull = merged(second=300, head={"ref": "bobs", "sha": sha("bobs"), "repo": None})
    told = it.deliver("pull_request", pull_request("closed", pull))
    assert told == [Merged(head_sha=sha("bobs"), base_sha=sha("base"), merge_sha=sha("merge"))]


def test_what_nobody_wanted_any_more_is_not_merged_by_a_mention() -> None:
    it = desk()
    it.deliver("issues", OPENED)
    it.deliver("issues", issues("unlabeled", issue(7, second=100), label="agent-ready"))
    pull = merged(second=300, head={"ref": "bobs", "sha": sha("bobs"), "repo": None})
    assert it.deliver("pull_request", pull_request("closed", pull)) == []
