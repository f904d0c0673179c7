"""A commit to be read as it is in the cache, beside the base branch that it is for: objects of git, and no files.

Nothing is checked out, so nothing of the repository has a say: no filter, no hook, no attribute that hides a file.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from agents.workspace.cache import Cache, tracking_ref
from agents.workspace.remote import Remote, WorkspaceFailed
from agents.workspace.worktree import texts_of
from machine.git import Git, sha

__all__ = ["Changed", "Reading"]

PLAIN: Final = ("-c", "diff.suppressBlankEmpty=false", "-c", "core.attributesFile=/dev/null")
DIFF: Final = (*PLAIN, "diff-tree", "--no-ext-diff", "--no-textconv", "--no-color", "--full-index", "-r")
CONTEXT: Final = 8
"""Lines around what has changed."""


class Changed(Struct, frozen=True, kw_only=True):
    """One file that is not in the base as it is in the head."""

    path: str
    before: str | None
    """Where it was, of one that moved."""
    modes: tuple[str, str]
    """Before and now; 000000: it was not there, or is no more."""

    @property
    def deleted(self) -> bool:
        return self.modes[1] == "000000"


class Reading:
    """Head and base. Its methods raise GitError, SpawnFailed and OSError. Make one with `Workspace.reading`."""

    def __init__(self, git: Git, *, head_sha: str, base_tip: str, base_sha: str) -> None:
        self.git = git
        self.head_sha = head_sha
        self.base_tip = base_tip
        """The base branch as it is."""
        self.base_sha = base_sha
        """The commit that both have in common: what the head changes, it changes of that."""

    @classmethod
    async def of(cls, cache: Cache, remote: Remote, *, base: str, head: str) -> "Reading":
        """Fetches the head where no branch has it. Raises WorkspaceFailed."""
        tip = await cache.git.commit_id(tracking_ref(base))
        if tip is None:
            raise WorkspaceFailed(remote.told(f"{remote.url} has no branch {base}"))
        if await cache.git.commit_id(sha(head)) is None:
            await cache.fetch_commit(remote, head)
        if await cache.git.commit_id(head) is None:
            raise WorkspaceFailed(remote.told(f"{remote.url} has no commit {head}"))
        common = await cache.git.outcome("merge-base", tip, head)
        if not common.ok:
            raise WorkspaceFailed(f"{head} has nothing in common with the branch {base}")
        return cls(cache.git, head_sha=head, base_tip=tip, base_sha=common.output.decode().split()[0])

    async def changed(self) -> tuple[Changed, ...]:
        """Every file that differs, in the order of git."""
        listing = await self.git.run(*DIFF, "--raw", "-z", "--find-renames", self.base_sha, self.head_sha, "--")
        fields = iter(listing.split("\0"))
        found: list[Changed] = []
        for field in fields:
            if not field:
                continue
            old, new, _, _, status = field.removeprefix(":").split(" ")
            path = next(fields)
            before, path = (path, next(fields)) if status[0] in "RC" else (None, path)
            found.append(Changed(path=path, before=before, modes=(old, new)))
        return tuple(found)

    async def size(self) -> tuple[int, int]:
        """Files and lines, as a forge counts them: see agents.workspace.worktree.DiffSize."""
        listing = await self.git.run(*DIFF, "--numstat", "--no-renames", "-z", self.base_sha, self.head_sha, "--")
        changes = [line.split("\t")[:2] for line in listing.split("\0") if line]
        return len(changes), sum(int(count) for change in changes for count in change if count != "-")

    async def patch(self, changed: Changed) -> str:
        """What changes in one file, and in no other that was, or is, below a directory of its name."""
        paths = [path for path in (changed.before, changed.path) if path is not None]
        only = [f":(top,literal){path}" for path in paths] + [f":(top,exclude,literal){path}/" for path in paths]
        shown = ("-p", f"-U{CONTEXT}", "--find-renames", "--submodule=short")
        return await self.git.run(*DIFF, *shown, self.base_sha, self.head_sha, "--", *only)

    async def base_texts(self, paths: Sequence[str]) -> dict[str, str]:
        """As a worktree's: what these files hold on the base branch, as it is now."""
        return await texts_of(self.git, self.base_tip, paths)
