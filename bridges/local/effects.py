"""Doing what is due: git and the check command, and the event that tells how it went. It never speaks to the bus.

Each effect looks before it acts, so that doing it again after a crash finds what the first try did.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from bridges.branches import pull_request_branch
from bridges.local.changes import count
from bridges.local.merging import (
    BaseMoved,
    Conflict,
    DirtyCheckout,
    Landed,
    MergeCommit,
    NothingToMerge,
    Protected,
    combine,
    find_merge,
    land,
    merge_message,
)
from bridges.local.plan import Action, Check, Close, Count, Inspect, Merge, Refuse, ShowPush
from bridges.local.repository import (
    NoSuchBranch,
    all_branches,
    branch_head,
    delete_branches,
    inspect,
    is_pushed,
    move_branch,
    said_by,
)
from bridges.local.reverts import Revert, find_reverts
from bridges.local.scratch import Scratch
from machine.checks import CheckConclusion, CheckOutcome, run_check
from machine.git import Git, branch_ref
from machine.process import Limits
from machine.sandbox import Sandbox
from schemas import (
    Changes,
    ChecksFailed,
    ChecksPassed,
    Conclusion,
    Event,
    FailedCheck,
    MergeConflicted,
    Merged,
    MergeRefusal,
    MergeRefused,
    Policy,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    RepositoryConfigured,
    work_branch,
)

log = logging.getLogger(__name__)

CHECKS_AT_ONCE = 2
CHECK_GRACE_SECONDS = 2.0
"""Less than a role has for stopping: it stops its checks first."""
CHECK = "check"
"""What the one check of this forge is called."""
_PATHS_NAMED = 50
_PATH_LENGTH = 300
_DETAIL_LENGTH = 4000

_CONCLUSIONS = {
    CheckConclusion.FAILURE: Conclusion.FAILURE,
    CheckConclusion.TIMED_OUT: Conclusion.TIMED_OUT,
    CheckConclusion.OUTPUT_LIMIT: Conclusion.OUTPUT_LIMIT,
}


class Effects:
    """The forge's hands. One for each process: it owns the scratch directory and the limits on what runs at once."""

    def __init__(self, scratch: Scratch, sandbox: Sandbox | None = None) -> None:
        self._scratch = scratch
        self._sandbox = sandbox
        """For checks: they run what a coder wrote."""
        self._checking = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def perform(self, action: Action, policy: Policy, still_due: Callable[[], bool]) -> Event | None:
        """Do it, and return what to say of it; None: nothing to say.

        `still_due` is asked right before a merge lands. Raises GitError, SpawnFailed, RepositoryError and OSError for
        what only the machine or a person can mend: then it is to be tried again.
        """
        match action:
            case Inspect():
                return await _inspect(action)
            case ShowPush():
                return await self._show(action)
            case Count(about=about, shown=shown):
                base = await branch_head(action.path, action.base_branch)
                changes = await self._changes(action.path, base, shown.head)
                return PullRequestUpdated(
                    pull_request=about.number, branch=shown.branch, head_sha=shown.head, changes=changes
                )
            case Check():
                async with self._checking:
                    return await self._check(action, policy)
            case Merge():
                return await self._merge(action, still_due)
            case Refuse(asked=asked, reason=reason, detail=detail):
                return MergeRefused(head_sha=asked.head, base_sha=asked.base, reason=reason, detail=detail)
            case Close(about=about):
                return PullRequestClosed(pull_request=about.number)

    async def tidy(self, path: Path, chosen: Callable[[dict[str, str]], dict[str, str]]) -> None:
        """Delete the branches of a repository that `chosen` picks."""
        if unneeded := chosen(await all_branches(path)):
            for kept in await delete_branches(path, unneeded):
                log.info("%s: branch %s is checked out somewhere, or has just moved, and stays", path, kept)

    async def reverts(self, path: Path, branch: str, merges: Collection[str]) -> list[Revert]:
        """Which of these merge commits were taken out of a branch again; none when the branch is gone."""
        try:
            base = await branch_head(path, branch)
        except NoSuchBranch:
            return []
        return await find_reverts(path, base, merges)

    async def _show(self, action: ShowPush) -> Event:
        push, number = action.push, action.about.number
        expected = work_branch(number, push.epoch, push.run)
        if push.branch != expected or not await is_pushed(action.path, push.branch, push.head):
            base = await branch_head(action.path, action.base_branch)
            missing = f"commit {push.head} is not on branch {expected} of the repository: push it there"
            return _failed(push.head, base, "push", Conclusion.STARTUP_FAILURE, missing)
        merged = await _merged_by_hand(action.path, action.base_branch, push.head)
        if merged is not None and merged.merge_sha not in action.taken_out:
            return merged
        base = await branch_head(action.path, action.base_branch)
        if await Git(action.path).is_ancestor(push.head, base):
            return _failed(push.head, base, "changes", Conclusion.FAILURE, _nothing(action.base_branch))
        changes = await self._changes(action.path, base, push.head)
        branch = action.shown.branch if action.shown else pull_request_branch(number, push.title)
        at_present = await Git(action.path).commit_id(branch_ref(branch))
        if await _is_somebodys(action, at_present) and not action.shown:
            branch = f"{branch}-{push.epoch}-{push.run}"
            at_present = await Git(action.path).commit_id(branch_ref(branch))
        if await _is_somebodys(action, at_present):
            obstacle = f"commit {at_present} on it is somebody else's"
        else:
            obstacle = await move_branch(action.path, branch, push.head, at_present)
        if obstacle:
            # People look at this branch, the merge does not: that takes the head itself.
            log.warning("%s: branch %s stays behind %s: %s", action.path, branch, push.head, obstacle)
        if action.shown:
            return PullRequestUpdated(pull_request=number, branch=branch, head_sha=push.head, changes=changes)
        url = f"{action.path.as_uri()}#{branch}"
        return PullRequestOpened(
            pull_request=number, url=url, branch=branch, head_sha=push.head, author=push.author, changes=changes
        )

    async def _changes(self, path: Path, base: str, head: str) -> Changes:
        async with self._scratch.clone(path) as clone:
            return await count(clone, base=base, head=head)

    async def _check(self, action: Check, policy: Policy) -> Event:
        if merged := await _merged(action.path, action.base_branch, action.head):
            return merged
        base = await branch_head(action.path, action.base_branch)
        async with self._scratch.clone(action.path) as clone:
            message = merge_message(action.title, str(action.about))
            match await combine(clone, head=action.head, base=base, message=message, at=action.at):
                case Conflict(paths=paths):
                    return _conflicted(action.head, base, paths)
                case NothingToMerge():
                    return _failed(action.head, base, "changes", Conclusion.FAILURE, _nothing(action.base_branch))
                case MergeCommit(sha=merge):
                    await clone.run("checkout", "--quiet", "--detach", merge)
            limits = Limits(policy.check_wall_seconds, policy.check_output_bytes, CHECK_GRACE_SECONDS)
            # A clone borrows the repository's objects.
            borrowed = [action.path.resolve()]
            outcome = await run_check(
                action.command, cwd=clone.directory, limits=limits, sandbox=self._sandbox, readable=borrowed
            )
        return _verdict(action.head, base, outcome)

    async def _merge(self, action: Merge, still_due: Callable[[], bool]) -> Event | None:
        said = await self._try_to_merge(action, still_due)
        if said is None or isinstance(said, Merged):
            return said
        # What stands in the way may be this very merge: done before a crash, by a second forge, by a person.
        return await _merged(action.path, action.base_branch, action.head) or said

    async def _try_to_merge(self, action: Merge, still_due: Callable[[], bool]) -> Event | None:
        def refused(reason: MergeRefusal, detail: str) -> MergeRefused:
            return MergeRefused(
                head_sha=action.head, base_sha=action.base, reason=reason, detail=detail[:_DETAIL_LENGTH]
            )

        base = await branch_head(action.path, action.base_branch)
        if base != action.base:
            return refused(MergeRefusal.BASE_MOVED, f"{action.base_branch} is at {base}")
        async with self._scratch.clone(action.path) as clone:
            message = merge_message(action.title, str(action.about))
            match await combine(clone, head=action.head, base=base, message=message, at=action.at):
                case Conflict(paths=paths):
                    return _conflicted(action.head, base, paths)
                case NothingToMerge():
                    return refused(MergeRefusal.BASE_MOVED, _nothing(action.base_branch))
                case MergeCommit(sha=merge):
                    pass
            landed = await land(clone, action.path, action.base_branch, merge=merge, expected=base, still_due=still_due)
        match landed:
            case None:
                return None
            case Landed(sha=merge):
                return Merged(head_sha=action.head, base_sha=base, merge_sha=merge)
            case BaseMoved(actual=actual):
                return refused(MergeRefusal.BASE_MOVED, f"{action.base_branch} is at {actual}")
            case DirtyCheckout(detail=detail):
                return refused(MergeRefusal.DIRTY_CHECKOUT, detail)
            case Protected(detail=detail):
                return refused(MergeRefusal.PROTECTED, detail)


async def _inspect(action: Inspect) -> Event | None:
    path = Path(action.added.clone_url)
    added = action.added
    found = await inspect(path, added.base_branch or await _base_so_far(action))
    says = await said_by(path, found.base_sha)
    configured = RepositoryConfigured(
        base_branch=found.base_branch,
        base_sha=found.base_sha,
        clone_url=added.clone_url,
        check=added.check,
        reviewers=added.reviewers,
        stack=says.stack,
        capabilities=tuple(dict.fromkeys((*added.capabilities, *says.tools))),
        build=says.build,
        escalate=says.escalate,
        overrides=added.overrides,
    )
    if action.known and msgspec.structs.replace(action.known, base_sha=found.base_sha) == configured:
        return None
    return configured


async def _base_so_far(action: Inspect) -> str | None:
    """The base stays what it was, whatever somebody has checked out since; unless that branch is gone."""
    if action.known is None:
        return None
    try:
        await branch_head(Path(action.added.clone_url), action.known.base_branch)
    except NoSuchBranch:
        return None
    return action.known.base_branch


async def _merged_by_hand(path: Path, base_branch: str, head: str) -> Merged | None:
    """The merge commit that brought `head` to the base branch: a crash, a second forge or a person was before us."""
    found = await find_merge(path, base_branch, head)
    return None if found is None else Merged(head_sha=head, base_sha=found.base, merge_sha=found.sha)


async def _merged(path: Path, base_branch: str, head: str) -> Merged | None:
    """The same, also when the base branch was moved up to `head` or past it (`git merge --ff`).

    For a head that was not on the base branch when its pull request was opened.
    """
    if merged := await _merged_by_hand(path, base_branch, head):
        return merged
    base = await branch_head(path, base_branch)
    on_base = await Git(path).is_ancestor(head, base)
    return Merged(head_sha=head, base_sha=base, merge_sha=head) if on_base else None


async def _is_somebodys(action: ShowPush, commit: str | None) -> bool:
    """Whether a branch at this commit is not the rig's to move: a commit that the log does not know would be lost."""
    if commit is None or commit in action.heads:
        return False
    return not await Git(action.path).is_ancestor(commit, action.push.head)


def _nothing(base_branch: str) -> str:
    return (
        f"{base_branch} has everything already that this work would bring. "
        f"If somebody put it there in other commits (a squash, a cherry-pick), withdraw the issue: it is done"
    )


def _conflicted(head: str, base: str, paths: tuple[str, ...]) -> MergeConflicted:
    named = tuple(path[:_PATH_LENGTH] for path in paths[:_PATHS_NAMED])
    return MergeConflicted(head_sha=head, base_sha=base, paths=named)


def _verdict(head: str, base: str, outcome: CheckOutcome) -> Event:
    if outcome.passed:
        return ChecksPassed(head_sha=head, base_sha=base, checks=(CHECK,))
    return _failed(head, base, CHECK, _CONCLUSIONS[outcome.conclusion], outcome.excerpt)


def _failed(head: str, base: str, name: str, conclusion: Conclusion, excerpt: str) -> ChecksFailed:
    failed = FailedCheck(name=name, conclusion=conclusion, excerpt=excerpt)
    return ChecksFailed(head_sha=head, base_sha=base, failed=(failed,))
