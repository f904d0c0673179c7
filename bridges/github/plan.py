"""What is due now: pure, from the fold alone, one thing at a time. Level-triggered, as bridges/local/plan.py.

Two questions for each issue, answered apart, so that the second never holds up the first: `due` is what its work waits
for (pull requests, checks, merges), `courtesy` what people look at (comment, labels, assignee, status, old branches).
"""

from dataclasses import dataclass
from typing import TypeAlias

from bridges.github.known import Issue, Known, MergeAsked, PullRequest, Push, ReviewAsked, Verdict
from schemas import IssueRef, MergeRefusal, RepoRef, RepositoryAdded, RepositoryConfigured


@dataclass(frozen=True, slots=True)
class Configure:
    """Look at a repository and say how it is configured."""

    cause: str
    about: RepoRef
    added: RepositoryAdded
    known: RepositoryConfigured | None
    """Say it only where it differs from this; None: say it."""
    after: str
    """Id of what was said of it last."""
    number: int = 0
    """Which look this is; 0: the first."""


@dataclass(frozen=True, slots=True)
class ShowPush:
    """Open the pull request for a push of the owner, or move it there."""

    cause: str
    about: IssueRef
    base_branch: str
    push: Push
    shown: PullRequest | None
    """The pull request to move; None: open one."""
    heads: frozenset[str]
    """Commits of this issue: a branch at any other may be somebody's own."""
    merges: frozenset[str]
    """Those of this issue that are known: one of these, found once more, is no merge of the push."""


@dataclass(frozen=True, slots=True)
class Look:
    """Look at an issue, at its pull request and at the checks of its head; what is news is said."""

    cause: str
    about: IssueRef
    base_branch: str
    pull_request: int | None
    head: str | None
    """Whose checks are to be judged; None: nobody's."""
    required: tuple[str, ...]
    known: Verdict | None
    """What was last said of these checks."""
    number: int
    """Which look this is: one that is asked for meanwhile is another."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Squash exactly this head onto the base branch."""

    cause: str
    about: IssueRef
    pull_request: int
    head: str
    base: str
    title: str
    base_branch: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer a request to merge what is not the owner's current work."""

    cause: str
    about: IssueRef
    asked: MergeAsked
    reason: MergeRefusal
    detail: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close a pull request that nobody wants any more."""

    cause: str
    about: IssueRef
    pull_request: int


@dataclass(frozen=True, slots=True)
class RequestReview:
    """Ask a person for a review."""

    cause: str
    about: IssueRef
    pull_request: int
    reviewer: str
    key: str
    after: str
    """Id of what was recorded of this effect last, as in all that follow: one record is one step on from another."""


@dataclass(frozen=True, slots=True)
class CloseIssue:
    """Close an issue that is done."""

    cause: str
    about: IssueRef
    key: str
    after: str


Action: TypeAlias = Configure | ShowPush | Look | Merge | Refuse | Close | RequestReview | CloseIssue


def due(known: Known, about: IssueRef | RepoRef, look: int = 0) -> Action | None:
    """What the work on one issue, or one repository, waits for; None: nothing until the log says more.

    `look` numbers what has changed at GitHub and was not looked at yet; 0: nothing has.
    """
    if isinstance(about, RepoRef):
        return _due_of_repository(known, about, look)
    issue, configured = known.issues.get(about), known.served(about.repository)
    return None if issue is None or configured is None else _due_of_issue(issue, configured, look)


def _due_of_repository(known: Known, about: RepoRef, look: int) -> Configure | None:
    repository = known.repositories.get(about)
    if repository is None or repository.added is None:
        return None
    if repository.inspect is not None:
        return Configure(repository.inspect, about, repository.added, None, repository.configured_by)
    if look and repository.configured is not None:
        configured, by = repository.configured, repository.configured_by
        return Configure(by, about, repository.added, configured, by, look)
    return None


def _due_of_issue(issue: Issue, repository: RepositoryConfigured, look: int) -> Action | None:
    shown = issue.pull_request
    if issue.asked and (refusal := _refusal(issue, issue.asked)):
        return Refuse(issue.asked.id, issue.ref, issue.asked, *refusal)
    if shown and shown.open and (ended := issue.withdrawn or issue.done):
        recorded = issue.effects.get(CLOSED)
        if recorded is None or recorded.key != ended:
            return Close(ended, issue.ref, shown.number)
    return _due_of_work(issue, repository) or _ask(issue, issue.wanted) or _look(issue, repository, look)


def _due_of_work(issue: Issue, repository: RepositoryConfigured) -> Action | None:
    push, shown = issue.push, issue.pull_request
    if issue.merged is not None:
        return _of_done(issue)
    if push is None or push.id == issue.rejected:
        return None
    if shown is None or shown.shows != push.id:
        return ShowPush(
            cause=push.id,
            about=issue.ref,
            base_branch=issue.base_branch or repository.base_branch,
            push=push,
            shown=shown if shown and shown.open else None,
            heads=frozenset(issue.heads),
            merges=frozenset(issue.merges),
        )
    if issue.asked:
        return Merge(
            cause=issue.asked.id,
            about=issue.ref,
            pull_request=shown.number,
            head=push.head,
            base=issue.asked.base,
            title=push.title,
            base_branch=issue.base_branch or repository.base_branch,
        )
    return _review(issue)


def _look(issue: Issue, repository: RepositoryConfigured, look: int) -> Look | None:
    if not look or issue.approval is None or issue.done is not None:
        return None
    push, shown = issue.push, issue.pull_request
    judged = push is not None and shown is not None and shown.open and shown.shows == push.id and issue.merged is None
    head = push.head if push is not None and judged else None
    return Look(
        cause=issue.approval if push is None else push.id,
        about=issue.ref,
        base_branch=issue.base_branch or repository.base_branch,
        pull_request=shown.number if shown is not None and shown.open else None,
        head=head,
        required=repository.required_checks,
        known=issue.checks.get(head) if head is not None else None,
        number=look,
    )


def _refusal(issue: Issue, asked: MergeAsked) -> tuple[MergeRefusal, str] | None:
    if issue.push is None:
        return MergeRefusal.NOT_OWNER, "there is no push of an owner: the issue was assigned anew, stopped or withdrawn"
    if asked.epoch != issue.push.epoch:
        return MergeRefusal.NOT_OWNER, f"the pull request shows epoch {issue.push.epoch}, not {asked.epoch}"
    if asked.head != issue.push.head:
        return MergeRefusal.HEAD_MOVED, f"the pull request is at {issue.push.head}"
    return None


def _review(issue: Issue) -> RequestReview | None:
    asked = issue.review
    return _ask(issue, asked) if asked and issue.push and asked.head == issue.push.head else None


def _ask(issue: Issue, asked: ReviewAsked | None) -> RequestReview | None:
    """Once for each reviewer and head."""
    if asked is None:
        return None
    key = f"{asked.reviewer} {asked.head}"
    if (recorded := issue.effects.get(REVIEW)) is not None and recorded.key == key:
        return None
    return RequestReview(asked.id, issue.ref, asked.pull_request, asked.reviewer, key, issue.last(REVIEW))


def _of_done(issue: Issue) -> CloseIssue | None:
    key = issue.merged or ""
    recorded = issue.effects.get(CLOSING)
    if issue.done is None or (recorded is not None and recorded.key == key):
        return None
    return CloseIssue(issue.done, issue.ref, key, issue.last(CLOSING))


REVIEW = "review_requested"
CLOSING = "issue_closed"
CLOSED = "pull_request_closed"
