"""The watch, pure: every fact that ends a wait is owed a word, and what calls for none is owed none."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from schemas import (
    FLEET,
    Actor,
    AssignRequested,
    Budget,
    Decided,
    Deployed,
    Environment,
    FailureKind,
    FleetDeadlineSet,
    GateApproved,
    GateBypassed,
    GateReason,
    GateRejected,
    Gates,
    Invariant,
    IssueRef,
    IssueRevised,
    MergeConflicted,
    MergeRefusal,
    MergeRefused,
    Policy,
    PullRequestClosed,
    QuestionAnswered,
    QuestionAsked,
    RetryRequested,
    Reverted,
    RunConclusion,
    SmokePassed,
    Tier,
    Tiers,
    Verified,
)
from tests.support.stages import (
    CONFIGURED,
    FAILED,
    PASSED,
    SHIPPED,
    SMOKE_FAILED,
    STAGING,
    a_run,
    again,
    answers,
    asked,
    build,
    claimed,
    delivering,
    delivering_at_home,
    earlier,
    escalated,
    gated,
    gated_at_home,
    in_review,
    merging,
    more,
    nobody_has_quota,
    opened,
    red,
    refused,
    reopened,
    reviewing,
    says,
    shows_another,
    tires,
    told_again,
    too_dear,
    well_again,
)
from tests.support.story import BASE, FREE, SHOP, Story, sha
from tests.support.watched import STEP_SECONDS as STEP
from tests.support.watched import Deaf, alive, cleared, halts

DECISION = 120
"""The policy's seconds."""
WITHOUT = Invariant.FACT_WITHOUT_CONSEQUENCE


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
    "a question of another epoch": Fact(a_run, says(QuestionAsked(epoch=9, run="r-1", question="which?"), Actor.DEV_E)),
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
    "deployed where the rig wants it, and the repository does not": Fact(delivering_at_home, says(DEPLOYED), SHIPPED),
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
    "red, delivered once more when it is well again": Fact(well_again, told_again),
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
