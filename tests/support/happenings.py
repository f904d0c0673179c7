"""Everything that may happen to a rig, as rules of a state machine: Hypothesis chooses which, in which order.

Most runs should come far, or what holds holds of nothing: several rules let everybody do what should happen next.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from conductor.timers import Timer
from schemas import (
    FLEET,
    Actor,
    AssignRequested,
    Budget,
    BudgetRaised,
    DeadlineKind,
    Delivery,
    Environment,
    GateReason,
    Gates,
    IssueApproved,
    IssueRef,
    IssueRevised,
    IssueWithdrawn,
    MainChecksFailed,
    MainChecksPassed,
    Overrides,
    Paused,
    Policy,
    Priority,
    PriorityChanged,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryRemoved,
    Resumed,
    RolePolicy,
    RunConclusion,
    Stopped,
    Tier,
    Tiers,
)
from tests.support.everybody import APPROVER, REVIEWERS, Everybody
from tests.support.story import sha
from tests.support.world import World

P = ParamSpec("P")
SHOPS = (RepoRef("demo", "shop"), RepoRef("demo", "site"))
ISSUES = [IssueRef("demo", "shop", number) for number in (1, 2, 3)] + [IssueRef("demo", "site", 1)]
REPLICAS = ("dev-e-1", "dev-e-2", "ops-e-1")
MONEY = Budget(run_usd=2, issue_usd=7, repository_day_usd=9, day_usd=12, breaker_usd=5)
SHIPPED = Delivery(environment=Environment.STAGING, smoke=True, end_to_end=True, verified=True)
POLICIES = (
    Policy(budget=Budget(run_usd=0)),
    Policy(budget=MONEY, tiers=Tiers(promote_after=2), roles={"dev-e": RolePolicy(day_usd=8)}),
    Policy(
        budget=MONEY,
        delivery=SHIPPED,
        gates=Gates(approvers=(APPROVER,)),
        tiers=Tiers(otherwise=Tier.T2, promote_after=1),
        attempts_max=2,
        review_rounds_max=2,
        conflicts_max=2,
        unassignments_max=2,
        failed_runs_max=2,
        forge_retries_max=2,
    ),
    Policy(
        budget=Budget(run_usd=1, breaker_usd=2),
        repository_in_progress_max=1,
        roles={"dev-e": RolePolicy(scale_to=2, in_progress_max=2)},
        schedules={"tidy": 3_600},
        tiers=Tiers(otherwise=Tier.T3),
    ),
)
LUCK = st.integers(0, 24)
"""Of everybody's: see everybody.py."""
some_issue, some_replica = st.sampled_from(ISSUES), st.sampled_from(REPLICAS)


Step: TypeAlias = Callable[Concatenate["Happenings", P], None]


def happens(**what: st.SearchStrategy[Any]) -> Callable[[Step[P]], Any]:
    """A rule, after which everybody else may do what should happen next, for a run that gets nowhere shows nothing; and
    a conductor decides, that has heard of it or has not."""

    def of(step: Step[P]) -> Any:
        @rule(then=st.one_of(st.none(), LUCK), **what)
        @wraps(step)
        def happening(self: "Happenings", then: int | None, *args: P.args, **kwargs: P.kwargs) -> None:
            late, ahead = self.world.readers[0], self.world.whole
            late.read()
            step(self, *args, **kwargs)
            if then is not None:
                self.everybody(then)
                (late if then % 2 else ahead).decide()

        return happening

    return of


class Happenings(RuleBasedStateMachine):
    """Everything that may happen to a rig, in any order. What must hold meanwhile is a subclass's."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.others = Everybody(self.world)

    @initialize(
        policy=st.sampled_from(POLICIES),
        reviewers=st.sampled_from([(), (), ("review-e",), REVIEWERS]),
        lucks=st.lists(LUCK, max_size=8),
    )
    def begin(self, policy: Policy, reviewers: tuple[str, ...], lucks: list[int]) -> None:
        self.others.adopt(policy)
        for shop in SHOPS:
            self._configure(shop, reviewers, ())
        self.others.join("dev-e-1", "dev-e", 2, ("python",))
        for number, ref in enumerate(ISSUES[:3]):
            self._approve(ref, milestone="m" if number else None)
        for luck in lucks:
            self.everybody(luck)
            self.rounds()

    # ── the path ─────────────────────────────────────────────────────────────

    @rule(ref=some_issue, lucks=st.lists(LUCK, min_size=1, max_size=8), deciding=st.integers(0, 3))
    def goes_on(self, ref: IssueRef, lucks: list[int], deciding: int) -> None:
        """Whoever's turn it is takes it, one after another."""
        for luck in lucks:
            if ref in self.world.cases:
                self.others.go_on(ref, luck)
            else:
                self._approve(ref)
            self.world.later(1)
            if deciding:
                self.rounds()
            else:
                self.world.whole.decide()

    @rule(lucks=st.lists(LUCK, min_size=4, max_size=10))
    def everything_goes_on(self, lucks: list[int]) -> None:
        for luck in lucks:
            self.everybody(luck)
            self.rounds()

    @rule(count=st.integers(5, 12), luck=st.integers(11, 19))
    def a_good_day(self, count: int, luck: int) -> None:
        for _ in range(count):
            self.everybody(luck)
            self.rounds()

    @rule(lucks=st.lists(LUCK, min_size=4, max_size=12), counts=st.lists(st.integers(0, 3), min_size=3, max_size=3))
    def goes_on_while_conductors_lag(self, lucks: list[int], counts: list[int]) -> None:
        """Words land between what was decided on and the decision."""
        for number, luck in enumerate(lucks):
            reader = self.world.readers[luck % 2]
            reader.read()
            for ref in ISSUES[: counts[0] % 4 + 1]:
                if ref in self.world.cases:
                    self.others.go_on(ref, luck)
            reader.read(counts[number % 3])
            reader.decide()

    def everybody(self, luck: int) -> None:
        for ref in ISSUES:
            if ref in self.world.cases:
                self.others.go_on(ref, luck)
        self.world.later(1)

    # ── conductors ───────────────────────────────────────────────────────────

    @rule()
    def rounds(self) -> None:
        """A conductor that has read everything decides until it has nothing more to say."""
        self.world.rounds()

    @rule(number=st.integers(0, 1), count=st.integers(1, 12), decides=st.booleans())
    def reads(self, number: int, count: int, decides: bool) -> None:
        """One that has read a part, of a batch perhaps, may decide on that."""
        reader = self.world.readers[number]
        reader.read(count)
        if decides:
            reader.decide()

    @rule(number=st.integers(0, 1), decides=st.booleans())
    def catches_up(self, number: int, decides: bool) -> None:
        reader = self.world.readers[number]
        reader.read()
        if decides:
            reader.decide()

    @rule(number=st.integers(0, 1))
    def dies(self, number: int) -> None:
        self.world.begins_anew(number)

    # ── people ───────────────────────────────────────────────────────────────

    @happens(
        ref=some_issue,
        priority=st.sampled_from(list(Priority)),
        depends_on=st.one_of(st.none(), some_issue),
        milestone=st.sampled_from(["", "m"]),
        requires=st.sampled_from([(), (), (), ("python",), ("gpu",)]),
    )
    def is_approved(
        self, ref: IssueRef, priority: Priority, depends_on: IssueRef | None, milestone: str, requires: tuple[str, ...]
    ) -> None:
        on = () if depends_on is None else (depends_on,)
        self._approve(ref, priority=priority, depends_on=on, milestone=milestone or None, requires=requires)

    def _approve(self, ref: IssueRef, **fields: object) -> None:
        values: dict[str, object] = {"title": "Fix it", "author": "ada", **fields}
        self.world.say(Actor.LOCAL, ref, IssueApproved(**values))  # pyright: ignore[reportArgumentType]

    @happens(
        ref=some_issue,
        depends_on=st.one_of(st.none(), some_issue),
        labels=st.sampled_from([(), ("wip",)]),
        milestone=st.sampled_from(["m", "n", None]),
    )
    def revise(
        self, ref: IssueRef, depends_on: IssueRef | None, labels: tuple[str, ...], milestone: str | None
    ) -> None:
        on = () if depends_on is None else (depends_on,)
        self.world.say(Actor.CLI, ref, IssueRevised(depends_on=on, labels=labels, milestone=milestone))

    @happens(ref=some_issue, what=st.integers(0, 5))
    def somebody_interferes(self, ref: IssueRef, what: int) -> None:
        said = (
            Stopped(by="ada"),
            IssueWithdrawn(by="ada"),
            PriorityChanged(priority=Priority.CRITICAL, by="ada"),
            AssignRequested(to="ops-e", by="ada"),
            AssignRequested(to="dev-e-2", by="ada"),
            AssignRequested(to="dev-e", by="ada"),
        )[what]
        self.world.say(Actor.CLI, ref, said)

    @happens(
        ref=some_issue,
        luck=st.integers(0, 6),
        reason=st.one_of(st.none(), st.sampled_from(list(GateReason))),
        stale=st.booleans(),
    )
    def answers_a_gate(self, ref: IssueRef, luck: int, reason: GateReason | None, stale: bool) -> None:
        if ref in self.world.cases:
            head = sha("first") if stale else self.world.cases[ref].head
            self.others.answer(ref, head, luck, reason)

    @happens(scope=st.sampled_from(["all", "role:dev-e", "repository:demo/shop"]), resume=st.booleans())
    def pauses(self, scope: str, resume: bool) -> None:
        said = Resumed(scope=scope, by="ada") if resume else Paused(scope=scope, by="ada")
        self.world.say(Actor.CLI, FLEET, said)

    @happens(scope=st.sampled_from(["day", "role:dev-e", "issue:demo/shop#1"]), hours=st.integers(-1, 30))
    def raises_a_budget(self, scope: str, hours: int) -> None:
        until = self.world.now + timedelta(hours=hours)
        self.world.say(Actor.CLI, FLEET, BudgetRaised(scope=scope, limit_usd=20, until=until, by="ada"))

    @happens(policy=st.sampled_from(POLICIES))
    def adopts(self, policy: Policy) -> None:
        self.others.adopt(policy)

    # ── repositories ─────────────────────────────────────────────────────────

    @happens(
        repository=st.sampled_from(SHOPS),
        reviewers=st.sampled_from([(), ("review-e",), REVIEWERS]),
        needs=st.sampled_from([(), (), ("python",)]),
    )
    def configures(self, repository: RepoRef, reviewers: tuple[str, ...], needs: tuple[str, ...]) -> None:
        self._configure(repository, reviewers, needs)

    def _configure(self, repository: RepoRef, reviewers: tuple[str, ...], needs: tuple[str, ...]) -> None:
        if repository not in self.world.whole.state.repositories:
            added = RepositoryAdded(clone_url="repo", check="true", reviewers=reviewers, by="ada")
            self.world.say(Actor.CLI, repository, added)
        configured = RepositoryConfigured(
            base_branch="main",
            base_sha=sha("base 0"),
            clone_url="repo",
            check="true",
            reviewers=reviewers,
            capabilities=needs,
            overrides=Overrides(in_progress_max=1) if needs else None,
        )
        self.world.say(Actor.LOCAL, repository, configured)

    @happens(repository=st.sampled_from(SHOPS))
    def removes(self, repository: RepoRef) -> None:
        self.world.say(Actor.CLI, repository, RepositoryRemoved(by="ada"))

    @happens(
        repository=st.sampled_from(SHOPS),
        red=st.booleans(),
        before=st.sampled_from([None, RunConclusion.SUCCESS, RunConclusion.FAILURE]),
        age=st.integers(0, 2),
    )
    def main_is_checked(self, repository: RepoRef, red: bool, before: RunConclusion | None, age: int) -> None:
        conclusion = RunConclusion.FAILURE if red else RunConclusion.SUCCESS
        kind = MainChecksFailed if red else MainChecksPassed
        said = kind(sha=sha("main"), workflow="ci", run="1", conclusion=conclusion, previous_conclusion=before)
        self.world.say(Actor.LOCAL, repository, said, age=age)

    # ── the fleet ────────────────────────────────────────────────────────────

    @happens(name=some_replica, slots=st.integers(1, 2), gpu=st.booleans())
    def joins(self, name: str, slots: int, gpu: bool) -> None:
        self.others.join(name, name[:5], slots, ("gpu",) if gpu else ("python",))

    @happens(
        name=some_replica,
        what=st.sampled_from(["leaves", "dies", "changes", "degrades", "falls silent", "is back", "quota"]),
        number=st.integers(0, 3),
    )
    def something_befalls(self, name: str, what: str, number: int) -> None:
        self.others.of_replica(name, what, number)

    @happens(reviewer=st.sampled_from(REVIEWERS), percent=st.sampled_from([10, 100]), resets=st.booleans())
    def a_reviewer_has_quota(self, reviewer: str, percent: int, resets: bool) -> None:
        self.others.quota(reviewer, percent, resets=resets)

    @happens(ref=some_issue, luck=LUCK)
    def takes_over(self, ref: IssueRef, luck: int) -> None:
        if ref in self.world.cases:
            self.others.claim(ref, luck)

    @happens(number=st.integers(0, 30), luck=LUCK)
    def speaks_late(self, number: int, luck: int) -> None:
        """Any run that ever was, whether it owns anything or not."""
        if self.others.runs:
            self.others.work(self.others.runs[number % len(self.others.runs)], luck)

    # ── the forge ────────────────────────────────────────────────────────────

    @happens(
        ref=some_issue,
        what=st.integers(0, 9),
        old=st.booleans(),
        age=st.sampled_from([0, 0, 1, 5]),
    )
    def the_forge_says(self, ref: IssueRef, what: int, old: bool, age: int) -> None:
        """Anything, of any head, as of some time ago."""
        case = self.world.cases.get(ref)
        if case is None:
            return
        head = sha("first") if old or case.head is None else case.head
        match what:
            case 0:
                self.others.show(ref, head, age=age)
            case 1:
                self.others.check(ref, head, passed=True, age=age)
            case 2:
                self.others.check(ref, head, passed=False, age=age)
            case 3:
                self.others.check(ref, head, passed=True, base=sha("base 9"), age=age)
            case 4:
                self.others.close(ref, 9 if old else None)
            case 5:
                self.others.merge(ref, age)
            case 6:
                self.others.merge_by_hand(ref)
            case 7:
                self.others.revert(ref)
            case _:
                self.others.review(ref, REVIEWERS[what % 3], head, age)

    @happens(ref=some_issue, luck=LUCK, environment=st.sampled_from(list(Environment)))
    def is_delivered(self, ref: IssueRef, luck: int, environment: Environment) -> None:
        if ref in self.world.cases:
            self.others.deliver(ref, luck, environment=environment)

    # ── time ─────────────────────────────────────────────────────────────────

    @happens(seconds=st.sampled_from([1, 60, 3_600, 90_000]))
    def later(self, seconds: int) -> None:
        self.world.later(seconds)

    @happens(early=st.booleans())
    def the_next_timer_fires(self, early: bool) -> None:
        timers = self.world.live_timers()
        if timers:
            self.fires(timers[0], early)

    @happens(number=st.integers(0, 40), early=st.booleans())
    def any_timer_fires(self, number: int, early: bool) -> None:
        """Live, passed, void: whatever was set once."""
        if self.world.timers:
            self.fires(self.world.timers[-1 - number % len(self.world.timers)], early)

    @happens(ref=some_issue, kind=st.sampled_from(list(DeadlineKind)))
    def a_timer_fires_that_nobody_set(self, ref: IssueRef, kind: DeadlineKind) -> None:
        self.world.fire(Timer(kind, self.world.now, f"never-{len(self.world.log)}", issue=ref))

    def fires(self, timer: Timer, early: bool) -> None:
        if not early:
            self.world.now = max(self.world.now, timer.at)
        self.world.fire(timer)

    @happens(number=st.integers(0, 400))
    def is_delivered_twice(self, number: int) -> None:
        self.world.again(len(self.world.log) - number % len(self.world.log))

    @happens(count=st.integers(2, 30))
    def the_last_are_delivered_twice(self, count: int) -> None:
        """And in no order."""
        for position in range(len(self.world.log), max(0, len(self.world.log) - count), -1):
            self.world.again(position)
