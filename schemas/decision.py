"""Events about one issue that the conductor alone says: its decisions."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from schemas.event import IssueEvent
from schemas.fields import Epoch, Excerpt, Instant, Line, Sha, Usd
from schemas.refs import IssueRef, Name


class Refusal(StrEnum):
    """Why an issue cannot be taken as it stands."""

    CYCLE = "cycle"
    NO_SUCH_REPOSITORY = "no_such_repository"


class IssueRefused(IssueEvent, frozen=True, kw_only=True):
    """The issue cannot be taken until it is revised."""

    reason: Refusal
    cycle: tuple[IssueRef, ...] = ()
    """For a cycle: the issues on it, from this one back to before this one."""


class WaitingReason(StrEnum):
    """Why an approved issue is not assigned yet."""

    DEPENDENCY = "dependency"
    CAPACITY = "capacity"
    """Every slot that may be used is in use."""
    CAPABILITY = "capability"
    """No replica has what the issue or its repository requires."""
    QUOTA = "quota"
    """Every replica that could do it has used up its quota, or may not log in."""
    BUDGET = "budget"
    PAUSED = "paused"
    POLICY = "policy"
    """The policy's limit for its repository or role is reached."""
    BACKOFF = "backoff"
    """It rests after a run that failed for a reason that is not the work's."""
    REPOSITORY = "repository"


class IssueWaiting(IssueEvent, frozen=True, kw_only=True):
    """Why this issue is not assigned yet; said when its waiting deadline passes, not at every change."""

    reasons: tuple[WaitingReason, ...]
    since: Instant
    waits_for: tuple[IssueRef, ...] = ()


class AssignReason(StrEnum):
    """What led to an assignment."""

    NEW = "new"
    RETRY = "retry"
    CHECKS_FAILED = "checks_failed"
    REVIEW_DISPUTED = "review_disputed"
    MERGE_CONFLICTED = "merge_conflicted"
    ASKED = "asked"


class IssueAssigned(IssueEvent, frozen=True, kw_only=True):
    """Work for a role; its subject carries the role as one more token."""

    epoch: Epoch
    role: Name
    agent: Name | None = None
    """Preferred, where a session should be resumed."""
    attempt: Annotated[int, Meta(ge=1)]
    resume: str | None = None
    """The session to continue."""
    reason: AssignReason
    reserved_usd: Usd = 0.0
    """What the run may spend; it is reserved before the run begins."""


class UnassignReason(StrEnum):
    """Why an assignment ended without a report."""

    STALE = "stale"
    """Nobody claimed it."""
    STUCK = "stuck"
    """Its claimant fell silent."""
    WITHDRAWN = "withdrawn"
    STOPPED = "stopped"
    BUDGET = "budget"
    """Another run took it over, and no money was left for that."""
    MERGED = "merged"
    """Somebody merged it."""


class IssueUnassigned(IssueEvent, frozen=True, kw_only=True):
    """Takes work from someone who has not reported."""

    epoch: Epoch
    reason: UnassignReason


class ReviewRequested(IssueEvent, frozen=True, kw_only=True):
    """A reviewer is asked for a verdict on one head commit."""

    epoch: Epoch
    pull_request: int
    head_sha: Sha
    reviewer: Name
    iteration: int


class MergeRequested(IssueEvent, frozen=True, kw_only=True):
    """Merge exactly this head onto exactly this base."""

    epoch: Epoch
    pull_request: int
    head_sha: Sha
    base_sha: Sha


class EscalationReason(StrEnum):
    """Why the rig has stopped trying."""

    ATTEMPTS = "attempts"
    """Every attempt failed for a reason of the work."""
    NOBODY_WORKS = "nobody_works"
    """Assignments went unclaimed or silent too often."""
    REVIEW_ROUNDS = "review_rounds"
    CONFLICTS = "conflicts"
    FORGE_SILENT = "forge_silent"
    """The forge does not answer, or refuses again and again."""
    REVIEW_SILENT = "review_silent"
    REPOSITORY_REMOVED = "repository_removed"
    NO_REVIEWER = "no_reviewer"
    """Everybody who might review it abstained, is out of quota, or is its author."""
    GATE_REJECTED = "gate_rejected"
    PULL_REQUEST_CLOSED = "pull_request_closed"
    """A person closed the pull request without a merge."""
    QUESTION_UNANSWERED = "question_unanswered"
    DEPLOY_SILENT = "deploy_silent"
    """It was merged, and nobody said in time that it is deployed, or that what was deployed works."""
    SMOKE_FAILED = "smoke_failed"
    END_TO_END_FAILED = "end_to_end_failed"
    REVERTED = "reverted"
    """It was taken out again before it was done."""
    RUNS = "runs"
    """Runs failed too often for reasons that are not the work's (quota, login, spawn …)."""

    @property
    def of_a_merge(self) -> bool:
        """Whether it is about what was merged already."""
        return self in _OF_A_MERGE


_OF_A_MERGE = frozenset(
    {
        EscalationReason.DEPLOY_SILENT,
        EscalationReason.SMOKE_FAILED,
        EscalationReason.END_TO_END_FAILED,
        EscalationReason.REVERTED,
    }
)


class IssueEscalated(IssueEvent, frozen=True, kw_only=True):
    """The rig has done what it may; a person decides what comes next."""

    reason: EscalationReason
    attempts: int
    summary: Excerpt = ""
    """The last findings."""
    to: Line = "people"


class IssueDone(IssueEvent, frozen=True, kw_only=True):
    """Merged; nothing more is due."""

    duration_minutes: float
    attempts: int
    merge_sha: Sha
    cost_usd: Usd = 0.0
    """All that was spent on it; a run whose price nobody knows counts as what was reserved for it."""


class IssueOrphaned(IssueEvent, frozen=True, kw_only=True):
    """It waits, and has for so long that people should know: nobody is working on it."""

    waited_hours: float


class IssueNeedsHuman(IssueEvent, frozen=True, kw_only=True):
    """It still waits; somebody must do something about it."""

    waited_hours: float


class DeadlineKind(StrEnum):
    """What an issue in a state that is not final waits for."""

    WAITING = "waiting"
    BACKOFF = "backoff"
    """After a run that failed for reasons that are not the work's."""
    CLAIM = "claim"
    RUN = "run"
    PULL_REQUEST = "pull_request"
    CHECKS = "checks"
    REVIEW = "review"
    MERGE = "merge"
    GATE = "gate"
    """When people are reminded of a gate."""
    QUESTION = "question"
    """By when a person must have answered."""
    DEPLOY = "deploy"
    SMOKE = "smoke"
    END_TO_END = "end_to_end"
    VERIFY = "verify"


class DeadlineSet(IssueEvent, frozen=True, kw_only=True):
    """By `at`, what is waited for must have come. Replaces the issue's deadline before it."""

    kind: DeadlineKind
    at: Instant


class DeadlinePassed(IssueEvent, frozen=True, kw_only=True):
    """The timer of a deadline fired; it counts only while that deadline lives."""

    kind: DeadlineKind
    at: Instant
