"""Where an agent works: one cached clone per repository, one git worktree per run, in a directory of its own.

    <root>/lock                                     held while the agent lives
    <root>/<owner>/<repo>/cache.git                 a bare repository; the forge's branches under refs/remotes/origin/
    <root>/<owner>/<repo>/worktrees/<branch>        rig/<number>/<epoch>-<run>; gone when the run is over

Work that was never pushed is not deleted: before its worktree goes it is committed and kept in the cache as
refs/kept/<branch>, and the log names it. It knows git and nothing of events; what is in a worktree is the coder's.
"""

import asyncio
import fcntl
import logging
import shutil
from collections import defaultdict
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from machine.git import Git, GitError, Identity, branch_ref
from machine.process import SpawnFailed
from schemas import RepoRef, escape

__all__ = ["DiffSize", "Workspace", "WorkspaceFailed", "WorkspaceInUse", "Worktree"]

log = logging.getLogger(__name__)

NO_HOOKS = ("-c", "core.hooksPath=/dev/null")
"""A coder shares the cache's configuration: what it puts there must not run as us."""


STATUS = ("status", "--porcelain", "--untracked-files=normal")


class WorkspaceFailed(Exception):
    """A repository could not be read, checked out or written: the machine's failure, not the work's."""


class WorkspaceInUse(Exception):
    """Another process works in this directory."""


class DiffSize(Struct, frozen=True):
    """How much a branch changes of its base; lines are those added and those removed, binary files count none."""

    files: int
    lines: int


class Workspace:
    """The directory of one agent, used by one process at a time. Make one with `taken`."""

    def __init__(self, root: Path, identity: Identity) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root.resolve()
        self._identity = identity
        self._locks: defaultdict[Path, asyncio.Lock] = defaultdict(asyncio.Lock)

    @classmethod
    @asynccontextmanager
    async def taken(cls, root: Path, identity: Identity) -> AsyncGenerator["Workspace"]:
        """The directory, made when missing, ours alone, and with what a dead process left in it put in order.

        Raises WorkspaceInUse while another process has it.
        """
        workspace = cls(root, identity)
        with (workspace._root / "lock").open("wb") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WorkspaceInUse(f"another process works in {root}; give each replica a name of its own") from None
            await workspace._recover()
            yield workspace

    @asynccontextmanager
    async def checkout(
        self, repo: RepoRef, clone_url: str, *, base: str, branch: str, earlier: Sequence[str] = ()
    ) -> AsyncGenerator["Worktree"]:
        """A worktree on a new `branch`, gone afterwards.

        It starts at the first of the branches `earlier` that the repository has, with the branch `base` merged in as
        far as that goes; else at `base`. Raises WorkspaceFailed when it cannot be made, and then leaves nothing behind.
        """
        home = self._home(repo)
        cache = await self._fetched(home / "cache.git", clone_url)
        base_sha = await cache.commit_id(_tracking(base))
        if base_sha is None:
            raise WorkspaceFailed(f"{clone_url} has no branch {base}")
        start = base_sha
        for name in earlier:
            if found := await cache.commit_id(_tracking(name)):
                start = found
                break
        path = home / "worktrees" / branch
        worktree = Worktree(self._git(path), cache, clone_url, branch=branch, base_sha=base_sha, start_sha=start)
        try:
            try:
                async with self._locks[cache.directory]:
                    await cache.run(*NO_HOOKS, "worktree", "add", "--quiet", "-b", branch, str(path), start)
                await worktree.merge_base_in()
            except (GitError, SpawnFailed) as error:
                raise WorkspaceFailed(f"cannot check out {branch} of {repo}: {error}") from error
            yield worktree
        finally:
            await _to_its_end(self._put_away(cache, path, branch, pushed=worktree.pushed))

    def _home(self, repo: RepoRef) -> Path:
        home = self._root / escape(repo.owner) / escape(repo.repo)
        (home / "cache.git").mkdir(parents=True, exist_ok=True)
        return home

    def _git(self, directory: Path) -> Git:
        return Git(directory, env=self._identity.environment())

    async def _fetched(self, directory: Path, clone_url: str) -> Git:
        """The cache, up to date. Making it again is harmless: one whose making was cut off needs no mending."""
        refspec = f"+refs/heads/*:{_tracking('*')}"
        async with self._locks[directory]:
            cache = self._git(directory)
            try:
                await cache.run("init", "--quiet", "--bare")
                await cache.run("fetch", "--quiet", "--prune", "--no-tags", "--", clone_url, refspec)
            except (GitError, SpawnFailed) as error:
                raise WorkspaceFailed(f"cannot fetch {clone_url}: {error}") from error
            return cache

    async def _put_away(self, cache: Git, path: Path, branch: str, *, pushed: bool) -> None:
        """Removes a worktree; what it holds that nobody else has is kept first. One that resists is left, and named."""
        lock = cache.directory / "worktrees" / path.name / "locked"  # git holds it while it makes the worktree
        async with self._locks[cache.directory]:
            try:
                if not pushed and (path / ".git").exists() and not lock.exists():
                    await self._keep(cache, path, branch)
                # By hand and not by git, which refuses to remove a worktree that it never finished.
                await asyncio.to_thread(_remove, path)
                lock.unlink(missing_ok=True)
                await cache.run("worktree", "prune", "--expire=now")
                await cache.run("update-ref", "-d", branch_ref(branch))
            except (GitError, SpawnFailed, OSError) as error:
                log.warning("%s stays where it is until the next start: %s", path, error)

    async def _keep(self, cache: Git, path: Path, branch: str) -> None:
        git = self._git(path)
        if await git.run(*STATUS):
            await git.run("add", "--all")
            await git.run(*NO_HOOKS, "commit", "--quiet", "--no-verify", f"--message=Unfinished work of {branch}")
        head = await git.run("rev-parse", "HEAD")
        if await cache.run("for-each-ref", "--count=1", f"--contains={head}", _tracking("")):
            return
        await cache.run("update-ref", f"refs/kept/{branch}", head)
        log.warning("unpushed work of %s is kept as refs/kept/%s in %s", head[:12], branch, cache.directory)

    async def _recover(self) -> None:
        for directory in sorted(self._root.glob("*/*/cache.git")):
            for lock in list(directory.rglob("*.lock")):  # of a git that was killed; nobody else is here
                lock.unlink()
            cache = self._git(directory)
            worktrees = directory.parent / "worktrees"
            for path in sorted(worktrees.glob("rig/*/*")):
                await self._put_away(cache, path, str(path.relative_to(worktrees)), pushed=False)


class Worktree:
    """One run's files, on a branch of their own. What a coder commits by itself counts as much as what it leaves."""

    def __init__(self, git: Git, cache: Git, clone_url: str, *, branch: str, base_sha: str, start_sha: str) -> None:
        self.path = git.directory
        self.branch = branch
        self.base_sha = base_sha
        """The base branch, as it was when this was made."""
        self.start_sha = start_sha
        self.conflicts: tuple[str, ...] = ()
        """What merging the base branch in left to the coder."""
        self.pushed = False
        self._git = git
        self._cache = cache
        self._clone_url = clone_url
        self._left_by_merge: dict[str, bytes | None] = {}

    async def merge_base_in(self) -> None:
        """Merges the base branch into the work; conflicts stay in the files, for the coder."""
        if await self._git.is_ancestor(self.base_sha, self.start_sha):
            return
        message = f"--message=Merge the base branch into {self.branch}"
        merged = await self._git.outcome(*NO_HOOKS, "merge", "--quiet", "--ff", "--no-verify", message, self.base_sha)
        if merged.ok:
            return
        self.conflicts = await self._unmerged()
        if not self.conflicts:
            raise GitError(self.path, ("merge", self.base_sha), merged)
        self._left_by_merge = {path: _content(self.path / path) for path in self.conflicts}

    async def unresolved(self) -> tuple[str, ...]:
        """The conflicts that the coder left: with markers still in the file, or neither changed nor added."""
        unmerged = await self._unmerged()
        return tuple(
            path
            for path, left in self._left_by_merge.items()
            if _has_markers(self.path / path) or (path in unmerged and _content(self.path / path) == left)
        )

    async def commit_all(self, message: str) -> str | None:
        """Commits whatever is not committed and ends a merge that is going on; its id, or None for nothing to do."""
        merging = await self._git.outcome("rev-parse", "--verify", "--quiet", "MERGE_HEAD")
        if not merging.ok and not await self._git.run(*STATUS):
            return None
        await self._git.run("add", "--all")
        # The message as it is: a line that begins with # is no comment.
        await self._git.run(
            *NO_HOOKS, "commit", "--quiet", "--no-verify", "--cleanup=whitespace", "--file=-", stdin=message.encode()
        )
        return await self.head()

    async def head(self) -> str:
        """The commit that the worktree is at."""
        return await self._git.run("rev-parse", "HEAD")

    async def has_base(self) -> bool:
        """Whether the base branch is part of the work."""
        return await self._git.is_ancestor(self.base_sha, await self.head())

    async def diff_size(self) -> DiffSize:
        """What the commits change of the base branch."""
        listing = await self._git.run("diff", "--numstat", "--no-renames", "-z", f"{self.base_sha}...HEAD", "--")
        changes = [line.split("\t")[:2] for line in listing.split("\0") if line]
        return DiffSize(len(changes), sum(int(count) for change in changes for count in change if count != "-"))

    async def push(self) -> str:
        """Pushes the commits to the run's branch; their head. Raises WorkspaceFailed."""
        head = await self.head()
        target = f"{head}:{branch_ref(self.branch)}"
        try:
            await self._git.run(*NO_HOOKS, "push", "--quiet", "--no-verify", "--", self._clone_url, target)
        except GitError as error:
            raise WorkspaceFailed(f"cannot push to {self._clone_url}: {error}") from error
        await self._cache.run("update-ref", _tracking(self.branch), head)
        self.pushed = True
        return head

    async def _unmerged(self) -> tuple[str, ...]:
        listing = await self._git.run("diff", "--name-only", "--diff-filter=U", "-z")
        return tuple(path for path in listing.split("\0") if path)


def _tracking(branch: str) -> str:
    return f"refs/remotes/origin/{branch}"


async def _to_its_end(work: Coroutine[object, object, None]) -> None:
    """Does the work, also when whoever waits for it is cancelled in the middle; then that is raised afterwards."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise


def _remove(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)


def _content(path: Path) -> bytes | None:
    """A fingerprint of a file; None when it is gone."""
    return sha256(path.read_bytes()).digest() if path.is_file() else None


def _has_markers(path: Path) -> bool:
    if not path.is_file():
        return False
    lines = path.read_bytes().splitlines()
    return all(any(line.startswith(marker) for line in lines) for marker in (b"<<<<<<< ", b">>>>>>> "))
