"""The watch, pure: what it says of a conductor that is silent or drops something, and that it says it once."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace

from conductor.watch.check import EVIDENCE_MAX, canary_due, pause
from schemas import (
    FLEET,
    Actor,
    AgentBack,
    AgentJoined,
    AgentLeft,
    AgentRef,
    AgentSilent,
    AssignRequested,
    BadReference,
    Budget,
    BudgetRaised,
    CanaryIssued,
    CanaryReturned,
    Changes,
    DeadlineKind,
    DeadlineSet,
    Decided,
    Delivery,
    Deployed,
    EndToEndFailed,
    EndToEndPassed,
    Environment,
    Event,
    FailureKind,
    FleetDeadlineKind,
    FleetDeadlinePassed,
    FleetDeadlineSet,
    GateApproved,
    GateBypassed,
    GateReason,
    GateRejected,
    Gates,
    GateTriggered,
    HaltCleared,
    HaltDetected,
    IncidentClosed,
    Invariant,
    IssueDone,
    IssueRef,
    IssueRevised,
    IssueWaiting,
    IssueWithdrawn,
    LeaveReason,
    MainChecksFailed,
    MainChecksPassed,
    MergeConflicted,
    MergeRefusal,
    MergeRefused,
    Overrides,
    Paused,
    Policy,
    PolicyAdopted,
    PullRequestClosed,
    QuestionAnswered,
    QuestionAsked,
    RepoRef,
    RepositoryConfigured,
    RepositoryRemoved,
    Resumed,
    RetryRequested,
    Reverted,
    ReviewPassed,
    ReviewRequested,
    RunConclusion,
    SmokeFailed,
    SmokePassed,
    Stopped,
    Tier,
    Tiers,
    Verified,
    WaitingReason,
    Withdrawal,
)
from schemas.policy import WatchPolicy
from tests.support.story import BASE, FREE, SHOP, Story, sha
from tests.support.watched import Deaf, Watched

DECISION, ISSUE, SILENT, PROJECTION = 120, 1_200, 60, 120
"""The policy's seconds."""


def alive(story: Story | None = None) -> tuple[Story, Watched]:
    """A story with one agent that is there, and a watch on it."""
    story = story or Story()
    watch = Watched(story)
    watch.fold.seen("dev-e-1", story.now)
    return story, watch


def halts(said: list[Event]) -> dict[Invariant, tuple[str, ...]]:
    """The evidence of each halt."""
    return {event.invariant: event.evidence for event in said if isinstance(event, HaltDetected)}


def cleared(said: list[Event]) -> set[Invariant]:
    return {event.invariant for event in said if isinstance(event, HaltCleared)}


# ── who is well is left alone ────────────────────────────────────────────────


def test_of_an_issue_that_goes_its_way_nothing_is_said_however_long_each_step_takes():
    story, watch = alive()
    issue = story.approve()
    steps: list[Callable[[], object]] = [
        lambda: story.start(issue),
        lambda: story.fail(issue, FailureKind.CHECKS_FAILED),
        lambda: story.start(issue, "r-2"),
        lambda: story.push(issue, "a", "r-2"),
        lambda: story.open(issue, "a"),
        lambda: story.check(issue, "a"),
        lambda: story.merge(issue),
    ]
    for step in steps:
        story.rounds()
        assert watch.wait(DECISION + 60) == []
        step()
        assert watch.wait(DECISION - STEP) == [], "the conductor has its time"
    assert isinstance(story.rounds()[-1], IssueDone)
    assert watch.wait(3 * ISSUE) == []


STEP = 10


def test_what_rests_until_a_person_speaks_is_left_alone():
    story, watch = alive()
    stopped, withdrawn, escalated = (story.approve(number) for number in (1, 2, 3))
    story.rounds()
    story.say(Actor.CLI, stopped, Stopped(by="ada"))
    story.say(Actor.CLI, withdrawn, IssueWithdrawn(by="ada"))
    for run in ("r-1", "r-2", "r-3"):
        story.rounds()
        story.start(escalated, run)
        story.fail(escalated, FailureKind.BUG, run=run)
    story.rounds()
    assert watch.wait(3 * ISSUE) == []


def test_who_waits_at_a_gate_waits_for_a_person():
    story, watch = alive()
    issue = story.approve()
    story.say(Actor.CONDUCTOR, issue, GateTriggered(reason=GateReason.BUDGET))
    assert watch.wait(3 * ISSUE) == []


def test_without_a_look_nothing_is_judged():
    story, watch = alive()
    story.approve()
    watch.read()
    watch.fold.blind()
    story.later(86_400)
    assert watch.found() == []


# ── a conductor that is silent, or drops something ───────────────────────────


def test_a_conductor_that_does_nothing_is_told_of_once_and_when_it_goes_on():
    story, watch = alive()
    story.approve()
    assert watch.wait(DECISION - STEP) == []
    said = watch.wait(STEP)
    assert halts(said) == {
        Invariant.FACT_WITHOUT_CONSEQUENCE: ("demo/shop#1, approved at position 5: no decision follows",)
    }
    said = watch.wait(ISSUE)
    assert halts(said) == {
        Invariant.ISSUE_UNANSWERED: (
            "demo/shop#1, could be worked on since 2026-01-01T09:00:00Z: neither assigned nor is it said why not",
        )
    }
    assert watch.wait(3 * ISSUE) == [], "once"
    story.rounds()
    assert cleared(watch.look()) == {Invariant.FACT_WITHOUT_CONSEQUENCE, Invariant.ISSUE_UNANSWERED}
    assert watch.look() == []


def a_run(story: Story) -> IssueRef:
    issue = story.approve()
    story.rounds()
    story.start(issue)
    story.rounds()
    return issue


def in_review(story: Story) -> IssueRef:
    issue = a_run(story)
    story.push(issue, "a")
    story.rounds()
    return issue


def opened(story: Story) -> IssueRef:
    issue = in_review(story)
    story.open(issue, "a")
    story.rounds()
    return issue


def merging(story: Story) -> IssueRef:
    issue = opened(story)
    story.check(issue, "a")
    story.rounds()
    return issue


def escalated(story: Story) -> IssueRef:
    issue = a_run(story)
    for run in ("r-1", "r-2", "r-3"):
        story.start(issue, run)
        story.fail(issue, FailureKind.BUG, run=run)
        story.rounds()
    return issue


def refused(story: Story) -> IssueRef:
    issue = story.approve(repository=RepoRef("demo", "other"))
    story.rounds()
    return issue


def claimed(story: Story) -> IssueRef:
    issue = story.approve()
    story.rounds()
    return issue


LARGE = Changes(files=1, lines=900, paths=("auth/login.py",))
"""Held by two gates."""
SHIPPED = Policy(delivery=Delivery(environment=Environment.STAGING, smoke=True, end_to_end=True, verified=True))
STAGING = Environment.STAGING
SMOKE_FAILED = [SmokeFailed(environment=STAGING, attempt=attempt, reason="no answer") for attempt in (1, 2, 3, 4)]
PASSED = EndToEndPassed(passed=2, total=2, duration_ms=1)
FAILED = EndToEndFailed(passed=1, failed=1, total=2, duration_ms=1)
CONFIGURED = RepositoryConfigured(base_branch="main", base_sha=BASE, clone_url="x", check="true")


def asked(story: Story) -> IssueRef:
    """A run waits for an answer."""
    issue = a_run(story)
    story.say(Actor.DEV_E, issue, QuestionAsked(epoch=1, run="r-1", question="which?"))
    story.rounds()
    return issue


def reviewing(story: Story) -> IssueRef:
    """Rita was asked, and everything else is there."""
    issue = merging(story)
    assert [request.reviewer for request in story.said(ReviewRequested)] == ["rita"]
    return issue


def gated(story: Story) -> IssueRef:
    issue = in_review(story)
    story.open(issue, "a", LARGE)
    story.check(issue, "a")
    story.rounds()
    assert len(story.said(GateTriggered)) >= 2
    return issue


def too_dear(story: Story) -> IssueRef:
    """It has cost what it may before it was begun again."""
    issue = story.approve()
    story.rounds()
    assert [gate.reason for gate in story.said(GateTriggered)] == [GateReason.BUDGET]
    return issue


def delivering(*so_far: Event) -> Callable[[Story], IssueRef]:
    """Merged, and as far on its way as that; its forge has closed it by its merge."""

    def before(story: Story) -> IssueRef:
        issue = merging(story)
        story.merge(issue)
        story.rounds()
        for fact in so_far:
            story.say(Actor.CLI, issue, fact)
            story.rounds()
        story.say(Actor.LOCAL, issue, IssueWithdrawn(reason=Withdrawal.CLOSED, by="ada"))
        return issue

    return before


def red(story: Story) -> IssueRef:
    issue = a_run(story)
    build(story, RunConclusion.FAILURE)
    story.rounds()
    return issue


def build(story: Story, ended: RunConclusion, before: RunConclusion | None = None) -> None:
    """A workflow ran on the base branch."""
    kind = MainChecksPassed if ended is RunConclusion.SUCCESS else MainChecksFailed
    said = kind(sha=sha("c"), workflow="ci", run="1", conclusion=ended, previous_conclusion=before)
    story.say(Actor.LOCAL, SHOP, said)


def more(story: Story, issue: IssueRef) -> BudgetRaised:
    """Money for the issue."""
    return BudgetRaised(scope=f"issue:{issue}", limit_usd=50, until=story.now + timedelta(days=1), by="ada")


def says(data: Event, actor: Actor = Actor.CLI) -> Callable[[Story, IssueRef], object]:
    return lambda story, issue: story.say(actor, issue, data)


def answers(kind: type[GateApproved | GateRejected | GateBypassed]) -> Callable[[Story, IssueRef], object]:
    return lambda story, issue: story.gate(kind, issue, "a")


def gated_at_home(story: Story) -> IssueRef:
    """Held, where the repository names who may let it through."""
    story.add(SHOP, overrides=Overrides(approvers=("grace",)))
    return gated(story)


def shows_another(story: Story) -> IssueRef:
    """A pull request is there, and does not show what was pushed."""
    issue = in_review(story)
    story.open(issue, "b")
    story.rounds()
    return issue


def again(story: Story) -> IssueRef:
    """Worked on once more, with its pull request open."""
    issue = opened(story)
    story.check(issue, "a", passed=False)
    story.rounds()
    story.start(issue, "r-2")
    story.rounds()
    return issue


def earlier(story: Story, issue: IssueRef) -> None:
    """What the forge tells late."""
    now, story.now = story.now, story.now - timedelta(seconds=60)
    story.say(Actor.LOCAL, issue, PullRequestClosed(pull_request=1))
    story.now = now


def reopened(story: Story, issue: IssueRef) -> None:
    story.say(Actor.LOCAL, issue, PullRequestClosed(pull_request=1))
    story.open(issue, "a")


def nobody_has_quota(story: Story) -> IssueRef:
    issue = reviewing(story)
    story.quota("rob", 100, resets_at=story.now + timedelta(days=9))
    return issue


def tires(story: Story, issue: IssueRef) -> None:
    story.abstain(issue, "a", "rita")
    story.quota("rob", 100, resets_at=story.now + timedelta(days=9))


@dataclass(frozen=True)
class Fact:
    """What happens then, on what rig."""

    before: Callable[[Story], IssueRef]
    happens: Callable[[Story, IssueRef], object]
    policy: Policy = FREE
    reviewers: tuple[str, ...] = ()


DEPLOYED = Deployed(environment=STAGING, sha=sha("m1"))
SMOKED = SmokePassed(environment=STAGING)
DEAR = Policy(budget=Budget(run_usd=5, issue_usd=2))
TWO = ("rita", "rob")
FACTS: dict[str, Fact] = {
    "approved": Fact(lambda story: IssueRef("demo", "shop", 1), lambda story, issue: story.approve()),
    "work_started": Fact(claimed, lambda story, issue: story.start(issue)),
    "work_failed": Fact(a_run, lambda story, issue: story.fail(issue, FailureKind.BUG)),
    "work_pushed": Fact(a_run, lambda story, issue: story.push(issue, "a")),
    "question_asked": Fact(a_run, says(QuestionAsked(epoch=1, run="r-1", question="which?"), Actor.DEV_E)),
    "question_answered": Fact(asked, says(QuestionAnswered(epoch=1, run="r-1", answer="this", by="ada"))),
    "pull_request_opened": Fact(in_review, lambda story, issue: story.open(issue, "a")),
    "pull_request_closed": Fact(opened, says(PullRequestClosed(pull_request=1), Actor.LOCAL)),
    "checks_passed": Fact(opened, lambda story, issue: story.check(issue, "a")),
    "checks_failed": Fact(opened, lambda story, issue: story.check(issue, "a", passed=False)),
    "review_passed": Fact(reviewing, lambda story, issue: story.review(issue, "a", "rita"), reviewers=TWO),
    "review_disputed": Fact(
        reviewing, lambda story, issue: story.review(issue, "a", "rita", passed=False), reviewers=TWO
    ),
    "review_abstained": Fact(reviewing, lambda story, issue: story.abstain(issue, "a", "rita"), reviewers=TWO),
    "gate_approved": Fact(gated, answers(GateApproved)),
    "gate_rejected": Fact(gated, answers(GateRejected)),
    "gate_bypassed": Fact(gated, answers(GateBypassed)),
    "merged": Fact(merging, lambda story, issue: story.merge(issue)),
    "merge_refused": Fact(
        merging, says(MergeRefused(head_sha=sha("a"), base_sha=BASE, reason=MergeRefusal.PROTECTED), Actor.LOCAL)
    ),
    "merge_conflicted": Fact(merging, says(MergeConflicted(head_sha=sha("a"), base_sha=BASE), Actor.LOCAL)),
    "deployed": Fact(delivering(), says(DEPLOYED), SHIPPED),
    "smoke_passed": Fact(delivering(DEPLOYED), says(SMOKED), SHIPPED),
    "smoke_failed": Fact(delivering(DEPLOYED, *SMOKE_FAILED[:3]), says(SMOKE_FAILED[3]), SHIPPED),
    "end_to_end_passed": Fact(delivering(DEPLOYED, SMOKED), says(PASSED), SHIPPED),
    "end_to_end_failed": Fact(delivering(DEPLOYED, SMOKED), says(FAILED), SHIPPED),
    "verified": Fact(
        delivering(DEPLOYED, SMOKED, PASSED),
        says(Verified(environment=STAGING, by="ada")),
        SHIPPED,
    ),
    "reverted": Fact(
        delivering(), says(Reverted(merge_sha=sha("m1"), revert_sha=sha("r"), by="ada"), Actor.LOCAL), SHIPPED
    ),
    "deadline_passed": Fact(a_run, lambda story, issue: story.deadline_passes(issue)),
    "retry_requested": Fact(escalated, says(RetryRequested(by="ada"))),
    "assign_requested": Fact(escalated, says(AssignRequested(to="dev-e", by="ada"))),
    "revised": Fact(refused, says(IssueRevised(title="Again"))),
    "configured": Fact(refused, lambda story, issue: story.say(Actor.LOCAL, issue.repository, CONFIGURED)),
    "budget_raised": Fact(too_dear, lambda story, issue: story.say(Actor.CLI, FLEET, more(story, issue)), DEAR),
    "main_checks_failed": Fact(a_run, lambda story, issue: build(story, RunConclusion.FAILURE)),
    "main_checks_passed": Fact(red, lambda story, issue: build(story, RunConclusion.SUCCESS)),
}
"""Every type that ends a wait."""


@pytest.mark.parametrize("fact", FACTS)
def test_every_fact_that_ends_a_wait_must_be_followed_by_a_word(fact: str):
    known = FACTS[fact]
    story, watch = alive(Story(known.policy, reviewers=known.reviewers))
    issue = known.before(story)
    assert watch.wait(STEP) == []
    known.happens(story, issue)
    assert watch.wait(DECISION - STEP) == [], "the conductor has its time"
    assert [line.split(" at ")[0] for line in halts(watch.wait(2 * STEP))[WITHOUT]] == [about(fact, issue)]
    story.rounds()
    assert cleared(watch.look()) == {WITHOUT}


WITHOUT = Invariant.FACT_WITHOUT_CONSEQUENCE


def about(fact: str, issue: IssueRef) -> str:
    return f"{SHOP}, {fact} of ci" if fact.startswith("main_checks") else f"{issue}, {fact}"


@pytest.mark.parametrize("fact", FACTS)
def test_a_conductor_that_drops_a_delivery_and_goes_on_with_all_others_is_told_of(fact: str):
    known = FACTS[fact]
    story = Deaf(known.policy, reviewers=known.reviewers)
    _, watch = alive(story)
    issue = known.before(story)
    watch.goes_on = True
    assert watch.wait(STEP) == []
    story.deaf = fact
    known.happens(story, issue)
    assert [line.split(" at ")[0] for line in halts(watch.wait(DECISION + STEP))[WITHOUT]] == [about(fact, issue)]
    story.deaf = None
    story.approve(7)
    assert halts(watch.wait(DECISION + STEP)) == {}, "it hears of everything else"


APPROVERS = replace(FREE, gates=Gates(approvers=("ada",)))
DRIVEN = replace(FREE, tiers=Tiers(otherwise=Tier.T3))
NOTHING: dict[str, Fact] = {
    "a push of who does not own the work": Fact(
        in_review, lambda story, issue: story.push(issue, "b", run="r-of-nobody")
    ),
    "another head is shown": Fact(in_review, lambda story, issue: story.open(issue, "b")),
    "another head is checked": Fact(in_review, lambda story, issue: story.check(issue, "b")),
    "a retry of what goes on": Fact(in_review, says(RetryRequested(by="ada"))),
    "approved already": Fact(in_review, lambda story, issue: story.approve(issue.number)),
    "an answer of somebody who may not": Fact(
        gated, lambda story, issue: story.gate(GateApproved, issue, "a", by="eve"), APPROVERS
    ),
    "an answer of somebody who may elsewhere": Fact(
        gated_at_home, lambda story, issue: story.gate(GateBypassed, issue, "a", by="ada"), APPROVERS
    ),
    "an answer at one of two gates": Fact(
        gated, lambda story, issue: story.gate(GateApproved, issue, "a", reason=GateReason.SIZE)
    ),
    "an answer at a gate that nobody opened": Fact(
        gated, lambda story, issue: story.gate(GateRejected, issue, "a", reason=GateReason.TIER)
    ),
    "an answer about another head": Fact(gated, lambda story, issue: story.gate(GateApproved, issue, "b")),
    "an approval of what a person drives": Fact(
        merging, lambda story, issue: story.gate(GateApproved, issue, "a"), DRIVEN
    ),
    "money for somebody else": Fact(
        too_dear, lambda story, issue: story.say(Actor.CLI, FLEET, more(story, IssueRef("demo", "shop", 9))), DEAR
    ),
    "a question of who does not own the work": Fact(
        a_run, says(QuestionAsked(epoch=1, run="r-9", question="which?"), Actor.DEV_E)
    ),
    "a question of an older epoch": Fact(
        a_run, says(QuestionAsked(epoch=9, run="r-1", question="which?"), Actor.DEV_E)
    ),
    "an answer to nobody": Fact(a_run, says(QuestionAnswered(epoch=1, run="r-1", answer="this", by="ada"))),
    "an answer to another": Fact(asked, says(QuestionAnswered(epoch=1, run="r-9", answer="this", by="ada"))),
    "another pull request is closed": Fact(opened, says(PullRequestClosed(pull_request=9), Actor.LOCAL)),
    "it was closed before it was shown": Fact(opened, earlier),
    "closed, and shown again at once": Fact(opened, reopened),
    "a pull request takes the place of one that was waited for": Fact(
        shows_another, says(PullRequestClosed(pull_request=1, superseded_by=9), Actor.LOCAL)
    ),
    "closed while it is worked on": Fact(again, says(PullRequestClosed(pull_request=1), Actor.LOCAL)),
    "an abstention of somebody who was not asked": Fact(
        reviewing, lambda story, issue: story.abstain(issue, "a", "rob"), reviewers=TWO
    ),
    "an abstention while all others have used up their quota": Fact(
        nobody_has_quota, lambda story, issue: story.abstain(issue, "a", "rita"), reviewers=TWO
    ),
    "an abstention, and then the others have none": Fact(reviewing, tires, reviewers=TWO),
    "deployed elsewhere": Fact(
        delivering(), says(Deployed(environment=Environment.PRODUCTION, sha=sha("m1"))), SHIPPED
    ),
    "something else was deployed": Fact(delivering(), says(Deployed(environment=STAGING, sha=sha("m2"))), SHIPPED),
    "it answers before it was deployed": Fact(delivering(), says(SMOKED), SHIPPED),
    "it was tested before it was deployed": Fact(delivering(), says(FAILED), SHIPPED),
    "it did not answer at once": Fact(delivering(DEPLOYED), says(SMOKE_FAILED[0]), SHIPPED),
    "the same attempt is told of again": Fact(delivering(DEPLOYED, *SMOKE_FAILED[:2]), says(SMOKE_FAILED[1]), SHIPPED),
    "it is deployed again": Fact(delivering(DEPLOYED), says(DEPLOYED), SHIPPED),
    "it was verified elsewhere": Fact(
        delivering(DEPLOYED), says(Verified(environment=Environment.PRODUCTION, by="ada")), SHIPPED
    ),
    "another merge was taken out": Fact(
        delivering(), says(Reverted(merge_sha=sha("m2"), revert_sha=sha("r"), by="ada"), Actor.LOCAL), SHIPPED
    ),
    "red as its parent was": Fact(
        a_run, lambda story, issue: build(story, RunConclusion.FAILURE, RunConclusion.TIMED_OUT)
    ),
    "a build that was cancelled": Fact(a_run, lambda story, issue: build(story, RunConclusion.CANCELLED)),
    "still red": Fact(red, lambda story, issue: build(story, RunConclusion.FAILURE)),
    "green as ever": Fact(a_run, lambda story, issue: build(story, RunConclusion.SUCCESS)),
}
"""What is said, and the conductor rightly answers nothing."""


@pytest.mark.parametrize("fact", NOTHING)
def test_where_the_conductor_has_nothing_to_say_nothing_is_owed(fact: str):
    known = NOTHING[fact]
    story, watch = alive(Story(known.policy, reviewers=known.reviewers))
    issue = known.before(story)
    assert watch.wait(STEP) == []
    known.happens(story, issue)
    length = len(story.log)
    story.rounds()
    assert [word for word in story.log[length:] if not isinstance(word.data, Decided | FleetDeadlineSet)] == []
    assert watch.wait(2 * DECISION) == []


def test_what_was_taken_out_again_and_is_done_again_is_watched_again():
    story, watch = alive()
    issue = merging(story)
    story.merge(issue)
    story.rounds()
    story.say(Actor.LOCAL, issue, Reverted(merge_sha=sha("m1"), revert_sha=sha("r"), by="ada"))
    story.say(Actor.CLI, issue, RetryRequested(by="ada"))
    assert watch.wait(DECISION) == [], "what is done is the conductor's to take up again"
    story.rounds()
    story.start(issue, "r-2")
    (line,) = halts(watch.wait(DECISION))[Invariant.FACT_WITHOUT_CONSEQUENCE]
    assert line.startswith(f"{issue}, work_started at ")


def test_what_the_forge_said_before_its_last_answer_needs_no_word():
    story, watch = alive()
    issue = merging(story)
    story.later(60)
    moved = MergeRefused(head_sha=sha("a"), base_sha=BASE, reason=MergeRefusal.BASE_MOVED)
    story.say(Actor.LOCAL, issue, moved)
    story.rounds()
    now, story.now = story.now, story.now - timedelta(seconds=30)
    refused = MergeRefused(head_sha=sha("b"), base_sha=BASE, reason=MergeRefusal.PROTECTED)
    story.say(Actor.LOCAL, issue, refused)
    story.now += timedelta(seconds=10)
    story.check(issue, "a")
    story.now = now
    assert watch.wait(2 * DECISION) == [], "of a base that is no more"
    story.check(issue, "a")
    assert list(halts(watch.wait(DECISION))) == [Invariant.FACT_WITHOUT_CONSEQUENCE]


def test_a_verdict_of_the_reviewer_that_was_asked_must_be_followed_by_a_word():
    story, watch = alive(Story(reviewers=("rita",)))
    issue = merging(story)
    for reviewer, expected in (("someone", 0), ("rita", 1)):
        passed = ReviewPassed(pull_request=1, head_sha=sha("a"), reviewer=reviewer)
        story.say(Actor.LOCAL, issue, passed)
        assert len(halts(watch.wait(DECISION + STEP))) == expected


def test_the_same_wish_delivered_twice_is_one():
    story, watch = alive()
    issue = escalated(story)
    story.say(Actor.CLI, issue, RetryRequested(by="ada"), id="retry-1")
    story.rounds()
    story.say(Actor.CLI, issue, Stopped(by="ada"), id="stop-1")
    story.rounds()
    story.say(Actor.CLI, issue, RetryRequested(by="ada"), id="retry-1")
    assert story.rounds() == []
    assert watch.wait(2 * ISSUE) == []


# ── waiting, explained ───────────────────────────────────────────────────────


def waits(story: Story, **fields: object) -> IssueRef:
    """An issue that could not be assigned and of which it was said why."""
    issue = story.approve(2, **fields)
    story.rounds()
    story.deadline_passes(issue)
    assert any(isinstance(word, IssueWaiting) for word in story.rounds())
    return issue


def test_a_wait_that_is_explained_may_last():
    story, watch = alive()
    waits(story, depends_on=(IssueRef("demo", "shop", 9),))
    for _ in range(9):
        story.deadline_passes(IssueRef("demo", "shop", 2))
        story.rounds()
        assert watch.wait(STEP) == []


def looks_again(story: Story, issue: IssueRef, *, through: int | None = None) -> None:
    """The conductor's time comes to explain the wait anew, and it only sets the next one."""
    decided = Decided(through=through or len(story.log), now=story.now, policy="p", rules=1, count=1)
    story.say(Actor.CONDUCTOR, FLEET, decided)
    at = story.now + timedelta(days=9)
    story.say(Actor.CONDUCTOR, issue, DeadlineSet(kind=DeadlineKind.WAITING, at=at))


def explained(story: Story, reason: WaitingReason, *waits_for: IssueRef) -> IssueRef:
    issue = story.approve(2)
    story.say(Actor.CONDUCTOR, issue, IssueWaiting(reasons=(reason,), since=story.now, waits_for=waits_for))
    looks_again(story, issue)
    return issue


def test_what_it_waited_for_is_done_and_nobody_explains_anew():
    story, watch = alive()
    first = merging(story)
    second = explained(story, WaitingReason.DEPENDENCY, first)
    before = len(story.log)
    story.say(Actor.CONDUCTOR, first, IssueDone(duration_minutes=1, attempts=1, merge_sha=sha("m")))
    looks_again(story, second, through=before)
    assert watch.wait(2 * ISSUE) == [], "it had not read of it yet"
    looks_again(story, second)
    assert watch.wait(ISSUE - STEP) == []
    assert list(halts(watch.wait(STEP))) == [Invariant.ISSUE_UNANSWERED]


def test_a_pause_that_is_over_explains_nothing_and_one_that_holds_does():
    story, watch = alive()
    pauses = ("all", "repository:demo/shop", "role:dev-e")
    for scope in pauses:
        story.say(Actor.CLI, FLEET, Paused(scope=scope, by="ada"))
    issue = explained(story, WaitingReason.PAUSED)
    for scope in pauses:
        looks_again(story, issue)
        assert watch.wait(2 * ISSUE) == [], f"{scope} holds"
        story.say(Actor.CLI, FLEET, Resumed(scope=scope, by="ada"))
    looks_again(story, issue)
    assert list(halts(watch.wait(ISSUE))) == [Invariant.ISSUE_UNANSWERED]


def test_a_repository_that_is_configured_is_no_reason_to_wait():
    story, watch = alive()
    story.say(Actor.CLI, SHOP, RepositoryRemoved(by="ada"))
    issue = explained(story, WaitingReason.REPOSITORY)
    assert watch.wait(2 * ISSUE) == []
    configured = RepositoryConfigured(base_branch="main", base_sha=BASE, clone_url="x", check="true")
    story.say(Actor.LOCAL, SHOP, configured)
    looks_again(story, issue)
    assert list(halts(watch.wait(ISSUE))) == [Invariant.ISSUE_UNANSWERED]


def test_who_rests_until_a_quota_resets_needs_no_explanation_until_then():
    story, watch = alive()
    issue = a_run(story)
    story.fail(issue, FailureKind.QUOTA)
    at = story.now + timedelta(hours=5)
    story.say(Actor.CONDUCTOR, issue, DeadlineSet(kind=DeadlineKind.BACKOFF, at=at))
    assert watch.wait(5 * 3_600) == []
    assert Invariant.ISSUE_UNANSWERED in halts(watch.wait(ISSUE))


# ── deadlines ────────────────────────────────────────────────────────────────


def test_a_deadline_that_nobody_says_is_over_is_told_of_and_it_is_over_when_somebody_does():
    story, watch = alive()
    issue = a_run(story)
    deadline = story.issue(issue).deadline
    assert deadline is not None
    assert watch.wait(Policy().run_seconds + DECISION - STEP) == []
    assert halts(watch.wait(STEP)) == {
        Invariant.DEADLINE_UNHEARD: (f"{issue}, deadline run at {deadline.at:%FT%TZ}: nobody has said that it is over",)
    }
    story.deadline_passes(issue)
    story.rounds()
    assert cleared(watch.look()) == {Invariant.DEADLINE_UNHEARD}


def test_deadlines_of_the_fleet_too():
    story, watch = alive()
    soon = story.now + timedelta(seconds=60)
    story.say(Actor.CONDUCTOR, FLEET, FleetDeadlineSet(kind=FleetDeadlineKind.DAY, at=soon))
    assert halts(watch.wait(60 + DECISION)) == {
        Invariant.DEADLINE_UNHEARD: (f"fleet, deadline day at {soon:%FT%TZ}: nobody has said that it is over",)
    }
    story.say(Actor.CONDUCTOR, FLEET, FleetDeadlinePassed(kind=FleetDeadlineKind.DAY, at=soon))
    assert cleared(watch.look()) == {Invariant.DEADLINE_UNHEARD}


def test_what_a_deadline_follows_from_may_have_changed_and_then_nobody_need_hear_of_it():
    story, watch = alive()
    raised = BudgetRaised(scope="day", limit_usd=1, until=story.now, by="ada")
    changes: dict[FleetDeadlineKind, tuple[Actor, Event]] = {
        FleetDeadlineKind.BUDGET: (Actor.CLI, raised),
        FleetDeadlineKind.INCIDENT: (
            Actor.CONDUCTOR,
            IncidentClosed(fingerprint="day", repository=SHOP, workflow="build", sha=sha("a")),
        ),
        FleetDeadlineKind.SCHEDULE: (Actor.CLI, PolicyAdopted(policy=Policy(), hash=Policy().digest(), by="ada")),
    }
    for kind, (actor, change) in changes.items():
        story.say(Actor.CONDUCTOR, FLEET, FleetDeadlineSet(kind=kind, key="day", at=story.now))
        story.say(actor, FLEET, change)
    story.say(Actor.CONDUCTOR, FLEET, FleetDeadlineSet(kind=FleetDeadlineKind.BUDGET, key="day", at=story.now))
    assert watch.wait(3_600) == [], "the last was decided before that, too"


def test_what_is_evidence_of_two_things_is_not_taken_for_one():
    story, watch = alive()
    for workflow in ("build: fast", "build: slow"):
        key = f"demo/shop: {workflow}"
        story.say(Actor.CONDUCTOR, FLEET, FleetDeadlineSet(kind=FleetDeadlineKind.INCIDENT, key=key, at=story.now))
        found = halts(watch.wait(2 * DECISION))[Invariant.DEADLINE_UNHEARD]
        assert len(found) == 1
        assert workflow in found[0]


# ── saying it ────────────────────────────────────────────────────────────────


def test_more_evidence_is_said_in_turn_and_no_line_twice():
    story, watch = alive()
    for number in range(1, 2 * EVIDENCE_MAX + 1):
        story.approve(number)
    said = watch.wait(DECISION)
    assert [len(event.evidence) for event in said if isinstance(event, HaltDetected)] == [EVIDENCE_MAX]
    assert watch.wait(DECISION - STEP) == [], "not more often than once in that time"
    said += watch.wait(DECISION)
    lines = [line for event in said if isinstance(event, HaltDetected) for line in event.evidence]
    assert len(lines) == len(set(lines)) == 2 * EVIDENCE_MAX


def test_who_was_away_gives_everybody_their_time_again_and_takes_nothing_back():
    story, watch = alive()
    story.approve(1)
    assert halts(watch.wait(DECISION))
    story.approve(2)
    story.later(8 * 3_600)  # the machine slept
    assert watch.wait(DECISION - STEP) == []
    assert len(halts(watch.wait(STEP))[Invariant.FACT_WITHOUT_CONSEQUENCE]) == 1


def test_a_restarted_watch_stands_where_the_first_stood():
    story, watch = alive()
    issue = story.approve()
    watch.keeps_up = False
    watch.fold.not_read("nobody answers", story.now)
    said = watch.wait(2 * ISSUE)
    assert len(halts(said)) == 3
    watch.read()
    again = Watched(story, keeps_up=False)
    again.fold.seen("dev-e-1", story.now)
    assert again.wait(2 * ISSUE) == [], "nothing twice, and nothing is over because it is not known yet"
    assert again.fold.halts == watch.fold.halts
    story.rounds()
    again.fold.read_to(again.fold.position, story.now)
    assert cleared(again.look()) == set(halts(said))
    assert again.fold.issues[issue].owed is None


def test_looks_are_as_frequent_as_the_shortest_patience_asks():
    assert pause(Policy()) == 5
    assert pause(Policy(watch=WatchPolicy(decision_seconds=2))) == 0.2
    assert pause(Policy(watch=WatchPolicy(silent_seconds=0.01))) == 0.05


# ── the read side ────────────────────────────────────────────────────────────


def test_a_read_side_that_stands_still_is_told_of():
    story, watch = alive()
    at = watch.fold.position
    watch.keeps_up = False
    issue = story.approve()
    story.rounds()
    watch.read()
    watch.fold.read_to(at, story.now)  # it had everything when it was asked before; what came since is not there
    watch.fold.read_to(at, story.now)
    assert watch.wait(PROJECTION - STEP) == []
    said = watch.wait(STEP)
    assert halts(said) == {
        Invariant.PROJECTION_BEHIND: ("the read side, behind the log: it is at position 4 of the log, not yet at 8",)
    }
    watch.fold.not_read("postgres is away", story.now)
    assert watch.wait(240) == [], "other words for the same"
    watch.fold.read_to(8, story.now)
    assert cleared(watch.look()) == {Invariant.PROJECTION_BEHIND}
    assert issue in watch.fold.issues


def test_a_read_side_that_follows_slowly_keeps_up():
    story, watch = alive()
    watch.keeps_up, watch.goes_on = False, True
    for number in range(1, 40):
        behind = len(story.log)
        story.approve(number)
        story.rounds()
        watch.look()
        watch.fold.read_to(behind, story.now)
        assert watch.wait(STEP) == []


def test_a_read_side_that_does_not_answer_is_told_of():
    story, watch = alive()
    watch.keeps_up = False
    watch.fold.not_read("the query service does not answer", story.now)
    assert halts(watch.wait(PROJECTION)) == {
        Invariant.PROJECTION_BEHIND: ("the read side, behind the log: the query service does not answer",)
    }


# ── agents ───────────────────────────────────────────────────────────────────


def test_an_agent_that_dies_without_a_word_is_silent_and_back_when_it_shows_itself():
    story, watch = alive()
    since = story.now
    assert watch.wait(300) == [], "its heartbeat lasts"
    watch.fold.gone("dev-e-1")
    assert watch.look() == [AgentSilent(since=since)]
    assert watch.wait(600) == [], "once"
    watch.fold.seen("dev-e-1", story.now)
    assert watch.look() == [AgentBack(since=since)]
    watch.fold.gone("dev-e-1")
    assert watch.wait(SILENT - STEP) == []
    assert watch.wait(STEP) == [AgentSilent(since=story.now - timedelta(seconds=SILENT))]


def test_an_agent_that_joins_anew_is_back():
    story, watch = alive()
    watch.fold.gone("dev-e-1")
    assert [type(event) for event in watch.wait(SILENT)] == [AgentSilent]
    story.say(
        Actor.DEV_E,
        AgentRef("dev-e-1"),
        AgentJoined(boot="b2", role="dev-e", provider="scripted", slots=1, version="0"),
    )
    assert [type(event) for event in watch.look()] == [AgentBack]
    assert [type(event) for event in watch.wait(SILENT)] == [AgentSilent], "and then it shows no life"


def test_who_has_left_is_not_silent():
    story, watch = alive()
    watch.fold.gone("dev-e-1")
    story.say(Actor.DEV_E, AgentRef("dev-e-1"), AgentLeft(boot="b1", reason=LeaveReason.STOPPED))
    assert watch.wait(3_600) == []


def test_who_began_to_watch_just_now_does_not_know_how_long_it_is_silent():
    story = Story()
    story.later(86_400)
    watch = Watched(story)
    began = story.now
    assert watch.wait(SILENT - STEP) == []
    assert watch.wait(STEP) == [AgentSilent(since=began)]


# ── canaries ─────────────────────────────────────────────────────────────────

CANARIES = Policy(watch=WatchPolicy(canary_repository="demo/shop", canary_every_seconds=7_200))


def test_a_canary_goes_out_on_schedule_and_comes_back():
    story, watch = alive(Story(CANARIES))
    due = canary_due(watch.fold, story.now, CANARIES)
    assert due is not None
    assert (due.repository, due.request) == (SHOP, "canary-0")
    assert canary_due(watch.fold, story.now, CANARIES) == due, "who dies before it is said asks for the same"
    issue = merging(story)
    story.say(Actor.WATCH, FLEET, CanaryIssued(issue=issue))
    assert watch.look() == []
    assert canary_due(watch.fold, story.now, CANARIES) is None
    assert watch.wait(200) == []
    story.merge(issue)
    story.rounds()
    assert watch.look() == [CanaryReturned(issue=issue, seconds=200)]
    assert watch.wait(7_200 - 201) == []
    story.later(1)
    watch.look()
    next_one = canary_due(watch.fold, story.now, CANARIES)
    assert next_one is not None
    assert next_one.request not in ("canary-0", due.request)


def test_a_canary_that_does_not_come_back_is_lost_until_one_does():
    story, watch = alive(Story(CANARIES))
    story.say(Actor.WATCH, FLEET, CanaryIssued(issue=IssueRef("demo", "shop", 1)))
    assert watch.wait(3_600 - STEP) == []
    assert halts(watch.wait(STEP)) == {Invariant.CANARY_LOST: ("demo/shop#1, a canary: it has not come back",)}
    story.say(Actor.WATCH, FLEET, CanaryIssued(issue=IssueRef("demo", "shop", 2)))
    assert watch.wait(STEP) == []
    story.say(Actor.WATCH, FLEET, CanaryReturned(issue=IssueRef("demo", "shop", 2), seconds=1))
    assert cleared(watch.look()) == {Invariant.CANARY_LOST}


def test_a_canary_that_cannot_be_put_in_is_told_of():
    _, watch = alive(Story(CANARIES))
    assert halts(watch.wait(3_600)) == {
        Invariant.CANARY_LOST: ("demo/shop, a canary due at 2026-01-01T09:00:00Z: it is not put in",)
    }


def test_a_policy_that_names_no_repository_for_canaries_is_said():
    story, watch = alive()
    wrong = msgspec.structs.replace(CANARIES, watch=WatchPolicy(canary_repository="everywhere"))
    with pytest.raises(BadReference, match="everywhere"):
        canary_due(watch.fold, story.now, wrong)
