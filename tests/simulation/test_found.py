"""What the properties found, each in its smallest story. Most need an overlap, or a word that comes twice or early."""

from datetime import UTC, datetime, timedelta

from schemas import (
    FLEET,
    Actor,
    AgentRef,
    AgentSilent,
    AssignReason,
    Budget,
    BudgetRaised,
    BudgetReserved,
    BudgetSettled,
    DeadlinePassed,
    Envelope,
    FailureKind,
    FleetDeadlineKind,
    IssueAssigned,
    IssueState,
    IssueUnassigned,
    MergeConflicted,
    MilestoneCompleted,
    Policy,
    QuestionAsked,
    QuotaReported,
    RepoRef,
    RetryRequested,
    Reverted,
    Stopped,
    TierChanged,
    TokensUsed,
    UnassignReason,
)
from tests.support.story import BASE, FREE, Story, kinds, sha

NEVER = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)


def again(story: Story, event: Envelope) -> None:
    """The same event is delivered once more."""
    before = len(story.log)
    story.append(event)
    assert story.rounds() == [], "a second delivery has a consequence"
    assert len(story.log) == before + 1


# ── twice ────────────────────────────────────────────────────────────────────


def test_a_verdict_heard_again_does_not_undo_the_one_of_the_same_second() -> None:
    """A forge's clock knows seconds: which of two came last is known by where they stand, and a copy stands last."""
    story = Story()
    ref = story.approve(1)
    story.to_review(ref)
    story.check(ref, "h1", base=sha("older"))
    older = story.log[-1]
    story.check(ref, "h1", base=sha("newer"))
    assert "MergeRequested" in kinds(story.rounds())
    again(story, older)
    verdict = story.issue(ref).checks[sha("h1")]
    assert verdict.base == sha("newer")


def test_a_firing_heard_again_does_not_end_the_next_wait_of_the_same_length() -> None:
    """A timer was early: the deadline set anew is at the same moment as the one that has passed."""
    story = Story(FREE, slots=0)
    ref = story.approve(1)
    story.rounds()
    story.join("dev-e-2")
    story.rounds()
    claim = story.issue(ref).deadline
    assert claim is not None
    story.say(Actor.CONDUCTOR, ref, DeadlinePassed(kind=claim.kind, at=claim.at))
    firing = story.log[-1]
    story.rounds()
    assert story.issue(ref).ownership.epoch == 2
    again(story, firing)


def test_a_word_about_one_issue_does_not_make_it_the_cause_of_a_milestone_that_another_completed() -> None:
    story = Story(slots=2)
    first, second = story.approve(1, milestone="1.0"), story.approve(2, milestone="1.0")
    for number, ref in enumerate((first, second), 1):
        story.to_merging(ref, f"h{number}")
        story.merge(ref)
    story.round()
    done = story.log[-1]
    story.append(story.log[4])
    story.rounds()
    (completed,) = [event for event in story.log if isinstance(event.data, MilestoneCompleted)]
    assert completed.causationid == done.id


# ── what overtakes a decision ────────────────────────────────────────────────


def test_a_retry_between_an_escalation_and_what_takes_the_work_back_gives_the_slot_back() -> None:
    """A run asked and nobody answered. A person asks for another try at once, and the run is dead."""
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.say(Actor.DEV_E, ref, QuestionAsked(epoch=1, run="r-1", question="which?"))
    story.rounds()
    story.deadline_passes(ref)
    assert kinds(story.round()) == ["IssueEscalated"]
    story.say(Actor.CLI, ref, RetryRequested(by="ada"))
    said = story.rounds()
    assert IssueUnassigned(epoch=1, reason=UnassignReason.STOPPED) in said
    assert story.said(IssueAssigned)[-1].reason is AssignReason.ASKED
    assert story.issue(ref).ownership.epoch == 2


def test_a_claim_of_what_was_stopped_meanwhile_is_whose_it_is_until_it_is_taken_back() -> None:
    """The assignment lands behind the stop; the replica that claims it holds the slot, and its money is its own."""
    story = Story(Policy(), slots=1)
    ref = story.approve(1)
    _, batch = story.decision()
    story.say(Actor.CLI, ref, Stopped(by="ada"))
    for event in batch:
        story.append(event)
    story.start(ref, "r-1")
    assert story.state.agents["dev-e-1"].busy == {ref}
    story.spend(ref, 0.5)
    assert kinds(story.rounds()) == ["IssueUnassigned", "BudgetSettled"]
    assert story.said(BudgetSettled)[-1].amount_usd == 0.5
    assert (story.state.agents["dev-e-1"].busy, story.issue(ref).state) == (set(), IssueState.STOPPED)


def test_a_budget_raised_again_while_the_first_end_is_set_lasts_as_long_as_was_said_last() -> None:
    story = Story()
    raised = BudgetRaised(scope="day", limit_usd=300, until=story.now + timedelta(hours=1), by="ada")
    story.say(Actor.CLI, FLEET, raised)
    _, batch = story.decision()
    longer = BudgetRaised(scope="day", limit_usd=400, until=story.now + timedelta(hours=9), by="ada")
    story.say(Actor.CLI, FLEET, longer)
    for event in batch:
        story.append(event)
    story.rounds()
    assert story.state.deadlines[FleetDeadlineKind.BUDGET, "day"].at == longer.until


def test_an_issue_that_joins_a_milestone_while_it_is_completed_completes_it_again() -> None:
    story = Story(slots=2)
    first = story.approve(1, milestone="1.0")
    story.to_merging(first)
    story.merge(first)
    story.round()
    _, batch = story.decision()
    second = story.approve(2, milestone="1.0")
    for event in batch:
        story.append(event)
    assert not story.state.milestones["1.0"].completed
    story.to_merging(second, "h2")
    story.merge(second)
    story.rounds()
    assert [known.issues for known in story.said(MilestoneCompleted)] == [(first,), (first, second)]


def test_what_a_run_says_that_it_spent_after_it_is_over_takes_the_place_of_what_was_reserved() -> None:
    story = Story(Policy())
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.fail(ref, FailureKind.BUG)
    assert story.issue(ref).committed == 2_000_000
    story.spend(ref, 1.2)
    assert story.issue(ref).committed == story.state.ledger.committed("day") == 1_200_000


# ── a gate before work is none of a merge's ──────────────────────────────────


def test_what_the_forge_says_while_work_may_not_begin_neither_counts_as_a_try_nor_opens_the_gate() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_review(ref)
    story.check(ref, "h1", passed=False)
    story.rounds()
    story.start(ref, "r-2")
    story.fail(ref, FailureKind.GUARD, run="r-2")
    story.rounds()
    assert (story.issue(ref).state, story.issue(ref).attempts) == (IssueState.GATED, 2)
    story.later(1)
    story.open(ref, "by-hand")
    story.check(ref, "h1", passed=False, log="another log")
    story.say(Actor.LOCAL, ref, MergeConflicted(head_sha=sha("h1"), base_sha=BASE))
    assert story.rounds() == []
    assert (story.issue(ref).state, story.issue(ref).attempts) == (IssueState.GATED, 2)


# ── numbers and names at their ends ──────────────────────────────────────────


def test_a_clock_that_is_far_ahead_stops_nobody() -> None:
    story = Story()
    present, story.now = story.now, NEVER
    ref = story.approve(1)
    story.say(Actor.DEV_E, AgentRef("dev-e-1"), QuotaReported(provider="any", five_hour_percent=100, weekly_percent=0))
    story.say(Actor.WATCH, AgentRef("dev-e-1"), AgentSilent(since=NEVER))
    story.now = present
    assert kinds(story.rounds()) == ["DeadlineSet"]
    assert story.issue(ref).state is IssueState.QUEUED


def test_a_revert_of_what_nobody_of_the_rigs_made_is_nobodys_loss() -> None:
    story = Story(slots=0)
    ref = story.approve(1)
    story.merge_by_hand(ref, "h1")
    story.say(Actor.LOCAL, ref, Reverted(merge_sha=sha("by-hand"), revert_sha=sha("r"), by="ada"))
    story.rounds()
    assert story.said(TierChanged) == []


def test_a_reservation_too_small_to_count_is_not_made_again_and_again() -> None:
    story = Story(Policy(budget=Budget(run_usd=1e-7)))
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.rounds()
    assert len(story.said(BudgetReserved)) == 1


def test_whatever_a_run_claims_to_have_spent_can_be_settled() -> None:
    story = Story(Policy())
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    for _ in range(3):
        story.spend(ref, 1e6)
    story.fail(ref, FailureKind.OVER_BUDGET)
    story.rounds()
    assert story.said(BudgetSettled)[-1].amount_usd == 1e6
    assert story.issue(ref).committed == 3_000_000_000_000


def test_more_runs_than_fit_into_one_round_are_settled_in_several() -> None:
    """What is due of one issue is said together; more than a batch holds would be said never."""
    story = Story(Policy())
    ref = story.approve(1)
    for number in range(150):
        story.say(Actor.DEV_E, ref, TokensUsed(epoch=1, run=f"r-{number}", provider="any", cost_usd=0.001))
    assert kinds(story.round()).count("BudgetSettled") == 100
    assert kinds(story.round()).count("BudgetSettled") == 50


# ── since when ───────────────────────────────────────────────────────────────


def test_a_refusal_that_its_repository_ends_is_no_waiting() -> None:
    """An issue stood refused for days: it waits since its repository came, and nobody is told that it is orphaned."""
    story = Story(slots=0)
    other = RepoRef("demo", "other")
    ref = story.approve(1, repository=other)
    story.rounds()
    story.later(400_000)
    story.add(other)
    assert kinds(story.rounds()) == ["DeadlineSet"]
    assert story.issue(ref).since == story.now
    story.deadline_passes(ref)
    assert kinds(story.rounds()) == ["IssueWaiting", "DeadlineSet"]
