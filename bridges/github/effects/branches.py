"""Branches, moved by GitHub's API alone: there is no git here."""

import logging
from typing import Final

from msgspec import Struct

from bridges.github.api import GitHub, Priority
from bridges.github.courtesy import BRANCHES, DeleteBranches
from bridges.github.effects.result import Result, done
from bridges.github.errors import NotFound, Unprocessable
from schemas import RepoRef

log = logging.getLogger(__name__)

_REF: Final = "/repos/{owner}/{repo}/git/ref/heads{/branch*}"
_REFS: Final = "/repos/{owner}/{repo}/git/refs"
_MOVE: Final = "/repos/{owner}/{repo}/git/refs/heads{/branch*}"
_COMPARE: Final = "/repos/{owner}/{repo}/compare/{basehead}"


class _Object(Struct, frozen=True):
    sha: str


class _Ref(Struct, frozen=True):
    object: _Object


class ChangedFile(Struct, frozen=True):
    """One file of a comparison. Source: GitHub's `diff-entry`."""

    filename: str
    status: str
    sha: str | None = None
    """Of what the file holds now."""
    additions: int = 0
    deletions: int = 0
    changes: int = 0
    previous_filename: str | None = None


class Comparison(Struct, frozen=True):
    """What a head has that a base has not, from where they parted."""

    status: str
    """identical, ahead, behind, diverged."""
    ahead_by: int = 0
    files: list[ChangedFile] = []


async def head_of(github: GitHub, repository: RepoRef, branch: str, *, priority: Priority) -> str | None:
    """The commit that a branch is at; None where there is no such branch."""
    try:
        found = await github.get(_REF, _Ref, repository=repository, priority=priority, branch=branch.split("/"))
    except NotFound:
        return None
    return found.object.sha


async def compare(github: GitHub, repository: RepoRef, base: str, head: str) -> Comparison:
    """Both are commits, or branches. Raises NotFound where one of them is not there."""
    return await github.get(
        _COMPARE, Comparison, repository=repository, priority=Priority.HIGH, basehead=f"{base}...{head}"
    )


async def is_pushed(github: GitHub, repository: RepoRef, branch: str, commit: str) -> bool:
    """Whether a branch is there and contains this commit."""
    head = await head_of(github, repository, branch, priority=Priority.HIGH)
    if head is None or head == commit:
        return head is not None
    try:
        return (await compare(github, repository, commit, head)).status in ("ahead", "identical")
    except NotFound:
        return False


async def move(github: GitHub, repository: RepoRef, branch: str, head: str, ours: frozenset[str]) -> bool:
    """Puts a branch of the rig's at a commit. False: it is at a commit of somebody's that would be lost.

    `ours` are the commits that the rig may leave behind. GitHub has no compare-and-swap of a branch: who pushes to it
    between our look and our word loses his place there, not his commit.
    """
    at = await head_of(github, repository, branch, priority=Priority.HIGH)
    if at == head:
        return True
    if at is None:
        body = {"ref": f"refs/heads/{branch}", "sha": head}
        try:
            await github.post(_REFS, body, _Ref, repository=repository, priority=Priority.HIGH)
        except Unprocessable:
            at = await head_of(github, repository, branch, priority=Priority.HIGH)
            if at is None:
                raise
            return at == head  # made between our look and our word; a stranger's is left alone
        return True
    body = {"sha": head, "force": at in ours}
    where = branch.split("/")
    try:
        await github.patch(_MOVE, body, _Ref, repository=repository, priority=Priority.HIGH, branch=where)
    except Unprocessable:
        if body["force"]:
            raise
        return False  # not a fast-forward
    return True


async def delete(github: GitHub, repository: RepoRef, branch: str, ours: frozenset[str]) -> bool:
    """Deletes a branch that is at one of our commits. False: it is not there, or somebody has moved it."""
    at = await head_of(github, repository, branch, priority=Priority.LOW)
    if at is None or at not in ours:
        return False
    try:
        await github.delete(_MOVE, repository=repository, priority=Priority.LOW, branch=branch.split("/"))
    except (NotFound, Unprocessable):
        if await head_of(github, repository, branch, priority=Priority.LOW) is not None:
            raise
    return True


async def tidy(github: GitHub, action: DeleteBranches) -> Result:
    """Looks where each is, deletes those that nobody has moved, and records it."""
    deleted = [
        branch for branch in action.branches if await delete(github, action.about.repository, branch, action.heads)
    ]
    return done(BRANCHES, action.key, f"deleted: {', '.join(deleted) or 'none were there'}")
