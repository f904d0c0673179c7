"""Calls of models outside the runs: what they cost counts at once, in every budget that they count against."""

from datetime import timedelta

import pytest

from bridges.terminal.ledger import Ledger
from conductor.allowance import allowance
from schemas import (
    FLEET,
    Actor,
    AgentRef,
    AgentRested,
    AgentScheduled,
    Allowance,
    AllowanceRequest,
    Budget,
    BudgetExceeded,
    BudgetRaised,
    Event,
    FleetDeadlineKind,
    IssueAssigned,
    IssueDone,
    IssueRef,
    ModelUsed,
    Policy,
    Recorded,
    RestOutcome,
    RolePolicy,
    WokenBy,
    woken,
)
from tests.support.recomputed import differences
from tests.support.story import Story

NO_LIMITS: dict[str, float | None] = {
    "run_usd": 2,
    "issue_usd": None,
    "repository_day_usd": None,
    "day_usd": None,
    "breaker_usd": None,
}
ME = AgentRef("conductor-e")


def rich(roles: dict[str, RolePolicy] | None = None, **limits: float) -> Story:
    """A rig with these limits and no others."""
    budget = Budget(**(NO_LIMITS | limits))  # pyright: ignore[reportArgumentType]
    return Story(Policy(budget=budget, roles=roles or {name: RolePolicy(day_usd=None) for name in ("dev-e", "agent")}))


def call(
    story: Story, usd: float | None, issue: IssueRef | None = None, *, role: str = "agent", known_as: str | None = None
) -> None:
    used = ModelUsed(
        call="c-1", role=role, purpose="chat", provider="p", model="m", input=3, output=4, cost_usd=usd, issue=issue
    )
    story.say(Actor.AGENT, ME, used, id=known_as)


def spent(story: Story, scope: str) -> float:
    return story.state.ledger.spent.get(scope, 0) / 1e6


def asked(story: Story, usd: float, issue: IssueRef | None = None, role: str = "agent") -> Allowance:
    assert story.state.policy is not None
    return allowance(AllowanceRequest(role=role, amount_usd=usd, issue=issue), story.state, story.state.policy)


def by_terminal(story: Story) -> dict[str, float]:
    """What people are shown, of the same log."""
    log = [Recorded(at, event.time, event) for at, event in enumerate(story.log, start=1)]
    sums = Ledger(log).sums(story.now.date())
    return {scope: total.spent / 1e6 for scope, total in sums.items() if total.spent}


def test_it_counts_at_once_in_the_day_and_in_its_role() -> None:
    story = rich()
    call(story, 0.25)
    call(story, None)
    assert {scope: spent(story, scope) for scope in ("day", "role:agent", "role:dev-e")} == {
        "day": 0.25,
        "role:agent": 0.25,
        "role:dev-e": 0,
    }
    assert by_terminal(story) == {"day": 0.25, "role:agent": 0.25}


def test_for_an_issue_it_counts_there_too_and_when_it_is_done_it_has_cost_that() -> None:
    story = rich()
    ref = story.approve(1)
    call(story, 0.25, ref)
    call(story, 0.5, ref, role="review-e")
    call(story, None, ref)
    assert story.issue(ref).committed == story.issue(ref).since_progress == 750_000
    counted = {"day": 0.75, "role:agent": 0.25, "role:review-e": 0.5, "repository:demo/shop": 0.75}
    assert {scope: spent(story, scope) for scope in counted} == counted
    assert by_terminal(story) == {**counted, "issue:demo/shop#1": 0.75}
    assert differences(story.state) == []
    story.rounds()
    story.start(ref)
    story.spend(ref, 1)
    story.push(ref, "h1")
    assert story.issue(ref).since_progress == 0
    story.open(ref, "h1")
    story.check(ref, "h1")
    story.rounds()
    story.merge(ref)
    story.rounds()
    assert story.said(IssueDone)[0].cost_usd == 1.75
    story.ends()


def test_what_nobody_knows_the_price_of_counts_for_what_is_assumed() -> None:
    story = rich(day_usd=5)
    ref = story.approve(1)
    for number, issue in enumerate((None, ref, IssueRef("demo", "shop", 9))):
        used = ModelUsed(call="c", role="agent", purpose="chat", provider="p", model="m", assumed_usd=1.5, issue=issue)
        story.say(Actor.AGENT, ME, used, id=f"c-{number}")
    assert (spent(story, "day"), spent(story, "role:agent"), story.issue(ref).committed) == (4.5, 4.5, 1_500_000)
    assert by_terminal(story) == {
        "day": 4.5,
        "role:agent": 4.5,
        "repository:demo/shop": 3,
        f"issue:{ref}": 1.5,
        "issue:demo/shop#9": 1.5,
    }
    assert not asked(story, 1).granted
    assert differences(story.state) == []


def test_of_an_issue_that_nobody_approved_it_counts_against_the_repository() -> None:
    story = rich()
    call(story, 0.5, IssueRef("demo", "shop", 9))
    assert (spent(story, "repository:demo/shop"), spent(story, "day")) == (0.5, 0.5)
    assert story.state.issues == {}


def test_the_same_call_said_twice_has_cost_once() -> None:
    story = rich()
    ref = story.approve(1)
    for _ in range(2):
        call(story, 1, known_as="call-1")
        call(story, 2, ref, known_as="call-2")
    assert (spent(story, "day"), story.issue(ref).committed) == (3, 2_000_000)
    assert by_terminal(story)["day"] == 3


def test_work_waits_for_money_that_calls_have_used_up_and_at_midnight_it_goes_on() -> None:
    story = rich(day_usd=5)
    call(story, 3.5)
    ref = story.approve(1)
    story.rounds()
    assert story.said(IssueAssigned) == []
    assert story.said(BudgetExceeded) == [BudgetExceeded(scope="day", limit_usd=5, spent_usd=3.5)]
    story.rounds()
    story.deadline_passes((FleetDeadlineKind.DAY, ""))
    story.rounds()
    assert len(story.said(IssueAssigned)) == 1
    assert spent(story, "day") == 0
    assert story.issue(ref).committed == 2_000_000


def test_a_call_is_granted_while_every_budget_has_room_for_it() -> None:
    story = rich({"agent": RolePolicy(day_usd=1), "dev-e": RolePolicy(day_usd=None)}, day_usd=4, issue_usd=2)
    ref = story.approve(1)
    assert asked(story, 1) == Allowance(granted=True, scope="role:agent", limit_usd=1, committed_usd=0)
    assert not asked(story, 1.01).granted
    call(story, 1)
    assert asked(story, 0) == Allowance(granted=False, scope="role:agent", limit_usd=1, committed_usd=1), "of no price"
    story.say(
        Actor.CLI,
        FLEET,
        BudgetRaised(scope="role:agent", limit_usd=3, until=story.now + timedelta(hours=1), by="ada"),
    )
    assert asked(story, 2).granted
    call(story, 1.75, ref, role="dev-e")
    assert asked(story, 0.5, ref, "dev-e") == Allowance(
        granted=False, scope=f"issue:{ref}", limit_usd=2, committed_usd=1.75
    )
    assert asked(story, 0.5, role="dev-e").granted, "of another issue, or of none"


def test_what_is_set_aside_for_runs_is_not_there_for_calls() -> None:
    story = rich(day_usd=3)
    story.approve(1)
    story.rounds()
    assert asked(story, 1.5) == Allowance(granted=False, scope="day", limit_usd=3, committed_usd=2)


def test_the_breaker_of_an_issue_holds_for_calls_too() -> None:
    story = rich(breaker_usd=1)
    ref = story.approve(1)
    call(story, 1, ref)
    assert asked(story, 0.1, ref) == Allowance(granted=False, scope=f"issue:{ref}", limit_usd=1, committed_usd=1)


def test_where_nothing_has_a_limit_everything_is_granted() -> None:
    story = rich()
    call(story, 2)
    assert asked(story, 1_000) == Allowance(granted=True, scope="day", limit_usd=None, committed_usd=2)


@pytest.mark.parametrize(
    "data",
    [
        woken("conductor-e", WokenBy.PERSON, "1")[0],
        AgentRested(run="w", outcome=RestOutcome.DONE),
        AgentScheduled(schedules=()),
    ],
)
def test_what_wakes_an_agent_is_nothing_that_is_decided_on(data: Event) -> None:
    story = rich()
    before = story.state.heard.copy()
    story.say(Actor.AGENT, ME, data)
    assert (story.rounds(), story.state.heard) == (story.rounds(), before)
