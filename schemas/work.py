"""Events about one issue that agents say: what a run does, asks and costs."""

from enum import StrEnum

from schemas.event import IssueEvent
from schemas.fields import Branch, Epoch, Excerpt, Instant, Line, Run, Sha, Text, Tokens, Usd
from schemas.refs import Name


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
    """It tried what it must not: a person looks at it."""
    OVER_BUDGET = "over_budget"
    """It spent what was reserved for it, and was stopped."""
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
        FailureKind.OVER_BUDGET,
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


class QuestionAsked(IssueEvent, frozen=True, kw_only=True):
    """The owner's run cannot go on without a person's answer."""

    epoch: Epoch
    run: Run
    question: Text


class TokensUsed(IssueEvent, frozen=True, kw_only=True):
    """What a run has used since it last said so. It counts whoever says it: money is spent all the same."""

    epoch: Epoch
    run: Run
    provider: str
    model: str = ""
    input: Tokens = 0
    output: Tokens = 0
    cache_read: Tokens = 0
    cache_write: Tokens = 0
    cost_usd: Usd | None = None
    """None: nobody knows the price."""


class CommandBlocked(IssueEvent, frozen=True, kw_only=True):
    """A guard kept a run from doing something."""

    epoch: Epoch
    run: Run
    command: Excerpt
    rule: Line
