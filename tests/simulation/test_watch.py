"""The watch raises no false alarm: whatever happens, in whatever order, when the conductor has spoken it is content.

The two share no code, so that they agree has to be seen. Everybody here says whatever comes to their mind, often what
makes no sense; the conductor decides at times that have nothing to do with it.
"""

from collections.abc import Callable
from datetime import timedelta
from random import Random

import pytest

from conductor.timers import Owner, Timer, live
from conductor.watch.check import check
from conductor.watch.fold import Fold
from schemas import (
    FLEET,
    Actor,
    AgentBack,
    AgentEvent,
    AgentRef,
    AgentSilent,
    AssignRequested,
    Budget,
    BudgetRaised,
    Delivery,
    Deployed,
    EndToEndFailed,
    EndToEndPassed,
    Environment,
    Event,
    FailureKind,
    GateApproved,
    GateBypassed,
    GateReason,
    GateRejected,
    HaltDetected,
    IssueApproved,
    IssueEvent,
    IssueRef,
    IssueRevised,
    IssueWithdrawn,
    MainChecksFailed,
    MainChecksPassed,
    MergeConflicted,
    MergeRefusal,
    MergeRefused,
    Paused,
    Policy,
    Priority,
    PriorityChanged,
    PullRequestClosed,
    QuestionAnswered,
    QuestionAsked,
    QuotaReported,
    Recorded,
    Ref,
    RepoEvent,
    RepoRef,
    Resumed,
    RetryRequested,
    Reverted,
    ReviewAbstained,
    ReviewDisputed,
    ReviewPassed,
    RunConclusion,
    SmokeFailed,
    SmokePassed,
    Stopped,
    Tier,
    TokensUsed,
    Verified,
    Withdrawal,
)
from schemas.policy import Gates, Tiers, WatchPolicy
from tests.support.story import BASE, SHOP, SMALL, Story, sha

WALKS = [
    *(range(first, first + 10) for first in range(0, 40, 10)),
    *(pytest.param(range(first, first + 45), marks=pytest.mark.full) for first in range(40, 400, 45)),
]
"""By their seeds."""
STEPS = 120
_WATCH = WatchPolicy(decision_seconds=1, issue_seconds=1_200)
_STAGING = Delivery(environment=Environment.STAGING, smoke=True, end_to_end=True, verified=True)
POLICIES = (
    Policy(watch=_WATCH),
    Policy(watch=_WATCH, budget=Budget(run_usd=0), gates=Gates(files_max=1)),
    Policy(watch=_WATCH, delivery=_STAGING, budget=Budget(issue_usd=4, breaker_usd=3)),
    Policy(watch=_WATCH, tiers=Tiers(otherwise=Tier.T2), schedules={"nightly": 86_400}),
    Policy(watch=_WATCH, budget=Budget(run_usd=0), tiers=Tiers(otherwise=Tier.T3), gates=Gates(approvers=("ada",))),
)
AGENT = AgentRef("dev-e-1")
AFTER = timedelta(seconds=2)
"""More than the conductor's time."""
OTHER = RepoRef("demo", "other")
HEADS = ("a", "b")
RUNS = ("r-1", "r-2")
BUILDS = (
    (MainChecksFailed, RunConclusion.FAILURE, None),
    (MainChecksFailed, RunConclusion.FAILURE, RunConclusion.FAILURE),
    (MainChecksFailed, RunConclusion.CANCELLED, None),
    (MainChecksPassed, RunConclusion.SUCCESS, None),
)
"""Of the base branch: how a run ended, and the one before it."""


class Walk:
    """People, agents and a forge without a memory, on three issues; and a watch that reads along."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - a test's
        self.reviewers = self.random.choice([(), ("rita",), ("rita", "rob")])
        self.policy = self.random.choice(POLICIES)
        self.story = Story(self.policy, slots=2, reviewers=self.reviewers)
        self.fold = Fold()
        self.issues = [IssueRef("demo", "shop", 1), IssueRef("demo", "shop", 2), IssueRef("demo", "other", 1)]

    def step(self) -> None:
        """Somebody says something about one of them, or the conductor has a round."""
        ref = self.random.choice(self.issues)
        if ref not in self.story.state.issues:
            others = [issue for issue in self.issues if issue != ref and self.random.random() < 0.3]
            self.story.approve(ref.number, repository=ref.repository, depends_on=tuple(others))
            return
        self.random.choice([*self._likely(ref), *self._possible(ref)])()
        self.story.later(self.random.choice((0, 0.1, 5)))
        if self.random.random() < 0.1:
            self._again()
        if self.random.random() < 0.6:
            self._round()

    def _again(self) -> None:
        """Something that was said is delivered once more."""
        event = self.random.choice(self.story.log)
        if event.actor != Actor.CONDUCTOR and not isinstance(event.data, IssueApproved):
            self.story.append(event)

    def _round(self) -> None:
        """Events may land between what a decision was made on and where it stands."""
        _, batch = self.story.decision()
        if self.random.random() < 0.3:
            ref = self.random.choice(self.issues)
            if ref in self.story.state.issues:
                said = [*self._likely(ref), *self._possible(ref)]
                self.random.choice([each for each in said if each != self._timer])()
        for event in batch:
            self.story.append(event)

    def check_content(self) -> None:
        """Timers fire, the conductor says all that it has to say, and the watch has nothing to say to that."""
        self.story.rounds()
        while any(timer.at <= self.story.now + AFTER for timer in self._timers()):
            self._timer()
            self.story.rounds()
        self.fold = Fold()
        for position, event in enumerate(self.story.log, start=1):
            self.fold.apply(Recorded(position, event.time, event))
        self.fold.look(self.story.now)
        for each in self.fold.agents:
            self.fold.seen(each, self.story.now)
        self.fold.read_to(self.fold.position, self.story.now)
        found = [
            draft.data
            for draft in check(self._later(), self.story.now + AFTER, self.policy)
            if isinstance(draft.data, HaltDetected)
        ]
        assert found == [], f"{found}\n{self._told()}"
        for ref, issue in self.story.state.issues.items():
            if not issue.state.final and issue.deadline is not None:
                watched = self.fold.issues[ref]
                assert watched.rest is None, self._told()
                assert watched.due is not None, self._told()
                assert (watched.due.kind, watched.due.at) == (issue.deadline.kind, issue.deadline.at), self._told()

    def _later(self) -> Fold:
        self.fold.watching = self.story.now - timedelta(days=1)
        return self.fold

    def _told(self) -> str:
        return "\n".join(
            f"{position} {event.on} {event.data}" for position, event in list(enumerate(self.story.log, 1))[-40:]
        )

    def _likely(self, ref: IssueRef) -> list[Callable[[], object]]:
        """What goes on: several times, so that something becomes of an issue."""
        story, issue = self.story, self.story.issue(ref)
        run = issue.ownership.run or "r-1"
        head = next((head for head in HEADS if sha(head) == issue.head), "a")
        if issue.ownership.open:
            if issue.ownership.run is None:
                return [lambda: story.start(ref, self.random.choice(RUNS))] * 8
            return [
                *[lambda: story.push(ref, self.random.choice(HEADS), run)] * 6,
                lambda: story.fail(ref, self.random.choice(list(FailureKind)), run=run),
            ]
        if issue.state in ("in_review", "merging"):
            asked = any(event.about == ref and event.on.endswith("merge_requested") for event in story.log)
            return [
                *[lambda: story.open(ref, head)] * 4,
                *[lambda: story.check(ref, head)] * 4,
                *[lambda: self._review(ref, head)] * 2,
                *[lambda: story.merge(ref)] * (3 if asked and issue.state == "merging" else 0),
            ]
        return []

    def _possible(self, ref: IssueRef) -> list[Callable[[], object]]:
        """Whatever can be said, whether or not it makes sense."""
        story, choice, issue = self.story, self.random.choice, self.story.issue(ref)
        head = choice(HEADS)
        wild: list[Callable[[], object]] = [
            lambda: story.check(ref, head, passed=False),
            lambda: story.check(ref, head),
            lambda: story.open(ref, head, choice((SMALL, None))),
            lambda: self._review(ref, head),
            lambda: story.add(choice((SHOP, OTHER)), self.reviewers),
            self._timer,
            self._timer,
        ]
        if issue.state != "refused":
            wild.append(lambda: story.approve(ref.number, repository=ref.repository))
        if issue.ownership.epoch:
            wild += [lambda: story.start(ref, choice(RUNS)), lambda: story.push(ref, head, choice(RUNS))]
        said = choice(self._words(ref, head))
        about: Ref = FLEET
        if isinstance(said[1], IssueEvent):
            about = ref
        elif isinstance(said[1], AgentEvent):
            about = choice((AGENT, *map(AgentRef, self.reviewers))) if isinstance(said[1], QuotaReported) else AGENT
        elif isinstance(said[1], RepoEvent):
            about = ref.repository
        return [*wild, *[lambda: story.say(said[0], about, said[1])] * 8]

    def _words(self, ref: IssueRef, head: str) -> list[tuple[Actor, Event]]:
        sure, owner, at = sha(head), self.story.issue(ref).ownership, self.story.now
        run, epoch, pull = owner.run or "r-1", max(1, owner.epoch), ref.number
        merged = self.story.issue(ref).merge_sha or sha("m")
        asked: list[tuple[Actor, Event]] = [
            (Actor.CLI, PriorityChanged(priority=self.random.choice(list(Priority)), by="ada")),
            (Actor.CLI, IssueRevised(title="Again", depends_on=())),
            (Actor.CLI, IssueRevised(labels=self.random.choice(((), ("wip",))))),
            *[(Actor.CLI, QuestionAnswered(epoch=epoch, run=each, answer="yes", by="ada")) for each in (run, *RUNS)],
            *[(Actor.CLI, each) for each in self._at_gates(sure)],
            (Actor.CLI, BudgetRaised(scope=f"issue:{ref}", limit_usd=50, until=at + timedelta(hours=1), by="ada")),
            (Actor.CLI, IssueWithdrawn(reason=Withdrawal.CLOSED, by="ada")),
            (Actor.CLI, Paused(scope=self.random.choice(("all", "role:dev-e")), by="ada")),
            *[(Actor.CLI, Resumed(scope=scope, by="ada")) for scope in ("all", "role:dev-e")],
            (Actor.CLI, Stopped(by="ada")),
            (Actor.CLI, IssueWithdrawn(by="ada")),
        ]
        asked += [
            (Actor.CLI, RetryRequested(by="ada")),
            (Actor.CLI, AssignRequested(to=self.random.choice(("dev-e", "dev-e-1", "dev-x")), by="ada")),
        ]
        told: list[tuple[Actor, Event]] = [
            (Actor.LOCAL, MergeConflicted(head_sha=sure, base_sha=BASE)),
            *[(Actor.LOCAL, MergeRefused(head_sha=sure, base_sha=BASE, reason=reason)) for reason in MergeRefusal],
            *[(Actor.LOCAL, PullRequestClosed(pull_request=each)) for each in (pull, 9)],
            (Actor.LOCAL, PullRequestClosed(pull_request=pull, superseded_by=9)),
            *[
                (Actor.LOCAL, ReviewAbstained(pull_request=pull, head_sha=sure, reviewer=each))
                for each in ("rita", "rob")
            ],
            *[
                (Actor.LOCAL, kind(sha=sure, workflow="ci", run="1", conclusion=ended, previous_conclusion=before))
                for kind, ended, before in BUILDS
            ],
            (Actor.LOCAL, Reverted(merge_sha=merged, revert_sha=sha("r"), by="ada")),
            *[(Actor.DEV_E, QuestionAsked(epoch=epoch, run=each, question="which?")) for each in (run, *RUNS)],
            (Actor.DEV_E, TokensUsed(epoch=epoch, run=run, provider="any", cost_usd=3.0)),
            (Actor.WATCH, AgentSilent(since=at)),
            (Actor.WATCH, AgentBack(since=at)),
            (Actor.DEV_E, QuotaReported(provider="any", five_hour_percent=100, weekly_percent=1)),
            (Actor.DEV_E, QuotaReported(provider="any", five_hour_percent=1, weekly_percent=1)),
        ]
        there = Environment.STAGING
        delivered: list[tuple[Actor, Event]] = [
            (Actor.CLI, Deployed(environment=there, sha=merged)),
            (Actor.CLI, Deployed(environment=there, sha=sure)),
            (Actor.CLI, Deployed(environment=Environment.PRODUCTION, sha=merged)),
            (Actor.CLI, SmokeFailed(environment=there, attempt=self.random.randint(1, 4), reason="down")),
            (Actor.CLI, SmokePassed(environment=there)),
            (Actor.CLI, EndToEndFailed(passed=1, failed=1, total=2, duration_ms=1)),
            (Actor.CLI, EndToEndPassed(passed=2, total=2, duration_ms=1)),
            (Actor.CLI, Verified(environment=there, by="ada")),
        ]
        return self.random.choice((asked, told, delivered))

    def _at_gates(self, head: str) -> list[Event]:
        """A person's answers; who may not, and at the wrong gate, too."""
        reason: GateReason | None = self.random.choice((None, None, *GateReason))
        by = self.random.choice(("ada", "ada", "eve"))
        return [
            kind(head_sha=at, reason=reason, by=by, note="seen")
            for kind in (GateApproved, GateApproved, GateRejected, GateBypassed)
            for at in (head, None)
        ]

    def _timer(self) -> None:
        """The next deadline is over; until then the conductor did not sleep."""
        self.story.rounds()
        if timers := self._timers():
            timer = min(timers, key=lambda timer: timer.at)
            self.story.now = max(self.story.now, timer.at)
            passed = timer.passed()
            self.story.say(Actor.CONDUCTOR, passed.about, passed.data)

    def _timers(self) -> list[Timer]:
        """Of every deadline that lives."""
        state = self.story.state
        agents: list[Owner] = [(name, kind) for name, agent in state.agents.items() for kind in agent.deadlines]
        owners: list[Owner] = [*state.issues, *agents, *state.deadlines]
        return [timer for owner in owners if (timer := live(state, owner)) is not None]

    def _review(self, ref: IssueRef, head: str) -> None:
        kind = self.random.choice((ReviewPassed, ReviewPassed, ReviewDisputed))
        self.story.say(
            Actor.LOCAL, ref, kind(pull_request=ref.number, head_sha=sha(head), reviewer="rita", summary="x")
        )


@pytest.mark.parametrize("seeds", WALKS, ids=str)
def test_when_the_conductor_has_spoken_the_watch_is_content(seeds: range):
    for seed in seeds:
        walk = Walk(seed)
        for number in range(STEPS):
            walk.step()
            if number % 7 == 0:
                walk.check_content()
