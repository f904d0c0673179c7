"""The conductor's decisions, told as stories: the whole path, every loop, every way out."""

from conductor.decide import ROUND_MAX, RULES, may_decide
from conductor.replay import Replayed, replay
from conductor.state import State
from schemas import (
    AssignReason,
    DeadlineKind,
    DeadlineSet,
    Decided,
    Envelope,
    FailureKind,
    IssueAssigned,
    IssueDone,
    IssueRef,
    MergeRequested,
)
from tests.support.story import BASE, Story, kinds, sha

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
