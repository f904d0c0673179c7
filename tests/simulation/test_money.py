"""Money: set aside before a run, settled after it, released when it never began; limits, breakers, raises."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas import (
    FLEET,
    Actor,
    Budget,
    BudgetExceeded,
    BudgetRaised,
    BudgetReleased,
    BudgetReserved,
    BudgetSettled,
    FailureKind,
    FleetDeadlineKind,
    GateApproved,
    GateReason,
    GateTriggered,
    IssueAssigned,
    IssueDone,
    IssueRef,
    IssueState,
    IssueUnassigned,
    IssueWithdrawn,
    Merged,
    Overrides,
    Policy,
    RepoRef,
    RolePolicy,
    UnassignReason,
)
from tests.support.story import BASE, SHOP, Story, sha

NO_LIMITS = Budget(run_usd=2, issue_usd=None, repository_day_usd=None, day_usd=None, breaker_usd=None)
DAY = (FleetDeadlineKind.DAY, "")
OTHER = RepoRef("demo", "other")


def rich(*, slots: int = 1, **limits: float) -> Story:
    """A rig whose runs cost two dollars at most, with these limits and no others."""
    budget = {name: getattr(NO_LIMITS, name) for name in NO_LIMITS.__struct_fields__} | limits
    return Story(Policy(budget=Budget(**budget)), slots=slots)


def begun(story: Story, number: int = 1, run: str = "r-1") -> IssueRef:
    ref = story.approve(number)
    story.rounds()
    story.start(ref, run)
    story.rounds()
    return ref


def ledger(story: Story, scope: str = "day") -> tuple[float, float]:
    """What is reserved and what was spent, in dollars."""
    return story.state.ledger.reserved.get(scope, 0) / 1e6, story.state.ledger.spent.get(scope, 0) / 1e6


def raised(story: Story, scope: str, usd: float, hours: float) -> None:
    until = story.now + timedelta(hours=hours)
    story.say(Actor.CLI, FLEET, BudgetRaised(scope=scope, limit_usd=usd, until=until, by="ada"))


# ── reserve, settle, release ─────────────────────────────────────────────────


def test_a_run_is_paid_for_before_it_begins_and_settled_with_what_it_spent_in_every_budget() -> None:
    story = rich()
    ref = story.approve(1)
    story.rounds()
    assert story.said(BudgetReserved) == [BudgetReserved(epoch=1, amount_usd=2)]
    assert story.said(IssueAssigned)[0].reserved_usd == 2
    for scope in ("day", "role:dev-e", "repository:demo/shop"):
        assert ledger(story, scope) == (2, 0)
    story.start(ref)
    story.spend(ref, 0.25)
    story.spend(ref, 0.5)
    assert ledger(story) == (2, 0), "what it spends is of what was set aside"
    story.push(ref, "h1")
    story.rounds()
    assert story.said(BudgetSettled) == [BudgetSettled(epoch=1, run="r-1", amount_usd=0.75)]
    for scope in ("day", "role:dev-e", "repository:demo/shop"):
        assert ledger(story, scope) == (0, 0.75)
    assert story.issue(ref).committed == 750_000
    story.ends()


def test_an_assignment_that_nobody_claims_has_cost_nothing() -> None:
    story = rich()
    ref = story.approve(1)
    story.rounds()
    story.deadline_passes(ref)
    story.rounds()
    assert story.said(BudgetReleased) == [BudgetReleased(epoch=1, amount_usd=2)]
    assert story.said(BudgetReserved)[-1].epoch == 2
    assert ledger(story) == (2, 0)
    story.say(Actor.CLI, ref, IssueWithdrawn(by="ada"))
    story.rounds()
    assert (ledger(story), story.issue(ref).committed) == ((0, 0), 0)
    story.ends()


def test_a_run_that_does_not_know_its_price_counts_as_what_was_set_aside() -> None:
    story = rich()
    ref = begun(story)
    story.spend(ref, 0.1)
    story.spend(ref, None)
    story.push(ref, "h1")
    story.rounds()
    assert story.said(BudgetSettled) == [BudgetSettled(epoch=1, run="r-1", amount_usd=2)]
    story.ends()


def test_so_does_one_that_says_nothing_of_money() -> None:
    story = rich()
    ref = begun(story)
    story.push(ref, "h1")
    story.rounds()
    assert story.said(BudgetSettled) == [BudgetSettled(epoch=1, run="r-1", amount_usd=2)]
    story.ends()


def test_a_run_that_spent_more_than_was_set_aside_counts_as_what_it_spent_at_once() -> None:
    story = rich()
    ref = begun(story)
    story.spend(ref, 3.5)
    assert ledger(story) == (3.5, 0)
    story.fail(ref, FailureKind.OVER_BUDGET)
    story.rounds()
    assert story.said(BudgetSettled) == [BudgetSettled(epoch=1, run="r-1", amount_usd=3.5)]
    story.ends()


def test_what_is_said_late_counts_and_what_is_said_twice_counts_once() -> None:
    story = rich()
    ref = begun(story)
    story.spend(ref, 0.5, id="used-1")
    story.spend(ref, 0.5, id="used-1")
    story.push(ref, "h1")
    story.rounds()
    assert ledger(story) == (0, 0.5)
    story.spend(ref, 0.25, id="used-2")
    story.spend(ref, 0.25, id="used-2")
    assert (ledger(story), story.issue(ref).committed) == ((0, 0.75), 750_000)
    assert len(story.said(BudgetSettled)) == 1
    story.ends()


def test_what_was_said_before_the_claim_was_read_counts_once() -> None:
    story = rich()
    ref = story.approve(1)
    story.rounds()
    story.spend(ref, 0.5)
    story.rounds()
    story.start(ref)
    assert (sum(ledger(story)), story.issue(ref).committed) == (2, 2_000_000)
    story.push(ref, "h1")
    story.rounds()
    assert (ledger(story), story.issue(ref).committed) == ((0, 0.5), 500_000)
    story.ends()


def test_done_says_what_all_of_it_cost() -> None:
    story = rich()
    ref = begun(story)
    story.spend(ref, 0.5)
    story.fail(ref, FailureKind.CHECKS_FAILED)
    story.rounds()
    story.start(ref, "r-2")
    story.push(ref, "h1", "r-2")
    story.open(ref, "h1")
    story.check(ref, "h1")
    story.rounds()
    story.merge(ref)
    story.rounds()
    assert story.said(IssueDone)[0].cost_usd == 2.5, "one that said, and one that did not"
    story.ends()


def test_what_was_merged_by_hand_before_anybody_began_has_cost_nothing() -> None:
    story = rich()
    ref = story.approve(1)
    story.rounds()
    story.say(Actor.LOCAL, ref, Merged(head_sha=sha("by-hand"), base_sha=BASE, merge_sha=sha("m1")))
    story.rounds()
    assert story.issue(ref).state is IssueState.DONE
    assert story.said(IssueDone)[0].cost_usd == 0
    assert (ledger(story), story.said(IssueUnassigned)[0].reason) == ((0, 0), UnassignReason.MERGED)
    story.ends()


# ── a run that takes over ────────────────────────────────────────────────────


def test_a_dead_run_pays_for_itself_and_so_does_the_one_that_takes_over() -> None:
    story = rich(slots=2)
    ref = begun(story)
    story.spend(ref, 0.5)
    story.start(ref, "r-2")
    story.spend(ref, 0.1, "r-2")  # before anything is set aside for it
    story.rounds()
    assert story.said(BudgetSettled) == [BudgetSettled(epoch=1, run="r-1", amount_usd=0.5)]
    assert story.said(BudgetReserved)[-1] == BudgetReserved(epoch=1, run="r-2", amount_usd=2)
    assert ledger(story) == (2, 0.5)
    story.spend(ref, 0.2, "r-1")  # it was not so dead
    story.push(ref, "h1", "r-2")
    story.rounds()
    assert (ledger(story), story.issue(ref).committed) == ((0, 0.8), 800_000)
    story.ends()


@pytest.mark.parametrize("limit", ["day_usd", "repository_day_usd", "issue_usd"])
def test_no_money_for_a_takeover_takes_the_work_from_it(limit: str) -> None:
    story = rich(slots=2, **{limit: 3})
    ref = begun(story)
    story.spend(ref, 1.5)
    story.start(ref, "r-2")
    story.rounds()
    assert story.said(IssueUnassigned) == [IssueUnassigned(epoch=1, reason=UnassignReason.BUDGET)]
    assert len(story.said(BudgetReserved)) == 1
    assert story.states(ref) == ["gated" if limit == "issue_usd" else "queued"]
    assert story.issue(ref).committed == 1_500_000
    story.ends()


def test_a_takeover_may_use_what_the_dead_run_left_over() -> None:
    story = rich(slots=2, day_usd=3)
    ref = begun(story)
    story.spend(ref, 1)
    story.start(ref, "r-2")
    story.rounds()
    assert story.said(IssueUnassigned) == []
    assert ledger(story) == (2, 1)
    story.ends()


# ── limits of a day ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("limit", ["day_usd", "repository_day_usd"])
def test_nothing_begins_that_cannot_be_paid_for_and_that_is_said_once(limit: str) -> None:
    story = rich(slots=9, **{limit: 5})
    refs = [story.approve(number) for number in (1, 2, 3)]
    story.rounds()
    assert story.states(*refs) == ["assigned", "assigned", "queued"]
    scope = "day" if limit == "day_usd" else "repository:demo/shop"
    assert story.said(BudgetExceeded) == [BudgetExceeded(scope=scope, limit_usd=5, spent_usd=4)]
    story.approve(4)
    story.time_passes(250)
    assert len(story.said(BudgetExceeded)) == 1
    story.ends()


def test_a_role_has_a_budget_and_a_repository_may_have_its_own() -> None:
    story = Story(Policy(budget=NO_LIMITS, roles={"dev-e": RolePolicy(day_usd=6)}), slots=9)
    story.add(OTHER, overrides=Overrides(day_usd=2))
    ours = [story.approve(number) for number in (1, 2, 3)]
    theirs = [story.approve(number, repository=OTHER) for number in (1, 2)]
    story.rounds()
    assert story.states(*ours, *theirs) == ["assigned", "assigned", "queued", "assigned", "queued"]
    assert {said.scope for said in story.said(BudgetExceeded)} == {"role:dev-e", "repository:demo/other"}
    story.ends()


def test_what_one_run_leaves_over_is_there_for_the_next_before_anybody_is_told_that_nothing_is_left() -> None:
    story = rich(day_usd=3)
    ref = begun(story)
    second = story.approve(2)
    story.spend(ref, 0.5)
    story.push(ref, "h1")
    story.rounds()
    assert story.states(second) == ["assigned"]
    assert story.said(BudgetExceeded) == []
    assert ledger(story) == (2, 0.5)
    story.ends()


def test_a_cap_is_overshot_by_one_run_at_most() -> None:
    """What a run may cost is set aside; what it spends beyond that is the overshoot, and nothing begins after it."""
    story = rich(slots=9, day_usd=4)
    first, second = begun(story, 1, "r-1"), begun(story, 2, "r-2")
    story.spend(first, 2.0, "r-1")
    story.spend(second, 4.0, "r-2")  # twice what was set aside
    story.push(first, "h1", "r-1")
    story.push(second, "h2", "r-2")
    third = story.approve(3)
    story.rounds()
    assert story.states(third) == ["queued"]
    assert sum(ledger(story)) == 6.0
    story.ends()


def test_at_the_turn_of_the_day_what_was_spent_counts_no_more_and_what_is_set_aside_does() -> None:
    story = rich(slots=9, day_usd=5)
    ref = begun(story)
    story.spend(ref, 1.5)
    story.push(ref, "h1")
    story.rounds()
    running, waiting = begun(story, 2, "r-2"), story.approve(3)
    story.rounds()
    assert story.states(waiting) == ["queued"]
    assert ledger(story) == (2, 1.5)
    story.deadline_passes(DAY)
    assert story.now == datetime(2026, 1, 2, tzinfo=UTC)
    assert ledger(story) == (2, 0)
    story.rounds()
    assert story.states(waiting) == ["assigned"]
    story.push(running, "h2", "r-2")
    story.rounds()
    assert ledger(story) == (2, 2), "it ended on the new day"
    assert len(story.said(BudgetExceeded)) == 1
    story.deadline_passes(DAY)
    assert story.now == datetime(2026, 1, 3, tzinfo=UTC)
    story.ends()


def test_on_a_new_day_people_hear_anew_that_a_budget_is_used_up() -> None:
    """Even where nothing was ever settled on the old one."""
    story = rich(day_usd=3, slots=9)
    ref = story.approve(1)
    story.approve(2)
    story.rounds()
    story.start(ref)
    assert len(story.said(BudgetExceeded)) == 1
    story.deadline_passes(DAY)
    story.rounds()
    assert len(story.said(BudgetExceeded)) == 2
    story.ends()


# ── a person allows more ─────────────────────────────────────────────────────


def test_a_raised_budget_holds_until_it_ends_by_itself() -> None:
    story = rich(slots=9, day_usd=2)
    first, second, third = (story.approve(number) for number in (1, 2, 3))
    story.rounds()
    raised(story, "day", 4, hours=2)
    story.rounds()
    assert story.states(first, second, third) == ["assigned", "assigned", "queued"]
    story.start(first)
    story.spend(first, 0)
    story.deadline_passes((FleetDeadlineKind.BUDGET, "day"))
    story.push(first, "h1")
    story.rounds()
    assert story.states(third) == ["queued"], "two dollars are set aside for the second, and two are the limit again"
    assert [said.limit_usd for said in story.said(BudgetExceeded)] == [2, 4, 2]
    story.ends()


def test_a_raise_replaces_the_one_before_and_its_end() -> None:
    story = rich(slots=9, day_usd=2)
    raised(story, "day", 4, hours=1)
    story.rounds()
    timer = next(timer for timer in story.timers() if timer.owner == (FleetDeadlineKind.BUDGET, "day"))
    raised(story, "day", 6, hours=3)
    story.rounds()
    story.later(3_600)
    passed = timer.passed()
    story.say(Actor.CONDUCTOR, passed.about, passed.data)
    refs = [story.approve(number) for number in (1, 2, 3, 4)]
    story.rounds()
    assert story.states(*refs) == ["assigned", "assigned", "assigned", "queued"]
    story.ends()


def test_a_raise_below_the_limit_takes_nothing_away() -> None:
    story = rich(slots=9, day_usd=4)
    raised(story, "day", 1, hours=1)
    refs = [story.approve(number) for number in (1, 2)]
    story.rounds()
    assert story.states(*refs) == ["assigned", "assigned"]
    story.ends()


# ── one issue ────────────────────────────────────────────────────────────────


def costly(story: Story, *, spent: float, times: int) -> IssueRef:
    """Runs that fail one after another, and what they cost."""
    ref = story.approve(1)
    for number in range(1, times + 1):
        story.rounds()
        story.start(ref, f"r-{number}")
        story.spend(ref, spent, f"r-{number}")
        story.fail(ref, FailureKind.OVERLOADED, run=f"r-{number}")
        story.rounds()
        story.deadline_passes(ref)
    story.rounds()
    return ref


def test_an_issue_that_costs_too_much_waits_for_a_person_who_grants_as_much_again() -> None:
    story = rich(issue_usd=5)
    ref = costly(story, spent=1.75, times=2)
    (gate,) = story.said(GateTriggered)
    assert (gate.reason, gate.head_sha, gate.detail) == (
        GateReason.BUDGET,
        None,
        "$3.50 of $5.00 are spent or set aside",
    )
    assert story.states(ref) == ["gated"]
    story.gate(GateApproved, ref, None)
    for number in (3, 4, 5):
        story.rounds()
        assert story.states(ref) == ["assigned"], f"{number}: there are ten dollars now"
        story.start(ref, f"r-{number}")
        story.spend(ref, 1.75, f"r-{number}")
        story.fail(ref, FailureKind.NO_CHANGES, run=f"r-{number}")
    story.rounds()
    assert story.states(ref) == ["escalated"]
    story.ends()


def test_a_breaker_stops_what_costs_and_brings_nothing_and_the_cap_stays_where_it_was() -> None:
    story = rich(breaker_usd=3, issue_usd=9)
    ref = costly(story, spent=1.5, times=2)
    (gate,) = story.said(GateTriggered)
    assert (gate.reason, gate.detail) == (GateReason.BUDGET, "$3.00 since anything new was pushed")
    story.gate(GateApproved, ref, None)
    story.rounds()
    assert story.states(ref) == ["assigned"]
    assert story.issue(ref).granted == 0, "the person let it go on; that is no more money for the issue"
    story.ends()


def test_something_new_that_is_pushed_is_progress_and_the_same_again_is_not() -> None:
    story = rich(breaker_usd=3)
    ref = begun(story)
    story.spend(ref, 2)
    story.push(ref, "h1")
    assert story.issue(ref).since_progress == 0
    story.open(ref, "h1")
    story.check(ref, "h1", passed=False)
    story.rounds()
    story.start(ref, "r-2")
    story.spend(ref, 2, "r-2")
    story.push(ref, "h1", "r-2")
    assert story.issue(ref).since_progress == 2_000_000
    story.rounds()
    story.ends()


def test_a_raised_budget_of_an_issue_lets_it_go_on_for_as_long_as_it_is_raised() -> None:
    story = rich(issue_usd=3)
    ref = costly(story, spent=1.5, times=1)
    assert story.states(ref) == ["gated"]
    raised(story, f"issue:{ref}", 5, hours=1)
    story.rounds()
    assert story.states(ref) == ["assigned"]
    story.start(ref, "r-2")
    story.spend(ref, 0.5, "r-2")
    story.fail(ref, FailureKind.NO_CHANGES, run="r-2")
    story.deadline_passes((FleetDeadlineKind.BUDGET, f"issue:{ref}"))
    story.rounds()
    assert story.states(ref) == ["gated"], "the policy's three dollars hold again"
    story.ends()


def test_a_raise_that_is_not_enough_leaves_it_at_the_gate() -> None:
    story = rich(issue_usd=3)
    ref = costly(story, spent=1.5, times=1)
    raised(story, f"issue:{ref}", 3.25, hours=1)
    story.rounds()
    assert story.states(ref) == ["gated"]
    assert len(story.said(GateTriggered)) == 2
    story.ends()


def test_a_price_that_the_policy_changes_counts_for_the_runs_to_come() -> None:
    story = rich(slots=2)
    begun(story)
    story.adopt(Policy(budget=Budget(run_usd=5, issue_usd=None, repository_day_usd=None, day_usd=7, breaker_usd=None)))
    story.approve(2)
    story.rounds()
    assert [said.amount_usd for said in story.said(BudgetReserved)] == [2, 5]
    story.approve(3)
    story.rounds()
    assert len(story.said(BudgetReserved)) == 2
    story.ends()


def test_where_a_run_costs_nothing_nothing_is_set_aside() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_merging(ref)
    assert story.said(BudgetReserved) == story.said(BudgetSettled) == []
    assert SHOP in story.state.repositories
    story.ends()
