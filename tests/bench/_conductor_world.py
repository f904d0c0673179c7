"""A rig in memory for the benchmarks of the conductor: a log, the fold of it, repositories, replicas, issues.

Nothing here reads a clock or is random beyond its seed. Whoever answers the conductor is in _conductor_cast.py.
"""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count

from bus.stored import Stored
from conductor.decide import ROUND_MAX, decide, may_decide, moment
from conductor.evolve import evolve
from conductor.shell import compose
from conductor.state import Issue, State
from schemas import (
    FLEET,
    Actor,
    AgentCapacityChanged,
    AgentJoined,
    AgentRef,
    Budget,
    Draft,
    Envelope,
    Event,
    IssueApproved,
    IssueRef,
    Policy,
    PolicyAdopted,
    Priority,
    Ref,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    RolePolicy,
    encode,
    envelope,
)

REPOSITORIES = [RepoRef(owner, f"{name}-{part}") for owner in ("acme", "globex") for name in ("shop", "web", "data")
                for part in ("api", "ui", "jobs", "docs")]  # fmt: skip
LARGEST = REPOSITORIES[0]
"""Three issues of ten are about this one."""
PROFILES = (("python",), ("python", "docker"), ("node",), ("node", "docker", "browser"), ("python", "node", "gpu"))
NEEDS = ((), (), (), ("python",), ("node",), ("docker",), ("browser", "node"), ("gpu",))
PRIORITIES = (Priority.CRITICAL, Priority.HIGH, *[Priority.NORMAL] * 5, *[Priority.LOW] * 3)
REVIEWERS = ("ada", "grace")
MILESTONE_OF = 40
"""Issues that make one milestone, where they belong to one."""
BASE = "b" * 40
POLICY = Policy(
    budget=Budget(issue_usd=50, repository_day_usd=500_000, day_usd=900_000, breaker_usd=25),
    roles={"dev-e": RolePolicy(day_usd=900_000)},
)


class World:
    """A log, whoever speaks in it, and the conductor's fold of it."""

    def __init__(self, *, replicas: int, record: bool = False, seed: int = 4) -> None:
        self.state = State()
        self.now = datetime(2026, 1, 1, 9, 0, tzinfo=UTC)
        self.random = random.Random(seed)  # noqa: S311 - nothing here is secret
        self.log: list[Stored] | None = [] if record else None
        """What was said, as the bus hands it over."""
        self.approved: list[IssueRef] = []
        self._numbers = count(1)
        self._spoken = count(1)
        self.adopt(POLICY)
        for place, repository in enumerate(REPOSITORIES):
            self.add(repository, REVIEWERS if place % 2 else ())
        for number in range(1, replicas + 1):
            self._join(f"dev-e-{number}", PROFILES[number % len(PROFILES)], degraded=number % 20 == 0)

    # ── what is there ────────────────────────────────────────────────────────

    def adopt(self, policy: Policy) -> None:
        self.say(Actor.CLI, FLEET, PolicyAdopted(policy=policy, hash=policy.digest(), by="ada"))

    def add(self, repository: RepoRef, reviewers: tuple[str, ...] = ()) -> None:
        added = RepositoryAdded(clone_url="repo", check="true", reviewers=reviewers, by="ada")
        self.say(Actor.CLI, repository, added)
        looked = RepositoryConfigured(
            base_branch="main", base_sha=BASE, clone_url="repo", check="true", reviewers=reviewers
        )
        self.say(Actor.LOCAL, repository, looked)

    def _join(self, name: str, capabilities: tuple[str, ...], *, degraded: bool) -> None:
        joined = AgentJoined(
            boot="b1", role="dev-e", provider="scripted", slots=1, version="0", capabilities=capabilities
        )
        self.say(Actor.DEV_E, AgentRef(name), joined)
        if degraded:
            self.say(Actor.DEV_E, AgentRef(name), AgentCapacityChanged(boot="b1", slots=1, degraded=("git",)))

    def approve(self, times: int = 1) -> None:
        """New issues. A third depend on one or two others, of any repository; a few on one that is not known yet."""
        for _ in range(times):
            number = next(self._numbers)
            draw = self.random.random
            repository = LARGEST if draw() < 0.3 else self.random.choice(REPOSITORIES)
            ref = IssueRef(repository.owner, repository.repo, number)
            depends_on: list[IssueRef] = []
            if draw() < 1 / 3 and self.approved:
                recent = self.approved[-2_000:]
                depends_on = [self.random.choice(recent) for _ in range(self.random.choice((1, 2)))]
            if draw() < 0.01:
                depends_on.append(IssueRef(repository.owner, repository.repo, number + 1))
            approved = IssueApproved(
                title=f"Issue {number}: a discount of 10 percent takes 10 cents off",
                body="The total is wrong when the cart holds more than one. " * 12,
                author=self.random.choice(REVIEWERS),
                priority=self.random.choice(PRIORITIES),
                depends_on=tuple(dict.fromkeys(depends_on)),
                milestone=f"m-{number // MILESTONE_OF}" if draw() < 0.1 else None,
                labels=("bug",) if draw() < 0.5 else (),
                requires=self.random.choice(NEEDS),
            )
            self.say(Actor.LOCAL, ref, approved)
            self.approved.append(ref)

    # ── the log ──────────────────────────────────────────────────────────────

    def say(self, actor: Actor, about: Ref, data: Event) -> None:
        """Somebody's word, as the next position. About an issue that is known, it names what led to it."""
        self.now += timedelta(milliseconds=50)
        issue = self.state.issues.get(about) if isinstance(about, IssueRef) else None
        cause, correlation = (issue.cause, issue.id) if issue is not None else (None, None)
        draft = Draft(about=about, data=data, cause=cause, correlation=correlation)
        said = f"{actor}:{next(self._spoken)}"
        self.append(envelope(draft, id=said, actor=actor, source=f"{actor}/1", time=self.now))

    def append(self, event: Envelope) -> None:
        if self.log is not None:
            self.log.append(Stored(len(self.log) + 1, event.on, event.time, {}, encode(event)))
        evolve(self.state, event, self.state.position + 1)

    def decide(self) -> list[Draft]:
        """What one round says of the log as it stands."""
        policy = self.state.policy
        assert policy is not None
        assert may_decide(self.state)
        drafts = decide(self.state, moment(self.state, self.now), policy)
        assert len(drafts) <= ROUND_MAX
        return drafts

    def land(self, drafts: Sequence[Draft]) -> None:
        """Appends a round."""
        if drafts:
            for event in compose(drafts, self.state, moment(self.state, self.now), "conductor"):
                self.append(event)

    def issue(self, ref: IssueRef) -> Issue:
        return self.state.issues[ref]
