"""A repository on this disk, as the forge sees it: may it be served, where are its branches, how do they move.

Every branch moves the way a `git push` would move it: compare-and-swap, and a work tree that has the branch checked
out follows (`receive.denyCurrentBranch=updateInstead`) or, when it holds changes of its own, stops it. A merge onto the
base branch passes the repository's own hooks, as any push to it does. What the forge itself does to `rig/…` branches is
bookkeeping and runs none; an agent's push to its work branch is the agent's, and runs them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridges import agent_file
from bridges.agent_file import AgentFile
from machine import process
from machine.git import HELD, Git, GitError, branch_ref, sha
from machine.process import Outcome
from schemas import Invalid

_RECEIVE = (
    "git -c receive.denyCurrentBranch=updateInstead -c receive.denyDeletes=false"
    " -c gc.autoDetach=false -c receive.autogc=false"
)
_FILE_MODES = ("100644", "100755")
_WITHOUT_HOOKS = " -c core.hooksPath=/dev/null"


class RepositoryError(Exception):
    """A repository cannot be served as it is; the message says which, why, and what to do.

    RepositoryError
    ├── NotARepository   no git repository at this path
    ├── ShallowClone     its history is cut off
    ├── NameTaken        it has a branch where the rig's branches would be
    ├── NoSuchBranch     the base branch is not there: no commit yet, HEAD detached, or gone
    └── BadAgentFile     its .rig-agent.yaml cannot be read
    """


class NotARepository(RepositoryError):
    """No git repository at this path."""


class ShallowClone(RepositoryError):
    """The repository's history is cut off, so merges cannot be computed."""


class NameTaken(RepositoryError):
    """A branch called `rig`: beside it git takes none called `rig/…`."""


class NoSuchBranch(RepositoryError):
    """The branch to merge into does not exist."""


class BadAgentFile(RepositoryError):
    """What the repository says about itself cannot be read. `problems` holds one line each."""

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        self.what = f"{agent_file.NAME} {where}"
        super().__init__(f"{self.what}: " + "; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Inspected:
    """What the forge found in a repository."""

    base_branch: str
    base_sha: str
    bare: bool


@dataclass(frozen=True, slots=True)
class BranchMoved:
    """Somebody else moved the branch first; `actual` is where it is now, None: nowhere."""

    actual: str | None


@dataclass(frozen=True, slots=True)
class PushRefused:
    """The repository refused to move a branch, in its own words."""

    detail: str


async def inspect(path: Path, base_branch: str | None = None) -> Inspected:
    """Look at the repository at `path`; `base_branch` None means the one that its HEAD names.

    Raises NotARepository, ShallowClone, NameTaken, NoSuchBranch.
    """
    if not path.is_absolute():
        raise NotARepository(f"{path} is not an absolute path: processes look at it from different directories")
    if not path.is_dir():  # noqa: ASYNC240 - one look at a local path
        raise NotARepository(f"{path} is not a directory")
    git = Git(path)
    try:
        facts = await git.run("rev-parse", "--is-bare-repository", "--is-inside-work-tree", "--is-shallow-repository")
    except GitError as error:
        raise NotARepository(f"{path} is not a git repository: {error.detail}") from error
    bare, work_tree, shallow = (word == "true" for word in facts.splitlines())
    if not bare and not work_tree:
        raise NotARepository(f"{path} is the inside of a git repository: name the directory around it")
    if shallow:
        raise ShallowClone(f"{path} is a shallow clone: run `git fetch --unshallow` in it first")
    if await git.ok("show-ref", "--verify", "--quiet", branch_ref("rig")):
        raise NameTaken(
            f"{path} has a branch called rig, so none can be called rig/…: `git branch -m rig …` in it first"
        )
    branch = base_branch or await _branch_of_head(git)
    return Inspected(branch, await branch_head(path, branch), bare)


async def branch_head(path: Path, branch: str) -> str:
    """The commit that a branch is at. Raises NoSuchBranch."""
    if (head := await Git(path).commit_id(branch_ref(branch))) is None:
        raise NoSuchBranch(f"{path} has no branch {branch} with a commit on it: commit something there first")
    return head


async def said_by(path: Path, commit: str) -> AgentFile:
    """What the `.rig-agent.yaml` of a commit (a full id) says; nothing where there is none.

    Raises BadAgentFile with every problem.
    """
    git, where = Git(path), f"at {commit[:12]} of {path}"
    entry = await git.run("ls-tree", "-l", "-z", sha(commit), "--", agent_file.NAME)
    if not entry:
        return AgentFile()
    mode, _, blob, size = entry.partition("\t")[0].split()
    if mode not in _FILE_MODES:
        raise BadAgentFile(where, ["it is no file"])  # a link leads elsewhere, also out of the repository
    if int(size) > agent_file.MAX_BYTES:
        raise BadAgentFile(where, [f"{size} bytes, at most {agent_file.MAX_BYTES} are read"])
    command = ("cat-file", "blob", sha(blob))
    outcome = await git.outcome(*command)
    if not outcome.ok:
        raise GitError(path, command, outcome)
    try:
        return agent_file.read(outcome.output)
    except Invalid as error:
        raise BadAgentFile(where, error.problems) from None


async def is_pushed(path: Path, branch: str, commit: str) -> bool:
    """Whether the branch is there and contains this commit (a full id)."""
    git = Git(path)
    head = await git.commit_id(branch_ref(branch))
    known = await git.commit_id(sha(commit))
    return head is not None and known is not None and await git.is_ancestor(known, head)


async def move_branch(path: Path, branch: str, commit: str, expected: str | None) -> BranchMoved | PushRefused | None:
    """Move one of the rig's branches from `expected` (None: it must be new) to a commit that the repository has.

    None: it is there now, by us or by an earlier try of ours.
    """
    git = Git(path)
    outcome = await push(git, path, branch, source=sha(commit), expected=expected, hooks=False)
    if outcome.ok:
        return None
    actual = await git.commit_id(branch_ref(branch))
    if actual == commit:
        return None
    return BranchMoved(actual) if actual != expected else PushRefused(refusal(outcome))


async def delete_branches(path: Path, branches: Mapping[str, str]) -> list[str]:
    """Delete `rig/…` branches that are at the commit given for them; returns what is left of them.

    One that has moved stays, and so does one that a work tree has checked out.
    """
    present = branches.keys() & (await all_branches(path)).keys()
    if present:
        leases = [f"--force-with-lease={branch_ref(branch)}:{branches[branch]}" for branch in sorted(present)]
        deletions = [f":{branch_ref(branch)}" for branch in sorted(present)]
        await Git(path).outcome("push", *_push_options(hooks=False), *leases, "--", str(path), *deletions)
    return sorted(branches.keys() & (await all_branches(path)).keys())


async def all_branches(path: Path) -> dict[str, str]:
    """The `rig/…` branches in a repository, in order, and the commits that they are at."""
    listed = await Git(path).run("for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads/rig/")
    return {branch: head for head, _, branch in (line.partition(" ") for line in listed.splitlines())}


async def push(
    git: Git, path: Path, branch: str, *, source: str, expected: str | None, hooks: bool, held: int | None = None
) -> Outcome:
    """Push a commit of `git`'s repository to `branch` of the one at `path`, if it is at `expected` (None: nowhere).

    The lock on `held`, an open file, lasts until the receiving side has ended, whatever becomes of us and of the
    pushing side. Hooks do not hold it: one may start a server.
    """
    lease = f"--force-with-lease={branch_ref(branch)}:{expected or ''}"
    target = f"{sha(source)}:{branch_ref(branch)}"
    return await git.outcome("push", *_push_options(hooks=hooks), lease, "--", str(path), target, held=held)


def refusal(outcome: Outcome) -> str:
    """Why a push was refused: git's reason, and what the repository's hooks said."""
    reasons = [line.split("\t")[-1] for line in process.excerpt(outcome.output, 1000).splitlines() if line[:1] == "!"]
    said = [line[8:] for line in process.excerpt(outcome.errors, 2000).splitlines() if line.startswith("remote: ")]
    return "\n".join([*reasons, *said]) or process.excerpt(outcome.errors, 2000)


def _push_options(*, hooks: bool) -> Sequence[str]:
    # A function of the shell that git starts for this: the shell waits, and holds what receive-pack's hooks shall not.
    command = f"{_RECEIVE}{'' if hooks else _WITHOUT_HOOKS} receive-pack"
    receive = f'receive() {{ {command} "$@" {HELD}<&-; }}; receive'
    return ("--porcelain", "--no-verify", "--no-signed", "--no-follow-tags", f"--receive-pack={receive}")


async def _branch_of_head(git: Git) -> str:
    outcome = await git.outcome("symbolic-ref", "--quiet", "--short", "HEAD")
    if not outcome.ok:
        raise NoSuchBranch(f"HEAD of {git.directory} is detached: switch to the branch that work is merged into")
    return outcome.output.decode("utf-8", "replace").strip()
