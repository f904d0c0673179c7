"""Limits to the cent, the second and the last draft; and that nothing is looked at of which nothing can be due."""

from collections import Counter
from datetime import timedelta

import pytest
from msgspec.structs import replace

from conductor.policy import kind_of
from schemas import (
    FLEET,
    Actor,
    AgentLeft,
    AgentRef,
    AgentSilent,
    Budget,
    BudgetRaised,
    Changes,
    DeadlineKind,
    DeadlineSet,
    Delivery,
    EndToEndFailed,
    EndToEndPassed,
    Environment,
    FailureKind,
    FleetDeadlineSet,
    IssueAssigned,
    IssueEscalated,
    IssueRef,
    IssueRefused,
    IssueRevised,
    IssueState,
    IssueWaiting,
    LeaveReason,
    LoginRequired,
    Overrides,
    Policy,
    Priority,
    RepoRef,
    Reverted,
    ReviewRequested,
    Tier,
    TierChanged,
    Tiers,
    TokensUsed,
    WaitingReason,
)
from tests.support.story import FREE, SHOP, Story, kinds, sha

ONE = AgentRef("dev-e-1")
OTHER, THIRD = RepoRef("demo", "other"), RepoRef("demo", "third")


# ── what nothing can be due of ───────────────────────────────────────────────


def test_nothing_is_looked_at_again_before_the_log_says_more() -> None:
    """Wherever an issue stands: resting, in line, at work, shown, judged, at a gate, merging, delivered."""
    story = Story(replace(FREE, delivery=Delivery(environment=Environment.STAGING)), slots=1)
    resting, first, second = (story.approve(number) for number in (1, 2, 3))
    story.rounds()
    story.start(resting)
    story.fail(resting, FailureKind.OVERLOADED)
    story.rounds()
    seen: set[IssueState] = set()

    def nothing_is_due() -> None:
        story.rounds()
        seen.update(issue.state for issue in story.state.issues.values())
        assert [*story.state.unsettled] == []
        assert story.state.unsettled_agents == set()

    nothing_is_due()
    story.start(first, "r-2")
    nothing_is_due()
    story.push(first, "h1", "r-2")
    nothing_is_due()
    story.open(first, "h1", Changes(files=1, lines=1, paths=("auth/login.py",)))
    nothing_is_due()
    story.check(first, "h1")
    nothing_is_due()
    story.say(Actor.WATCH, ONE, AgentSilent(since=story.now))
    story.start(second, "r-3")
    story.push(second, "h2", "r-3")
    story.open(second, "h2")
    story.check(second, "h2")
    nothing_is_due()
    story.merge(second)
    nothing_is_due()
    assert seen >= {
        IssueState.QUEUED,
        IssueState.ASSIGNED,
        IssueState.IN_PROGRESS,
        IssueState.IN_REVIEW,
        IssueState.GATED,
        IssueState.MERGING,
        IssueState.DEPLOYING,
    }
    story.ends()


def test_who_depends_on_whom_is_known_for_as_long_as_somebody_does() -> None:
    story = Story(slots=0)
    first = story.approve(1)
    second, third = (story.approve(number, depends_on=(first,)) for number in (2, 3))
    story.say(Actor.LOCAL, second, IssueRevised(depends_on=()))
    assert story.state.dependents == {first: {third}}
    story.say(Actor.LOCAL, third, IssueRevised(depends_on=()))
    assert story.state.dependents == {}
    story.ends()


def test_a_policy_that_allows_fewer_attempts_holds_for_what_waits() -> None:
    story = Story(replace(FREE, attempts_max=5))
    ref = story.approve()
    story.rounds()
    story.start(ref)
    story.say(Actor.DEV_E, ONE, AgentLeft(boot="b1", reason=LeaveReason.STOPPED))
    story.fail(ref, FailureKind.NO_CHANGES)
    assert kinds(story.rounds()) == ["DeadlineSet"]
    story.adopt(replace(FREE, attempts_max=1))
    assert kinds(story.rounds()) == ["IssueEscalated"]
    story.ends()


def test_the_policy_by_default_is_a_policy_like_any_other() -> None:
    story = Story(replace(Policy(), attempts_max=5))
    ref = story.approve()
    for number in range(Policy().attempts_max):
        story.rounds()
        story.start(ref, f"r-{number}")
        if number + 1 == Policy().attempts_max:
            story.say(Actor.DEV_E, ONE, AgentLeft(boot="b1", reason=LeaveReason.STOPPED))
        story.fail(ref, FailureKind.NO_CHANGES, run=f"r-{number}")
    story.rounds()
    assert story.issue(ref).state is IssueState.QUEUED
    story.adopt(Policy())
    assert kinds(story.rounds()) == ["IssueEscalated"]
    story.ends()


def test_money_of_a_run_that_nobody_knew_of_is_settled_at_once() -> None:
    story = Story(Policy(), slots=0)
    ref = story.approve()
    assert kinds(story.rounds()) == ["DeadlineSet"]
    story.say(Actor.DEV_E, ref, TokensUsed(epoch=1, run="r-9", provider="any", cost_usd=0.5))
    assert kinds(story.rounds()) == ["BudgetSettled"]
    story.ends()


def test_a_replica_that_nobody_waits_for_has_no_deadline_when_it_is_told_of() -> None:
    story = Story()
    story.say(Actor.WATCH, ONE, AgentSilent(since=story.now))
    story.rounds()
    story.say(Actor.DEV_E, ONE, LoginRequired(provider="any", url="https://example.org"))
    story.rounds()
    assert story.state.agents["dev-e-1"].deadlines == {}
    story.ends()


# ── rounds ───────────────────────────────────────────────────────────────────


def cut_at(most: int, monkeypatch: pytest.MonkeyPatch) -> list[tuple[IssueRef, str]]:
    """A round of which one is due one word, the next two, and the last one; what is said of whom."""
    story = Story(FREE)
    one = story.approve(1)
    long = story.approve(2, priority=Priority.CRITICAL)
    last = story.approve(3)
    story.rounds()
    for _ in range(2):  # the first time it is said why they wait, too
        story.rounds()
        for ref in (one, last):
            story.deadline_passes(ref)
    story.start(long)
    story.say(Actor.DEV_E, ONE, AgentLeft(boot="b1", reason=LeaveReason.STOPPED))
    story.fail(long, FailureKind.RATE_LIMITED, retry_at=story.now + timedelta(days=1))
    monkeypatch.setattr("conductor.decide.ROUND_MAX", most)
    drafts, _ = story.decision()
    return [(draft.about, type(draft.data).__name__) for draft in drafts if isinstance(draft.about, IssueRef)]


def test_a_round_is_as_long_as_it_may_be_and_nobody_is_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    one, long = IssueRef("demo", "shop", 1), IssueRef("demo", "shop", 2)
    assert cut_at(2, monkeypatch) == [(one, "DeadlineSet")]
    assert cut_at(3, monkeypatch) == [(one, "DeadlineSet"), (long, "IssueWaiting"), (long, "DeadlineSet")]


def test_one_round_gives_out_all_there_is() -> None:
    """Whatever lane is used up, full, or must stand back for another."""
    story = Story(replace(FREE, fair_seconds=100), slots=6)
    story.add(OTHER, overrides=Overrides(in_progress_max=1))
    story.add(THIRD)
    for repository in (OTHER, SHOP, THIRD):
        for number in (1, 2, 3):
            story.approve(number, repository=repository)
    story.round()
    given = Counter(said.about.repository for said in story.log if isinstance(said.data, IssueAssigned))  # type: ignore[union-attr] - all are about issues
    assert given[OTHER] == 1, "all that it may have at once"
    assert given.total() == 6
    story.ends()


def test_one_round_goes_on_past_a_lane_that_is_used_up_and_one_that_stands_back() -> None:
    story = Story(replace(FREE, fair_seconds=100), slots=0)
    story.join("dev-e-2", slots=6, can=("python",))
    story.add(OTHER)
    story.approve(1)
    story.approve(2, requires=("python",))  # stands back once its repository has been given the first
    for number in (1, 2, 3):
        story.approve(number, repository=OTHER)
    assert kinds(story.round()).count("IssueAssigned") == 5
    story.ends()


# ── to the cent and to the second ────────────────────────────────────────────


def test_the_last_cent_may_be_spent() -> None:
    story = Story(Policy(budget=Budget(run_usd=2, issue_usd=4, breaker_usd=None)))
    ref = story.approve()
    story.rounds()
    story.start(ref)
    story.rounds()
    story.spend(ref, 2)
    story.fail(ref, FailureKind.NO_CHANGES)
    story.rounds()
    assert story.issue(ref).state is IssueState.ASSIGNED
    story.ends()


def test_no_breaker_trips_at_nothing() -> None:
    """As an old policy may have it."""
    story = Story(Policy(budget=Budget(breaker_usd=0)))
    ref = story.approve()
    story.rounds()
    assert story.issue(ref).state is IssueState.ASSIGNED
    story.ends()


def test_who_may_be_asked_again_at_once_is_asked_after_a_rest() -> None:
    story = Story()
    ref = story.approve()
    story.rounds()
    story.start(ref)
    story.fail(ref, FailureKind.RATE_LIMITED, retry_at=story.now)
    story.rounds()
    rest = story.now + timedelta(seconds=FREE.failed_run_backoff_seconds)
    assert story.said(DeadlineSet)[-1] == DeadlineSet(kind=DeadlineKind.BACKOFF, at=rest)
    story.ends()


def test_what_was_allowed_until_a_moment_ago_ends_at_once() -> None:
    story = Story()
    until = story.now - timedelta(hours=1)
    story.later(1)
    story.approve()
    story.rounds()
    story.say(Actor.CLI, FLEET, BudgetRaised(scope="day", limit_usd=70, until=until, by="ada"))
    story.rounds()
    assert [said.at for said in story.said(FleetDeadlineSet) if said.key == "day"] == [story.now]
    story.time_passes(0)
    assert story.state.ledger.raised == {}
    story.ends()


def test_a_change_of_nothing_is_of_no_narrow_kind() -> None:
    assert kind_of(Changes(files=0, lines=0, paths=()), Tiers()) == "code"


def test_of_two_tests_of_the_whole_at_one_time_the_one_that_is_heard_later_counts() -> None:
    story = Story(replace(FREE, delivery=Delivery(environment=Environment.STAGING, end_to_end=True)))
    ref = story.approve()
    story.to_merging(ref)
    failed = EndToEndFailed(passed=1, failed=1, total=2, first_failure="total", duration_ms=9)
    passed = EndToEndPassed(passed=2, failed=0, total=2, duration_ms=9)
    story.say(Actor.CLI, ref, failed)
    story.say(Actor.CLI, ref, passed)
    assert story.issue(ref).delivered.end_to_end
    story.ends()


# ── one after another ────────────────────────────────────────────────────────


def test_a_cycle_is_found_past_what_nobody_knows() -> None:
    story = Story(slots=0)
    first = story.approve(1, depends_on=(IssueRef("demo", "shop", 9), IssueRef("demo", "shop", 2)))
    story.rounds()
    story.approve(2, depends_on=(IssueRef("demo", "shop", 8), first))
    story.rounds()
    (refused,) = story.said(IssueRefused)
    assert sorted(refused.cycle) == [first, IssueRef("demo", "shop", 2)]
    story.ends()


def test_every_issue_of_a_repository_is_thought_of_when_it_comes() -> None:
    story = Story(slots=3)
    story.approve(1)
    second = story.approve(2, repository=OTHER)
    story.rounds()
    assert story.issue(second).state is IssueState.REFUSED
    story.add(OTHER)
    story.rounds()
    assert story.issue(second).state is IssueState.ASSIGNED
    story.ends()


def test_two_losses_are_answered_one_after_the_other() -> None:
    story = Story(replace(FREE, tiers=Tiers(otherwise=Tier.T0, begin={})), slots=2)
    refs = [story.approve(number) for number in (1, 2)]
    for ref in refs:
        story.to_merging(ref, f"h{ref.number}", f"r-{ref.number}")
        story.merge(ref)
    story.rounds()
    for ref in refs:
        reverted = Reverted(merge_sha=sha(f"m{ref.number}"), revert_sha=sha("r"), by="ada")
        story.say(Actor.LOCAL, ref, reverted)
    story.rounds()
    assert [(said.before, said.after) for said in story.said(TierChanged)] == [(Tier.T0, Tier.T1), (Tier.T1, Tier.T2)]
    story.ends()


def test_what_costs_trust_is_of_the_kind_that_was_merged() -> None:
    story = Story()
    ref = story.approve()
    story.to_merging(ref, changes=Changes(files=1, lines=1, paths=("README.md",)))
    story.merge(ref)
    story.rounds()
    story.say(Actor.LOCAL, ref, Reverted(merge_sha=sha("m1"), revert_sha=sha("r"), by="ada"))
    story.rounds()
    assert [said.kind for said in story.said(TierChanged)] == ["docs"]
    story.ends()


def test_kinds_of_change_are_the_policys() -> None:
    story = Story(replace(FREE, tiers=Tiers(begin={}, kinds={"carts": ("*cart*",)}, otherwise=Tier.T0)))
    ref = story.approve()
    story.to_merging(ref)
    story.merge(ref)
    story.rounds()
    story.say(Actor.LOCAL, ref, Reverted(merge_sha=sha("m1"), revert_sha=sha("r"), by="ada"))
    story.rounds()
    assert [said.kind for said in story.said(TierChanged)] == ["carts"]
    story.ends()


def test_where_nobody_has_joined_work_that_needs_nothing_waits_for_somebody() -> None:
    story = Story()
    story.say(Actor.DEV_E, ONE, AgentLeft(boot="b1", reason=LeaveReason.STOPPED))
    ref = story.approve()
    story.rounds()
    story.deadline_passes(ref)
    story.rounds()
    assert story.said(IssueWaiting)[-1].reasons == (WaitingReason.CAPACITY,)
    story.ends()


# ── review ───────────────────────────────────────────────────────────────────


def test_a_newer_head_is_reviewed_once_the_forge_shows_it() -> None:
    story = Story(reviewers=("review-e", "ada"))
    ref = story.approve()
    story.to_review(ref)
    story.rounds()
    story.review(ref, "h1", passed=False)
    story.rounds()
    story.start(ref, "r-2")
    story.push(ref, "h2", "r-2")
    story.rounds()
    assert [said.head_sha for said in story.said(ReviewRequested)] == [sha("h1")]
    story.open(ref, "h2")
    story.rounds()
    assert [said.head_sha for said in story.said(ReviewRequested)] == [sha("h1"), sha("h2")]
    story.ends()


def test_what_others_have_left_is_nothing_to_a_reviewer() -> None:
    story = Story(reviewers=("review-e",))
    story.join("review-e-1", role="review-e")
    story.join("review-e-2", role="review-e")
    story.quota("review-e-1", 100)
    story.quota("dev-e-1", 10)
    ref = story.approve()
    story.to_review(ref)
    story.check(ref, "h1")
    story.rounds()
    assert story.said(ReviewRequested) == []
    assert story.said(IssueEscalated) == []
    story.ends()


def test_money_that_a_policy_wants_set_aside_is_set_aside_for_what_runs_already() -> None:
    story = Story(FREE)
    ref = story.approve()
    story.rounds()
    story.start(ref)
    story.rounds()
    story.adopt(replace(FREE, budget=Budget(run_usd=1)))
    assert kinds(story.rounds()) == ["BudgetReserved"]
    story.ends()
