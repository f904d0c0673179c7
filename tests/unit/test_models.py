"""The read models: what a person sees of an issue, an agent and a repository after each fact."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from conductor.projector.issues import FINDINGS_MAX, IssueRow, fold_issue
from conductor.projector.roster import AgentRow, RepositoryRow, fold_agent, fold_repository
from schemas import (
    AgentCapacityChanged,
    AgentJoined,
    AgentLeft,
    AgentRef,
    ChecksFailed,
    ChecksPassed,
    Conclusion,
    Deadline,
    DeadlineKind,
    DeadlinePassed,
    DeadlineSet,
    Draft,
    EscalationReason,
    Event,
    FailedCheck,
    FailureKind,
    GateApproved,
    GateReason,
    GateRejected,
    GateTriggered,
    IssueApproved,
    IssueDone,
    IssueEscalated,
    IssueRef,
    IssueRefused,
    IssueRevised,
    IssueState,
    IssueUnassigned,
    IssueWaiting,
    IssueWithdrawn,
    LeaveReason,
    MergeConflicted,
    Merged,
    MergeRefusal,
    MergeRefused,
    MergeRequested,
    Priority,
    PriorityChanged,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    Recorded,
    Ref,
    Refusal,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryRemoved,
    RetryRequested,
    ReviewDisputed,
    ReviewPassed,
    Stopped,
    UnassignReason,
    WaitingReason,
    WorkFailed,
    envelope,
)
from schemas.actors import MAY_SAY
from tests.support.saying import assigned, pushed, started

ISSUE = IssueRef("demo", "shop", 1)
START = datetime(2026, 1, 1, tzinfo=UTC)
BASE, BASE_2, HEAD, HEAD_2, MERGE = (digit * 40 for digit in "abcde")

APPROVED = IssueApproved(title="Fix total", body="It is wrong.", author="ann")
FAILED = FailedCheck(name="tests", conclusion=Conclusion.FAILURE, excerpt="1 failed")
PASSED_ON_HEAD = ChecksPassed(head_sha=HEAD, base_sha=BASE, checks=("tests",))
FAILED_ON_HEAD = ChecksFailed(head_sha=HEAD, base_sha=BASE, failed=(FAILED,))
OPENED = PullRequestOpened(pull_request=7, url="file:///shop", branch="rig/1-fix", head_sha=HEAD, author="dev-e")
MERGE_REQUESTED = MergeRequested(epoch=1, pull_request=7, head_sha=HEAD, base_sha=BASE)


def recorded(position: int, about: Ref, event: Event, *, time: datetime | None = None) -> Recorded:
    actor = next(role for role, events in MAY_SAY.items() if type(event) in events)
    at = time or START + timedelta(seconds=position)
    said = envelope(Draft(about=about, data=event), id=f"id-{position}", actor=actor, source="test", time=at)
    return Recorded(position, START + timedelta(seconds=position), said)


def issue_after(*events: Event, reviewers: tuple[str, ...] = ()) -> IssueRow:
    row = None
    for position, event in enumerate(events, 1):
        row = fold_issue(row, recorded(position, ISSUE, event), reviewers)
    assert row is not None
    return row


IN_REVIEW: Sequence[Event] = (APPROVED, assigned(), started(), pushed(), OPENED)


def test_an_issue_goes_from_approved_to_done() -> None:
    story: list[tuple[Event, IssueState]] = [
        (APPROVED, IssueState.QUEUED),
        (assigned(), IssueState.ASSIGNED),
        (started(), IssueState.IN_PROGRESS),
        (
            WorkFailed(epoch=1, run="r-1", kind=FailureKind.CHECKS_FAILED, detail="test_total fails"),
            IssueState.QUEUED,
        ),
        (assigned(2, 2), IssueState.ASSIGNED),
        (started(2, "r-2"), IssueState.IN_PROGRESS),
        (pushed(2, "r-2"), IssueState.IN_REVIEW),
        (OPENED, IssueState.IN_REVIEW),
        (PASSED_ON_HEAD, IssueState.READY_TO_MERGE),
        (MERGE_REQUESTED, IssueState.MERGING),
        (Merged(head_sha=HEAD, base_sha=BASE, merge_sha=MERGE), IssueState.MERGING),
        (IssueDone(duration_minutes=1, attempts=2, merge_sha=MERGE), IssueState.DONE),
    ]
    row = None
    for position, (event, state) in enumerate(story, 1):
        row = fold_issue(row, recorded(position, ISSUE, event))
        assert row is not None
        assert row.state is state, event
    assert row is not None
    assert (row.attempts, row.merge_sha, row.pull_request, row.head_sha) == (2, MERGE, 7, HEAD)
    assert (row.opened, row.position, row.findings) == (1, len(story), "")


def test_the_agent_is_shown_while_it_works_and_no_longer() -> None:
    assert issue_after(APPROVED, assigned(), started()).agent == "dev-e-1"
    assert issue_after(APPROVED, assigned(), started(), started(run="r-2", agent="dev-e-2")).agent == "dev-e-2"
    assert issue_after(APPROVED, assigned(), started(), pushed()).agent is None


def test_what_another_run_than_the_owner_says_changes_nothing() -> None:
    taken_over = (APPROVED, assigned(), started(), started(run="r-2", agent="dev-e-2"))
    assert issue_after(*taken_over, pushed(run="r-1")).state is IssueState.IN_PROGRESS
    assert issue_after(*taken_over, pushed(run="r-2")).state is IssueState.IN_REVIEW


def test_waiting_says_why_until_the_issue_is_assigned() -> None:
    waiting = IssueWaiting(reasons=(WaitingReason.DEPENDENCY,), since=START, waits_for=(IssueRef("demo", "shop", 9),))
    row = issue_after(APPROVED, waiting)
    assert (row.state, row.waiting) == (IssueState.QUEUED, (WaitingReason.DEPENDENCY,))
    assert row.waits_for == (IssueRef("demo", "shop", 9),)
    row = issue_after(APPROVED, waiting, assigned())
    assert (row.waiting, row.waits_for) == ((), ())


def test_an_assignment_taken_back_leaves_the_issue_queued() -> None:
    back = IssueUnassigned(epoch=1, reason=UnassignReason.STALE)
    assert issue_after(APPROVED, assigned(), back).state is IssueState.QUEUED
    assert issue_after(APPROVED, assigned(), back, assigned(2), back).state is IssueState.ASSIGNED


def test_failed_checks_of_the_current_head_ask_for_changes_and_keep_the_findings() -> None:
    row = issue_after(*IN_REVIEW, FAILED_ON_HEAD)
    assert (row.state, row.findings) == (IssueState.CHANGES_REQUESTED, "tests: failure\n1 failed")
    row = issue_after(*IN_REVIEW, FAILED_ON_HEAD, assigned(2, 2), started(2, "r-2"), pushed(2, "r-2", HEAD_2))
    assert (row.state, row.findings) == (IssueState.IN_REVIEW, "tests: failure\n1 failed")


def test_a_verdict_on_an_older_commit_counts_for_nothing() -> None:
    moved = PullRequestUpdated(pull_request=7, branch="rig/1-fix", head_sha=HEAD_2)
    again = (assigned(2, 2), started(2, "r-2"), pushed(2, "r-2", HEAD_2), moved)
    assert issue_after(*IN_REVIEW, PASSED_ON_HEAD, *again).state is IssueState.IN_REVIEW
    assert issue_after(*IN_REVIEW, *again, FAILED_ON_HEAD).state is IssueState.IN_REVIEW


def test_a_verdict_may_come_before_its_pull_request() -> None:
    row = issue_after(APPROVED, assigned(), started(), PASSED_ON_HEAD, pushed(), OPENED)
    assert row.state is IssueState.READY_TO_MERGE


def test_of_two_verdicts_on_one_head_the_sources_later_one_wins() -> None:
    row = issue_after(*IN_REVIEW)
    late = recorded(6, ISSUE, PASSED_ON_HEAD, time=START + timedelta(hours=2))
    early = recorded(7, ISSUE, FAILED_ON_HEAD, time=START + timedelta(hours=1))
    fold_issue(row, late)
    fold_issue(row, early)
    assert row.state is IssueState.READY_TO_MERGE
    fold_issue(row, recorded(8, ISSUE, FAILED_ON_HEAD, time=START + timedelta(hours=2)))
    assert row.state is IssueState.CHANGES_REQUESTED


def test_where_the_repository_names_reviewers_one_of_them_must_pass_the_head() -> None:
    both = ("review-e", "ann")
    passed = ReviewPassed(pull_request=7, head_sha=HEAD, reviewer="review-e")
    by_another = ReviewPassed(pull_request=7, head_sha=HEAD, reviewer="somebody")
    assert issue_after(*IN_REVIEW, PASSED_ON_HEAD, reviewers=both).state is IssueState.IN_REVIEW
    assert issue_after(*IN_REVIEW, PASSED_ON_HEAD, by_another, reviewers=both).state is IssueState.IN_REVIEW
    assert issue_after(*IN_REVIEW, passed, PASSED_ON_HEAD, reviewers=both).state is IssueState.READY_TO_MERGE


def test_a_disputed_review_asks_for_changes_in_full() -> None:
    dispute = ReviewDisputed(
        pull_request=7, head_sha=HEAD, reviewer="review-e", summary="No tests.", comments=("total.py: untested",)
    )
    row = issue_after(*IN_REVIEW, PASSED_ON_HEAD, dispute, reviewers=("review-e",))
    assert (row.state, row.findings) == (IssueState.CHANGES_REQUESTED, "review-e: No tests.\n\ntotal.py: untested")


def test_when_the_base_has_moved_the_checks_are_awaited_anew() -> None:
    moved = MergeRefused(head_sha=HEAD, base_sha=BASE, reason=MergeRefusal.BASE_MOVED)
    asked = (*IN_REVIEW, PASSED_ON_HEAD, MERGE_REQUESTED, moved)
    assert issue_after(*asked).state is IssueState.IN_REVIEW
    on_new_base = ChecksPassed(head_sha=HEAD, base_sha=BASE_2, checks=("tests",))
    assert issue_after(*asked, on_new_base).state is IssueState.READY_TO_MERGE


def test_a_merge_that_a_person_must_make_possible_says_so() -> None:
    dirty = MergeRefused(head_sha=HEAD, base_sha=BASE, reason=MergeRefusal.DIRTY_CHECKOUT, detail="cart.py")
    row = issue_after(*IN_REVIEW, PASSED_ON_HEAD, MERGE_REQUESTED, dirty)
    assert (row.state, row.findings) == (IssueState.READY_TO_MERGE, "merge refused, dirty checkout: cart.py")


def test_a_merge_conflict_names_the_paths() -> None:
    row = issue_after(*IN_REVIEW, MergeConflicted(head_sha=HEAD, base_sha=BASE, paths=("cart.py",)))
    assert (row.state, row.findings) == (IssueState.MERGE_CONFLICT, "merge conflict\ncart.py")


def test_a_closed_pull_request_is_forgotten_and_another_ones_close_is_not_about_it() -> None:
    assert issue_after(*IN_REVIEW, PullRequestClosed(pull_request=7)).pull_request is None
    assert issue_after(*IN_REVIEW, PullRequestClosed(pull_request=6)).pull_request == 7


def test_an_escalated_issue_says_why_with_its_last_findings_until_another_try_is_asked_for() -> None:
    escalated = IssueEscalated(reason=EscalationReason.ATTEMPTS, attempts=3, summary="short")
    row = issue_after(*IN_REVIEW, FAILED_ON_HEAD, escalated)
    assert (row.state, row.escalation, row.attempts) == (IssueState.ESCALATED, EscalationReason.ATTEMPTS, 3)
    assert row.findings == "tests: failure\n1 failed"
    row = issue_after(*IN_REVIEW, FAILED_ON_HEAD, escalated, RetryRequested(by="ann"))
    assert (row.state, row.escalation) == (IssueState.QUEUED, None)


def test_stopped_and_withdrawn_work_stays_so_whatever_comes_late() -> None:
    for end, state in ((Stopped(by="ann"), IssueState.STOPPED), (IssueWithdrawn(by="ann"), IssueState.WITHDRAWN)):
        late = (pushed(), OPENED, PASSED_ON_HEAD, MERGE_REQUESTED, assigned(2), started(2, "r-2"))
        row = issue_after(APPROVED, assigned(), started(), end, *late)
        assert (row.state, row.agent) == (state, None)


def test_a_withdrawn_issue_comes_back_when_it_is_approved_again() -> None:
    row = issue_after(APPROVED, IssueWithdrawn(by="ann"), IssueApproved(title="Other", author="bob"))
    assert (row.state, row.title, row.opened) == (IssueState.QUEUED, "Other", 1)


def test_approving_again_what_is_under_way_changes_nothing() -> None:
    row = issue_after(APPROVED, assigned(), IssueApproved(title="Other", author="bob"))
    assert (row.state, row.title) == (IssueState.ASSIGNED, "Fix total")


def test_a_refused_issue_names_its_cycle_until_it_is_revised() -> None:
    refused = IssueRefused(reason=Refusal.CYCLE, cycle=(ISSUE, IssueRef("demo", "shop", 2)))
    row = issue_after(APPROVED, refused)
    assert (row.state, row.refusal, len(row.cycle)) == (IssueState.REFUSED, Refusal.CYCLE, 2)
    row = issue_after(APPROVED, refused, IssueRevised(depends_on=()))
    assert (row.state, row.refusal, row.cycle, row.title) == (IssueState.QUEUED, None, (), "Fix total")


def test_an_issue_refused_for_want_of_its_repository_goes_on_when_the_conductor_takes_it_up() -> None:
    refused = IssueRefused(reason=Refusal.NO_SUCH_REPOSITORY)
    waiting = IssueWaiting(reasons=(WaitingReason.CAPACITY,), since=START)
    assert issue_after(APPROVED, refused, assigned()).state is IssueState.ASSIGNED
    assert issue_after(APPROVED, refused, waiting).state is IssueState.QUEUED


def test_a_person_changes_the_priority() -> None:
    row = issue_after(APPROVED, PriorityChanged(priority=Priority.CRITICAL, by="ann"))
    assert row.priority is Priority.CRITICAL


def test_the_deadline_lives_until_it_passes_or_the_state_is_left() -> None:
    at = START + timedelta(minutes=5)
    due = DeadlineSet(kind=DeadlineKind.CLAIM, at=at)
    assert issue_after(APPROVED, assigned(), due).deadline == Deadline(kind=DeadlineKind.CLAIM, at=at)
    assert issue_after(APPROVED, assigned(), due, started()).deadline is None
    passed = DeadlinePassed(kind=DeadlineKind.CLAIM, at=at)
    assert issue_after(APPROVED, assigned(), due, passed).deadline is None
    other = DeadlinePassed(kind=DeadlineKind.CLAIM, at=at + timedelta(seconds=1))
    assert issue_after(APPROVED, assigned(), due, other).deadline is not None


def test_a_gate_holds_the_issue_until_the_conductor_goes_on() -> None:
    gate = GateTriggered(reason=GateReason.SIZE, head_sha=HEAD, detail="900 lines")
    due = DeadlineSet(kind=DeadlineKind.GATE, at=START)
    gated = (*IN_REVIEW, PASSED_ON_HEAD, gate, due)
    row = issue_after(*gated)
    assert (row.state, row.deadline) == (IssueState.GATED, Deadline(kind=DeadlineKind.GATE, at=START))
    approved = GateApproved(reason=GateReason.SIZE, head_sha=HEAD, by="ann", note="read it")
    assert issue_after(*gated, approved).state is IssueState.GATED, "whether ann may say so, the conductor knows"
    assert issue_after(*gated, approved, MERGE_REQUESTED).state is IssueState.MERGING
    rejected = GateRejected(reason=GateReason.SIZE, head_sha=HEAD, by="ann", note="split it")
    row = issue_after(*gated, rejected, DeadlineSet(kind=DeadlineKind.WAITING, at=START))
    assert (row.state, row.findings) == (IssueState.QUEUED, "split it")


def test_what_is_merged_may_have_to_be_deployed() -> None:
    merged = Merged(head_sha=HEAD, base_sha=BASE, merge_sha=MERGE)
    due = DeadlineSet(kind=DeadlineKind.DEPLOY, at=START)
    assert issue_after(*IN_REVIEW, PASSED_ON_HEAD, MERGE_REQUESTED, merged, due).state is IssueState.DEPLOYING


def test_a_word_about_an_issue_that_nobody_approved_makes_none() -> None:
    assert fold_issue(None, recorded(1, ISSUE, Stopped(by="ann"))) is None


def test_findings_are_kept_up_to_a_limit() -> None:
    failed = tuple(FailedCheck(name=f"c{n}", conclusion=Conclusion.FAILURE, excerpt="x" * 8_000) for n in range(5))
    row = issue_after(*IN_REVIEW, ChecksFailed(head_sha=HEAD, base_sha=BASE, failed=failed))
    assert row.findings.endswith("characters)")
    assert len(row.findings) < FINDINGS_MAX + 50


EVENTS: Sequence[Event] = (
    *IN_REVIEW,
    FAILED_ON_HEAD,
    PASSED_ON_HEAD,
    MERGE_REQUESTED,
    Stopped(by="ann"),
    RetryRequested(by="ann"),
    IssueWithdrawn(by="ann"),
    assigned(2, 2),
    started(2, "r-2"),
    pushed(2, "r-2", HEAD_2),
    IssueEscalated(reason=EscalationReason.RUNS, attempts=0),
    IssueDone(duration_minutes=1, attempts=1, merge_sha=MERGE),
    IssueRefused(reason=Refusal.CYCLE),
    IssueUnassigned(epoch=1, reason=UnassignReason.STUCK),
)


@given(st.lists(st.sampled_from(EVENTS), max_size=25))
def test_whatever_the_log_holds_an_event_folded_twice_changes_nothing_and_the_row_survives_storage(
    events: list[Event],
) -> None:
    once, twice = None, None
    for position, event in enumerate([APPROVED, *events], 1):
        said = recorded(position, ISSUE, event)
        once = fold_issue(once, said)
        for _ in range(2):
            stored = msgspec.json.encode(fold_issue(twice, said))
            twice = msgspec.json.decode(stored, type=IssueRow)
        assert once == twice


# ── agents and repositories ──────────────────────────────────────────────────


def agent_after(*events: Event) -> AgentRow | None:
    row = None
    for position, event in enumerate(events, 1):
        row = fold_agent(row, recorded(position, AgentRef("dev-e-1"), event))
    return row


def joined(boot: str) -> AgentJoined:
    return AgentJoined(boot=boot, role="dev-e", provider="scripted", slots=1, version="0.1.0")


def test_an_agent_joins_takes_more_and_leaves() -> None:
    row = agent_after(joined("b1"), AgentCapacityChanged(boot="b1", slots=3))
    assert row is not None
    assert (row.name, row.role, row.slots, row.left) == ("dev-e-1", "dev-e", 3, None)
    row = agent_after(joined("b1"), AgentLeft(boot="b1", reason=LeaveReason.STOPPED))
    assert row is not None
    assert row.left == START + timedelta(seconds=2)


def test_an_agent_that_joins_again_takes_its_place_back_and_its_earlier_life_is_not_heard() -> None:
    row = agent_after(joined("b1"), joined("b2"), AgentLeft(boot="b1", reason=LeaveReason.FAILED))
    assert row is not None
    assert (row.boot, row.left) == ("b2", None)


def test_an_agent_that_never_joined_is_none() -> None:
    assert agent_after(AgentLeft(boot="b1", reason=LeaveReason.STOPPED)) is None


def repository_after(*events: Event) -> RepositoryRow | None:
    row = None
    for position, event in enumerate(events, 1):
        row = fold_repository(row, recorded(position, RepoRef("demo", "shop"), event))
    return row


def test_a_repository_is_configured_once_the_forge_has_looked() -> None:
    added = RepositoryAdded(clone_url="/srv/shop", check="make test", by="ann")
    configured = RepositoryConfigured(base_branch="main", base_sha=BASE, clone_url="/srv/shop", check="make test")
    row = repository_after(added)
    assert row is not None
    assert (row.line.configured, row.line.base_branch) == (False, None)
    row = repository_after(added, configured)
    assert row is not None
    assert (row.line.configured, row.line.base_branch, row.removed) == (True, "main", False)
    row = repository_after(added, configured, RepositoryRemoved(by="ann"))
    assert row is not None
    assert row.removed
    row = repository_after(added, configured, RepositoryRemoved(by="ann"), added)
    assert row is not None
    assert (row.removed, row.line.configured) == (False, False)
