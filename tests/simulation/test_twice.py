"""Said twice is said once: a second delivery (same id, later position) of any event changes nothing.

And timers: early, late, twice, before what set them was read, after what they were for is over: no harm.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy

import pytest
from msgspec.structs import replace

from conductor.evolve import evolve
from conductor.state import State
from conductor.timers import Timer, live, owner_of
from schemas import (
    EVENTS,
    FLEET,
    Actor,
    AgentBack,
    AgentCapacityChanged,
    AgentDeadlineKind,
    AgentDeadlineSet,
    AgentEvent,
    AgentLeft,
    AgentRef,
    AgentRested,
    AgentScheduled,
    AgentSilent,
    AgentWoken,
    AssignRequested,
    AuditCompleted,
    Budget,
    BudgetRaised,
    CanaryIssued,
    CanaryReturned,
    Changes,
    CommandBlocked,
    DeadlineSet,
    Delivery,
    Deployed,
    EffectRecorded,
    EndToEndFailed,
    EndToEndPassed,
    Envelope,
    Environment,
    Event,
    FailureKind,
    FleetDeadlineSet,
    FleetEvent,
    GateApproved,
    GateBypassed,
    GateReason,
    GateRejected,
    GateReminded,
    HaltCleared,
    HaltDetected,
    IssueEvent,
    IssueRef,
    IssueRevised,
    IssueWithdrawn,
    LeaveReason,
    LoginExpiring,
    LoginRequired,
    LogRestored,
    MainChecksFailed,
    MainChecksPassed,
    MergeConflicted,
    MergeRefusal,
    MergeRefused,
    ModelUsed,
    Paused,
    Policy,
    Priority,
    PriorityChanged,
    PullRequestClosed,
    QuestionAnswered,
    QuestionAsked,
    Ref,
    RepoEvent,
    RepoRef,
    RepositoryRemoved,
    Resumed,
    RetryRequested,
    Reverted,
    ReviewWanted,
    RunConclusion,
    SmokeFailed,
    SmokePassed,
    Stopped,
    Verified,
    envelope,
)
from tests.support.story import BASE, FREE, SHOP, Story, sha

STAGING = Environment.STAGING


class Slow(Story):
    """Every word a second after the one before, as the sources' clocks would have it."""

    def say(self, actor: Actor, about: Ref, data: Event, *, id: str | None = None) -> Envelope:  # noqa: A002 - CloudEvents' name
        self.later(1)
        return super().say(actor, about, data, id=id)


def told(story: Story, about: Ref, *words: Event, by: Actor = Actor.CLI) -> None:
    """Words one after another, and what the conductor says to each."""
    for word in words:
        story.say(by, about, word)
        story.rounds()


# ── lives that between them hear everything ──────────────────────────────────


def delivered() -> Story:
    """Approved to done with everything on the way; taken out, and wanted again."""
    delivery = Delivery(environment=STAGING, smoke=True, end_to_end=True, verified=True)
    story = Slow(Policy(attempts_max=9, delivery=delivery), slots=2, reviewers=("review-e", "alice"))
    ref = story.approve(1, milestone="v1")
    story.rounds()
    story.start(ref)
    told(story, ref, QuestionAsked(epoch=1, run="r-1", question="?"), by=Actor.DEV_E)
    told(story, ref, QuestionAnswered(epoch=1, run="r-1", answer="!", by="ada"))
    story.spend(ref, 0.5)
    story.fail(ref, FailureKind.CHECKS_FAILED)
    story.to_review(ref, "h1", "r-2")
    story.rounds()
    story.abstain(ref, "h1")
    story.rounds()
    story.review(ref, "h1", "alice", passed=False)
    story.to_review(ref, "h2", "r-3", changes=Changes(files=1, lines=1, paths=("auth/login.py",)))
    story.check(ref, "h2", passed=False)
    story.rounds()
    story.start(ref, "again")
    story.push(ref, "h2", "again")
    story.rounds()
    story.check(ref, "h2", passed=False)
    story.to_review(ref, "h3", "r-4", changes=Changes(files=1, lines=1, paths=("auth/login.py",)))
    story.check(ref, "h3")
    story.review(ref, "h3", "alice")
    story.rounds()
    story.gate(GateApproved, ref, "h3")
    story.rounds()
    told(
        story,
        ref,
        MergeRefused(head_sha=sha("h3"), base_sha=BASE, reason=MergeRefusal.BASE_MOVED),
        by=Actor.LOCAL,
    )
    story.check(ref, "h3", base=sha("newer"))
    story.rounds()
    told(story, ref, MergeConflicted(head_sha=sha("h3"), base_sha=sha("newer")), by=Actor.LOCAL)
    story.to_review(ref, "h4", "r-5")
    story.check(ref, "h4")
    story.review(ref, "h4", "alice")
    story.rounds()
    story.merge(ref)
    story.rounds()
    told(
        story,
        ref,
        Deployed(environment=STAGING, sha=sha("m1")),
        SmokeFailed(environment=STAGING, attempt=1, reason="no answer"),
        SmokePassed(environment=STAGING, attempt=2),
        EndToEndFailed(passed=1, failed=1, total=2, duration_ms=1, first_failure="pay"),
        RetryRequested(by="ada"),
        EndToEndPassed(passed=2, total=2, duration_ms=1),
        Verified(environment=STAGING, by="ada"),
    )
    told(story, ref, Reverted(merge_sha=sha("m1"), revert_sha=sha("x"), by="ada"), by=Actor.LOCAL)
    told(story, ref, RetryRequested(by="ada"))
    return story


def troubled() -> Story:
    """Gates before work, a bypass, a rejection, stops, withdrawals, a dead run, a closed pull request."""
    story = Slow(replace(FREE, unassignments_max=9), slots=2)
    ref, other = story.approve(1), story.approve(2, depends_on=(IssueRef("demo", "shop", 1),))
    story.rounds()
    story.start(ref)
    story.fail(ref, FailureKind.GUARD)
    story.rounds()
    story.gate(GateApproved, ref, None)
    story.rounds()
    story.start(ref, "r-2")
    story.rounds()
    story.start(ref, "r-3")
    story.rounds()
    story.push(ref, "h1", "r-3")
    story.open(ref, "h1", Changes(files=99, lines=1, paths=("a.py",)))
    story.check(ref, "h1")
    story.rounds()
    story.gate(GateRejected, ref, "h1")
    story.to_review(ref, "h2", "r-4", changes=Changes(files=99, lines=1, paths=("a.py",)))
    story.check(ref, "h2")
    story.rounds()
    story.gate(GateBypassed, ref, "h2", reason=GateReason.SIZE)
    story.rounds()
    told(story, ref, PullRequestClosed(pull_request=1), by=Actor.LOCAL)
    told(
        story,
        ref,
        AssignRequested(to="dev-e-1", by="ada"),
        PriorityChanged(priority=Priority.HIGH, by="ada"),
        IssueRevised(labels=("a",), depends_on=(other,)),
        Stopped(by="ada"),
        IssueRevised(depends_on=()),
        RetryRequested(by="ada"),
    )
    story.deadline_passes(ref)
    story.rounds()
    told(story, ref, IssueWithdrawn(by="ada"))
    story.approve(1)
    story.rounds()
    story.start(ref, "r-9")
    story.fail(ref, FailureKind.OVERLOADED, run="r-9")
    story.rounds()
    story.deadline_passes(ref)
    story.time_passes(180_000)
    return story


def of_the_rig() -> Story:
    """Replicas that rest, fall silent, come back and leave; pauses, budgets, incidents, schedules, policies."""
    story = Slow(Policy(schedules={"audit": 40_000}, budget=Budget(day_usd=3)), slots=2)
    name = AgentRef("dev-e-1")
    ref = story.approve(1)
    story.approve(2)
    story.rounds()
    story.deadline_passes(ref)
    story.rounds()
    story.start(ref)
    story.spend(ref, None)
    told(story, name, AgentSilent(since=story.now), AgentBack(since=story.now), by=Actor.WATCH)
    told(story, name, AgentSilent(since=story.now), by=Actor.WATCH)
    story.deadline_passes(("dev-e-1", AgentDeadlineKind.SILENT))
    story.rounds()
    told(story, name, AgentBack(since=story.now), by=Actor.WATCH)
    story.quota("dev-e-1", 100)
    story.rounds()
    story.deadline_passes(("dev-e-1", AgentDeadlineKind.QUOTA))
    story.rounds()
    told(story, name, LoginRequired(provider="any"), by=Actor.DEV_E)
    story.join("dev-e-1", boot="b2")
    told(story, name, AgentCapacityChanged(boot="b2", slots=2, degraded=("git",)), by=Actor.DEV_E)
    told(story, name, AgentLeft(boot="b2", reason=LeaveReason.STOPPED), by=Actor.DEV_E)
    asked = ModelUsed(call="c-1", role="agent", purpose="chat", provider="any", model="m", cost_usd=0.5)
    told(story, AgentRef("conductor-e"), asked, by=Actor.AGENT)
    told(story, FLEET, Paused(scope="all", by="ada"), Resumed(scope="all", by="ada"))
    until = story.now.replace(hour=23)
    told(story, FLEET, BudgetRaised(scope="day", limit_usd=500, until=until, by="ada"))
    for event, conclusion in (
        (MainChecksFailed, RunConclusion.FAILURE),
        (MainChecksPassed, RunConclusion.SUCCESS),
        (MainChecksFailed, RunConclusion.FAILURE),
    ):
        said = event(sha=sha("c"), workflow="test", run="1", conclusion=conclusion)
        told(story, SHOP, said, by=Actor.LOCAL)
    story.time_passes(90_000)
    story.adopt(replace(FREE, repository_in_progress_max=1))
    story.rounds()
    told(story, RepoRef("demo", "shop"), RepositoryRemoved(by="ada"))
    return story


LATE = "late"
LIVES = [delivered, troubled, of_the_rig]


def prefixes(story: Story) -> Iterator[tuple[State, list[Envelope]]]:
    """The state at every place of the log where something may land (never within a batch), and what was said before."""
    state = State()
    for position, event in enumerate(story.log, start=1):
        evolve(state, event, position)
        if state.batch_complete:
            yield state, story.log[:position]


def changed(state: State, event: Envelope, expected: State) -> bool:
    """Whether the event would change anything, should it come next, beyond that it was heard."""
    evolve(state, event, state.position + 1)
    state.position -= 1
    if event.id == LATE:
        for heard in (state.heard, *(issue.heard for issue in state.issues.values())):
            heard.discard(LATE)
    return state != expected


@pytest.mark.parametrize("life", LIVES)
def test_a_second_delivery_of_any_event_at_any_time_changes_nothing(life: Callable[[], Story]) -> None:
    """Of whatever was said before, wherever the log stands: again at once, and again long after."""
    story = life()
    story.ends()
    for state, before in prefixes(story):
        expected = deepcopy(state)
        for again in before:
            assert not changed(state, again, expected), f"after {before[-1].subject}: again {again.subject}"


@pytest.mark.parametrize("life", LIVES)
def test_a_timer_of_a_deadline_that_lives_no_more_changes_nothing(life: Callable[[], Story]) -> None:
    """Replaced, left behind with its state, or passed already: whenever it fires."""
    story = life()
    fired = 0
    for state, before in prefixes(story):
        expected = deepcopy(state)
        for event in before:
            owner = owner_of(event)
            timer = timer_of(event)
            if owner is None or timer is None or same(live(state, owner), timer):
                continue
            passed = envelope(timer.passed(), id=LATE, actor=Actor.CONDUCTOR, source="conductor", time=story.now)
            assert not changed(state, passed, expected), f"after {before[-1].subject}: {timer}"
            fired += 1
    assert fired > 100


def timer_of(event: Envelope) -> Timer | None:
    """What would have been mirrored for it."""
    match event.about, event.data:
        case IssueRef() as ref, DeadlineSet(kind=kind, at=at):
            return Timer(kind, at, event.id, issue=ref)
        case AgentRef(name), AgentDeadlineSet(kind=kind, at=at):
            return Timer(kind, at, event.id, agent=name)
        case _, FleetDeadlineSet(kind=kind, key=key, at=at):
            return Timer(kind, at, event.id, key=key)
        case _:
            return None


def same(now: Timer | None, timer: Timer) -> bool:
    return now is not None and (now.kind, now.at) == (timer.kind, timer.at)


def test_between_them_those_lives_hear_everything_that_a_decision_may_follow() -> None:
    told = {type(event.data) for life in LIVES for event in life().log}
    silent = {
        *(CommandBlocked, EffectRecorded, GateReminded, ReviewWanted),  # of an issue, and recorded only
        *(AuditCompleted, LoginExpiring, LogRestored),  # of a repository, of a replica, of the log itself
        *(AgentScheduled, AgentWoken, AgentRested),  # of an agent that is woken, by itself and not by the conductor
        *(HaltDetected, HaltCleared, CanaryIssued, CanaryReturned),  # of the watch, which sees to the conductor
    }
    every = {event for event in EVENTS if issubclass(event, IssueEvent | AgentEvent | RepoEvent | FleetEvent)}
    assert {event.__name__ for event in every - told - silent} == set()
