"""Events about one issue that a forge and reviewers say: pull requests, checks, verdicts, merges."""

from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from schemas.event import IssueEvent
from schemas.fields import Branch, Excerpt, Line, Sha, Text
from schemas.refs import Name

PATHS_MAX: Final = 500
Path: TypeAlias = Annotated[str, Meta(min_length=1, max_length=500)]


class Changes(Struct, frozen=True, kw_only=True):
    """What a pull request changes, as the forge counted it between base and head."""

    files: Annotated[int, Meta(ge=0)]
    """One that moved counts as two: where it was and where it is."""
    lines: Annotated[int, Meta(ge=0)]
    """Added and removed."""
    paths: Annotated[tuple[Path, ...], Meta(max_length=PATHS_MAX)] = ()
    """Of every changed file, old names included; fewer than `files` when there are too many to say."""

    @property
    def all_named(self) -> bool:
        """Whether every changed path is known."""
        return len(self.paths) >= self.files


class PullRequestOpened(IssueEvent, frozen=True, kw_only=True):
    """The owner's push became a pull request."""

    pull_request: int
    url: str
    branch: Branch
    head_sha: Sha
    author: Line
    draft: bool = False
    changes: Changes | None = None
    """None: the forge has not counted; a person must look, then."""


class PullRequestUpdated(IssueEvent, frozen=True, kw_only=True):
    """The pull request's branch moved to the owner's newer push."""

    pull_request: int
    branch: Branch
    head_sha: Sha
    changes: Changes | None = None


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


class ReviewAbstained(IssueEvent, frozen=True, kw_only=True):
    """A reviewer gives no verdict on this head commit; another is asked."""

    pull_request: int
    head_sha: Sha
    reviewer: Name
    summary: Text = ""
    comments: tuple[Text, ...] = ()


class ReviewWanted(IssueEvent, frozen=True, kw_only=True):
    """A pull request that is nobody's issue is to be reviewed; it is told of under the pull request's own number."""

    pull_request: int
    head_sha: Sha
    reviewer: Name
    author: Line
    title: Line
    url: str = ""


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


class Reverted(IssueEvent, frozen=True, kw_only=True):
    """What was merged for this issue was taken out again."""

    merge_sha: Sha
    revert_sha: Sha
    by: Line


class EffectRecorded(IssueEvent, frozen=True, kw_only=True):
    """What a bridge did outside, so that it is done once."""

    effect: Line
    key: Line
    outcome: Line
    url: str = ""
