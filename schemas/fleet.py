"""Events about the rig as a whole."""

import re
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from schemas.event import FleetEvent
from schemas.fields import Instant, Line, Sha, Text
from schemas.policy import Policy, Tier
from schemas.refs import NAME, IssueRef, RepoRef

_PAUSE: Final = rf"all|role:{NAME.pattern}|repository:{NAME.pattern}/{NAME.pattern}"
PauseScope: TypeAlias = Annotated[
    str,
    Meta(
        pattern=rf"\A(?:{_PAUSE})\Z",
        max_length=220,
        description="what is paused: all, role:NAME or repository:OWNER/REPO",
    ),
]


class Decided(FleetEvent, frozen=True, kw_only=True):
    """Opens a batch of decisions: on which prefix of the log, when, under which policy and rules, how many follow."""

    through: Annotated[int, Meta(ge=0)]
    now: Instant
    policy: str
    """The hash of the policy in force."""
    rules: int
    count: Annotated[int, Meta(ge=1)]


class PolicyAdopted(FleetEvent, frozen=True, kw_only=True):
    """The whole policy from here on, and its hash."""

    policy: Policy
    hash: str
    by: Line


# ── pausing ──────────────────────────────────────────────────────────────────


class Paused(FleetEvent, frozen=True, kw_only=True):
    """No new work begins there; what is under way goes on."""

    scope: PauseScope
    by: Line
    note: Text = ""


class Resumed(FleetEvent, frozen=True, kw_only=True):
    """New work begins there again."""

    scope: PauseScope
    by: Line
    note: Text = ""


def pause_scopes(issue: IssueRef, role: str) -> tuple[PauseScope, ...]:
    """Every pause that keeps work on the issue from beginning."""
    return "all", f"role:{role}", f"repository:{issue.repository}"


def is_pause_scope(text: str) -> bool:
    """Whether the text names something that can be paused."""
    return re.fullmatch(_PAUSE, text) is not None


# ── what the conductor sees of the whole ─────────────────────────────────────


class MilestoneCompleted(FleetEvent, frozen=True, kw_only=True):
    """Every issue of the milestone is done."""

    milestone: Line
    issues: tuple[IssueRef, ...]


class TierChanged(FleetEvent, frozen=True, kw_only=True):
    """How far a role is trusted with a kind of change."""

    role: Line
    kind: Line
    before: Tier
    after: Tier
    evidence: tuple[IssueRef, ...] = ()
    """What it was earned, or lost, with."""
    reason: Line


class IncidentOpened(FleetEvent, frozen=True, kw_only=True):
    """A base branch is broken; once for each fingerprint, until it is closed."""

    fingerprint: Line
    repository: RepoRef
    workflow: Line
    sha: Sha
    url: str = ""


class IncidentEscalated(FleetEvent, frozen=True, kw_only=True):
    """It is still broken; people are told."""

    fingerprint: Line
    repository: RepoRef
    workflow: Line
    open_minutes: Annotated[float, Meta(ge=0)]


class IncidentClosed(FleetEvent, frozen=True, kw_only=True):
    """The base branch is well again."""

    fingerprint: Line
    repository: RepoRef
    workflow: Line
    sha: Sha


class FleetDeadlineKind(StrEnum):
    """What is waited for of the rig as a whole."""

    DAY = "day"
    """A new day (UTC) begins, and what was spent in the last counts no more."""
    BUDGET = "budget"
    """A raised budget ends; `key` is its scope."""
    INCIDENT = "incident"
    """A fix is due; `key` is the fingerprint."""
    SCHEDULE = "schedule"
    """Something is due by the clock; `key` is its name."""


class FleetDeadlineSet(FleetEvent, frozen=True, kw_only=True):
    """When something is due. Replaces the deadline of that kind and key before it."""

    kind: FleetDeadlineKind
    key: str = ""
    at: Instant


class FleetDeadlinePassed(FleetEvent, frozen=True, kw_only=True):
    """The timer of a deadline fired; it counts only while that deadline lives."""

    kind: FleetDeadlineKind
    key: str = ""
    at: Instant


class ScheduleFired(FleetEvent, frozen=True, kw_only=True):
    """Something that happens by the clock was due."""

    schedule: Line
    due: Instant


class LogRestored(FleetEvent, frozen=True, kw_only=True):
    """The log had lost these positions, and they were put back from the read side."""

    first: Annotated[int, Meta(ge=1)]
    last: Annotated[int, Meta(ge=1)]
    by: Line


# ── the watch ────────────────────────────────────────────────────────────────


class Invariant(StrEnum):
    """What the watch sees to."""

    ISSUE_UNANSWERED = "issue_unanswered"
    """An issue that could be worked on is neither assigned nor is it said why not."""
    FACT_WITHOUT_CONSEQUENCE = "fact_without_consequence"
    """Somebody said something that a decision must follow, and none does."""
    DEADLINE_UNHEARD = "deadline_unheard"
    """A deadline is over, and nobody says so."""
    PROJECTION_BEHIND = "projection_behind"
    """The read side does not keep up with the log."""
    DELIVERY_UNANSWERED = "delivery_unanswered"
    """What was delivered from outside is neither translated nor is it said why not."""
    CANARY_LOST = "canary_lost"
    """An issue that only tries out the path did not come back."""


class HaltDetected(FleetEvent, frozen=True, kw_only=True):
    """Something that must go on does not."""

    invariant: Invariant
    evidence: tuple[Line, ...]
    since: Instant


class HaltCleared(FleetEvent, frozen=True, kw_only=True):
    """It goes on again."""

    invariant: Invariant
    since: Instant
    """Since when it did not."""


class CanaryIssued(FleetEvent, frozen=True, kw_only=True):
    """An issue that only tries out the path was put in."""

    issue: IssueRef


class CanaryReturned(FleetEvent, frozen=True, kw_only=True):
    """It came out at the other end."""

    issue: IssueRef
    seconds: Annotated[float, Meta(ge=0)]
