"""The clone that an agent keeps of one repository: bare, with the forge's branches under refs/remotes/origin/.

Every run's worktree shares it with the coder of that run, who can write what it likes there. So our git runs no hooks,
what is configured in it is put back before we use it, and a worktree of it is found by what the cache knows and not by
the worktree's own `.git` file. That guards against what a coder leaves lying about, not against one that means harm:
it runs as the same user. It knows nothing of where worktrees are, or when they go: see workspace.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from agents.workspace.remote import Remote
from machine.git import Git, branch_ref, sha
from machine.process import Outcome

__all__ = ["AgentGit", "Cache", "is_half_made", "kept_ref", "tracking_ref"]

log = logging.getLogger(__name__)

_NOTHING: Mapping[str, str] = MappingProxyType({})

CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
"""All that is configured in a cache: no `insteadOf`, filter, alias or include outlives the run that set it."""


_ALONE = (
    "core.hooksPath=/dev/null",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    *(f"filter.lfs.{key}=" for key in ("clean", "smudge", "process")),
    "filter.lfs.required=false",
)


class AgentGit(Git):
    """Git that runs none of this repository's hooks, whoever put them there.

    Submodules, and what LFS keeps elsewhere, are left alone whatever the user's own configuration says: a pointer to
    them is a file like others.
    """

    async def outcome(self, *args: str, stdin: bytes = b"", held: int | None = None) -> Outcome:
        settings = [word for setting in _ALONE for word in ("-c", setting)]
        return await super().outcome(*settings, *args, stdin=stdin, held=held)


class Cache:
    """One bare repository. Its methods raise GitError, SpawnFailed and OSError, and expect to be called one by one."""

    def __init__(self, directory: Path, env: Mapping[str, str]) -> None:
        self.directory = directory
        self._env = env
        self.git = AgentGit(directory, env=env)

    async def fetch(self, remote: Remote) -> None:
        """Brings it up to date. It is made when missing; one whose making was cut off needs no mending."""
        allowed = AgentGit(self.directory, env=self._env, settings=await remote.settings())
        self.directory.mkdir(parents=True, exist_ok=True)
        self._configure()
        await self.git.run("init", "--quiet", "--bare")
        refspec = f"+refs/heads/*:{tracking_ref('*')}"
        await allowed.run("fetch", "--quiet", "--prune", "--no-tags", "--", remote.url, refspec)

    async def fetch_commit(self, remote: Remote, commit: str) -> None:
        """Fetches one commit by its id, whoever's branch it is on; nothing here is moved by it."""
        allowed = AgentGit(self.directory, env=self._env, settings=await remote.settings())
        await allowed.run("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", remote.url, sha(commit))

    def admin(self, worktree: Path) -> Path | None:
        """Where the cache keeps what it knows of a worktree (HEAD, index); None when it knows of none there."""
        return next((admin for admin, known in self._worktrees() if known == worktree), None)

    def orphans(self) -> list[Path]:
        """What the cache keeps of worktrees that are not there (any more)."""
        return [admin for admin, known in self._worktrees() if known is None or not known.exists()]

    def git_in(self, worktree: Path, admin: Path, settings: Mapping[str, str] = _NOTHING) -> Git:
        """Git for a worktree, whatever has become of its `.git` file."""
        here = {"GIT_DIR": str(admin), "GIT_WORK_TREE": str(worktree)}
        return AgentGit(worktree, env={**self._env, **here}, settings=settings)

    def take_back(self, admin: Path, branch: str) -> None:
        """Once nobody else works in a worktree: puts the configuration back and breaks the locks left there."""
        self._configure()
        for lock in (*admin.glob("*.lock"), self.directory / f"{branch_ref(branch)}.lock"):
            lock.unlink(missing_ok=True)

    async def first(self, refs: Iterable[str]) -> str | None:
        """The commit of the first of these that there is."""
        for ref in refs:
            if found := await self.git.commit_id(ref):
                return found
        return None

    async def keep(self, commit: str, branch: str, suffix: str = "") -> None:
        """Keeps a commit of a branch under a name that nothing deletes, and says so, unless it is safe already."""
        if await self.git.run("for-each-ref", "--count=1", f"--contains={commit}", tracking_ref(""), kept_ref("")):
            return
        ref = kept_ref(branch, suffix)
        await self.git.run("update-ref", ref, commit)
        log.warning("unpushed work of %s is kept as %s in %s", commit[:12], ref, self.directory)

    async def drop(self, branch: str) -> None:
        """Deletes a branch; where HEAD has left it behind, what only the branch had is kept."""
        if tip := await self.git.commit_id(branch_ref(branch)):
            await self.keep(tip, branch, "-tip")
        await self.git.run("update-ref", "-d", branch_ref(branch))

    async def branches(self) -> list[str]:
        """Those of the runs, and what coders made."""
        return (await self.git.run("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads")).split()

    def _worktrees(self) -> Iterator[tuple[Path, Path | None]]:
        for admin in self.directory.glob("worktrees/*"):
            gitdir = admin / "gitdir"
            target = os.fsdecode(gitdir.read_bytes()).rstrip("\n") if gitdir.is_file() else ""
            yield admin, Path(os.path.normpath(admin / target)).parent if target else None

    def _configure(self) -> None:
        new = self.directory / "config.rig"
        new.write_text(CONFIG)
        new.replace(self.directory / "config")  # at once: a coder may be reading it


def is_half_made(admin: Path) -> bool:
    """Whether git was stopped while it made this worktree; a coder's own lock says something else."""
    lock = admin / "locked"
    return lock.exists() and lock.read_bytes().strip() == b"initializing"


def tracking_ref(branch: str) -> str:
    """Where the forge's branch is in the cache, as it was last seen."""
    return f"refs/remotes/origin/{branch}"


def kept_ref(branch: str, suffix: str = "") -> str:
    """Where work of a run is kept that was never pushed."""
    return f"refs/kept/{branch}{suffix}"
