"""The conductor's decisions, told as stories: the whole path, every loop, every way out."""

from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.decide import ROUND_MAX, RULES, may_decide
from conductor.evolve import evolve
from conductor.replay import Replayed, replay
from conductor.state import State
from schemas import (
    Actor,
    AssignReason,
    DeadlineKind,
    DeadlineSet,
    Decided,
    Envelope,
    FailureKind,
    IssueApproved,
    IssueAssigned,
    IssueDone,
    IssueRef,
    IssueRevised,
    IssueState,
    IssueWithdrawn,
    MergeConflicted,
    Merged,
    MergeRefusal,
    MergeRefused,
    MergeRequested,
    RepositoryRemoved,
    RetryRequested,
    ReviewDisputed,
    ReviewPassed,
    Stopped,
)
from tests.support.story import BASE, SHOP, Story, kinds, sha

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
