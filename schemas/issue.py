"""Events about one issue: asked for, assigned, worked, checked, reviewed, merged."""

from enum import StrEnum
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from schemas.event import IssueEvent
from schemas.fields import Branch, Epoch, Excerpt, Instant, Line, Priority, Run, Sha, Text
from schemas.refs import IssueRef, Name

# ── what is asked for ────────────────────────────────────────────────────────


class IssueApproved(IssueEvent, frozen=True, kw_only=True):
    """Somebody who may has approved this issue for work."""

    title: Line
    body: Text = ""
    url: str = ""
    author: Line
    priority: Priority = Priority.NORMAL
    depends_on: tuple[IssueRef, ...] = ()
    milestone: str | None = None
    labels: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    base_branch: Branch | None = None
    """None: the repository's own."""


class IssueRevised(IssueEvent, frozen=True, kw_only=True):
    """What changed of an approved issue; what is absent did not change."""

    title: Line | UnsetType = UNSET
    body: Text | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    depends_on: tuple[IssueRef, ...] | UnsetType = UNSET
    labels: tuple[str, ...] | UnsetType = UNSET
    requires: tuple[str, ...] | UnsetType = UNSET


class Withdrawal(StrEnum):
    """Why an issue is wanted no more."""

    CLOSED = "closed"
    UNLABELLED = "unlabelled"
    CANCELLED = "cancelled"


class IssueWithdrawn(IssueEvent, frozen=True, kw_only=True):
    """Nobody wants this done any more."""

    reason: Withdrawal = Withdrawal.CANCELLED
    by: Line


class Stopped(IssueEvent, frozen=True, kw_only=True):
    """A person stops the work; it waits for a person to ask again."""

    by: Line
    note: Text = ""


class RetryRequested(IssueEvent, frozen=True, kw_only=True):
    """A person asks for another round, with attempts counted from nought."""

    by: Line
    note: Text = ""


class PriorityChanged(IssueEvent, frozen=True, kw_only=True):
    """A person changes how urgent this is."""

    priority: Priority
    by: Line
    note: Text = ""


# ── what the conductor says ──────────────────────────────────────────────────


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


class UnassignReason(StrEnum):
    """Why an assignment ended without a report."""

    STALE = "stale"
    """Nobody claimed it."""
    STUCK = "stuck"
    """Its claimant fell silent."""
    WITHDRAWN = "withdrawn"
    STOPPED = "stopped"


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
    RUNS = "runs"
    """Runs failed too often for reasons that are not the work's (quota, login, spawn …)."""


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


class DeadlineSet(IssueEvent, frozen=True, kw_only=True):
    """By `at`, what is waited for must have come. Replaces the issue's deadline before it."""

    kind: DeadlineKind
    at: Instant


class DeadlinePassed(IssueEvent, frozen=True, kw_only=True):
    """The timer of a deadline fired; it counts only while that deadline lives."""

    kind: DeadlineKind
    at: Instant


# ── what agents say ──────────────────────────────────────────────────────────


class WorkStarted(IssueEvent, frozen=True, kw_only=True):
    """A run claims the open epoch."""

    epoch: Epoch
    run: Run
    agent: Name
    branch: Branch
    session: str
    provider: str
    model: str | None = None


class WorkPushed(IssueEvent, frozen=True, kw_only=True):
    """The owner's commits are on its branch; closes the epoch."""

    epoch: Epoch
    run: Run
    branch: Branch
    head_sha: Sha
    title: Line
    body: Text
    files_changed: int
    lines_changed: int


class FailureKind(StrEnum):
    """How a run failed. Decided from the world (exit, clock, diff, checks), never from words."""

    SPAWN = "spawn"
    AUTH = "auth"
    QUOTA = "quota"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    TIMED_OUT = "timed_out"
    STALLED = "stalled"
    MAX_TURNS = "max_turns"
    NO_CHANGES = "no_changes"
    CHECKS_FAILED = "checks_failed"
    GUARD = "guard"
    BUG = "bug"

    @property
    def of_the_work(self) -> bool:
        """Whether it counts as an attempt: a run that began and failed for a reason of the work."""
        return self in _OF_THE_WORK


_OF_THE_WORK = frozenset(
    {
        FailureKind.CHECKS_FAILED,
        FailureKind.NO_CHANGES,
        FailureKind.TIMED_OUT,
        FailureKind.STALLED,
        FailureKind.MAX_TURNS,
        FailureKind.GUARD,
        FailureKind.BUG,
    }
)


class WorkFailed(IssueEvent, frozen=True, kw_only=True):
    """The owner's run ended without a push that counts; closes the epoch."""

    epoch: Epoch
    run: Run
    kind: FailureKind
    detail: Excerpt
    retry_at: Instant | None = None


# ── what a forge says ────────────────────────────────────────────────────────


class PullRequestOpened(IssueEvent, frozen=True, kw_only=True):
    """The owner's push became a pull request."""

    pull_request: int
    url: str
    branch: Branch
    head_sha: Sha
    author: Line
    draft: bool = False


class PullRequestUpdated(IssueEvent, frozen=True, kw_only=True):
    """The pull request's branch moved to the owner's newer push."""

    pull_request: int
    branch: Branch
    head_sha: Sha


class PullRequestClosed(IssueEvent, frozen=True, kw_only=True):
    """The pull request was closed without a merge."""

    pull_request: int
    superseded_by: int | None = None


class Conclusion(StrEnum):
    """How one check ended, where it did not pass."""

    FAILURE = "failure"
    TIMED_OUT = "timed_out"
    OUTPUT_LIMIT = "output_limit"
    STARTUP_FAILURE = "startup_failure"


class FailedCheck(Struct, frozen=True, kw_only=True):
    """One failed check, with the end of its log."""

    name: Line
    conclusion: Conclusion
    url: str = ""
    excerpt: Excerpt = ""


class ChecksPassed(IssueEvent, frozen=True, kw_only=True):
    """Every required check passed on the merge of head and base."""

    head_sha: Sha
    base_sha: Sha
    checks: tuple[Line, ...]


class ChecksFailed(IssueEvent, frozen=True, kw_only=True):
    """A required check did not pass on the merge of head and base."""

    head_sha: Sha
    base_sha: Sha
    failed: tuple[FailedCheck, ...]


class ReviewPassed(IssueEvent, frozen=True, kw_only=True):
    """A reviewer passed this head commit."""

    pull_request: int
    head_sha: Sha
    reviewer: Name
    summary: Text = ""


class ReviewDisputed(IssueEvent, frozen=True, kw_only=True):
    """A reviewer wants changes to this head commit."""

    pull_request: int
    head_sha: Sha
    reviewer: Name
    summary: Text
    comments: tuple[Text, ...] = ()


class MergeConflicted(IssueEvent, frozen=True, kw_only=True):
    """Head and base do not merge."""

    head_sha: Sha
    base_sha: Sha
    paths: tuple[str, ...] = ()


class MergeRefusal(StrEnum):
    """Why a forge did not merge what it was asked to."""

    BASE_MOVED = "base_moved"
    HEAD_MOVED = "head_moved"
    PROTECTED = "protected"
    NOT_OWNER = "not_owner"
    DIRTY_CHECKOUT = "dirty_checkout"


class MergeRefused(IssueEvent, frozen=True, kw_only=True):
    """The forge did not merge; `base_sha` is the base as it was asked for."""

    head_sha: Sha
    base_sha: Sha
    reason: MergeRefusal
    detail: Excerpt = ""


class Merged(IssueEvent, frozen=True, kw_only=True):
    """Head is on the base branch, by this merge commit."""

    head_sha: Sha
    base_sha: Sha
    merge_sha: Sha
