"""The conductor's decisions, told as stories: the whole path, every loop, every way out."""

from datetime import datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from conductor.decide import ROUND_MAX, RULES, decide, may_decide
from conductor.evolve import evolve
from conductor.replay import Replayed, replay
from conductor.shell import compose
from conductor.state import State
from schemas import (
    Actor,
    AgentCapacityChanged,
    AgentLeft,
    AgentRef,
    AssignReason,
    DeadlineKind,
    DeadlinePassed,
    DeadlineSet,
    Decided,
    Envelope,
    EscalationReason,
    FailureKind,
    IssueApproved,
    IssueAssigned,
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
    Refusal,
    RepoRef,
    RepositoryRemoved,
    RetryRequested,
    ReviewDisputed,
    ReviewPassed,
    Stopped,
    UnassignReason,
    WaitingReason,
    WorkFailed,
)
from tests.support.story import BASE, FREE, SHOP, Story, kinds, sha

# ── the path ─────────────────────────────────────────────────────────────────


def test_one_issue_as_the_log_tells_it() -> None:
    """story.md, event by event: the first try fails its checks, the second is merged."""
    story = Story()
    issue = story.approve(1)
    assert kinds(story.round()) == ["IssueAssigned", "DeadlineSet"]
    story.start(issue, "r-7f3")
    assert kinds(story.round()) == ["DeadlineSet"]
    story.fail(issue, FailureKind.CHECKS_FAILED, "test_total failed", "r-7f3")
    assigned, _ = story.round()
    assert isinstance(assigned, IssueAssigned)
    assert (assigned.epoch, assigned.attempt, assigned.reason) == (2, 2, AssignReason.CHECKS_FAILED)
    assert (assigned.agent, assigned.resume) == ("dev-e-1", "s-r-7f3")
    story.start(issue, "r-a10")
    story.round()
    story.push(issue, "h1", "r-a10")
    assert [event.kind for event in story.round() if isinstance(event, DeadlineSet)] == [DeadlineKind.PULL_REQUEST]
    story.open(issue, "h1")
    story.check(issue, "h1")
    merge, deadline = story.round()
    assert merge == MergeRequested(epoch=2, pull_request=1, head_sha=sha("h1"), base_sha=BASE)
    assert isinstance(deadline, DeadlineSet)
    assert deadline.kind is DeadlineKind.MERGE
    story.merge(issue)
    story.later(90)
    assert story.round() == [IssueDone(duration_minutes=1.5, attempts=2, merge_sha=sha("m1"))]
    assert story.round() == []
    assert [subject.removeprefix("rig.issue.demo.shop.1.") for subject in story.subjects()[4:]] == [
        "local.approved",
        "rig.fleet.conductor.decided",
        "conductor.assigned.dev-e",
        "conductor.deadline_set",
        "dev-e.work_started",
        "rig.fleet.conductor.decided",
        "conductor.deadline_set",
        "dev-e.work_failed",
        "rig.fleet.conductor.decided",
        "conductor.assigned.dev-e",
        "conductor.deadline_set",
        "dev-e.work_started",
        "rig.fleet.conductor.decided",
        "conductor.deadline_set",
        "dev-e.work_pushed",
        "rig.fleet.conductor.decided",
        "conductor.deadline_set",
        "local.pull_request_opened",
        "local.checks_passed",
        "rig.fleet.conductor.decided",
        "conductor.merge_requested",
        "conductor.deadline_set",
        "local.merged",
        "rig.fleet.conductor.decided",
        "conductor.done",
    ]
    assert story.replayed().differences == ()


def test_every_decision_names_its_cause() -> None:
    story = Story()
    issue = story.approve(1)
    story.rounds()
    approved, _, assigned, _ = story.log[-4:]
    assert assigned.causationid == assigned.correlationid == approved.id
    story.start(issue)
    story.rounds()
    assert (story.log[-1].causationid, story.log[-1].correlationid) == (story.log[-3].id, approved.id)


# ── who comes first ──────────────────────────────────────────────────────────


def test_work_goes_by_priority_then_age_and_within_the_slots() -> None:
    story = Story(slots=2)
    normal, urgent, older = story.approve(3), story.approve(2, priority=Priority.CRITICAL), story.approve(1)
    story.rounds()
    assert [story.issue(ref).state for ref in (urgent, normal, older)] == [
        IssueState.ASSIGNED,
        IssueState.ASSIGNED,
        IssueState.QUEUED,
    ]


def test_a_changed_priority_counts_from_then_on() -> None:
    story = Story(slots=0)
    first, second = story.approve(1), story.approve(2)
    story.rounds()
    story.say(Actor.CLI, second, PriorityChanged(priority=Priority.HIGH, by="ada"))
    story.say(Actor.DEV_E, AgentRef("dev-e-1"), AgentCapacityChanged(boot="b1", slots=1))
    story.rounds()
    assert story.issue(second).state is IssueState.ASSIGNED
    assert story.issue(first).state is IssueState.QUEUED


def test_a_dependency_is_waited_for_even_before_anyone_knows_it() -> None:
    story = Story(slots=5)
    dependent = story.approve(1, depends_on=(IssueRef("demo", "shop", 2),))
    story.rounds()
    assert story.issue(dependent).state is IssueState.QUEUED
    dependency = story.approve(2)
    story.to_merging(dependency)
    assert story.issue(dependent).state is IssueState.QUEUED
    story.merge(dependency)
    story.rounds()
    assert story.issue(dependent).state is IssueState.ASSIGNED


def test_a_cycle_refuses_the_issue_that_closes_it_until_it_is_revised() -> None:
    story = Story(slots=0)
    one, two, three = (IssueRef("demo", "shop", number) for number in (1, 2, 3))
    story.approve(1, depends_on=(two,))
    story.approve(2, depends_on=(three,))
    story.approve(3)
    story.rounds()
    story.say(Actor.CLI, three, IssueRevised(depends_on=(one,)))
    assert IssueRefused(reason=Refusal.CYCLE, cycle=(three, one, two)) in story.rounds()
    assert [story.issue(ref).state.value for ref in (one, two, three)] == ["queued", "queued", "refused"]
    story.say(Actor.CLI, three, IssueRevised(depends_on=()))
    story.rounds()
    assert story.issue(three).state is IssueState.QUEUED


def test_an_issue_of_an_unknown_repository_is_refused_until_the_repository_comes() -> None:
    story = Story()
    ref = story.approve(1, repository=RepoRef("demo", "other"))
    assert story.round() == [IssueRefused(reason=Refusal.NO_SUCH_REPOSITORY)]
    story.add(RepoRef("demo", "other"))
    assert kinds(story.round()) == ["IssueAssigned", "DeadlineSet"]
    assert story.issue(ref).state is IssueState.ASSIGNED


def test_waiting_is_explained_when_its_deadline_passes_and_not_at_every_change() -> None:
    story = Story(slots=0)
    dependency = IssueRef("demo", "shop", 9)
    ref = story.approve(1, depends_on=(dependency,))
    assert kinds(story.rounds()) == ["DeadlineSet"]
    story.approve(2)
    story.rounds()
    story.deadline_passes(ref)
    waiting, deadline = story.round()
    assert isinstance(waiting, IssueWaiting)
    assert (waiting.reasons, waiting.waits_for) == ((WaitingReason.DEPENDENCY,), (dependency,))
    assert isinstance(deadline, DeadlineSet)
    assert story.round() == []


def test_the_slots_of_an_agent_that_left_are_gone() -> None:
    story = Story(slots=1)
    story.say(Actor.DEV_E, AgentRef("dev-e-1"), AgentLeft(boot="b1", reason=LeaveReason.STOPPED))
    ref = story.approve(1)
    story.rounds()
    assert story.issue(ref).state is IssueState.QUEUED


# ── loops ────────────────────────────────────────────────────────────────────


def test_checks_that_fail_on_the_forge_send_it_back_with_the_findings() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_review(ref)
    story.check(ref, "h1", passed=False, log="expected 3, got 4")
    assigned, *_ = story.rounds()
    assert isinstance(assigned, IssueAssigned)
    assert (assigned.reason, assigned.attempt) == (AssignReason.CHECKS_FAILED, 2)
    assert "expected 3, got 4" in story.issue(ref).findings


def test_a_moved_base_is_checked_again_and_asked_for_again() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_merging(ref)
    story.say(Actor.LOCAL, ref, MergeRefused(head_sha=sha("h1"), base_sha=BASE, reason=MergeRefusal.BASE_MOVED))
    assert [event.kind for event in story.rounds() if isinstance(event, DeadlineSet)] == [DeadlineKind.CHECKS]
    story.check(ref, "h1", base=sha("newer"))
    assert MergeRequested(epoch=1, pull_request=1, head_sha=sha("h1"), base_sha=sha("newer")) in story.rounds()


def test_a_conflict_goes_back_to_the_agent() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_merging(ref)
    story.say(Actor.LOCAL, ref, MergeConflicted(head_sha=sha("h1"), base_sha=BASE, paths=("shop.py",)))
    assigned, *_ = story.rounds()
    assert isinstance(assigned, IssueAssigned)
    assert (assigned.reason, assigned.attempt) == (AssignReason.MERGE_CONFLICTED, 1)
    assert "shop.py" in story.issue(ref).findings


def test_a_dirty_checkout_is_asked_again_after_a_while_then_a_person_is() -> None:
    story = Story(replace(FREE, forge_retries_max=2))
    ref = story.approve(1)
    story.to_merging(ref)
    for _ in range(2):
        refused = MergeRefused(
            head_sha=sha("h1"), base_sha=BASE, reason=MergeRefusal.DIRTY_CHECKOUT, detail="shop: total.py is changed"
        )
        story.say(Actor.LOCAL, ref, refused)
        assert kinds(story.rounds()) == ["DeadlineSet"]
        story.deadline_passes(ref)
        assert kinds(story.rounds()) == ["MergeRequested", "DeadlineSet"]
    story.say(Actor.LOCAL, ref, refused)
    story.rounds()
    story.deadline_passes(ref)
    (escalated,) = story.rounds()
    assert isinstance(escalated, IssueEscalated)
    assert escalated.reason is EscalationReason.FORGE_SILENT
    assert "total.py is changed" in escalated.summary


# ── time ─────────────────────────────────────────────────────────────────────


def test_an_assignment_that_nobody_claims_is_taken_back_and_given_again() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.deadline_passes(ref)
    said = story.rounds()
    assert said[0] == IssueUnassigned(epoch=1, reason=UnassignReason.STALE)
    assert isinstance(said[1], IssueAssigned)
    assert (said[1].epoch, said[1].attempt, story.issue(ref).attempts) == (2, 1, 0)


def test_a_run_that_falls_silent_is_taken_back_and_its_late_push_counts_for_nothing() -> None:
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


def test_a_second_claim_of_an_epoch_takes_it_over() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.start(ref, "r-1")
    story.rounds()
    story.start(ref, "r-2")
    assert [event.kind for event in story.rounds() if isinstance(event, DeadlineSet)] == [DeadlineKind.RUN]
    story.push(ref, "by-the-dead", "r-1")
    assert story.issue(ref).state is IssueState.IN_PROGRESS
    story.push(ref, "by-the-owner", "r-2")
    assert story.issue(ref).head == sha("by-the-owner")


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


def test_a_timer_early_late_or_twice_does_no_harm() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    claim = story.issue(ref).deadline
    assert claim is not None
    story.start(ref)
    story.rounds()
    before = story.issue(ref).deadline
    story.say(Actor.CONDUCTOR, ref, DeadlinePassed(kind=claim.kind, at=claim.at))
    assert story.issue(ref).deadline == before
    assert story.rounds() == []


def test_a_run_that_failed_for_no_fault_of_the_work_rests_and_is_no_attempt() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.fail(ref, FailureKind.OVERLOADED)
    assert [event.kind for event in story.rounds() if isinstance(event, DeadlineSet)] == [DeadlineKind.BACKOFF]
    story.deadline_passes(ref)
    assigned, *_ = story.rounds()
    assert isinstance(assigned, IssueAssigned)
    assert (assigned.epoch, assigned.attempt) == (2, 1)


def test_a_forge_that_never_answers_ends_with_a_person() -> None:
    story = Story(replace(FREE, forge_retries_max=2))
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.push(ref, "h1")
    story.rounds()
    for _ in range(3):
        story.deadline_passes(ref)
        said = story.rounds()
    assert kinds(said) == ["IssueEscalated"]


# ── ways out ─────────────────────────────────────────────────────────────────


def test_three_attempts_then_a_person_with_the_last_findings() -> None:
    story = Story()
    ref = story.approve(1)
    for attempt in range(1, 4):
        assert story.rounds()[0] is not None
        story.start(ref, f"r-{attempt}")
        story.fail(ref, FailureKind.CHECKS_FAILED, f"finding {attempt}", f"r-{attempt}")
    assert story.rounds() == [IssueEscalated(reason=EscalationReason.ATTEMPTS, attempts=3, summary="finding 3")]
    story.say(Actor.CLI, ref, RetryRequested(by="ada"))
    assigned, *_ = story.rounds()
    assert isinstance(assigned, IssueAssigned)
    assert (assigned.reason, assigned.attempt, assigned.epoch) == (AssignReason.ASKED, 1, 4)


def test_stopped_work_waits_for_the_person_who_stopped_it() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.say(Actor.CLI, ref, Stopped(by="ada"))
    assert story.rounds() == []
    story.push(ref, "h1")
    assert story.issue(ref).state is IssueState.STOPPED
    story.say(Actor.CLI, ref, RetryRequested(by="ada"))
    assert kinds(story.rounds()) == ["IssueAssigned", "DeadlineSet"]


def test_an_assignment_that_a_withdrawal_overtook_is_taken_back() -> None:
    story = Story()
    ref = story.approve(1)
    policy = story.state.policy
    assert policy is not None
    drafts = decide(story.state, story.now, policy)
    batch = compose(drafts, story.state, story.now, "conductor")
    story.say(Actor.CLI, ref, IssueWithdrawn(by="ada"))  # lands between `through` and the batch
    for event in batch:
        story.append(event)
    assert story.rounds() == [IssueUnassigned(epoch=1, reason=UnassignReason.WITHDRAWN)]
    assert story.issue(ref).state is IssueState.WITHDRAWN
    assert story.replayed().differences == ()


def test_a_withdrawn_issue_that_is_approved_again_begins_again() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.say(Actor.CLI, ref, IssueWithdrawn(by="ada"))
    assert story.rounds() == []
    story.say(Actor.LOCAL, ref, IssueApproved(title="Again", author="ada"))
    assigned, *_ = story.rounds()
    assert isinstance(assigned, IssueAssigned)
    assert assigned.epoch == 2


# ── the loop itself ──────────────────────────────────────────────────────────


def test_a_round_of_many_issues_is_cut_at_whole_issues_and_the_rest_comes_next() -> None:
    story = Story(slots=700)
    for number in range(1, 701):
        story.approve(number)
    first, second = story.round(), story.round()
    assert (len(first), len(second)) == (998, 402)
    assert len(first) <= ROUND_MAX
    assert story.round() == []
    assert len(story.state.working) == 700
    assert story.replayed().differences == ()


def test_slots_are_counted_within_the_round() -> None:
    story = Story(slots=3)
    for number in range(1, 51):
        story.approve(number)
    assert kinds(story.rounds()).count("IssueAssigned") == 3


def test_no_clock_goes_back_over_the_last_decision() -> None:
    story = Story()
    story.approve(1)
    story.rounds()
    first = story.state.decided_now
    story.later(-3_600)
    story.approve(2)
    story.start(IssueRef("demo", "shop", 1))
    story.rounds()
    assert [event.data.now for event in story.log if isinstance(event.data, Decided)] == [first, first]


def test_nothing_is_decided_in_the_middle_of_a_batch_or_under_newer_rules_or_without_a_policy() -> None:
    story = Story()
    story.approve(1)
    decided, *rest = story.decision()[1]
    story.append(decided)
    assert not may_decide(story.state), "the batch is not read to its end"
    for event in rest:
        story.append(event)
    assert may_decide(story.state)
    assert not may_decide(State())
    story.state.rules = RULES + 1
    assert not may_decide(story.state)


def test_a_replay_stops_exactly_at_through_whatever_cannot_be_read() -> None:
    """Events that landed between `through` and the batch were not decided on, and an unreadable position counts."""
    story = Story(slots=2)
    story.approve(1)
    _, batch = story.decision()
    story.approve(2)
    for event in batch:
        story.append(event)
    story.rounds()
    assert story.replayed() == Replayed(2, 0, ())
    unreadable: list[tuple[int, Envelope | None]] = [(1, None)]
    assert replay(unreadable + [(position + 1, event) for position, event in enumerate(story.log, 1)]).rounds == 2


def test_a_removed_repository_merges_nothing_and_its_issue_goes_to_a_person() -> None:
    story = Story(reviewers=("review-e",))
    ref = story.approve(1)
    story.to_review(ref)
    story.check(ref, "h1")
    story.say(Actor.CLI, SHOP, RepositoryRemoved(by="ada"))
    (escalated,) = story.rounds()
    assert isinstance(escalated, IssueEscalated)
    assert escalated.reason is EscalationReason.REPOSITORY_REMOVED


def test_why_it_waits_is_said_again_only_when_it_changes_and_looked_at_ever_more_rarely() -> None:
    story = Story(slots=0)
    ref = story.approve(1)
    story.rounds()
    pauses: list[float] = []
    for _ in range(3):
        story.deadline_passes(ref)
        said = story.rounds()
        deadline = said[-1]
        assert isinstance(deadline, DeadlineSet)
        pauses.append((deadline.at - story.now).total_seconds())
        assert ("IssueWaiting" in kinds(said)) == (len(pauses) == 1)
    assert pauses == [1_200, 2_400, 4_800]


def test_a_far_reset_of_a_quota_does_not_park_an_issue_for_ever() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    never = datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-10)))
    failed = WorkFailed(epoch=1, run="r-1", kind=FailureKind.QUOTA, detail="", retry_at=never)
    story.say(Actor.DEV_E, ref, failed)
    story.rounds()
    (deadline,) = story.state.agents["dev-e-1"].deadlines.values()
    assert deadline.at - story.now == timedelta(days=7)


def test_a_merged_issue_is_done_and_not_assigned() -> None:
    story = Story(slots=2)
    ref = story.approve(1)
    story.to_merging(ref)
    story.say(Actor.LOCAL, ref, MergeConflicted(head_sha=sha("h1"), base_sha=BASE))
    story.merge(ref)
    assert kinds(story.rounds()) == ["IssueDone"]


STEPS = st.lists(
    st.tuples(st.one_of(st.just(0), st.integers(0, 18)), st.integers(1, 4), st.integers(0, 2)),
    min_size=20,
    max_size=120,
)


def _advance(story: Story, ref: IssueRef, head: str) -> None:
    """What should happen next to an issue does: the step that leads it along its path."""
    issue = story.issue(ref)
    match issue.state:
        case IssueState.ASSIGNED:
            story.start(ref)
        case IssueState.IN_PROGRESS:
            story.push(ref, head, issue.ownership.run or "")
        case IssueState.IN_REVIEW if issue.pull_request_head != issue.head:
            story.open(ref, head)
        case IssueState.IN_REVIEW:
            story.check(ref, head)
        case IssueState.MERGING:
            story.merge(ref)
        case _:
            pass
    story.rounds()


def _step(story: Story, step: int, number: int, detail: int) -> None:
    """One thing that may happen, sensible or not: dead agents speak, verdicts come for any head, people interfere."""
    ref = IssueRef(SHOP.owner, SHOP.repo, number)
    if ref not in story.state.issues:
        story.approve(number, depends_on=(IssueRef("demo", "shop", detail + 1),) if detail else ())
        return
    run, head = f"r-{detail}", "h0" if step == 0 else f"h{detail}"
    epoch = story.issue(ref).ownership.epoch
    if step in (1, 2, 3) and epoch == 0:
        return
    match step:
        case 0:
            _advance(story, ref, head)
        case 1:
            story.start(ref, run)
        case 2:
            story.push(ref, head, run)
        case 3:
            story.fail(ref, list(FailureKind)[detail * 4], run=run)
        case 4:
            story.open(ref, head)
        case 5:
            story.check(ref, head, passed=detail != 1)
        case 6:
            story.say(Actor.CLI, ref, Stopped(by="ada"))
        case 7:
            story.say(Actor.CLI, ref, RetryRequested(by="ada"))
        case 8:
            story.say(Actor.CLI, ref, IssueWithdrawn(by="ada"))
        case 9:
            story.say(Actor.CLI, ref, IssueRevised(depends_on=(IssueRef("demo", "shop", detail + 1),)))
        case 10:
            reason = list(MergeRefusal)[detail]
            story.say(Actor.LOCAL, ref, MergeRefused(head_sha=sha(head), base_sha=BASE, reason=reason))
        case 11:
            story.say(Actor.LOCAL, ref, MergeConflicted(head_sha=sha(head), base_sha=BASE))
        case 12 if story.issue(ref).deadline is not None:
            story.deadline_passes(ref)
        case 13:
            overtaken(story, ref)
        case 14:
            data = (ReviewPassed, ReviewDisputed)[detail % 2]
            review = data(pull_request=number, head_sha=sha(head), reviewer="review-e", summary="")
            story.say(Actor.REVIEW_E, ref, review)
        case 15:
            story.say(Actor.CLI, SHOP, RepositoryRemoved(by="ada"))
        case 16:
            story.add(SHOP, ("review-e",) if detail else ())
        case 17:
            story.say(Actor.LOCAL, ref, Merged(head_sha=sha(head), base_sha=BASE, merge_sha=sha("m")))
        case _:
            story.rounds()


def overtaken(story: Story, ref: IssueRef) -> None:
    """A decision, and events that landed between its `through` and its batch."""
    _, batch = story.decision()
    story.say(Actor.CLI, ref, IssueWithdrawn(by="ada"))
    story.say(Actor.LOCAL, ref, IssueApproved(title="Again", author="ada"))
    for event in batch:
        story.append(event)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(steps=STEPS, slots=st.integers(0, 3))
def test_whatever_happens(steps: list[tuple[int, int, int]], slots: int) -> None:
    """No dead end, nothing said twice, never more work than slots, and every decision comes out again."""
    story = Story(slots=slots)
    for step, number, detail in steps:
        _step(story, step, number, detail)
        story.later(1)
        assert len(story.state.working) <= slots
    story.rounds()
    assert story.round() == [], "deciding again says nothing new"
    for issue in story.state.issues.values():
        waits = issue.deadline is not None and not issue.deadline.passed
        assert waits or issue.state.final, f"{issue.ref} is {issue.state} and nothing will wake it"
    assert story.replayed().differences == ()
    twice = State()
    for position, event in enumerate(story.log, start=1):
        evolve(twice, event, position)
        evolve(twice, event, position)
    assert twice == story.state


@settings(max_examples=60, deadline=None, derandomize=True)
@given(steps=STEPS)
def test_time_alone_leads_to_an_end_or_to_a_person(steps: list[tuple[int, int, int]]) -> None:
    """When nobody says anything more, the timers alone lead to an end, to a person, or to a wait that is explained."""
    story = Story(slots=1)
    for step, number, detail in steps:
        _step(story, step, number, detail)
    story.rounds()
    for _ in range(60):
        waiting = [
            issue
            for issue in story.state.issues.values()
            if not issue.state.final and issue.deadline is not None and issue.deadline.kind is not DeadlineKind.WAITING
        ]
        if not waiting:
            break
        story.deadline_passes(waiting[0].ref)
        story.rounds()
    assert not waiting, "sixty deadlines passed, and the rig still waits for somebody"
