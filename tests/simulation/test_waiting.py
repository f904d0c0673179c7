"""Why an issue waits: each reason, when it is said, how rarely it is looked at again, and when people hear of it."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from schemas import (
    FLEET,
    Actor,
    AgentCapacityChanged,
    AgentRef,
    Budget,
    DeadlineSet,
    FailureKind,
    GateApproved,
    GateReminded,
    IssueNeedsHuman,
    IssueOrphaned,
    IssueRef,
    IssueRefused,
    IssueState,
    IssueWaiting,
    Overrides,
    Paused,
    Policy,
    Refusal,
    RepoRef,
    RepositoryAdded,
    RepositoryRemoved,
    Resumed,
    WaitingReason,
)
from tests.support.story import FREE, SHOP, Story, kinds

OTHER = RepoRef("demo", "other")
HOUR = 3_600


def why(story: Story, ref: IssueRef) -> tuple[str, ...]:
    """What is said of why it waits, when it is looked at."""
    story.rounds()
    story.deadline_passes(ref)
    (waiting,) = (event for event in story.rounds() if isinstance(event, IssueWaiting))
    return tuple(reason.value for reason in waiting.reasons)


# ── each reason ──────────────────────────────────────────────────────────────


def test_for_want_of_a_slot() -> None:
    story = Story(slots=1)
    story.approve(1)
    ref = story.approve(2)
    assert why(story, ref) == ("capacity",)
    story.ends()


def test_for_another_issue_whatever_else_is_in_the_way() -> None:
    story = Story(slots=0)
    dependency = IssueRef("demo", "shop", 9)
    ref = story.approve(1, depends_on=(dependency,))
    story.say(Actor.CLI, FLEET, Paused(scope="all", by="ada"))
    assert why(story, ref) == ("dependency",)
    assert story.said(IssueWaiting)[0].waits_for == (dependency,)
    story.ends()


def test_for_a_replica_that_can() -> None:
    story = Story(slots=1)
    assert why(story, story.approve(1, requires=("gpu",))) == ("capability",)
    story.ends()


@pytest.mark.parametrize("kind", [FailureKind.QUOTA, FailureKind.AUTH])
def test_for_a_quota_or_a_login(kind: FailureKind) -> None:
    story = Story(slots=1)
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.fail(ref, kind, retry_at=story.now + timedelta(days=1))
    assert why(story, ref) == ("quota",)
    story.ends()


def test_a_degraded_replica_is_no_question_of_quota() -> None:
    story = Story(slots=1)
    story.say(Actor.DEV_E, AgentRef("dev-e-1"), AgentCapacityChanged(boot="b1", slots=1, degraded=("git",)))
    assert why(story, story.approve(1)) == ("capacity",)
    story.ends()


def test_for_money() -> None:
    story = Story(Policy(budget=Budget(run_usd=2, day_usd=3)), slots=2)
    story.approve(1)
    assert why(story, story.approve(2)) == ("budget",)
    story.ends()


@pytest.mark.parametrize("scope", ["all", "role:dev-e", "repository:demo/shop"])
def test_for_a_pause(scope: str) -> None:
    story = Story(slots=1)
    story.say(Actor.CLI, FLEET, Paused(scope=scope, by="ada"))
    assert why(story, story.approve(1)) == ("paused",)
    story.ends()


def test_for_the_policys_limit() -> None:
    story = Story(slots=1)
    story.add(OTHER, overrides=Overrides(in_progress_max=0))
    assert why(story, story.approve(1, repository=OTHER)) == ("policy",)
    story.ends()


def test_for_a_repository_at_which_the_forge_has_not_looked_yet() -> None:
    story = Story(slots=1)
    story.say(Actor.CLI, OTHER, RepositoryAdded(clone_url="repo", check="true", by="ada"))
    assert why(story, story.approve(1, repository=OTHER)) == ("repository",)
    story.ends()


def test_for_all_of_them_at_once() -> None:
    story = Story(replace(FREE, repository_in_progress_max=0), slots=0)
    story.say(Actor.CLI, FLEET, Paused(scope="all", by="ada"))
    assert why(story, story.approve(1)) == ("paused", "policy", "capacity")
    story.ends()


def test_for_a_rest_that_is_longer_than_it_takes_to_be_looked_at() -> None:
    story = Story()
    ref = story.approve(1)
    for number, seconds in enumerate((600, 601), start=1):
        story.rounds()
        story.start(ref, f"r-{number}")
        retry_at = story.now + timedelta(seconds=seconds)
        story.fail(ref, FailureKind.RATE_LIMITED, run=f"r-{number}", retry_at=retry_at)
        story.rounds()
        assert len(story.said(IssueWaiting)) == number - 1
        story.deadline_passes(ref)
    assert story.said(IssueWaiting)[0].reasons == (WaitingReason.BACKOFF,)
    story.ends()


# ── how often ────────────────────────────────────────────────────────────────


def test_it_is_said_again_only_when_it_changes_and_looked_at_ever_more_rarely() -> None:
    story = Story(slots=0)
    ref = story.approve(1)
    story.rounds()
    pauses: list[float] = []
    for _ in range(9):
        deadline = story.said(DeadlineSet)[-1]
        pauses.append((deadline.at - story.now).total_seconds())
        story.deadline_passes(ref)
        story.rounds()
    assert len(story.said(IssueWaiting)) == 1
    assert pauses[:7] == [600, 1_200, 2_400, 4_800, 9_600, 19_200, 38_400]
    assert pauses[7:] == [24 * HOUR - sum(pauses[:7]), 38_400], "a day after it came, people hear of it; never rarer"
    story.say(Actor.CLI, FLEET, Paused(scope="all", by="ada"))
    assert story.rounds() == [], "a pause is no reason to say a hundred thousand things"
    story.deadline_passes(ref)
    assert story.rounds()[0] == IssueWaiting(
        reasons=(WaitingReason.PAUSED, WaitingReason.CAPACITY), since=story.issue(ref).since
    )
    story.ends()


def test_whoever_waits_anew_is_looked_at_soon_again() -> None:
    story = Story(slots=1)
    ref = story.approve(1)
    story.say(Actor.CLI, FLEET, Paused(scope="all", by="ada"))
    story.time_passes(2 * HOUR)
    story.say(Actor.CLI, FLEET, Resumed(scope="all", by="ada"))
    story.rounds()
    story.start(ref)
    story.say(Actor.CLI, FLEET, Paused(scope="all", by="ada"))
    story.fail(ref, FailureKind.NO_CHANGES)
    story.rounds()
    assert story.said(DeadlineSet)[-1].at == story.now + timedelta(seconds=600)
    story.deadline_passes(ref)
    story.rounds()
    assert len(story.said(IssueWaiting)) == 2, "said anew: it has been somewhere since"
    assert story.said(IssueWaiting)[-1].since == story.issue(ref).since
    story.ends()


# ── people ───────────────────────────────────────────────────────────────────


def test_people_hear_after_a_day_and_after_two_exactly_once_each() -> None:
    story = Story(slots=0)
    ref = story.approve(1)
    approved = story.now
    story.time_passes(24 * HOUR - 1)
    assert story.said(IssueOrphaned) == []
    story.time_passes(1)
    assert story.said(IssueOrphaned) == [IssueOrphaned(waited_hours=24.0)]
    story.time_passes(24 * HOUR - 1)
    assert story.said(IssueNeedsHuman) == []
    story.time_passes(1)
    assert story.said(IssueNeedsHuman) == [IssueNeedsHuman(waited_hours=48.0)]
    assert story.now == approved + timedelta(hours=48)
    story.time_passes(10 * 24 * HOUR)
    assert (len(story.said(IssueOrphaned)), len(story.said(IssueNeedsHuman))) == (1, 1)
    assert story.issue(ref).state is IssueState.QUEUED, "and it still waits"
    story.ends()


def test_after_a_long_outage_people_hear_the_worse_of_the_two() -> None:
    story = Story(slots=0)
    ref = story.approve(1)
    story.rounds()
    story.later(60 * HOUR)
    story.deadline_passes(ref)
    story.rounds()
    assert (story.said(IssueOrphaned), story.said(IssueNeedsHuman)) == ([], [IssueNeedsHuman(waited_hours=60.0)])
    story.ends()


def test_a_gate_is_no_orphan_but_needs_a_human_all_the_same() -> None:
    story = Story()
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.fail(ref, FailureKind.GUARD)
    story.time_passes(50 * HOUR)
    assert (len(story.said(IssueOrphaned)), len(story.said(IssueNeedsHuman))) == (0, 1)
    assert len(story.said(GateReminded)) == 100, "every half hour"
    story.gate(GateApproved, ref, None)
    story.rounds()
    assert story.issue(ref).state is IssueState.ASSIGNED
    story.ends()


def test_whoever_got_work_in_between_waits_anew() -> None:
    story = Story(slots=0)
    ref = story.approve(1)
    story.time_passes(30 * HOUR)
    story.join("dev-e-2")
    story.rounds()
    story.start(ref, agent="dev-e-2")
    story.join("dev-e-2", slots=0, boot="b2")
    story.fail(ref, FailureKind.NO_CHANGES)
    story.time_passes(30 * HOUR)
    assert [orphaned.waited_hours for orphaned in story.said(IssueOrphaned)] == [24.0, 24.0]
    assert story.said(IssueNeedsHuman) == []
    story.ends()


# ── no repository ────────────────────────────────────────────────────────────


def test_an_issue_of_an_unknown_repository_is_refused_until_the_repository_comes() -> None:
    story = Story()
    ref = story.approve(1, repository=OTHER)
    assert story.round() == [IssueRefused(reason=Refusal.NO_SUCH_REPOSITORY)]
    story.add(OTHER)
    assert kinds(story.round()) == ["IssueAssigned", "DeadlineSet"]
    assert story.issue(ref).state is IssueState.ASSIGNED
    story.ends()


def test_what_waits_in_a_repository_that_is_removed_is_refused_and_what_runs_there_may_end() -> None:
    story = Story(slots=1)
    running, waiting = story.approve(1), story.approve(2)
    story.rounds()
    story.start(running)
    story.rounds()
    story.say(Actor.CLI, SHOP, RepositoryRemoved(by="ada"))
    story.rounds()
    assert story.states(running, waiting) == ["in_progress", "refused"]
    story.fail(running, FailureKind.CHECKS_FAILED)
    story.rounds()
    assert story.states(running, waiting) == ["refused", "refused"]
    story.add(SHOP)
    story.rounds()
    assert story.states(running, waiting) == ["assigned", "queued"]
    story.ends()
