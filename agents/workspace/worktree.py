"""One run's files and what git says of them. What a coder commits by itself counts as much as what it leaves.

Making and removing it is the workspace's business.
"""

import asyncio
from collections.abc import Collection, Sequence
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from agents.guard.secrets import Finding, found
from agents.workspace.cache import Cache, tracking_ref
from agents.workspace.remote import Remote, WorkspaceFailed
from machine.git import Git, GitError, branch_ref

__all__ = ["DiffSize", "Worktree", "commit_everything", "nested_repositories", "texts_of", "unmerged"]

TEXT_BYTES = 65_536
"""Of a file that is read as a whole."""
_LINK = "120000"


class DiffSize(Struct, frozen=True):
    """How much a branch changes of its base; lines are those added and those removed, binary files count none."""

    files: int
    lines: int


class Worktree:
    """A worktree of `cache` on a branch of its own. Its methods raise GitError, SpawnFailed and OSError.

    `unresolved`, `commit_all` and `push` are for when nothing of the coder, or of a check, is running any more.
    """

    def __init__(
        self, path: Path, admin: Path, cache: Cache, remote: Remote, *, branch: str, base_sha: str, start_sha: str
    ) -> None:
        self.path = path
        self.branch = branch
        self.base_sha = base_sha
        """The base branch, as it was when this was made."""
        self.start_sha = start_sha
        self.conflicts: tuple[str, ...] = ()
        """What merging the base branch in left to the coder."""
        self.pushed = False
        self._admin = admin
        self._git = cache.git_in(path, admin)
        self._cache = cache
        self._remote = remote
        self._left_by_merge: dict[str, bytes | None] = {}

    @property
    def clone(self) -> Path:
        """The repository that it belongs to."""
        return self._cache.directory

    async def merge_base_in(self) -> None:
        """Merges the base branch into the work; conflicts stay in the files, for the coder."""
        if await self._git.is_ancestor(self.base_sha, self.start_sha):
            return
        message = f"--message=Merge the base branch into {self.branch}"
        merged = await self._git.outcome("merge", "--quiet", "--ff", "--no-verify", message, self.base_sha)
        if merged.ok:
            return
        self.conflicts = await unmerged(self._git)
        if not self.conflicts:
            raise GitError(self.path, ("merge", self.base_sha), merged)
        self._left_by_merge = {path: _content(self.path / path) for path in self.conflicts}

    async def unresolved(self) -> tuple[str, ...]:
        """The conflicts that the coder left: with markers still in the file, or neither changed nor added."""
        self._take_back()
        open_ones = await unmerged(self._git)
        return tuple(
            path
            for path, left in self._left_by_merge.items()
            if _has_markers(self.path / path) or (path in open_ones and _content(self.path / path) == left)
        )

    async def nested(self) -> tuple[str, ...]:
        """Repositories that somebody made inside this one: git cannot take their files."""
        return await nested_repositories(self._git)

    async def commit_all(self, message: str) -> str | None:
        """Commits whatever is not committed and ends a merge that is going on; its id, or None for nothing to do."""
        self._take_back()
        return await self.head() if await commit_everything(self._git, message) else None

    async def head(self) -> str:
        """The commit that the worktree is at."""
        return await self._git.run("rev-parse", "HEAD")

    async def base_texts(self, paths: Sequence[str]) -> dict[str, str]:
        """What these files hold on the base branch, of those that are there: plain files of text, and not too long."""
        return await texts_of(self._git, self.base_sha, paths)

    async def has_base(self) -> bool:
        """Whether the base branch is part of the work."""
        return await self._git.is_ancestor(self.base_sha, await self.head())

    async def diff_size(self) -> DiffSize:
        """What the commits change of the base branch."""
        listing = await self._git.run("diff", "--numstat", "--no-renames", "-z", f"{self.base_sha}...HEAD", "--")
        changes = [line.split("\t")[:2] for line in listing.split("\0") if line]
        return DiffSize(len(changes), sum(int(count) for change in changes for count in change if count != "-"))

    async def leaks(self, known: Collection[str] = (), *, at_the_end: bool = False) -> tuple[Finding, ...]:
        """The credentials, and values of `known`, in what a push would give away: in every commit that the forge has
        not seen, or only in what there is `at_the_end`."""
        forms = ("--patch", "--unified=0", "--text", "--no-color", "--no-ext-diff", "--no-textconv")
        prefixes = ("--src-prefix=a/", "--dst-prefix=b/")
        said = ""
        if at_the_end:
            command = ("diff", *forms, *prefixes, f"{self.base_sha}...HEAD", "--")
        else:
            new = ("HEAD", "--not", self.base_sha, "--remotes=origin", "--")
            command = ("log", "--format=", "--cc", "--no-show-signature", *forms, *prefixes, *new)
            messages = await self._git.run("log", "--no-patch", "--no-show-signature", "--format=%B", *new)
            said = "".join(f"+{line}\n" for line in messages.split("\n"))
        outcome = await self._git.outcome(*command)
        if not outcome.ok:
            raise GitError(self.path, command, outcome)
        diff = f"+++ a commit's message\n@@ -0,0 +1 @@\n{said}".encode() + outcome.output
        return await asyncio.to_thread(found, diff, known=known)

    async def squash(self, message: str) -> str:
        """Puts one commit in the place of all that the forge has not seen; its files stay as they are."""
        git = self._git
        seen = await git.run("for-each-ref", "--count=1", f"--contains={self.start_sha}", tracking_ref(""))
        parents = [self.start_sha] if seen else []
        parents += [self.base_sha] if self.base_sha not in parents and await self.has_base() else []
        parents = parents or [await git.run("merge-base", self.base_sha, "HEAD")]
        named = [word for parent in parents for word in ("-p", parent)]
        tree = await git.run("rev-parse", "HEAD^{tree}")
        commit = await git.run("commit-tree", *named, "-F", "-", tree, stdin=message.encode())
        await git.run("update-ref", "--no-deref", "HEAD", commit)
        return commit

    async def push(self) -> str:
        """Pushes the commits to the run's branch, and nothing else; their head. Raises WorkspaceFailed."""
        self._take_back()
        head = await self.head()
        options = ("--quiet", "--no-verify", "--no-signed", "--no-follow-tags", "--no-recurse-submodules")
        allowed = self._cache.git_in(self.path, self._admin, await self._remote.settings())
        try:
            await allowed.run("push", *options, "--", self._remote.url, f"{head}:{branch_ref(self.branch)}")
        except GitError as error:
            raise WorkspaceFailed(self._remote.told(f"cannot push to {self._remote.url}: {error}")) from error
        self.pushed = True
        await self._git.run("update-ref", tracking_ref(self.branch), head)
        return head

    def _take_back(self) -> None:
        """What was left half-done or configured in git must neither stop us nor work for us."""
        self._cache.take_back(self._admin, self.branch)


async def texts_of(git: Git, commit: str, paths: Sequence[str]) -> dict[str, str]:
    """What these files hold in a commit, of those that are there: plain files of text, and not too long."""
    listing = await git.run("ls-tree", "-z", "--long", commit, "--", *paths)
    texts: dict[str, str] = {}
    for line in listing.split("\0"):
        about, _, path = line.partition("\t")
        mode, kind, blob, size = (*about.split(), "", "", "", "")[:4]
        if path in paths and kind == "blob" and mode != _LINK and int(size) <= TEXT_BYTES:
            texts[path] = await git.run("cat-file", "blob", blob)
    return texts


async def unmerged(git: Git) -> tuple[str, ...]:
    """The files of a worktree whose conflicts nobody has resolved for git."""
    listing = await git.run("ls-files", "--unmerged", "-z")  # several lines for a file, "mode id stage<tab>path"
    return tuple(dict.fromkeys(line.partition("\t")[2] for line in listing.split("\0") if line))


async def commit_everything(git: Git, message: str) -> bool:
    """Commits all but nested repositories, and ends a merge that is going on; False when there was nothing to do."""
    leave_out = [f":(top,exclude,literal){path}" for path in await nested_repositories(git)]
    await git.run("add", "--all", "--", ".", *leave_out)
    merging = await git.outcome("rev-parse", "--verify", "--quiet", "MERGE_HEAD")
    if not merging.ok and await git.ok("diff", "--cached", "--quiet"):
        return False
    # The message as it is: a line that begins with # is no comment.
    await git.run("commit", "--quiet", "--no-verify", "--cleanup=whitespace", "--file=-", stdin=message.encode())
    return True


async def nested_repositories(git: Git) -> tuple[str, ...]:
    """The directories of a worktree that are repositories of their own, unless they are ignored or committed."""
    listing = await git.run("ls-files", "--others", "--exclude-standard", "-z")  # it goes into any other directory
    return tuple(path[:-1] for path in listing.split("\0") if path.endswith("/"))


def _content(path: Path) -> bytes | None:
    """A fingerprint of a file; None when it is gone."""
    return sha256(path.read_bytes()).digest() if path.is_file() else None


def _has_markers(path: Path) -> bool:
    if not path.is_file():
        return False
    lines = path.read_bytes().splitlines()
    return all(any(line.startswith(marker) for line in lines) for marker in (b"<<<<<<< ", b">>>>>>> "))
