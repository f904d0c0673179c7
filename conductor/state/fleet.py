"""Repositories, replicas, trust, milestones, incidents: all that is not one issue."""

from datetime import datetime
from typing import TypeAlias

from msgspec import Struct, field

from schemas import (
    AgentDeadlineKind,
    FleetDeadlineKind,
    IssueRef,
    Overrides,
    RepoRef,
    SuspensionReason,
    Tier,
)

Profile: TypeAlias = tuple[str, frozenset[str]]
"""Role and capabilities: replicas of one profile can stand in for one another."""
Subject: TypeAlias = tuple[str, str]
"""Role and kind of change: what trust is about."""
FleetKey: TypeAlias = tuple[FleetDeadlineKind, str]


class Repository(Struct):
    """A repository under the rig."""

    configured: bool = False
    reviewers: tuple[str, ...] = ()
    capabilities: frozenset[str] = frozenset()
    escalate: str | None = None
    overrides: Overrides = Overrides()


class Due(Struct, frozen=True):
    """When something is due of a replica or of the rig as a whole."""

    at: datetime
    id: str
    passed: bool = False


class Suspension(Struct):
    """Why and until when a replica gets no work."""

    reason: SuspensionReason
    until: datetime | None
    cause: str
    said: bool = False


class Agent(Struct):
    """A replica that has joined."""

    boot: str
    role: str
    slots: int
    provider: str = ""
    capabilities: frozenset[str] = frozenset()
    degraded: bool = False
    silent_since: datetime | None = None
    silence: str = ""
    """Id of what said so."""
    suspension: Suspension | None = None
    deadlines: dict[AgentDeadlineKind, Due] = field(default_factory=dict[AgentDeadlineKind, Due])
    busy: set[IssueRef] = field(default_factory=set[IssueRef])
    """What it has claimed."""
    offered: tuple[Profile, int, int, int] | None = None
    """What it adds: to the offers of that profile, to the slots of its role that are there, and to all of them."""

    @property
    def usable(self) -> bool:
        """Whether new work may go to it."""
        return not self.degraded and self.silent_since is None and self.suspension is None


class Quota(Struct, frozen=True):
    """How much of its quota somebody has used, and when that was said."""

    percent: float
    heard: datetime
    resets_at: datetime | None
    cause: str


class Trust(Struct):
    """How far a role has earned to be trusted with a kind of change."""

    tier: Tier | None = None
    """None: the policy's."""
    clean: list[IssueRef] = field(default_factory=list[IssueRef])
    """Merges since the tier last changed that nobody had to regret."""
    lost: list[tuple[IssueRef, str, str]] = field(default_factory=list[tuple[IssueRef, str, str]])
    """What trust was lost with, why, and the id of the event; a change of the tier follows."""
    cause: str = ""


class Milestone(Struct):
    """Issues that belong together."""

    open: set[IssueRef] = field(default_factory=set[IssueRef])
    done: set[IssueRef] = field(default_factory=set[IssueRef])
    completed: bool = False
    cause: str = ""


class Branch(Struct):
    """How one workflow fares on one base branch."""

    repository: RepoRef
    workflow: str
    time: datetime
    """The source's own, of the last run that said anything."""
    red: bool
    sha: str
    url: str
    cause: str
    opened: datetime | None = None
    """Since when there is an incident."""
    escalated: bool = False
