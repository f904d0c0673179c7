"""Merging by git: what a merge of head and base would be, and putting it on the base branch.

A merge commit is computed without a work tree, and its id depends on its inputs alone (parents, message, time): doing
it again after a crash makes the same commit. It is always a commit of two parents, base first.

Where a work tree has the base branch checked out, git moves first the tree and then the branch. So a push is never
stopped half-way (it has a session of its own, and a cancelled task waits for it); and should the second step fail (the
branch moved or is locked just then, the disk is full), the tree is put back. Between the two a tree looks as if
somebody had changed it, so forges take turns: a lock on the repository is held by whoever lands, and by the push
itself, which may outlive a forge that was killed.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bridges.local.repository import branch_head, push, refusal
from machine.git import Git, GitError, Identity, branch_ref, sha
from machine.process import Outcome

FORGE = Identity("Rig", "rig@localhost")
_FILES_NAMED = 10
_TURN_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class MergeCommit:
    """Head and base merge cleanly, into this commit."""

    sha: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Head and base do not merge. `paths` is empty when they have no history in common."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NothingToMerge:
    """The base has everything already that head would bring."""


@dataclass(frozen=True, slots=True)
class Landed:
    """The base branch is at the merge commit."""

    sha: str


@dataclass(frozen=True, slots=True)
class Found:
    """A merge commit that is on the base branch, and the base that it was made on."""

    sha: str
    base: str


@dataclass(frozen=True, slots=True)
class BaseMoved:
    """The base branch is not where it was expected."""

    actual: str


@dataclass(frozen=True, slots=True)
class DirtyCheckout:
    """A work tree has the base branch checked out and cannot follow: it has changes of its own, or it is gone."""

    detail: str


@dataclass(frozen=True, slots=True)
class Protected:
    """The repository refused the merge (a hook, a setting), in its own words."""

    detail: str


def merge_message(title: str, issue: str) -> str:
    """The message of a merge commit: the title, and the issue (`demo/shop#1`) as a trailer."""
    return f"{title}\n\nRig-Issue: {issue}\n"


async def combine(
    scratch: Git, *, head: str, base: str, message: str, at: datetime
) -> MergeCommit | Conflict | NothingToMerge:
    """Compute the merge of `head` into `base` (full ids) in a scratch clone. Raises GitError."""
    if not await scratch.ok("merge-base", sha(base), sha(head)):
        return Conflict(())
    command = ("merge-tree", "--write-tree", "--no-messages", "--name-only", "-z", base, head)
    outcome = await scratch.outcome(*command)
    if outcome.exit_code not in (0, 1):
        raise GitError(scratch.directory, command, outcome)
    tree, *paths = outcome.output.decode("utf-8", "replace").rstrip("\0").split("\0")
    if outcome.exit_code == 1:
        return Conflict(tuple(paths))
    if tree == await scratch.run("rev-parse", f"{base}^{{tree}}"):
        return NothingToMerge()
    committing = Git(scratch.directory, env=FORGE.environment(at))
    return MergeCommit(
        await committing.run("commit-tree", "-p", base, "-p", head, "-F", "-", tree, stdin=message.encode())
    )


async def land(
    scratch: Git,
    repository: Path,
    branch: str,
    *,
    merge: str,
    expected: str,
    still_due: Callable[[], bool] = lambda: True,
) -> Landed | BaseMoved | DirtyCheckout | Protected | None:
    """Put a merge commit from a scratch clone on the base branch, if that still is at `expected`.

    Waits its turn; `still_due` is asked then, and None is the answer when it is not. Why it was refused is read from
    the repository afterwards, not from git's words. Raises GitError when it failed for another reason (a full disk),
    NoSuchBranch when the branch is gone.
    """
    async with _turn(repository) as lock:
        if not still_due():
            return None
        return await _land(scratch, repository, branch, merge=merge, expected=expected, lock=lock)


async def _land(
    scratch: Git, repository: Path, branch: str, *, merge: str, expected: str, lock: int
) -> Landed | BaseMoved | DirtyCheckout | Protected:
    before = await branch_head(repository, branch)
    if before == merge:
        return Landed(merge)
    if before != expected:
        return BaseMoved(before)
    tree = await _work_tree(repository, branch)
    if tree and not tree.is_dir():
        return DirtyCheckout(
            f"the work tree {tree}, which has {branch} checked out, is gone: run `git worktree prune` in {repository}"
        )
    if tree:
        await _put_back(scratch, tree, merge)  # what an earlier try may have left
    git = Git(scratch.directory, own_session=True)
    outcome = await _to_its_end(push(git, repository, branch, source=merge, expected=expected, hooks=True, held=lock))
    actual = await branch_head(repository, branch)
    if actual == merge:
        return Landed(merge)
    if tree:
        await _put_back(scratch, tree, merge)
    if actual != expected:
        return BaseMoved(actual)
    if tree and (files := await _changes_in_the_way(scratch, tree, expected, merge)):
        more = f" and {len(files) - _FILES_NAMED} more" if len(files) > _FILES_NAMED else ""
        named = ", ".join(files[:_FILES_NAMED])
        return DirtyCheckout(f"{tree} has changes of its own on {branch} ({named}{more}): commit or stash them there")
    if b"[remote rejected]" in outcome.output:
        return Protected(refusal(outcome))
    raise GitError(repository, ("push", str(repository), branch), outcome)


async def find_merge(repository: Path, branch: str, head: str) -> Found | None:
    """The merge commit that brought `head` to the branch, when there is one: what an earlier try of ours may have done.

    Raises NoSuchBranch.
    """
    base = await branch_head(repository, branch)
    git = Git(repository)
    if not await git.is_ancestor(head, base):
        return None
    history = await git.run("rev-list", "--first-parent", "--parents", f"{sha(head)}..{base}")
    for line in history.splitlines():
        commit, *parents = line.split()
        if parents[1:] == [head]:
            return Found(commit, parents[0])
    return None


@asynccontextmanager
async def _turn(repository: Path) -> AsyncGenerator[int]:
    """Alone in landing on this repository, among all forges; the lock that says so is on this open file."""
    lock = os.open(await Git(repository).run("rev-parse", "--path-format=absolute", "--git-common-dir"), os.O_RDONLY)
    try:
        while not _locked(lock):  # noqa: ASYNC110 - a thread that waits for it could not be cancelled
            await asyncio.sleep(_TURN_SECONDS)
        yield lock
    finally:
        os.close(lock)  # not unlocked: a push that goes on keeps it


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _to_its_end(push: Coroutine[None, None, Outcome]) -> Outcome:
    pushing = asyncio.ensure_future(push)
    try:
        return await asyncio.shield(pushing)
    except asyncio.CancelledError:
        while not pushing.done():  # however often it is cancelled
            with suppress(asyncio.CancelledError):
                await asyncio.wait([pushing])
        raise


async def _put_back(scratch: Git, tree: Path, merge: str) -> None:
    """Undo what a push did to a work tree whose branch it then could not move.

    It did when what the tree has staged is the merge, entry for entry: so nothing that is anybody's own can be lost.
    """
    git = Git(tree)
    if await git.ok("diff-index", "--cached", "--quiet", "HEAD"):
        return
    entry = "--format=%(objectmode) %(objectname) %(path)"
    if await git.run("ls-files", "-z", entry) == await scratch.run("ls-tree", "-r", "-z", entry, merge):
        await git.outcome("reset", "--quiet", "--merge", "HEAD")  # refuses to run over what is not staged


async def _changes_in_the_way(scratch: Git, tree: Path, base: str, merge: str) -> list[str]:
    status = await Git(tree).run("status", "--porcelain", "--no-renames", "--untracked-files=no", "-z")
    changed = [entry[3:] for entry in status.split("\0") if entry]
    added = await scratch.run("diff", "--name-only", "--no-renames", "--diff-filter=A", "-z", base, merge)
    return changed + [path for path in added.split("\0") if path and path not in changed and _exists(tree / path)]


async def _work_tree(repository: Path, branch: str) -> Path | None:
    """The work tree that has the branch checked out, the main one or a linked one."""
    for entry in (await Git(repository).run("worktree", "list", "--porcelain", "-z")).split("\0\0"):
        lines = entry.split("\0")
        if f"branch {branch_ref(branch)}" in lines:
            return Path(lines[0].removeprefix("worktree "))
    return None


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.exists()
