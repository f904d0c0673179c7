"""The watch, pure: what it says of a conductor that is silent or drops something, and that it says it once."""

from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from conductor.watch.check import EVIDENCE_MAX, canary_due, pause
from schemas import (
    FLEET,
    Actor,
    AgentBack,
    AgentJoined,
    AgentLeft,
    AgentRef,
    AgentSilent,
    BadReference,
    BudgetRaised,
    CanaryIssued,
    CanaryReturned,
    DeadlineKind,
    DeadlineSet,
    Decided,
    Event,
    FailureKind,
    FleetDeadlineKind,
    FleetDeadlinePassed,
    FleetDeadlineSet,
    GateReason,
    GateTriggered,
    HaltDetected,
    IncidentClosed,
    Invariant,
    IssueDone,
    IssueRef,
    IssueWaiting,
    IssueWithdrawn,
    LeaveReason,
    MergeRefusal,
    MergeRefused,
    Paused,
    Policy,
    PolicyAdopted,
    RepositoryConfigured,
    RepositoryRemoved,
    Resumed,
    RetryRequested,
    Reverted,
    ReviewPassed,
    Stopped,
    WaitingReason,
)
from schemas.policy import WatchPolicy
from tests.support.stages import a_run, escalated, merging
from tests.support.story import BASE, SHOP, Story, sha
from tests.support.watched import STEP_SECONDS as STEP
from tests.support.watched import Watched, alive, cleared, halts

DECISION, ISSUE, SILENT, PROJECTION = 120, 1_200, 60, 120
"""The policy's seconds."""


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


# ── what is delivered ────────────────────────────────────────────────────────


def test_a_delivery_that_nobody_translates_is_told_of_until_it_is_answered():
    story, watch = alive()
    since = story.now
    watch.fold.waits_outside("github", since, 3)
    assert watch.wait(DECISION - STEP) == []
    assert halts(watch.wait(STEP)) == {
        Invariant.DELIVERY_UNANSWERED: (
            f"the inbox of github, deliveries wait: 3 since {since:%FT%TZ} and nobody has translated the first of them",
        )
    }
    watch.fold.waits_outside("github", story.now, 2)
    assert watch.wait(240) == [], "others wait still, in other words"
    watch.fold.waits_outside("github", None, 0)
    assert cleared(watch.look()) == {Invariant.DELIVERY_UNANSWERED}


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
