"""Where an agent works: one cached clone per repository, one git worktree per run, in a directory of its own.

    <root>/lock                                     held while the agent lives
    <root>/<owner>/<repo>/cache.git                 see cache
    <root>/<owner>/<repo>/broken-<token>.git        a cache that another had to replace, with what is kept in it
    <root>/<owner>/<repo>/worktrees/<branch>        rig/<number>/<epoch>-<run>; gone when the run is over
    <root>/<owner>/<repo>/worktrees/<branch>.gone   what could not be removed of it; tried again at every start

Work that was never pushed is not deleted: before its worktree goes it is committed and kept in the cache as
refs/kept/<branch>, and the log names it. The next run of the issue may start there. Clean-up stops nobody: what resists
is left behind, and named. It knows git and nothing of events; what is in a worktree is the coder's.
"""

import asyncio
import fcntl
import logging
import secrets
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from agents.workspace.cache import Cache, is_half_made, kept_ref, tracking_ref
from agents.workspace.reading import Reading
from agents.workspace.remote import Access, Remote, WorkspaceFailed
from agents.workspace.room import Room, used
from agents.workspace.worktree import Worktree, commit_everything, unmerged
from machine.git import GitError, Identity
from machine.process import SpawnFailed
from machine.trees import remove_tree
from schemas import RepoRef, escape

__all__ = ["Workspace", "WorkspaceInUse"]

log = logging.getLogger(__name__)

GONE = ".gone"
FAILURES = (GitError, SpawnFailed, OSError)
"""What work in a cache raises."""


class WorkspaceInUse(Exception):
    """Another process works in this directory."""


class Workspace:
    """The directory of one agent, used by one process at a time. Make one with `taken`."""

    def __init__(self, root: Path, identity: Identity, quota_bytes: int | None = None) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root.resolve()
        self._room = Room(self._root, quota_bytes)
        self._env = identity.environment()
        self._locks: defaultdict[Path, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._users: Counter[Path] = Counter()
        """How many checkouts need the cache in this directory."""

    @classmethod
    @asynccontextmanager
    async def taken(
        cls, root: Path, identity: Identity, *, quota_bytes: int | None = None
    ) -> AsyncGenerator["Workspace"]:
        """The directory, made when missing, ours alone, and with what a dead process left in it put in order.

        It takes at most `quota_bytes` of the disk when a run begins. Raises WorkspaceInUse while another process has
        it.
        """
        workspace = cls(root, identity, quota_bytes)
        with (workspace._root / "lock").open("wb") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WorkspaceInUse(f"another process works in {root}; give each replica a name of its own") from None
            await workspace._recover()
            yield workspace

    @asynccontextmanager
    async def checkout(
        self,
        repo: RepoRef,
        clone_url: str,
        *,
        base: str,
        branch: str,
        earlier: Sequence[str] = (),
        access: Access | None = None,
    ) -> AsyncGenerator[Worktree]:
        """A worktree on a new `branch`, gone afterwards.

        It starts at the first of the branches `earlier` that the repository has, or of which unpushed work is kept
        here, with the branch `base` merged in as far as that goes; else at `base`. Raises WorkspaceFailed when it
        cannot be made, and then leaves nothing behind. `access` lets git in at the clone URL, to fetch and to push.
        """
        remote = Remote(clone_url, access)
        home = self._root / escape(repo.owner) / escape(repo.repo)
        directory, path = home / "cache.git", home / "worktrees" / branch
        tree: Worktree | None = None
        self._users[directory] += 1
        try:
            await self._room.make(lambda: [cache for cache, users in self._users.items() if users])
            cache = await self._fetched(directory, remote)
            used(directory)
            try:
                try:
                    tree = await self._made(cache, path, remote, base=base, branch=branch, earlier=earlier)
                    await tree.merge_base_in()
                except FAILURES as error:
                    raise WorkspaceFailed(f"cannot check out {branch} of {repo}: {error}") from error
                yield tree
            finally:
                pushed = tree is not None and tree.pushed
                await _to_its_end(self._put_away(cache, path, branch, pushed=pushed))
        finally:
            self._users[directory] -= 1

    @asynccontextmanager
    async def reading(
        self, repo: RepoRef, clone_url: str, *, base: str, head: str, access: Access | None = None
    ) -> AsyncGenerator[Reading]:
        """A commit and what it changes of the branch `base`, to be read: nothing is checked out, nothing can be pushed.

        Raises WorkspaceFailed when there is no such branch, or the commit cannot be had.
        """
        remote = Remote(clone_url, access)
        directory = self._root / escape(repo.owner) / escape(repo.repo) / "cache.git"
        self._users[directory] += 1
        try:
            await self._room.make(lambda: [cache for cache, users in self._users.items() if users])
            cache = await self._fetched(directory, remote)
            used(directory)
            try:
                yield await Reading.of(cache, remote, base=base, head=head)
            except FAILURES as error:
                raise WorkspaceFailed(remote.told(f"cannot read {head} of {repo}: {error}")) from error
        finally:
            self._users[directory] -= 1

    async def _made(
        self, cache: Cache, path: Path, remote: Remote, *, base: str, branch: str, earlier: Sequence[str]
    ) -> Worktree:
        base_sha = await cache.git.commit_id(tracking_ref(base))
        if base_sha is None:
            raise WorkspaceFailed(remote.told(f"{remote.url} has no branch {base}"))
        # The tip before the rest: where both are kept, HEAD had left the branch for something older or half-done.
        starts = [ref for name in earlier for ref in (tracking_ref(name), kept_ref(name, "-tip"), kept_ref(name))]
        start = await cache.first(starts) or base_sha
        async with self._locks[cache.directory]:
            await cache.git.run("worktree", "add", "--quiet", "-b", branch, str(path), start)
        admin = cache.admin(path)
        if admin is None:
            raise WorkspaceFailed(f"git has made {path} and does not know of it")
        return Worktree(path, admin, cache, remote, branch=branch, base_sha=base_sha, start_sha=start)

    async def _fetched(self, directory: Path, remote: Remote) -> Cache:
        """The cache, up to date; a new one when that is what helps."""
        async with self._locks[directory]:
            cache = Cache(directory, self._env)
            try:
                await cache.fetch(remote)
            except FAILURES as error:
                if not await self._replaced(directory, remote):
                    raise WorkspaceFailed(remote.told(f"cannot fetch {remote.url}: {error}")) from error
                log.warning("the cache in %s was broken: %s", directory, remote.told(str(error)))
            return cache

    async def _replaced(self, directory: Path, remote: Remote) -> bool:
        """Puts a new cache in the place of one that fails, unless the new one fails as well or another run needs it."""
        if self._users[directory] > 1:
            return False
        fresh = Cache(directory.with_name("fresh.git"), self._env)
        await asyncio.to_thread(_remove_for_good, fresh.directory)  # of a process that died here
        try:
            await fresh.fetch(remote)
        except (*FAILURES, WorkspaceFailed):  # so the cache is not at fault, and the first error says what is
            await asyncio.to_thread(_remove_for_good, fresh.directory)
            return False
        aside = directory.with_name(f"broken-{secrets.token_hex(4)}.git")
        await asyncio.to_thread(directory.rename, aside)
        await asyncio.to_thread(fresh.directory.rename, directory)
        log.warning("%s is made anew; the old one, with all that was kept in it, is %s", directory, aside)
        return True

    async def _put_away(self, cache: Cache, path: Path, branch: str, *, pushed: bool) -> None:
        """Removes a worktree and its branch; what they hold that nobody else has is kept first."""
        async with self._locks[cache.directory]:
            try:
                admin = cache.admin(path)
                if admin is None and _holds_something(path):
                    log.warning("%s is left behind: git does not know of it, and there may be work in it", path)
                else:
                    if admin is not None:
                        cache.take_back(admin, branch)
                        if not pushed and _holds_something(path) and not is_half_made(admin):
                            await _keep(cache, path, admin, branch)
                    await asyncio.to_thread(_remove, path, admin)
                await cache.drop(branch)
            except FAILURES as error:
                log.warning("%s is left behind until the next start: %s", path, error)

    async def _recover(self) -> None:
        for directory in sorted(self._root.glob("*/*/cache.git")):
            cache, worktrees = Cache(directory, self._env), directory.parent / "worktrees"
            for lock in list(directory.rglob("*.lock")):  # of a git that was killed; nobody else is here
                await asyncio.to_thread(_remove_for_good, lock)
            for path in sorted(worktrees.glob("rig/*/*")):
                if path.suffix == GONE:
                    await asyncio.to_thread(_remove_for_good, path)
                else:
                    await self._put_away(cache, path, str(path.relative_to(worktrees)), pushed=False)
            await _sweep(cache, worktrees)


async def _sweep(cache: Cache, worktrees: Path) -> None:
    """Removes what a process that died while it removed a worktree, or made one, has left of it in the cache."""
    try:
        for orphan in cache.orphans():
            await asyncio.to_thread(_remove_for_good, orphan)
        for branch in await cache.branches():
            if not _holds_something(worktrees / branch):
                await cache.drop(branch)
    except FAILURES as error:
        log.warning("the cache in %s is not tidied up: %s", cache.directory, error)


async def _keep(cache: Cache, path: Path, admin: Path, branch: str) -> None:
    git = cache.git_in(path, admin)
    conflicted = await unmerged(git)
    await commit_everything(git, f"Unfinished work of {branch}")
    # Nobody is to start where conflicts are committed as if they were resolved.
    await cache.keep(await git.run("rev-parse", "HEAD"), branch, "-conflicted" if conflicted else "")


def _holds_something(path: Path) -> bool:
    return path.is_dir() and any(path.iterdir())


def _remove(path: Path, admin: Path | None) -> None:
    """By hand and not by git, which refuses to remove a worktree that is locked or that it never finished.

    It gets another name first, so that nobody takes a worktree that is half removed for unfinished work.
    """
    gone = path.with_name(path.name + GONE)
    if path.exists():
        path.rename(gone)
    if admin is not None:
        _remove_for_good(admin)
    _remove_for_good(gone)


def _remove_for_good(path: Path) -> None:
    if error := remove_tree(path):
        log.warning("%s is left behind: %s", path, error)


async def _to_its_end(work: Coroutine[object, object, None]) -> None:
    """Does the work, also when whoever waits for it is cancelled in the middle; then that is raised afterwards."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise
