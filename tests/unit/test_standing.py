"""Where an issue stands, as its own events tell it: enough to speak to the point, and never more than was said."""

from datetime import timedelta

import pytest

from bridges.standing import House, Standing
from bridges.standing_fold import standing
from schemas import (
    AssignRequested,
    BudgetRaised,
    ChecksFailed,
    ChecksPassed,
    Conclusion,
    DeadlineKind,
    DeadlinePassed,
    DeadlineSet,
    Deployed,
    Environment,
    EscalationReason,
    Event,
    FailedCheck,
    FailureKind,
    GateApproved,
    GateBypassed,
    GateReason,
    GateRejected,
    GateTriggered,
    IssueApproved,
    IssueDone,
    IssueEscalated,
    IssueRef,
    IssueRefused,
    IssueRevised,
    IssueUnassigned,
    IssueWaiting,
    IssueWithdrawn,
    MergeConflicted,
    Merged,
    MergeRefusal,
    MergeRefused,
    MergeRequested,
    Priority,
    PriorityChanged,
    PullRequestClosed,
    PullRequestOpened,
    QuestionAnswered,
    QuestionAsked,
    Refusal,
    RetryRequested,
    Reverted,
    ReviewDisputed,
    Stopped,
    UnassignReason,
    WaitingReason,
    WorkFailed,
)
from tests.support.saying import assigned, pushed, started
from tests.support.told import BEGAN, ISSUE, Told

HEAD, NEXT, BASE = "a" * 40, "c" * 40, "b" * 40
APPROVED = IssueApproved(title="Fix total", author="ann")
OPENED = PullRequestOpened(pull_request=1, url="", branch="rig/1", head_sha=HEAD, author="dev-e")
PASSED = ChecksPassed(head_sha=HEAD, base_sha=BASE, checks=("test",))
FAILED = ChecksFailed(head_sha=HEAD, base_sha=BASE, failed=(FailedCheck(name="test", conclusion=Conclusion.FAILURE),))
MERGE = MergeRequested(epoch=1, pull_request=1, head_sha=HEAD, base_sha=BASE)
MERGED = Merged(head_sha=HEAD, base_sha=BASE, merge_sha="d" * 40)
DONE = IssueDone(duration_minutes=1, attempts=1, merge_sha="d" * 40)
SMOKE = IssueEscalated(reason=EscalationReason.SMOKE_FAILED, attempts=3)
REVERTED = Reverted(merge_sha="d" * 40, revert_sha="e" * 40, by="ann")
ESCALATED = IssueEscalated(reason=EscalationReason.ATTEMPTS, attempts=3)
REVIEWED = (APPROVED, assigned(), started(), pushed(head=HEAD), OPENED)
SENSITIVE = GateTriggered(reason=GateReason.SENSITIVE_PATH, head_sha=HEAD, paths=("auth/login.py",))


HOUSE = House(approvers=("ann",), reviewers=("bob",))


def after(*events: Event) -> Standing:
    told = Told()
    for event in events:
        told.say(event)
    found = standing(told.log, ISSUE, HOUSE)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((APPROVED,), "queued"),
        ((APPROVED, assigned()), "assigned"),
        ((APPROVED, assigned(), started()), "in_progress"),
        ((APPROVED, assigned(), IssueUnassigned(epoch=1, reason=UnassignReason.STALE)), "queued"),
        (
            (APPROVED, assigned(), started(), WorkFailed(epoch=1, run="r-1", kind=FailureKind.BUG, detail="")),
            "queued",
        ),
        (REVIEWED, "in_review"),
        ((*REVIEWED, FAILED), "changes_requested"),
        (
            (*REVIEWED, ReviewDisputed(pull_request=1, head_sha=HEAD, reviewer="bob", summary="no")),
            "changes_requested",
        ),
        ((*REVIEWED, PASSED), "in_review"),
        ((*REVIEWED, PASSED, SENSITIVE), "gated"),
        ((*REVIEWED, PASSED, MERGE), "merging"),
        ((*REVIEWED, PASSED, MERGE, MergeConflicted(head_sha=HEAD, base_sha=BASE)), "merge_conflict"),
        (
            (*REVIEWED, PASSED, MERGE, MergeRefused(head_sha=HEAD, base_sha=BASE, reason=MergeRefusal.BASE_MOVED)),
            "in_review",
        ),
        (
            (*REVIEWED, PASSED, MERGE, MergeRefused(head_sha=HEAD, base_sha=BASE, reason=MergeRefusal.PROTECTED)),
            "merging",
        ),
        ((*REVIEWED, PASSED, MERGE, PullRequestClosed(pull_request=1, superseded_by=2)), "in_review"),
        ((*REVIEWED, PASSED, MERGE, MERGED), "deploying"),
        ((*REVIEWED, PASSED, SENSITIVE, MERGED), "deploying"),
        ((*REVIEWED, PASSED, MERGE, MERGED, SMOKE, RetryRequested(by="ann")), "deploying"),
        ((*REVIEWED, PASSED, MERGE, MERGED, DONE, REVERTED, RetryRequested(by="ann")), "queued"),
        ((*REVIEWED, PASSED, MERGE, MERGED, DONE), "done"),
        ((APPROVED, ESCALATED), "escalated"),
        ((APPROVED, ESCALATED, RetryRequested(by="ann")), "queued"),
        ((APPROVED, IssueRefused(reason=Refusal.NO_SUCH_REPOSITORY)), "refused"),
        ((APPROVED, IssueRefused(reason=Refusal.CYCLE), IssueRevised(depends_on=())), "queued"),
        ((APPROVED, assigned(), Stopped(by="ann")), "stopped"),
        ((APPROVED, Stopped(by="ann"), RetryRequested(by="ann")), "queued"),
        ((APPROVED, Stopped(by="ann"), AssignRequested(to="dev-e-2", by="ann")), "queued"),
        ((APPROVED, IssueWithdrawn(by="ann")), "withdrawn"),
        ((APPROVED, IssueWithdrawn(by="ann"), APPROVED), "queued"),
        ((*REVIEWED, PASSED, MERGE, MERGED, DONE, IssueWithdrawn(by="ann")), "done"),
    ],
)
def test_every_state_is_told_by_the_events_that_lead_there(events: tuple[Event, ...], state: str) -> None:
    assert after(*events).state == state


def test_what_nobody_approved_stands_nowhere() -> None:
    told = Told()
    told.say(Stopped(by="ann"))
    told.say(APPROVED, about=IssueRef("demo", "shop", 2))
    assert standing(told.log, ISSUE) is None


def test_what_does_not_count_moves_nothing() -> None:
    it = after(*REVIEWED)
    for event in (
        ChecksPassed(head_sha=NEXT, base_sha=BASE, checks=()),
        ReviewDisputed(pull_request=1, head_sha=NEXT, reviewer="bob", summary="no"),
        ReviewDisputed(pull_request=1, head_sha=HEAD, reviewer="stranger", summary="no"),
        pushed(epoch=1, run="r-9", head=NEXT),
        RetryRequested(by="ann"),
        PriorityChanged(priority=Priority.LOW, by="ann"),
        Deployed(environment=Environment.STAGING, sha=HEAD),
    ):
        now = after(*REVIEWED, event)
        assert (now.state, now.last.position, now.head) == (it.state, it.last.position, HEAD), event


def test_a_revision_and_a_new_priority_are_kept() -> None:
    other = IssueRef("demo", "shop", 2)
    it = after(
        APPROVED, IssueRevised(title="Fix both", depends_on=(other,)), PriorityChanged(priority=Priority.HIGH, by="a")
    )
    assert (it.title, it.depends_on, it.priority, it.last.position) == ("Fix both", (other,), Priority.HIGH, 1)
    assert it.anchor == "id-3", "who speaks now has heard of the new priority"


class TestDeadlines:
    SET = DeadlineSet(kind=DeadlineKind.CLAIM, at=BEGAN)

    def test_a_newer_one_replaces_it_and_leaving_the_state_voids_it(self) -> None:
        later = DeadlineSet(kind=DeadlineKind.CLAIM, at=BEGAN + timedelta(hours=1))
        assert after(APPROVED, assigned(), self.SET, later).deadline.event.data == later  # type: ignore[union-attr] - the test knows which it is
        assert after(APPROVED, assigned(), self.SET, started()).deadline is None

    def test_one_that_has_passed_is_none_and_a_stranger_passes_nothing(self) -> None:
        passed = DeadlinePassed(kind=DeadlineKind.CLAIM, at=BEGAN)
        assert after(APPROVED, assigned(), self.SET, passed).deadline is None
        other = DeadlinePassed(kind=DeadlineKind.CLAIM, at=BEGAN + timedelta(hours=1))
        assert after(APPROVED, assigned(), self.SET, other).deadline is not None

    def test_why_it_waits_is_forgotten_when_it_goes_on(self) -> None:
        waiting = IssueWaiting(reasons=(WaitingReason.CAPACITY,), since=BEGAN)
        assert after(APPROVED, waiting).waiting is not None
        assert after(APPROVED, waiting, assigned()).waiting is None


class TestGates:
    SIZE = GateTriggered(reason=GateReason.SIZE, head_sha=HEAD)

    def reasons(self, *events: Event) -> list[str]:
        return [gate.reason.value for gate in after(*REVIEWED, PASSED, *events).gates.values()]

    def test_each_reason_is_a_gate_of_its_own(self) -> None:
        approved = GateApproved(reason=GateReason.SIZE, head_sha=HEAD, by="ann", note="read")
        assert self.reasons(SENSITIVE, self.SIZE) == ["sensitive_path", "size"]
        assert self.reasons(SENSITIVE, self.SIZE, approved) == ["sensitive_path"]
        assert after(*REVIEWED, PASSED, SENSITIVE, self.SIZE, approved).state == "gated"

    @pytest.mark.parametrize("answer", [GateApproved, GateBypassed])
    def test_a_word_without_a_reason_answers_every_gate_of_that_head(self, answer: type[GateApproved]) -> None:
        it = after(*REVIEWED, PASSED, SENSITIVE, self.SIZE, answer(head_sha=HEAD, by="ann", note="read"))
        assert (it.state, it.gates) == ("in_review", {})

    def test_one_that_is_rejected_goes_back_to_work_whatever_else_is_open(self) -> None:
        it = after(
            *REVIEWED,
            PASSED,
            SENSITIVE,
            self.SIZE,
            GateRejected(reason=GateReason.SIZE, head_sha=HEAD, by="ann", note="no"),
        )
        assert (it.state, it.gates) == ("changes_requested", {})

    def test_a_word_about_another_head_or_of_somebody_who_may_not_answers_nothing(self) -> None:
        assert self.reasons(SENSITIVE, GateApproved(head_sha=NEXT, by="ann", note="read")) == ["sensitive_path"]
        assert self.reasons(SENSITIVE, GateApproved(by="ann", note="read")) == ["sensitive_path"]
        assert self.reasons(SENSITIVE, GateApproved(head_sha=HEAD, by="bob", note="read")) == ["sensitive_path"]

    def test_a_gate_that_is_triggered_twice_is_one_and_keeps_its_beginning(self) -> None:
        it = after(*REVIEWED, PASSED, SENSITIVE, SENSITIVE)
        assert [gate.opened.event.id for gate in it.gates.values()] == ["id-7"]

    def test_whatever_else_happens_leaves_the_gates_behind(self) -> None:
        assert self.reasons(SENSITIVE, FAILED) == []
        assert after(*REVIEWED, PASSED, GateTriggered(reason=GateReason.SIZE, head_sha=NEXT)).gates == {}
        assert after(APPROVED, assigned(), started(), self.SIZE).gates == {}

    def test_a_gate_before_there_is_a_head(self) -> None:
        budget = GateTriggered(reason=GateReason.BUDGET, detail="$10 since its last progress")
        raised = BudgetRaised(scope="issue:demo/shop#1", limit_usd=9, until=BEGAN, by="ann")
        other = BudgetRaised(scope="issue:demo/shop#2", limit_usd=9, until=BEGAN, by="ann")
        assert after(APPROVED, budget).state == "gated"
        assert after(APPROVED, budget, GateApproved(by="ann", note="go on")).state == "queued"
        assert after(APPROVED, budget, GateRejected(by="ann", note="no")).state == "queued"
        assert after(APPROVED, budget, raised).state == "queued"
        assert after(APPROVED, budget, other).state == "gated"
        assert after(APPROVED, budget, Stopped(by="ann")).gates == {}

    def test_a_label_may_have_been_what_it_was_held_for(self) -> None:
        held = GateTriggered(reason=GateReason.POLICY, head_sha=HEAD)
        assert after(*REVIEWED, PASSED, held, IssueRevised(labels=())).state == "in_review"
        assert after(*REVIEWED, PASSED, held, self.SIZE, IssueRevised(labels=())).state == "gated"


class TestQuestions:
    ASKED = QuestionAsked(epoch=1, run="r-1", question="Which one?")

    def test_the_owners_question_waits_for_its_answer(self) -> None:
        asked = (APPROVED, assigned(), started(), self.ASKED)
        assert after(*asked).question is not None
        wrong = QuestionAnswered(epoch=1, run="r-2", answer="Both", by="ann")
        assert after(*asked, wrong).question is not None
        right = QuestionAnswered(epoch=1, run="r-1", answer="Both", by="ann")
        assert after(*asked, right).question is None
        assert after(*asked, IssueUnassigned(epoch=1, reason=UnassignReason.STUCK)).question is None

    def test_a_strangers_question_does_not(self) -> None:
        asked = QuestionAsked(epoch=1, run="r-2", question="Which one?")
        assert after(APPROVED, assigned(), started(), asked).question is None
