"""What people ask of one issue: stop it, try it again, withdraw it, describe it anew."""

import pytest

from schemas import (
    FLEET,
    Actor,
    AgentCapacityChanged,
    AgentRef,
    AssignReason,
    Event,
    FailureKind,
    IssueApproved,
    IssueAssigned,
    IssueRef,
    IssueRevised,
    IssueState,
    IssueUnassigned,
    IssueWithdrawn,
    MergeRequested,
    Paused,
    Priority,
    PriorityChanged,
    RetryRequested,
    Stopped,
    UnassignReason,
)
from schemas.issue import Withdrawal
from tests.support.story import Story, kinds

STOP, RETRY, WITHDRAW = Stopped(by="ada"), RetryRequested(by="ada"), IssueWithdrawn(by="ada")


def wish(story: Story, ref: IssueRef, data: Event) -> list[str]:
    """What the conductor says to it."""
    story.say(Actor.CLI, ref, data)
    return kinds(story.rounds())


# ── stop ─────────────────────────────────────────────────────────────────────


def test_stopped_work_waits_for_the_person_who_stopped_it() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    assert wish(story, ref, STOP) == [], "the run hears of it from the log, and its slot is free"
    second = story.approve(2)
    story.rounds()
    assert story.states(ref, second) == ["stopped", "assigned"]
    story.push(ref, "h1")
    assert story.states(ref) == ["stopped"]
    story.time_passes(100 * 3_600)
    assert story.states(ref) == ["stopped"], "however long that takes"
    story.ends()


def test_what_was_stopped_is_begun_anew_with_its_session_when_a_person_asks() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    wish(story, ref, STOP)
    assert wish(story, ref, RETRY) == ["IssueAssigned", "DeadlineSet"]
    again = story.said(IssueAssigned)[-1]
    assert (again.epoch, again.attempt, again.reason, again.resume) == (2, 1, AssignReason.ASKED, "s-r-1")
    story.ends()


def test_what_was_stopped_while_it_rested_is_begun_anew_when_a_person_asks_once() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.fail(ref, FailureKind.OVERLOADED)
    story.rounds()
    wish(story, ref, STOP)
    assert story.states(ref) == ["stopped"]
    assert wish(story, ref, RETRY) == ["IssueAssigned", "DeadlineSet"]
    story.ends()


def test_what_is_not_claimed_yet_and_what_only_waits_can_be_stopped_too() -> None:
    story = Story()
    assigned, queued = story.approve(1), story.approve(2)
    story.rounds()
    for ref in (queued, assigned):
        assert wish(story, ref, STOP) == []
    story.start(assigned)
    assert story.states(assigned, queued) == ["stopped", "stopped"], "a claim of an epoch that has ended"
    story.ends()


def test_a_merge_that_was_asked_for_is_not_asked_for_again_once_it_is_stopped() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_merging(ref)
    wish(story, ref, STOP)
    story.time_passes(3_600)
    assert len(story.said(MergeRequested)) == 1
    story.merge(ref)
    story.rounds()
    assert story.states(ref) == ["done"], "the forge was faster, and what is merged is merged"
    story.ends()


def test_what_is_at_its_end_cannot_be_stopped() -> None:
    story = Story()
    ref = story.approve(1)
    wish(story, ref, WITHDRAW)
    wish(story, ref, STOP)
    assert story.states(ref) == ["withdrawn"]
    story.ends()


# ── again ────────────────────────────────────────────────────────────────────


def test_a_rest_ends_when_a_person_asks() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.fail(ref, FailureKind.OVERLOADED)
    story.rounds()
    assert wish(story, ref, RETRY) == ["IssueAssigned", "DeadlineSet"]
    assert story.said(IssueAssigned)[-1].reason is AssignReason.RETRY
    story.ends()


@pytest.mark.parametrize("state", ["queued", "assigned", "in_progress", "in_review", "withdrawn"])
def test_asking_again_for_what_is_under_way_or_unwanted_changes_nothing(state: str) -> None:
    story = Story(slots=0 if state == "queued" else 1)
    ref = story.approve(1)
    story.rounds()
    if state in ("in_progress", "in_review"):
        story.start(ref)
    if state == "in_review":
        story.push(ref, "h1")
    if state == "withdrawn":
        story.say(Actor.CLI, ref, WITHDRAW)
    story.rounds()
    before = story.issue(ref).ownership.epoch
    assert wish(story, ref, RETRY) == []
    assert (story.states(ref), story.issue(ref).ownership.epoch) == ([state], before)
    story.ends()


# ── withdraw ─────────────────────────────────────────────────────────────────


def test_an_assignment_that_a_withdrawal_overtook_is_taken_back() -> None:
    story = Story()
    ref = story.approve(1)
    _, batch = story.decision()
    story.say(Actor.CLI, ref, WITHDRAW)  # lands between `through` and the batch
    for event in batch:
        story.append(event)
    assert story.rounds() == [IssueUnassigned(epoch=1, reason=UnassignReason.WITHDRAWN)]
    assert story.states(ref) == ["withdrawn"]
    story.ends()


def test_a_withdrawn_issue_that_is_approved_again_begins_again_as_it_is_described_now() -> None:
    story = Story()
    ref = story.approve(1, requires=("gpu",))
    wish(story, ref, WITHDRAW)
    story.say(Actor.LOCAL, ref, IssueApproved(title="Again", author="ada", priority=Priority.HIGH))
    story.rounds()
    assert (story.states(ref), story.issue(ref).priority) == (["assigned"], Priority.HIGH)
    assert story.said(IssueAssigned)[-1].reason is AssignReason.ASKED
    story.ends()


def test_an_issue_that_is_under_way_is_not_approved_twice() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.say(Actor.LOCAL, ref, IssueApproved(title="Again", author="ada", priority=Priority.LOW))
    assert story.rounds() == []
    assert story.issue(ref).priority is Priority.NORMAL
    story.ends()


@pytest.mark.parametrize("reason", list(Withdrawal))
def test_what_is_done_stays_done(reason: Withdrawal) -> None:
    story = Story()
    ref = story.approve(1)
    story.to_merging(ref)
    story.merge(ref)
    story.rounds()
    assert wish(story, ref, IssueWithdrawn(reason=reason, by="ada")) == []
    assert story.states(ref) == ["done"]
    story.ends()


@pytest.mark.parametrize("first", [True, False])
def test_an_issue_that_the_forge_closes_because_it_merged_is_done_in_whatever_order_that_is_heard(first: bool) -> None:
    story = Story()
    ref = story.approve(1)
    story.to_merging(ref)
    closed = IssueWithdrawn(reason=Withdrawal.CLOSED, by="github")
    if first:
        story.say(Actor.GITHUB, ref, closed)
    story.merge(ref)
    if not first:
        story.say(Actor.GITHUB, ref, closed)
    assert kinds(story.rounds()) == ["IssueDone"]
    story.ends()


# ── describe anew ────────────────────────────────────────────────────────────


def test_what_changed_counts_and_what_is_not_said_stays() -> None:
    story = Story(slots=1)
    ref = story.approve(1, priority=Priority.HIGH, requires=("gpu",), milestone="one", labels=("a",))
    story.rounds()
    wish(story, ref, IssueRevised(title="Another title"))
    issue = story.issue(ref)
    assert (issue.priority, issue.requires, issue.milestone, issue.labels) == (Priority.HIGH, ("gpu",), "one", ("a",))
    assert wish(story, ref, IssueRevised(requires=())) == ["IssueAssigned", "DeadlineSet"]
    wish(story, ref, IssueRevised(priority=Priority.LOW, milestone=None, labels=("b",)))
    assert (issue.priority, issue.milestone, issue.labels) == (Priority.LOW, None, ("b",))
    story.ends()


def test_a_dependency_that_is_taken_away_is_not_waited_for() -> None:
    story = Story()
    ref = story.approve(1, depends_on=(IssueRef("demo", "shop", 9),))
    story.rounds()
    assert wish(story, ref, IssueRevised(depends_on=())) == ["IssueAssigned", "DeadlineSet"]
    story.ends()


def test_a_dependency_that_is_named_while_it_is_worked_on_holds_the_next_round() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    wish(story, ref, IssueRevised(depends_on=(IssueRef("demo", "shop", 9),)))
    assert story.states(ref) == ["in_progress"]
    story.fail(ref, FailureKind.NO_CHANGES)
    story.rounds()
    assert story.states(ref) == ["queued"]
    story.ends()


def test_a_word_about_an_issue_that_nobody_approved_is_recorded_and_no_more() -> None:
    story = Story()
    ref = IssueRef("demo", "shop", 77)
    for data in (STOP, RETRY, WITHDRAW, PriorityChanged(priority=Priority.HIGH, by="ada")):
        assert wish(story, ref, data) == []
    assert ref not in story.state.issues
    story.ends()


def test_while_everything_rests_a_person_may_still_say_what_comes_first() -> None:
    story = Story()
    story.say(Actor.CLI, FLEET, Paused(scope="all", by="ada"))
    first, second = story.approve(1), story.approve(2)
    wish(story, second, PriorityChanged(priority=Priority.CRITICAL, by="ada"))
    wish(story, first, STOP)
    assert story.states(first, second) == ["stopped", "queued"]
    story.say(Actor.DEV_E, AgentRef("dev-e-1"), AgentCapacityChanged(boot="b1", slots=5))
    story.rounds()
    assert story.issue(second).state is IssueState.QUEUED
    story.ends()
