"""Merges, told as stories: what is asked of the forge, what it answers, and what people do by hand."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from schemas import (
    Actor,
    AssignReason,
    Changes,
    DeadlineKind,
    DeadlineSet,
    EscalationReason,
    Event,
    FailureKind,
    IssueAssigned,
    IssueDone,
    IssueEscalated,
    IssueEvent,
    IssueRef,
    IssueState,
    IssueUnassigned,
    IssueWithdrawn,
    MergeConflicted,
    MergeRefusal,
    MergeRefused,
    MergeRequested,
    PullRequestClosed,
    PullRequestOpened,
    RepositoryRemoved,
    RetryRequested,
    Stopped,
    UnassignReason,
    Withdrawal,
)
from tests.support.story import BASE, FREE, SHOP, SMALL, Story, kinds, sha

LOGIN = Changes(files=1, lines=2, paths=("login.py",))


def conflict(story: Story, ref: IssueRef, head: str = "h1", *paths: str) -> None:
    story.say(Actor.LOCAL, ref, MergeConflicted(head_sha=sha(head), base_sha=BASE, paths=paths))


def refuse(story: Story, ref: IssueRef, reason: MergeRefusal, head: str = "h1", detail: str = "") -> None:
    story.say(Actor.LOCAL, ref, MergeRefused(head_sha=sha(head), base_sha=BASE, reason=reason, detail=detail))


def close(story: Story, ref: IssueRef, superseded_by: int | None = None) -> None:
    story.say(Actor.LOCAL, ref, PullRequestClosed(pull_request=1, superseded_by=superseded_by))


def asked(events: list[IssueEvent]) -> list[tuple[str, str]]:
    """Which merges were asked for: head and base."""
    return [(event.head_sha, event.base_sha) for event in events if isinstance(event, MergeRequested)]


def to_people(events: list[IssueEvent]) -> list[EscalationReason]:
    return [event.reason for event in events if isinstance(event, IssueEscalated)]


def merging(story: Story) -> IssueRef:
    ref = story.approve(1)
    assert asked(story.to_merging(ref)) == [(sha("h1"), BASE)]
    return ref


# ── conflicts ────────────────────────────────────────────────────────────────


def test_a_conflict_goes_back_to_the_same_session_to_rebase() -> None:
    story = Story()
    ref = merging(story)
    conflict(story, ref, "h1", "shop.py")
    assert story.issue(ref).state is IssueState.MERGE_CONFLICT
    (assigned, *_) = story.rounds()
    assert isinstance(assigned, IssueAssigned)
    assert (assigned.reason, assigned.attempt) == (AssignReason.MERGE_CONFLICTED, 1)
    assert (assigned.agent, assigned.resume) == ("dev-e-1", "s-r-1")
    assert story.issue(ref).findings == "the work conflicts with the base branch in shop.py"
    story.start(ref, "r-2")
    story.push(ref, "h2", "r-2")
    story.open(ref, "h2")
    story.check(ref, "h2", base=sha("newer"))
    assert asked(story.rounds()) == [(sha("h2"), sha("newer"))]
    story.ends()


def test_a_conflict_may_be_seen_before_anybody_asks_for_the_merge() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_review(ref)
    conflict(story, ref)
    assert "IssueAssigned" in kinds(story.rounds())
    story.ends()


def test_after_five_conflicts_a_person_decides() -> None:
    story = Story()
    ref = story.approve(1)
    for number in range(1, 6):
        story.to_merging(ref, f"h{number}", f"r-{number}")
        assert story.issue(ref).state is IssueState.MERGING
        story.later(1)
        conflict(story, ref, f"h{number}")
    assert to_people(story.rounds()) == [EscalationReason.CONFLICTS]
    story.ends()


def test_a_conflict_of_an_older_head_changes_nothing() -> None:
    story = Story()
    ref = merging(story)
    conflict(story, ref)
    story.to_merging(ref, "h2", "r-2")
    story.later(1)
    conflict(story, ref, "h1")
    assert story.rounds() == []
    assert story.issue(ref).state is IssueState.MERGING
    story.ends()


def test_a_conflict_that_is_said_twice_is_one() -> None:
    story = Story()
    ref = merging(story)
    conflict(story, ref)
    story.rounds()
    story.start(ref, "r-2")
    story.later(1)
    story.push(ref, "h1", "r-2")
    story.check(ref, "h1")
    story.rounds()
    story.later(-1)
    conflict(story, ref)
    assert story.issue(ref).conflicts == 1
    assert story.issue(ref).state is IssueState.MERGING
    story.later(1)
    story.ends()


# ── refusals ─────────────────────────────────────────────────────────────────


def test_a_moved_base_is_checked_again_and_asked_for_again() -> None:
    story = Story()
    ref = merging(story)
    refuse(story, ref, MergeRefusal.BASE_MOVED)
    assert [event.kind for event in story.rounds() if isinstance(event, DeadlineSet)] == [DeadlineKind.CHECKS]
    story.check(ref, "h1", base=sha("newer"))
    assert asked(story.rounds()) == [(sha("h1"), sha("newer"))]
    story.ends()


def test_the_checks_of_the_newer_base_may_come_before_its_refusal() -> None:
    story = Story()
    ref = merging(story)
    story.check(ref, "h1", base=sha("newer"))
    refuse(story, ref, MergeRefusal.BASE_MOVED)
    assert asked(story.rounds()) == [(sha("h1"), sha("newer"))]
    story.ends()


@pytest.mark.parametrize("passed", [True, False])
def test_checks_of_a_base_that_is_no_more_count_for_nothing(passed: bool) -> None:
    story = Story()
    ref = merging(story)
    story.later(60)
    refuse(story, ref, MergeRefusal.BASE_MOVED)
    story.rounds()
    story.later(-30)
    story.check(ref, "h1", passed=passed)
    story.later(30)
    assert story.rounds() == []
    assert story.issue(ref).state is IssueState.IN_REVIEW
    story.check(ref, "h1", base=sha("newer"))
    assert asked(story.rounds()) == [(sha("h1"), sha("newer"))]
    story.ends()


def test_checks_that_fail_on_the_newer_base_send_it_back() -> None:
    story = Story()
    ref = merging(story)
    refuse(story, ref, MergeRefusal.BASE_MOVED)
    story.rounds()
    story.check(ref, "h1", passed=False, base=sha("newer"), log="expected 3, got 4")
    (assigned, *_) = story.rounds()
    assert isinstance(assigned, IssueAssigned)
    assert (assigned.reason, assigned.attempt) == (AssignReason.CHECKS_FAILED, 2)
    story.ends()


@pytest.mark.parametrize("reason", [reason for reason in MergeRefusal if reason is not MergeRefusal.BASE_MOVED])
def test_what_a_person_must_mend_is_asked_again_each_minute_and_after_five_times_a_person_is(
    reason: MergeRefusal,
) -> None:
    story = Story()
    ref = merging(story)
    for _ in range(5):
        refuse(story, ref, reason, detail="shop: total.py is changed")
        assert story.rounds() == [DeadlineSet(kind=DeadlineKind.MERGE, at=story.now + timedelta(seconds=60))]
        story.deadline_passes(ref)
        assert kinds(story.rounds()) == ["MergeRequested", "DeadlineSet"]
    refuse(story, ref, reason, detail="shop: total.py is changed")
    story.rounds()
    story.deadline_passes(ref)
    (escalated,) = story.rounds()
    assert isinstance(escalated, IssueEscalated)
    assert escalated.reason is EscalationReason.FORGE_SILENT
    assert escalated.summary == f"merge refused: {reason}: shop: total.py is changed"
    story.ends()


def test_what_was_mended_in_time_is_merged() -> None:
    story = Story()
    ref = merging(story)
    refuse(story, ref, MergeRefusal.DIRTY_CHECKOUT)
    story.rounds()
    story.deadline_passes(ref)
    story.rounds()
    story.merge(ref)
    assert kinds(story.rounds()) == ["IssueDone"]
    story.ends()


def test_two_answers_of_one_moment_both_count() -> None:
    story = Story()
    ref = merging(story)
    refuse(story, ref, MergeRefusal.BASE_MOVED)
    conflict(story, ref)
    assert story.issue(ref).state is IssueState.MERGE_CONFLICT
    story.rounds()
    story.ends()


def test_an_answer_that_comes_late_or_twice_or_about_another_head_changes_nothing() -> None:
    story = Story()
    ref = merging(story)
    refuse(story, ref, MergeRefusal.DIRTY_CHECKOUT)
    said = story.rounds()
    assert kinds(said) == ["DeadlineSet"]
    refuse(story, ref, MergeRefusal.DIRTY_CHECKOUT)
    story.later(-10)
    refuse(story, ref, MergeRefusal.PROTECTED)
    story.later(10)
    refuse(story, ref, MergeRefusal.HEAD_MOVED, head="h0")
    assert story.rounds() == []
    assert "dirty_checkout" in story.issue(ref).findings
    story.ends()


def test_a_forge_that_does_not_answer_is_asked_again_and_in_the_end_a_person_is() -> None:
    story = Story(replace(FREE, forge_retries_max=2))
    ref = merging(story)
    for _ in range(2):
        story.deadline_passes(ref)
        assert kinds(story.rounds()) == ["MergeRequested", "DeadlineSet"]
    story.deadline_passes(ref)
    assert to_people(story.rounds()) == [EscalationReason.FORGE_SILENT]
    story.ends()


@pytest.mark.parametrize("shown", [False, True])
def test_a_forge_that_shows_no_pull_request_or_checks_nothing_ends_with_a_person(shown: bool) -> None:
    story = Story(replace(FREE, forge_retries_max=2))
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.push(ref, "h1")
    if shown:
        story.open(ref, "h1")
    for _ in range(3):
        assert to_people(story.rounds()) == []
        story.deadline_passes(ref)
    assert to_people(story.rounds()) == [EscalationReason.FORGE_SILENT]
    story.ends()


def test_checks_that_turn_red_while_it_is_merged_take_it_back() -> None:
    story = Story()
    ref = merging(story)
    story.later(1)
    story.check(ref, "h1", passed=False)
    assert kinds(story.rounds()) == ["IssueAssigned", "DeadlineSet"]
    story.ends()


# ── by hand ──────────────────────────────────────────────────────────────────


def _until_refused(story: Story, ref: IssueRef) -> None:
    story.say(Actor.CLI, SHOP, RepositoryRemoved(by="ada"))
    story.rounds()


def _until_escalated(story: Story, ref: IssueRef) -> None:
    for number in range(3):
        story.rounds()
        story.start(ref, f"r-{number}")
        story.fail(ref, FailureKind.NO_CHANGES, run=f"r-{number}")
    story.rounds()


def _until_conflict(story: Story, ref: IssueRef) -> None:
    story.to_merging(ref)
    conflict(story, ref)


def _until_disputed(story: Story, ref: IssueRef) -> None:
    story.to_review(ref)
    story.check(ref, "h1", passed=False)


def _until_in_progress(story: Story, ref: IssueRef) -> None:
    story.rounds()
    story.start(ref)
    story.rounds()


UNTIL: dict[IssueState, Callable[[Story, IssueRef], object]] = {
    IssueState.QUEUED: lambda story, ref: None,
    IssueState.ASSIGNED: lambda story, ref: story.rounds(),
    IssueState.IN_PROGRESS: _until_in_progress,
    IssueState.IN_REVIEW: lambda story, ref: story.to_review(ref),
    IssueState.CHANGES_REQUESTED: _until_disputed,
    IssueState.GATED: lambda story, ref: story.to_merging(ref, changes=LOGIN),
    IssueState.MERGING: lambda story, ref: story.to_merging(ref),
    IssueState.MERGE_CONFLICT: _until_conflict,
    IssueState.ESCALATED: _until_escalated,
    IssueState.REFUSED: _until_refused,
    IssueState.STOPPED: lambda story, ref: story.say(Actor.CLI, ref, Stopped(by="ada")),
    IssueState.WITHDRAWN: lambda story, ref: story.say(Actor.CLI, ref, IssueWithdrawn(by="ada")),
}
"""How an issue comes into each state from which it is not merged already."""


@pytest.mark.parametrize("state", UNTIL)
def test_what_a_person_merges_is_merged_wherever_it_stood(state: IssueState) -> None:
    story = Story()
    ref = story.approve(1)
    UNTIL[state](story, ref)
    assert story.issue(ref).state is state
    story.merge_by_hand(ref, "h1")
    said = story.rounds()
    assert kinds(said)[-1] == "IssueDone"
    assert set(kinds(said)) <= {"IssueDone", "IssueUnassigned"}
    assert story.issue(ref).state is IssueState.DONE
    assert story.state.working == set()
    story.ends()


@pytest.mark.parametrize("claimed", [True, False])
def test_work_that_a_merge_overtook_is_taken_back_and_what_it_still_says_changes_nothing(claimed: bool) -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    if claimed:
        story.start(ref)
    story.merge_by_hand(ref, "by-hand")
    if not claimed:
        story.start(ref)
    story.push(ref, "h1")
    story.open(ref, "h1")
    story.check(ref, "h1", passed=False)
    assert kinds(story.rounds()) == ["IssueDone"]
    story.ends()


def test_work_is_taken_back_before_anything_else_follows_the_merge() -> None:
    story = Story()
    ref = story.approve(1)
    _until_in_progress(story, ref)
    story.merge_by_hand(ref, "by-hand")
    unassigned, done = story.rounds()
    assert unassigned == IssueUnassigned(epoch=1, reason=UnassignReason.MERGED)
    assert isinstance(done, IssueDone)
    story.ends()


@pytest.mark.parametrize("kind", [FailureKind.CHECKS_FAILED, FailureKind.OVERLOADED])
def test_a_run_that_fails_after_the_merge_queues_nothing(kind: FailureKind) -> None:
    story = Story()
    ref = story.approve(1)
    _until_in_progress(story, ref)
    story.merge_by_hand(ref, "by-hand")
    story.fail(ref, kind)
    assert kinds(story.rounds()) == ["IssueDone"]
    story.ends()


def overtaken(story: Story, ref: IssueRef, *words: Event) -> list[IssueEvent]:
    """A decision, and words that landed between its `through` and its batch; and what the next rounds say."""
    _, batch = story.decision()
    for word in words:
        story.say(Actor.LOCAL, ref, word)
    if not words:
        story.merge_by_hand(ref, "h1")
    for event in batch:
        story.append(event)
    return story.rounds()


def test_an_assignment_that_a_merge_overtook_is_taken_back() -> None:
    story = Story()
    ref = story.approve(1)
    said = overtaken(story, ref)
    assert said[0] == IssueUnassigned(epoch=1, reason=UnassignReason.MERGED)
    assert kinds(said[1:]) == ["IssueDone"]
    story.ends()


def test_an_escalation_that_a_merge_overtook_keeps_nobody_from_being_done() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_review(ref)
    close(story, ref)
    assert kinds(overtaken(story, ref)) == ["IssueDone"]
    story.ends()


def test_a_merge_request_that_a_conflict_overtook_is_no_merge_request() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_review(ref)
    story.check(ref, "h1")
    said = overtaken(story, ref, MergeConflicted(head_sha=sha("h1"), base_sha=BASE))
    assert kinds(said) == ["IssueAssigned", "DeadlineSet"]
    story.ends()


def test_a_merge_request_that_a_moved_base_overtook_waits_for_the_checks() -> None:
    story = Story()
    ref = merging(story)
    story.deadline_passes(ref)  # it is about to be asked for again
    refused = MergeRefused(head_sha=sha("h1"), base_sha=BASE, reason=MergeRefusal.BASE_MOVED)
    overtaken(story, ref, refused)
    assert story.issue(ref).state is IssueState.IN_REVIEW
    story.later(1)
    story.check(ref, "h1", base=sha("newer"))
    assert asked(story.rounds()) == [(sha("h1"), sha("newer"))]
    story.ends()


def test_a_merge_that_came_after_a_conflict_was_seen_is_a_merge() -> None:
    story = Story(slots=2)
    ref = merging(story)
    conflict(story, ref)
    story.merge(ref)
    assert kinds(story.rounds()) == ["IssueDone"]
    story.ends()


# ── closed ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("changes", [SMALL, LOGIN])
@pytest.mark.parametrize("checked", [True, False])
def test_a_pull_request_that_a_person_closes_goes_to_a_person(changes: Changes, checked: bool) -> None:
    """In review, at a gate, or while it is merged."""
    story = Story()
    ref = story.approve(1)
    story.to_review(ref, changes=changes)
    if checked:
        story.check(ref, "h1")
    story.rounds()
    close(story, ref)
    assert to_people(story.rounds()) == [EscalationReason.PULL_REQUEST_CLOSED]
    assert story.issue(ref).open_gates == []
    story.say(Actor.CLI, ref, RetryRequested(by="ada"))
    story.to_merging(ref, "h2", "r-2")
    assert story.issue(ref).state is IssueState.MERGING
    story.ends()


def test_a_pull_request_that_is_closed_and_opened_again_in_one_breath_goes_on() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_review(ref)
    story.rounds()
    close(story, ref)
    story.later(1)
    story.open(ref, "h1")
    story.later(-1)
    close(story, ref)
    story.later(1)
    story.check(ref, "h1")
    assert asked(story.rounds()) == [(sha("h1"), BASE)]
    story.ends()


def test_a_pull_request_that_is_closed_while_somebody_works_on_it_is_opened_anew() -> None:
    story = Story()
    ref = story.approve(1)
    _until_disputed(story, ref)
    story.rounds()
    story.start(ref, "r-2")
    close(story, ref)
    story.rounds()
    assert story.issue(ref).state is IssueState.IN_PROGRESS
    story.push(ref, "h2", "r-2")
    story.open(ref, "h2")
    story.check(ref, "h2")
    assert asked(story.rounds()) == [(sha("h2"), BASE)]
    story.ends()


@pytest.mark.parametrize("changes", [SMALL, LOGIN])
def test_a_superseded_pull_request_does_not_withdraw_its_issue(changes: Changes) -> None:
    """The issue goes on with the one that took its place, wherever it stood."""
    story = Story()
    ref = story.approve(1)
    story.to_merging(ref, changes=changes)
    close(story, ref, superseded_by=7)
    assert [event.kind for event in story.rounds() if isinstance(event, DeadlineSet)] == [DeadlineKind.PULL_REQUEST]
    assert story.issue(ref).state is IssueState.IN_REVIEW
    shown = PullRequestOpened(pull_request=7, url="", branch="b", head_sha=sha("h1"), author="dev-e", changes=SMALL)
    story.say(Actor.LOCAL, ref, shown)
    (requested,) = [event for event in story.rounds() if isinstance(event, MergeRequested)]
    assert (requested.pull_request, requested.head_sha) == (7, sha("h1"))
    story.ends()


def test_another_pull_request_that_is_closed_is_none_of_the_issues_business() -> None:
    story = Story()
    ref = merging(story)
    story.say(Actor.LOCAL, ref, PullRequestClosed(pull_request=99))
    assert story.rounds() == []
    assert story.issue(ref).state is IssueState.MERGING
    story.ends()


@pytest.mark.parametrize("first", ["merged", "closed"])
def test_a_forge_that_closes_what_it_merged_withdraws_nothing(first: str) -> None:
    story = Story()
    ref = merging(story)
    closed = IssueWithdrawn(by="forge", reason=Withdrawal.CLOSED)
    if first == "closed":
        story.say(Actor.LOCAL, ref, closed)
    story.merge(ref)
    if first == "merged":
        story.say(Actor.LOCAL, ref, closed)
    story.rounds()
    assert story.issue(ref).state is IssueState.DONE
    story.ends()


def test_a_pull_request_that_is_closed_by_its_merge_is_merged() -> None:
    story = Story()
    ref = merging(story)
    story.merge(ref)
    close(story, ref)
    assert kinds(story.rounds()) == ["IssueDone"]
    story.ends()


@pytest.mark.parametrize("state", [IssueState.IN_REVIEW, IssueState.GATED, IssueState.MERGING])
def test_a_removed_repository_merges_nothing_and_its_issue_goes_to_a_person(state: IssueState) -> None:
    story = Story()
    ref = story.approve(1)
    UNTIL[state](story, ref)
    story.check(ref, "h1")
    story.say(Actor.CLI, SHOP, RepositoryRemoved(by="ada"))
    assert to_people(story.rounds()) == [EscalationReason.REPOSITORY_REMOVED]
    story.ends()
