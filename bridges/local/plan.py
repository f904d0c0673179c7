"""What is due now: pure, from the fold alone, one thing at a time for each issue and repository.

Level-triggered, as a controller is: the same fold gives the same answer however often it is asked, and the answer
changes when the log says more. Nothing is done here; effects.py does it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bridges.local.fold import Issue, Known, MergeAsked, PullRequest, Push, Repository
from schemas import IssueRef, MergeRefusal, RepoRef, RepositoryAdded, RepositoryConfigured


@dataclass(frozen=True, slots=True)
class Inspect:
    """Look at a repository and say how it is configured."""

    cause: str
    about: RepoRef
    added: RepositoryAdded
    known: RepositoryConfigured | None = None
    """Say it only where it differs from this; None: say it."""


@dataclass(frozen=True, slots=True)
class ShowPush:
    """Open the pull request for a push of the owner, or move it there."""

    cause: str
    about: IssueRef
    path: Path
    base_branch: str
    push: Push
    shown: PullRequest | None
    """The pull request to move; None: open one."""
    heads: frozenset[str]
    """Commits of this issue: a branch at any other may be somebody's own."""
    taken_out: frozenset[str] = frozenset()
    """Merges of this issue that were taken out again: one of these, found once more, is no merge of the push."""


@dataclass(frozen=True, slots=True)
class Count:
    """Say again what a pull request shows, this time with what it changes."""

    cause: str
    """The push: what is said is about that."""
    about: IssueRef
    path: Path
    base_branch: str
    shown: PullRequest


@dataclass(frozen=True, slots=True)
class Check:
    """Run the repository's check command on the merge of head and base."""

    cause: str
    about: IssueRef
    path: Path
    base_branch: str
    head: str
    title: str
    command: str
    at: datetime
    """When it was asked for: the merge commit's own time. A commit from outside may bear any date, also none at all."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Merge exactly this head onto exactly this base."""

    cause: str
    about: IssueRef
    path: Path
    base_branch: str
    head: str
    base: str
    title: str
    at: datetime
    """When it was asked for: the merge commit's own time, so that doing it again makes the same commit."""


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
    """Close the pull request of a withdrawn issue."""

    cause: str
    about: IssueRef


Action = Inspect | ShowPush | Count | Check | Merge | Refuse | Close


def due(known: Known, about: IssueRef | RepoRef) -> Action | None:
    """What the forge should do next for one issue or one repository; None: nothing until the log says more."""
    if isinstance(about, RepoRef):
        return _due_of_repository(known.repositories.get(about))
    issue = known.issues.get(about)
    repository = known.repositories.get(about.repository)
    if issue is None or issue.merged is not None or repository is None or repository.added is None:
        return None
    return None if repository.configured is None else _due_of_issue(issue, repository.configured)


def look_again(repository: Repository | None, looked_at: str | None = None) -> Inspect | None:
    """Whether a repository that was looked at before may have changed: since the start, or as its base has moved.

    `looked_at` is the id of the word on its base that was followed up last; None: of this process, none.
    """
    if repository is None or repository.added is None or repository.configured is None or repository.inspect:
        return None
    if repository.base is None or repository.base.id == looked_at:
        return None
    return Inspect(repository.base.id, repository.ref, repository.added, repository.configured)


def leftovers(known: Known, repository: RepoRef, branches: Mapping[str, str]) -> dict[str, str]:
    """Which of a repository's branches (name → commit) this rig made for issues that are merged: nobody needs them.

    What was taken out again and assigned anew is not merged, until it is once more. A branch that the log does not
    name, and a pull request branch with a commit that it does not name, is somebody's.
    """
    merged = [it for ref, it in known.issues.items() if ref.repository == repository and it.merged is not None]
    unneeded: dict[str, str] = {}
    for issue in merged:
        shown = issue.pull_request.branch if issue.pull_request else None
        unneeded |= {
            branch: head
            for branch, head in branches.items()
            if branch in issue.branches or (branch == shown and head in issue.heads)
        }
    return unneeded


def _due_of_repository(repository: Repository | None) -> Inspect | None:
    if repository is None or repository.added is None or repository.inspect is None:
        return None
    return Inspect(repository.inspect, repository.ref, repository.added)


def _due_of_issue(issue: Issue, repository: RepositoryConfigured) -> Action | None:
    path, base_branch = Path(repository.clone_url), issue.base_branch or repository.base_branch
    push, shown = issue.push, issue.pull_request
    if issue.asked and (refusal := _refusal(issue, issue.asked)):
        return Refuse(issue.asked.id, issue.ref, issue.asked, *refusal)
    if issue.withdrawn and shown and shown.open:
        return Close(issue.withdrawn, issue.ref)
    if push is None or push.id == issue.rejected:
        return None
    if shown is None or shown.shows != push.id:
        return ShowPush(
            cause=push.id,
            about=issue.ref,
            path=path,
            base_branch=base_branch,
            push=push,
            shown=shown if shown and shown.open else None,
            heads=frozenset(issue.heads),
            taken_out=frozenset(issue.merges),
        )
    if shown.changes is None:
        return Count(push.id, issue.ref, path, base_branch, shown)
    if issue.asked:
        return Merge(
            cause=issue.asked.id,
            about=issue.ref,
            path=path,
            base_branch=base_branch,
            head=push.head,
            base=issue.asked.base,
            title=push.title,
            at=issue.asked.at,
        )
    if issue.check:
        return Check(
            cause=issue.check.id,
            about=issue.ref,
            path=path,
            base_branch=base_branch,
            head=push.head,
            title=push.title,
            command=repository.check,
            at=issue.check.at,
        )
    return None


def _refusal(issue: Issue, asked: MergeAsked) -> tuple[MergeRefusal, str] | None:
    if issue.push is None:
        return MergeRefusal.NOT_OWNER, "there is no push of an owner: the issue was assigned anew, stopped or withdrawn"
    if asked.epoch != issue.push.epoch:
        return MergeRefusal.NOT_OWNER, f"the pull request shows epoch {issue.push.epoch}, not {asked.epoch}"
    if asked.head != issue.push.head:
        return MergeRefusal.HEAD_MOVED, f"the pull request is at {issue.push.head}"
    return None
