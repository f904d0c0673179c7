"""How a run may fail: each kind has a treatment of its own, and all end with a person at last."""

from datetime import datetime, timedelta, timezone

import pytest
from msgspec.structs import replace

from schemas import (
    Actor,
    AgentDeadlineKind,
    AgentSuspended,
    AssignReason,
    DeadlineKind,
    DeadlineSet,
    EscalationReason,
    FailureKind,
    GateApproved,
    GateReason,
    GateRejected,
    GateTriggered,
    IssueAssigned,
    IssueEscalated,
    IssueNeedsHuman,
    IssueOrphaned,
    IssueRef,
    IssueState,
    IssueUnassigned,
    MergeConflicted,
    RetryRequested,
    SuspensionReason,
    UnassignReason,
)
from tests.support.story import BASE, FREE, SHOP, Story, kinds, sha

OF_THE_WORK = [
    FailureKind.CHECKS_FAILED,
    FailureKind.NO_CHANGES,
    FailureKind.TIMED_OUT,
    FailureKind.STALLED,
    FailureKind.MAX_TURNS,
    FailureKind.OVER_BUDGET,
    FailureKind.BUG,
]
RESTS = [FailureKind.OVERLOADED, FailureKind.RATE_LIMITED, FailureKind.SPAWN]


def failed(
    kind: FailureKind, *, story: Story | None = None, retry_at: datetime | None = None
) -> tuple[Story, IssueRef]:
    """An issue whose first run failed so, and what the conductor said to that."""
    story = story or Story()
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.rounds()
    story.fail(ref, kind, f"it was {kind}", retry_at=retry_at)
    story.rounds()
    return story, ref


def last_assigned(story: Story) -> IssueAssigned:
    return story.said(IssueAssigned)[-1]


# ── the work's own ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", OF_THE_WORK)
def test_a_failure_of_the_work_is_an_attempt_and_tried_again_at_once(kind: FailureKind) -> None:
    story, ref = failed(kind)
    again = last_assigned(story)
    reason = AssignReason.CHECKS_FAILED if kind is FailureKind.CHECKS_FAILED else AssignReason.RETRY
    assert (again.epoch, again.attempt, again.reason) == (2, 2, reason)
    assert (again.agent, again.resume) == ("dev-e-1", "s-r-1")
    assert story.issue(ref).findings == f"it was {kind}"
    story.ends()


def test_three_attempts_then_whom_the_repository_names_with_the_last_findings() -> None:
    story = Story()
    story.add(SHOP, escalate="@shop-team")
    ref = story.approve(1)
    for attempt in (1, 2, 3):
        story.rounds()
        story.start(ref, f"r-{attempt}")
        story.fail(ref, FailureKind.CHECKS_FAILED, f"finding {attempt}", f"r-{attempt}")
    (escalated,) = story.rounds()
    assert escalated == IssueEscalated(
        reason=EscalationReason.ATTEMPTS, attempts=3, summary="finding 3", to="@shop-team"
    )
    story.say(Actor.CLI, ref, RetryRequested(by="ada"))
    story.rounds()
    again = last_assigned(story)
    assert (again.reason, again.attempt, again.epoch) == (AssignReason.ASKED, 1, 4)
    story.ends()


def test_where_nobody_is_named_people_are() -> None:
    story, ref = failed(FailureKind.BUG, story=Story(replace(FREE, attempts_max=1)))
    (escalated,) = story.said(IssueEscalated)
    assert escalated.to == "people"
    assert story.issue(ref).state is IssueState.ESCALATED
    story.ends()


# ── not the work's ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", RESTS)
def test_what_is_not_the_works_fault_rests_ever_longer_and_is_no_attempt(kind: FailureKind) -> None:
    story, ref = failed(kind)
    pauses: list[float] = []
    for number in range(2, 5):
        assert story.issue(ref).state is IssueState.QUEUED
        deadline = story.said(DeadlineSet)[-1]
        assert deadline.kind is DeadlineKind.BACKOFF
        pauses.append((deadline.at - story.now).total_seconds())
        story.deadline_passes(ref)
        story.rounds()
        assert last_assigned(story).attempt == 1
        story.start(ref, f"r-{number}")
        story.fail(ref, kind, run=f"r-{number}")
        story.rounds()
    assert pauses == [30, 60, 120]
    assert story.issue(ref).attempts == 0
    story.ends()


def test_nothing_is_assigned_before_the_rest_is_over() -> None:
    story, ref = failed(FailureKind.OVERLOADED)
    story.later(3_600)  # later than the rest, and nobody has said that it is over
    story.join("dev-e-2")
    assert story.rounds() == []
    story.deadline_passes(ref)
    assert kinds(story.rounds()) == ["IssueAssigned", "DeadlineSet"]
    story.ends()


def test_a_provider_that_says_when_to_come_back_is_believed_within_reason() -> None:
    story = Story()
    story, ref = failed(FailureKind.RATE_LIMITED, story=story, retry_at=story.now + timedelta(seconds=345))
    assert story.said(DeadlineSet)[-1].at == story.now + timedelta(seconds=345)
    story.deadline_passes(ref)
    story.rounds()
    story.start(ref, "r-2")
    never = datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-10)))
    story.fail(ref, FailureKind.RATE_LIMITED, run="r-2", retry_at=never)
    failed_at = story.now
    story.rounds()
    story.time_passes(timedelta(days=7, seconds=-1).total_seconds())
    assert story.issue(ref).backoff
    assert (len(story.said(IssueOrphaned)), len(story.said(IssueNeedsHuman))) == (1, 1), "people hear of it meanwhile"
    story.time_passes(1)
    assert (story.now, story.issue(ref).state) == (failed_at + timedelta(days=7), IssueState.ASSIGNED)
    story.ends()


def test_the_pause_begins_anew_once_a_run_has_worked() -> None:
    story, ref = failed(FailureKind.OVERLOADED)
    story.deadline_passes(ref)
    story.rounds()
    story.start(ref, "r-2")
    story.fail(ref, FailureKind.CHECKS_FAILED, run="r-2")
    story.rounds()
    story.start(ref, "r-3")
    story.fail(ref, FailureKind.OVERLOADED, run="r-3")
    story.rounds()
    assert story.said(DeadlineSet)[-1].at == story.now + timedelta(seconds=30)
    story.ends()


def test_runs_that_fail_without_end_go_to_a_person() -> None:
    story, ref = failed(FailureKind.SPAWN, story=Story(replace(FREE, failed_runs_max=2)))
    story.deadline_passes(ref)
    story.rounds()
    story.start(ref, "r-2")
    story.fail(ref, FailureKind.SPAWN, "no such binary", "r-2")
    (escalated,) = story.rounds()
    assert escalated == IssueEscalated(reason=EscalationReason.RUNS, attempts=0, summary="no such binary")
    story.ends()


def test_what_led_to_the_assignment_is_not_forgotten_by_a_run_that_never_worked() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_merging(ref)
    story.say(Actor.LOCAL, ref, MergeConflicted(head_sha=sha("h1"), base_sha=BASE))
    story.rounds()
    story.start(ref, "r-2")
    story.fail(ref, FailureKind.OVERLOADED, run="r-2")
    story.rounds()
    story.deadline_passes(ref)
    story.rounds()
    assert last_assigned(story).reason is AssignReason.MERGE_CONFLICTED
    story.deadline_passes(ref)
    story.rounds()
    assert last_assigned(story).reason is AssignReason.MERGE_CONFLICTED, "nor by a claim that never came"
    story.ends()


# ── quota and login: the replica's ───────────────────────────────────────────


def test_after_a_quota_the_replica_rests_until_it_resets_and_another_goes_on_at_once() -> None:
    story = Story()
    story.join("dev-e-2")
    reset = story.now + timedelta(hours=2)
    story, ref = failed(FailureKind.QUOTA, story=story, retry_at=reset)
    again = last_assigned(story)
    assert (again.epoch, again.attempt, again.agent) == (2, 1, None)
    assert story.said(AgentSuspended) == [AgentSuspended(boot="b1", reason=SuspensionReason.QUOTA, until=reset)]
    story.start(ref, "r-2", agent="dev-e-2")
    second = story.approve(2)
    story.rounds()
    assert story.issue(second).state is IssueState.QUEUED
    story.deadline_passes(("dev-e-1", AgentDeadlineKind.QUOTA))
    assert story.now == reset
    story.rounds()
    assert story.issue(second).state is IssueState.ASSIGNED
    story.ends()


def test_a_quota_of_which_nobody_says_when_it_resets_rests_for_as_long_as_the_policy_says() -> None:
    story, ref = failed(FailureKind.QUOTA, story=Story(replace(FREE, quota_rest_seconds=900)))
    assert story.issue(ref).state is IssueState.QUEUED
    until = story.state.agents["dev-e-1"].deadlines[AgentDeadlineKind.QUOTA].at
    assert until == story.now + timedelta(seconds=900)
    story.ends()


def test_a_far_reset_of_a_quota_does_not_park_a_replica_for_ever() -> None:
    never = datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-10)))
    story, _ = failed(FailureKind.QUOTA, retry_at=never)
    (deadline,) = story.state.agents["dev-e-1"].deadlines.values()
    assert deadline.at - story.now == timedelta(days=7)
    story.ends()


def test_after_a_login_that_does_not_work_the_replica_is_out_until_it_joins_again_and_people_are_told() -> None:
    story = Story()
    story.join("dev-e-2")
    story, ref = failed(FailureKind.AUTH, story=story)
    assert (last_assigned(story).epoch, last_assigned(story).agent) == (2, None)
    assert story.said(AgentSuspended) == [AgentSuspended(boot="b1", reason=SuspensionReason.AUTH)]
    story.start(ref, "r-2", agent="dev-e-2")
    second = story.approve(2)
    story.time_passes(3_600)
    assert story.issue(second).state is IssueState.QUEUED, "time alone logs nobody in"
    story.join("dev-e-1", boot="b2")
    story.rounds()
    assert story.issue(second).state is IssueState.ASSIGNED
    story.ends()


@pytest.mark.parametrize("kind", [FailureKind.QUOTA, FailureKind.AUTH])
def test_where_the_replica_is_not_known_the_issue_rests_instead(kind: FailureKind) -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.start(ref, agent="a-stranger")
    story.fail(ref, kind)
    assert [event.kind for event in story.rounds() if isinstance(event, DeadlineSet)] == [DeadlineKind.BACKOFF]
    assert story.said(AgentSuspended) == []
    story.ends()


# ── a guard: a person's ──────────────────────────────────────────────────────


def guarded() -> tuple[Story, IssueRef]:
    story, ref = failed(FailureKind.GUARD)
    (gate,) = story.said(GateTriggered)
    assert (gate.reason, gate.head_sha, gate.detail) == (GateReason.GUARD, None, "it was guard")
    assert story.issue(ref).state is IssueState.GATED
    assert len(story.said(IssueAssigned)) == 1
    return story, ref


def test_a_run_that_tried_what_it_must_not_waits_for_a_person_and_goes_on_when_approved() -> None:
    story, ref = guarded()
    story.gate(GateApproved, ref, None)
    story.rounds()
    again = last_assigned(story)
    assert (again.epoch, again.attempt) == (2, 2)
    story.start(ref, "r-2")
    story.fail(ref, FailureKind.GUARD, run="r-2")
    story.rounds()
    assert story.issue(ref).state is IssueState.GATED, "an approval is of what happened, not of what may happen"
    story.ends()


def test_a_person_who_does_not_let_it_through_has_it() -> None:
    story, ref = guarded()
    story.gate(GateRejected, ref, None, note="it read our keys")
    (escalated,) = story.rounds()
    assert isinstance(escalated, IssueEscalated)
    assert escalated.reason is EscalationReason.GATE_REJECTED
    assert "it read our keys" in escalated.summary
    story.ends()


# ── nobody works ─────────────────────────────────────────────────────────────


def test_an_assignment_that_nobody_claims_is_taken_back_and_given_again() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.deadline_passes(ref)
    unassigned, assigned, *_ = story.rounds()
    assert unassigned == IssueUnassigned(epoch=1, reason=UnassignReason.STALE)
    assert isinstance(assigned, IssueAssigned)
    assert (assigned.epoch, assigned.attempt, story.issue(ref).attempts) == (2, 1, 0)
    story.start(ref)
    assert story.issue(ref).ownership.epoch == 2
    story.ends()


def test_claims_that_never_come_end_with_a_person() -> None:
    story = Story(replace(FREE, unassignments_max=3))
    ref = story.approve(1)
    story.time_passes(3 * 300)
    assert len(story.said(IssueAssigned)) == len(story.said(IssueUnassigned)) == 3
    assert [event.reason for event in story.said(IssueEscalated)] == [EscalationReason.NOBODY_WORKS]
    assert story.issue(ref).attempts == 0
    story.ends()


def test_a_claim_that_comes_in_time_and_a_push_forget_those_that_never_came() -> None:
    story = Story(replace(FREE, unassignments_max=2))
    ref = story.approve(1)
    story.rounds()
    story.deadline_passes(ref)
    story.to_review(ref)
    story.check(ref, "h1", passed=False)
    story.rounds()
    story.deadline_passes(ref)
    story.rounds()
    assert story.issue(ref).state is IssueState.ASSIGNED, "not two in a row"
    story.ends()


def test_a_run_that_takes_too_long_is_taken_back_and_its_late_push_counts_for_nothing() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.start(ref, "r-1")
    story.rounds()
    story.deadline_passes(ref)
    assert story.rounds()[0] == IssueUnassigned(epoch=1, reason=UnassignReason.STUCK)
    story.start(ref, "r-2")
    story.push(ref, "late", "r-1")
    assert (story.issue(ref).head, story.issue(ref).state) == (None, IssueState.IN_PROGRESS)
    story.rounds()
    story.ends()


def test_a_second_claim_of_an_epoch_takes_it_over() -> None:
    story = Story(slots=2)
    story.join("dev-e-2")
    ref = story.approve(1)
    story.rounds()
    story.start(ref, "r-1")
    story.rounds()
    story.start(ref, "r-2", agent="dev-e-2")
    assert [event.kind for event in story.rounds() if isinstance(event, DeadlineSet)] == [DeadlineKind.RUN]
    assert [story.state.agents[name].busy for name in ("dev-e-1", "dev-e-2")] == [set(), {ref}]
    story.push(ref, "by-the-dead", "r-1")
    assert story.issue(ref).state is IssueState.IN_PROGRESS
    story.push(ref, "by-the-owner", "r-2")
    assert story.issue(ref).head == sha("by-the-owner")
    story.rounds()
    story.ends()


def test_an_assignment_whose_every_run_dies_ends_with_a_person() -> None:
    story = Story(replace(FREE, unassignments_max=3))
    ref = story.approve(1)
    story.rounds()
    for number in range(1, 4):
        story.start(ref, f"r-{number}")
        assert "IssueEscalated" not in kinds(story.rounds())
    story.start(ref, "r-4")
    assert kinds(story.rounds()) == ["IssueUnassigned", "IssueEscalated"]
    assert story.issue(ref).attempts == 0
    story.ends()
