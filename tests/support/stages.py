"""An issue brought as far as where it waits for something: for stories about what ends the wait."""

from collections.abc import Callable
from datetime import timedelta

from schemas import (
    Actor,
    BudgetRaised,
    Changes,
    Delivery,
    EndToEndFailed,
    EndToEndPassed,
    Environment,
    Event,
    FailureKind,
    GateApproved,
    GateBypassed,
    GateReason,
    GateRejected,
    GateTriggered,
    IssueRef,
    IssueWithdrawn,
    MainChecksFailed,
    MainChecksPassed,
    Overrides,
    Policy,
    PullRequestClosed,
    QuestionAsked,
    RepoRef,
    RepositoryConfigured,
    ReviewRequested,
    RunConclusion,
    SmokeFailed,
    Withdrawal,
)
from tests.support.story import BASE, SHOP, Story, sha

LARGE = Changes(files=1, lines=900, paths=("auth/login.py",))
"""Held by two gates."""
SHIPPED = Policy(delivery=Delivery(environment=Environment.STAGING, smoke=True, end_to_end=True, verified=True))
STAGING = Environment.STAGING
SMOKE_FAILED = [SmokeFailed(environment=STAGING, attempt=attempt, reason="no answer") for attempt in (1, 2, 3, 4)]
PASSED = EndToEndPassed(passed=2, total=2, duration_ms=1)
FAILED = EndToEndFailed(passed=1, failed=1, total=2, duration_ms=1)
CONFIGURED = RepositoryConfigured(base_branch="main", base_sha=BASE, clone_url="x", check="true")


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


def delivering_at_home(story: Story) -> IssueRef:
    """On its way to where the repository wants it, which is not where the rig does."""
    story.add(SHOP, overrides=Overrides(delivery=Delivery(environment=Environment.PRODUCTION)))
    return delivering()(story)


def well_again(story: Story) -> IssueRef:
    issue = red(story)
    build(story, RunConclusion.SUCCESS)
    story.rounds()
    return issue


def told_again(story: Story, _: IssueRef) -> None:
    """The forge's word that it broke is delivered once more."""
    story.append(next(event for event in story.log if isinstance(event.data, MainChecksFailed)))


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
