"""What the conductor knows: the fold of the log, and the indexes that `decide` needs.

Plain data. evolve.py alone changes it, decide.py alone draws conclusions from it.
"""

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct, field

from schemas import (
    AssignReason,
    DeadlineKind,
    IssueRef,
    IssueState,
    Ownership,
    Policy,
    Priority,
    RepoRef,
    WaitingReason,
)


class Deadline(Struct, frozen=True):
    """By when what an issue waits for must have come."""

    kind: DeadlineKind
    at: datetime
    id: str
    """Of its DeadlineSet."""
    passed: bool = False


class Verdict(Struct, frozen=True):
    """The latest word of one facet (checks, or review) on one head commit."""

    passed: bool
    time: datetime
    """The source's own."""
    findings: str
    base: str | None = None
    """For checks: the base commit that they ran on."""


class Issue(Struct):
    """One issue, as the log tells it."""

    ref: IssueRef
    id: str
    """Of its approval: what correlates all that follows."""
    cause: str
    """Id of the event that brought it where it stands."""
    position: int
    """Of its approval: its age."""
    approved_at: datetime
    since: datetime
    """When it came into its state, by the source's clock."""
    priority: Priority
    depends_on: tuple[IssueRef, ...]
    heard: set[str] = field(default_factory=set[str])
    """Ids of what people asked: their natural key, since the same wish may be uttered twice."""

    state: IssueState = IssueState.QUEUED
    ownership: Ownership = field(default_factory=Ownership)
    reason: AssignReason = AssignReason.NEW
    """Why it would be assigned next."""
    backoff: bool = False
    """Whether it rests before it may be assigned again."""
    retry_at: datetime | None = None
    waited: int = 0
    """Waiting deadlines that have passed since it came into its state."""
    waiting: tuple[tuple[WaitingReason, ...], tuple[IssueRef, ...]] | None = None
    """What was last said of why it waits, and for what."""
    cycle: tuple[IssueRef, ...] = ()
    """The dependencies that lead from this issue back to it; empty: none."""
    deadline: Deadline | None = None

    attempts: int = 0
    """Runs that failed for a reason of the work."""
    failed_runs: int = 0
    unassignments: int = 0
    """Claims in a row that never came, fell silent, or died and were taken over."""
    conflicts: int = 0
    review_rounds: int = 0
    forge_retries: int = 0
    findings: str = ""

    agent: str | None = None
    session: str | None = None
    pull_request: int | None = None
    head: str | None = None
    """The owner's last push: the only head that may be merged."""
    pull_request_head: str | None = None
    review_asked: str | None = None
    """The head that a review was asked for."""
    checks: dict[str, Verdict] = field(default_factory=dict[str, Verdict])
    reviews: dict[str, dict[str, Verdict]] = field(default_factory=dict[str, dict[str, Verdict]])
    """By head, then by reviewer."""
    base_moved: datetime | None = None
    """When the forge last said that the base had moved: a verdict from before that is about another base."""
    merge_refused: bool = False
    """Whether the forge refused the last request for a reason that a person must mend."""
    merge_sha: str | None = None

    @property
    def wants_work(self) -> bool:
        """Whether the next word should be an assignment."""
        waiting = (IssueState.QUEUED, IssueState.CHANGES_REQUESTED, IssueState.MERGE_CONFLICT)
        return self.state in waiting and self.merge_sha is None

    @property
    def age(self) -> tuple[int, int]:
        """The static key by which issues get work: the most urgent first, then the oldest."""
        return self.priority.rank, self.position


class Repository(Struct):
    """A repository under the rig."""

    configured: bool = False
    reviewers: tuple[str, ...] = ()


class Agent(Struct):
    """A replica that has joined."""

    boot: str
    role: str
    slots: int


class State(Struct):
    """The whole fold at `position`."""

    position: int = 0
    policy: Policy | None = None
    policy_hash: str = ""
    decided: int = 0
    """Position of the last Decided; 0: none."""
    decided_count: int = 0
    decided_now: datetime | None = None
    rules: int = 0
    """The newest rules that any Decided names."""
    issues: dict[IssueRef, Issue] = field(default_factory=dict[IssueRef, Issue])
    repositories: dict[RepoRef, Repository] = field(default_factory=dict[RepoRef, Repository])
    agents: dict[str, Agent] = field(default_factory=dict[str, Agent])

    named: set[IssueRef] = field(default_factory=set[IssueRef])
    """Issues that some issue named as a dependency: only these can close a cycle."""
    unsettled: set[IssueRef] = field(default_factory=set[IssueRef])
    """Issues of which something may be due beyond an assignment; see `settled`."""
    wanting: set[IssueRef] = field(default_factory=set[IssueRef])
    """Issues whose next word should be an assignment."""
    working: set[IssueRef] = field(default_factory=set[IssueRef])
    """Issues with an open epoch: each holds a slot."""

    @property
    def batch_complete(self) -> bool:
        """Whether the last batch of decisions was read to its end: only then may another be made."""
        return self.position >= self.decided + self.decided_count

    def slots_free(self, role: str) -> int:
        """How many more runs the role's replicas take."""
        return sum(agent.slots for agent in self.agents.values() if agent.role == role) - len(self.working)

    def unmet(self, issue: Issue) -> Iterator[IssueRef]:
        """The dependencies that are not done, unknown ones included."""
        for ref in issue.depends_on:
            other = self.issues.get(ref)
            if other is None or other.state is not IssueState.DONE:
                yield ref


def awaits(issue: Issue, reviewers: tuple[str, ...]) -> DeadlineKind | None:
    """What an issue waits for in its state; None: for nothing (it is final, or ready for the next word)."""
    match issue.state:
        case IssueState.QUEUED | IssueState.CHANGES_REQUESTED | IssueState.MERGE_CONFLICT:
            return DeadlineKind.BACKOFF if issue.backoff else DeadlineKind.WAITING
        case IssueState.ASSIGNED:
            return DeadlineKind.CLAIM
        case IssueState.IN_PROGRESS:
            return DeadlineKind.RUN
        case IssueState.IN_REVIEW:
            if issue.head is None or issue.pull_request_head != issue.head:
                return DeadlineKind.PULL_REQUEST
            if issue.head not in issue.checks:
                return DeadlineKind.CHECKS
            return DeadlineKind.REVIEW if reviewers and not issue.reviews.get(issue.head) else None
        case IssueState.MERGING:
            return DeadlineKind.MERGE
        case _:
            return None


def settled(issue: Issue, repository: Repository | None) -> bool:
    """Whether nothing can be due of this issue, under any policy, until the log says more (an assignment aside)."""
    if issue.state.final:
        return not issue.ownership.open and (issue.merge_sha is None or issue.state is IssueState.DONE)
    if issue.merge_sha is not None or repository is None or (issue.cycle and issue.wants_work):
        return False
    kind = awaits(issue, repository.reviewers)
    if issue.deadline is None or issue.deadline.passed or issue.deadline.kind is not kind:
        return False
    return not review_due(issue, repository.reviewers)


def review_due(issue: Issue, reviewers: tuple[str, ...]) -> bool:
    """Whether a review of the current head is still to be asked for."""
    return (
        bool(reviewers)
        and issue.state is IssueState.IN_REVIEW
        and issue.head is not None
        and issue.pull_request_head == issue.head
        and not issue.reviews.get(issue.head)
        and issue.review_asked != issue.head
    )
