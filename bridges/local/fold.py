"""What the forge knows: the fold of the log, as far as pull requests, checks and merges hang on it. Pure.

Every effect of the forge answers one event of the log, its cause, and the answer names it (`causationid`). An effect is
due until its answer is in the log; so a restart folds, and does what is not yet said.
"""

from datetime import datetime

from msgspec import Struct, field

from schemas import (
    Changes,
    ChecksFailed,
    ChecksPassed,
    Envelope,
    Forge,
    IssueApproved,
    IssueAssigned,
    IssueRef,
    IssueWithdrawn,
    MergeConflicted,
    Merged,
    MergeRefusal,
    MergeRefused,
    MergeRequested,
    Ownership,
    Policy,
    PolicyAdopted,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    Recorded,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryRemoved,
    Reverted,
    Stopped,
    WorkPushed,
    WorkStarted,
    work_branch,
)


class Push(Struct, frozen=True):
    """Work that its owner pushed."""

    id: str
    epoch: int
    run: str
    branch: str
    head: str
    title: str
    author: str


class PullRequest(Struct, frozen=True):
    """The issue's pull request as it was last told; its number is the issue's."""

    branch: str
    head: str
    shows: str | None
    """Id of the push that it shows."""
    changes: Changes | None = None
    """None: it was told before changes were counted."""
    open: bool = True


class ChecksAsked(Struct, frozen=True):
    """An event that asks for checks and has no verdict yet."""

    id: str
    at: datetime


class MergeAsked(Struct, frozen=True):
    """A request to merge that has no answer yet."""

    id: str
    at: datetime
    epoch: int
    head: str
    base: str


class Issue(Struct):
    """One issue."""

    ref: IssueRef
    approval: str | None = None
    """Id of its approval: what correlates all that follows."""
    base_branch: str | None = None
    ownership: Ownership = field(default_factory=Ownership)
    push: Push | None = None
    """The owner's push; None once a newer assignment, a stop or a withdrawal has made it count for nothing."""
    rejected: str | None = None
    """Id of a push that could not become a pull request."""
    pull_request: PullRequest | None = None
    check: ChecksAsked | None = None
    asked: MergeAsked | None = None
    withdrawn: str | None = None
    """Id of the withdrawal, while it holds."""
    merges: set[str] = field(default_factory=set[str])
    """All there were: one that was taken out again does not come back by being said twice."""
    merged: str | None = None
    """The one that ended its work: the next assignment after it was taken out again begins anew."""
    reverted: bool = False
    """Whether that was taken out again."""
    branches: set[str] = field(default_factory=set[str])
    """Work branches of its runs: of all `rig/…` branches only these are this rig's, whatever others are called."""
    heads: set[str] = field(default_factory=set[str])
    """Commits that its runs pushed: a pull request branch at one of these is where the forge put it."""


class Landed(Struct, frozen=True):
    """A merge of ours that is in force, as far as we know."""

    id: str
    """Of the Merged."""
    issue: IssueRef
    base_branch: str | None
    """None: the repository's."""


class Base(Struct, frozen=True):
    """Where the base branch was last said to be."""

    id: str
    """Of the event that said so."""
    sha: str


class Repository(Struct):
    """One repository. It is served while `added` is set."""

    ref: RepoRef
    added: RepositoryAdded | None = None
    inspect: str | None = None
    """Id of the addition that was not looked at yet."""
    configured: RepositoryConfigured | None = None
    base: Base | None = None
    merges: dict[str, Landed] = field(default_factory=dict[str, Landed])
    """By merge commit."""
    highest: int = 0
    """The highest issue number that anybody used."""


class Known(Struct):
    """The whole fold."""

    policy: Policy = field(default_factory=Policy)
    repositories: dict[RepoRef, Repository] = field(default_factory=dict[RepoRef, Repository])
    issues: dict[IssueRef, Issue] = field(default_factory=dict[IssueRef, Issue])
    approvals: dict[str, tuple[IssueRef, int]] = field(default_factory=dict[str, tuple[IssueRef, int]])
    """Event id of an approval → the issue, and where the log holds it."""

    def apply(self, recorded: Recorded) -> IssueRef | RepoRef | None:
        """Folds one event; what it was about, None for what concerns no issue and no repository."""
        event = recorded.event
        match event.about:
            case IssueRef() as ref:
                if isinstance(event.data, IssueApproved):
                    self.approvals.setdefault(event.id, (ref, recorded.position))
                repository = self.repositories.setdefault(ref.repository, Repository(ref.repository))
                repository.highest = max(repository.highest, ref.number)
                issue = self.issues.setdefault(ref, Issue(ref))
                _issue(issue, event)
                _of_issue(repository, issue, event)
                return ref
            case RepoRef() as ref:
                _repository(self.repositories.setdefault(ref, Repository(ref)), event)
                return ref
            case _:
                if isinstance(event.data, PolicyAdopted):
                    self.policy = event.data.policy
                return None


def _repository(repository: Repository, event: Envelope) -> None:
    match event.data:
        case RepositoryAdded(forge=Forge.LOCAL) as added:
            repository.added, repository.inspect = added, event.id
        case RepositoryAdded() | RepositoryRemoved():
            repository.added = repository.inspect = repository.configured = None
        case RepositoryConfigured() as configured:
            repository.configured = configured
            repository.base = Base(event.id, configured.base_sha)
            if event.causationid == repository.inspect:
                repository.inspect = None
        case _:
            pass


def _of_issue(repository: Repository, issue: Issue, event: Envelope) -> None:
    """What an issue tells about its repository."""
    match event.data:
        case Merged(merge_sha=base):
            repository.merges[base] = Landed(event.id, issue.ref, issue.base_branch)
        case Reverted(merge_sha=merge):
            repository.merges.pop(merge, None)
            return
        case ChecksPassed(base_sha=base) | ChecksFailed(base_sha=base):
            pass
        case _:
            return
    configured, known = repository.configured, repository.base
    if configured and known and base != known.sha and issue.base_branch in (None, configured.base_branch):
        repository.base = Base(event.id, base)


def _issue(issue: Issue, event: Envelope) -> None:
    effective = issue.ownership.apply(event.data)
    match event.data:
        case WorkStarted(epoch=epoch, run=run):
            issue.branches.add(work_branch(issue.ref.number, epoch, run))
        case WorkPushed(head_sha=head):
            issue.heads.add(head)
        case _:
            pass
    match event.data:
        case IssueApproved(base_branch=base_branch):
            issue.approval = issue.approval or event.id
            issue.base_branch, issue.withdrawn = base_branch, None
        case IssueWithdrawn():
            issue.push = None
            if issue.merged is None:  # else there is nothing to close any more
                issue.withdrawn = event.id
        case Stopped():
            issue.push = None
        case IssueAssigned() if effective:
            issue.push = None
            if issue.reverted:
                issue.merged, issue.reverted, issue.pull_request = None, False, None
        case WorkPushed() as pushed if effective:
            issue.push = Push(
                event.id, pushed.epoch, pushed.run, pushed.branch, pushed.head_sha, pushed.title, event.source
            )
        case (
            PullRequestOpened(branch=branch, head_sha=head, changes=changes)
            | PullRequestUpdated(branch=branch, head_sha=head, changes=changes)
        ):
            said_again = issue.pull_request is not None and issue.pull_request.shows == event.causationid
            issue.pull_request = PullRequest(branch, head, event.causationid, changes)
            if not said_again:
                issue.check = ChecksAsked(event.id, event.time)
        case PullRequestClosed() if issue.pull_request:
            closed = issue.pull_request
            issue.pull_request, issue.check = PullRequest(closed.branch, closed.head, None, open=False), None
        case ChecksPassed() | ChecksFailed() | MergeConflicted() | MergeRefused():
            _answer(issue, event)
        case MergeRequested(epoch=epoch, head_sha=head, base_sha=base):
            issue.asked = MergeAsked(event.id, event.time, epoch, head, base)
        case Merged(merge_sha=merge):
            issue.asked = issue.check = None
            if merge not in issue.merges:
                issue.merges.add(merge)
                issue.merged, issue.reverted, issue.withdrawn = merge, False, None
        case Reverted(merge_sha=merge) if merge == issue.merged:
            issue.reverted = True
        case _:
            pass


def _answer(issue: Issue, event: Envelope) -> None:
    cause = event.causationid
    if issue.check and issue.check.id == cause:
        issue.check = None
    if issue.push and issue.push.id == cause:
        issue.rejected = cause
    if issue.asked and issue.asked.id == cause:
        issue.asked = None
    shown = issue.pull_request.head if issue.pull_request and issue.pull_request.open else None
    match event.data:
        case MergeRefused(reason=MergeRefusal.BASE_MOVED, head_sha=head) if head == shown:
            issue.check = ChecksAsked(event.id, event.time)  # what passed was the merge with a base that is no more
        case _:
            pass
