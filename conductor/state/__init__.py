"""What the conductor knows: the fold of the log, and the indexes that `decide` needs.

Plain data. evolve/ alone changes it, decide/ alone draws conclusions from it.

    issue     one issue
    fleet     repositories, replicas, trust, milestones, incidents
    money     what was spent and what is set aside
    shelf     issues in order
"""

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct, field

from conductor.state.fleet import (
    Agent,
    Branch,
    Due,
    FleetKey,
    Milestone,
    Profile,
    Quota,
    Repository,
    Subject,
    Suspension,
    Trust,
)
from conductor.state.issue import (
    Deadline,
    Delivered,
    Facet,
    Gate,
    GateKey,
    Issue,
    Lane,
    Review,
    Verdict,
    calls_of,
    unclaimed,
)
from conductor.state.money import Account, Ledger, Micros, Raised, dollars, micros
from conductor.state.shelf import Key, Shelf
from schemas import IssueRef, PauseScope, Policy, RepoRef

__all__ = [
    "Account",
    "Agent",
    "Branch",
    "Deadline",
    "Delivered",
    "Due",
    "Facet",
    "FleetKey",
    "Gate",
    "GateKey",
    "Issue",
    "Key",
    "Lane",
    "Ledger",
    "Micros",
    "Milestone",
    "Profile",
    "Quota",
    "Raised",
    "Repository",
    "Review",
    "Shelf",
    "State",
    "Subject",
    "Suspension",
    "Trust",
    "Verdict",
    "calls_of",
    "dollars",
    "micros",
    "unclaimed",
]


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
    quotas: dict[str, Quota] = field(default_factory=dict[str, Quota])
    ledger: Ledger = field(default_factory=Ledger)
    trust: dict[Subject, Trust] = field(default_factory=dict[Subject, Trust])
    milestones: dict[str, Milestone] = field(default_factory=dict[str, Milestone])
    branches: dict[str, Branch] = field(default_factory=dict[str, Branch])
    """By fingerprint."""
    paused: set[PauseScope] = field(default_factory=set[PauseScope])
    deadlines: dict[FleetKey, Due] = field(default_factory=dict[FleetKey, Due])
    """Of the rig as a whole."""
    heard: set[str] = field(default_factory=set[str])
    """Ids of what was said of repositories, replicas and the rig: their natural key."""

    # Indexes: each follows from what stands above.
    dependents: dict[IssueRef, set[IssueRef]] = field(default_factory=dict[IssueRef, set[IssueRef]])
    unsettled: Shelf = field(default_factory=Shelf)
    """Issues of which something may be due beyond an assignment, by age."""
    lanes: dict[Lane, Shelf] = field(default_factory=dict[Lane, Shelf])
    """Issues that could get work now, in the order in which they should."""
    working: set[IssueRef] = field(default_factory=set[IssueRef])
    """Issues with an open epoch: each holds a slot."""
    working_in: dict[RepoRef, int] = field(default_factory=dict[RepoRef, int])
    working_as: dict[str, int] = field(default_factory=dict[str, int])
    unclaimed: dict[str, int] = field(default_factory=dict[str, int])
    """By role: assignments that no replica has claimed yet."""
    offers: dict[Profile, int] = field(default_factory=dict[Profile, int])
    """Free slots of replicas that may get work."""
    there: dict[str, int] = field(default_factory=dict[str, int])
    """By role: the slots of replicas that are there, whether they may get work or not."""
    joined: dict[str, int] = field(default_factory=dict[str, int])
    """By role: the slots of all replicas."""
    unsettled_agents: set[str] = field(default_factory=set[str])
    unsettled_trust: set[Subject] = field(default_factory=set[Subject])
    unsettled_milestones: set[str] = field(default_factory=set[str])
    unsettled_branches: set[str] = field(default_factory=set[str])

    @property
    def batch_complete(self) -> bool:
        """Whether the last batch of decisions was read to its end: only then may another be made."""
        return self.position >= self.decided + self.decided_count

    def unmet(self, issue: Issue) -> Iterator[IssueRef]:
        """The dependencies that others cannot build on, unknown ones included."""
        for ref in issue.depends_on:
            other = self.issues.get(ref)
            if other is None or not other.met:
                yield ref
