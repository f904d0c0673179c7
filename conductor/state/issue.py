"""One issue, as the log tells it."""

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct, field

from conductor.state.money import Account, Micros
from schemas import (
    AssignReason,
    Changes,
    DeadlineKind,
    Event,
    GateReason,
    IssueRef,
    IssueState,
    Ownership,
    Priority,
    RepoRef,
    WaitingReason,
)


class Facet(StrEnum):
    """What people say of an issue, each by itself: the later word counts."""

    WANTED = "wanted"
    """Approved, or withdrawn."""
    PRIORITY = "priority"
    DEPENDS_ON = "depends_on"
    REQUIRES = "requires"
    MILESTONE = "milestone"
    LABELS = "labels"


class Deadline(Struct, frozen=True):
    """By when what is waited for must have come."""

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


class Gate(Struct):
    """Where a person must let the issue through."""

    since: datetime
    open: bool = True


GateKey: TypeAlias = tuple[GateReason, str | None]
"""Why, and for which head: a new head is a new gate."""
Lane: TypeAlias = tuple[str | None, RepoRef, tuple[str, ...]]
"""What issues have in common that compete for work: the role asked for, the repository, what they require."""


class Review(Struct):
    """Who was asked about one head, and what they said."""

    asked: list[str] = field(default_factory=list[str])
    abstained: set[str] = field(default_factory=set[str])
    verdicts: dict[str, Verdict] = field(default_factory=dict[str, Verdict])


class Delivered(Struct):
    """What happened to the merge since."""

    deployed: set[str] = field(default_factory=set[str])
    """The commits that are live. One may be before anybody knows that it is the merge."""
    smoke_passed: bool = False
    smoke_failures: set[int] = field(default_factory=set[int])
    """Attempts."""
    end_to_end: bool | None = None
    tested: datetime | None = None
    """When that was said, by the source's clock."""
    verified: bool = False

    def failed_no_more(self) -> None:
        """It is tried again: what passed has passed."""
        self.smoke_failures.clear()
        self.end_to_end = self.end_to_end or None


class Issue(Struct):
    """One issue: facts, and where they have brought it."""

    ref: IssueRef
    id: str
    """Of its approval: what correlates all that follows."""
    cause: str
    """Id of the event that brought it where it stands."""
    position: int
    """Of its approval."""
    approved_at: datetime
    since: datetime
    """When it came into its state, by the source's clock."""
    priority: Priority
    depends_on: tuple[IssueRef, ...]
    labels: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    """Sorted."""
    milestone: str | None = None
    heard: set[str] = field(default_factory=set[str])
    """Ids of what people asked and runs spent: their natural key, since the same may be said twice and meant twice."""

    facets: dict[Facet, tuple[str, datetime]] = field(default_factory=dict[Facet, tuple[str, datetime]])
    """Who said last how it is with each, and when, by their clock."""

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
    told: int = 0
    """What people were told of its waiting: 1, nobody works on it; 2, somebody must look."""
    cycle: tuple[IssueRef, ...] = ()
    """The dependencies that lead from this issue back to it; empty: none."""
    deadline: Deadline | None = None

    attempts: int = 0
    """Runs that failed for a reason of the work."""
    failed_runs: int = 0
    """Runs in a row that failed for another reason."""
    unassignments: int = 0
    """Claims in a row that never came, fell silent, or died and were taken over."""
    conflicts: int = 0
    review_rounds: int = 0
    forge_retries: int = 0
    findings: str = ""

    wanted_role: str | None = None
    """Asked for by a person; None: the policy's."""
    wanted_agent: str | None = None
    """Asked for by a person, and nobody has claimed it since."""
    role: str = ""
    """That it was last assigned to."""
    agent: str | None = None
    """Whose session is to be gone on with."""
    session: str | None = None
    workers: set[str] = field(default_factory=set[str])
    """The replicas that have worked on it, and their roles."""
    question: str | None = None
    """The run that waits for an answer."""

    pull_request: int | None = None
    pull_request_author: str = ""
    pull_request_head: str | None = None
    pull_request_closed: bool = False
    shown: datetime | None = None
    """When the forge last said how the pull request stands."""
    changes: Changes | None = None
    """Of the pull request's head."""
    kind: str = ""
    """Of change, as the pull request shows it."""
    head: str | None = None
    """The owner's last push: the only head that may be merged."""
    checks: dict[str, Verdict] = field(default_factory=dict[str, Verdict])
    reviews: dict[str, Review] = field(default_factory=dict[str, Review])
    """By head."""
    base_moved: datetime | None = None
    """When the forge last said that the base had moved: a verdict from before that is about another base."""
    answered: datetime | None = None
    """When the forge last answered a request to merge."""
    answers: set[Event] = field(default_factory=set[Event])
    """What it said then."""
    merge_refused: bool = False
    """Whether the forge refused the last request for a reason that a person must mend."""
    merge_sha: str | None = None
    merges: set[str] = field(default_factory=set[str])
    """All there were: one that was taken out again does not come back by being said twice."""
    delivered: Delivered = field(default_factory=Delivered)
    reverted: bool = False

    gates: dict[GateKey, Gate] = field(default_factory=dict[GateKey, Gate])
    guarded: bool = False
    """Whether a run tried what it must not, and no person has looked yet."""
    rejected: bool = False
    """Whether a person did not let it through before it began."""
    bypassed: bool = False
    """Whether a person let this head through without having looked as they should, or merged it themselves."""

    accounts: dict[str, Account] = field(default_factory=dict[str, Account])
    """By run; `#<epoch>` for one that nobody has claimed yet, `@<role>` for calls of models outside the runs."""
    committed: Micros = 0
    """All that it has cost and that is set aside for it."""
    granted: Micros = 0
    """What people have allowed beyond the policy's limit."""
    since_progress: Micros = 0
    """What it has cost since something new was pushed."""

    lane: Lane | None = None
    """Where it stands in line, if it could get work."""
    slot: tuple[str, str | None] | None = None
    """Of which role, and of which replica if one has claimed it, it holds a slot."""

    @property
    def wants_work(self) -> bool:
        """Whether the next word should be an assignment."""
        return self.state in _WANTS_WORK and self.merge_sha is None

    @property
    def met(self) -> bool:
        """Whether others can build on it: it is done, and was not taken out again."""
        return self.state is _DONE and not self.reverted

    @property
    def judged(self) -> bool:
        """Whether a verdict on its head may send it back: it is on its way to a merge, a gate before that included."""
        if self.state is IssueState.GATED:
            return any(head is not None for _, head in self.open_gates)
        return self.state in (IssueState.IN_REVIEW, IssueState.MERGING)

    @property
    def working(self) -> bool:
        """Whether it stands where an open epoch belongs."""
        return self.state in (IssueState.ASSIGNED, IssueState.IN_PROGRESS)

    @property
    def open_gates(self) -> list[GateKey]:
        """The gates that a person has not yet answered, in the order in which they were opened."""
        return [key for key, gate in self.gates.items() if gate.open]

    def review(self) -> Review:
        """What was asked and said about the current head."""
        return self.reviews.get(self.head or "") or Review()


_DONE = IssueState.DONE
_WANTS_WORK = (IssueState.QUEUED, IssueState.CHANGES_REQUESTED, IssueState.MERGE_CONFLICT)


def unclaimed(epoch: int) -> str:
    """Under which name money is set aside for an epoch before anybody claims it."""
    return f"#{epoch}"


def calls_of(role: str) -> str:
    """Under which name a role's calls of models outside the runs are counted."""
    return f"@{role}"
