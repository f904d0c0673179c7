"""Git as this rig uses it: one typed way to run it, and the few questions that agents and the forge both ask.

It sees no more of the environment than it needs: no GIT_* variable reaches it, it never asks for a password, it looks
for a repository in the given directory and never in a parent of it, and its messages come untranslated. The user's own
configuration does count (credential helpers, `safe.directory`), apart from what would make a program's commit differ
from what it asked for. Who commits is always said by the caller (`Identity`).

Text from outside (a branch, a commit) reaches git after `--end-of-options` or `--`, or as a full commit id (`sha`), so
that it is never taken for an option.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from machine import process
from machine.process import Limits, Outcome

__all__ = ["HELD", "Git", "GitError", "Identity", "branch_ref", "sha"]

LIMITS = Limits(wall_seconds=300, output_bytes=64 * 1024 * 1024, kept_bytes=64 * 1024 * 1024)
"""Git's answers are read whole or not at all, hence as much is kept as may be printed."""

HELD = 3
_HOLDING = ("/bin/sh", "-c", f'exec "$@" {HELD}<&0 </dev/null', "sh")

_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NOTHING: Mapping[str, str] = MappingProxyType({})
_HERMETIC: Mapping[str, str] = MappingProxyType({"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"})
_SETTINGS = (
    ("commit.gpgSign", "false"),  # nobody is there to unlock a key
    ("core.quotePath", "false"),  # names as they are
    ("core.fsmonitor", "false"),  # no daemon that outlives us
    ("gc.autoDetach", "false"),  # nor a background job
    ("advice.detachedHead", "false"),
)


class GitError(Exception):
    """Git refused or failed. `args` of the command, its exit code, the end of what it said."""

    def __init__(self, directory: Path, command: tuple[str, ...], outcome: Outcome) -> None:
        self.directory = directory
        self.command = command
        self.exit_code = outcome.exit_code
        self.detail = process.excerpt(outcome.errors or outcome.output, 2000)
        how = outcome.cut.value if outcome.cut else f"exit code {outcome.exit_code}"
        super().__init__(f"git {' '.join(command)} failed in {directory} ({how}): {self.detail or 'it said nothing'}")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who commits."""

    name: str
    email: str

    def environment(self, at: datetime | None = None) -> dict[str, str]:
        """Author and committer for git's environment; with `at` (aware) the same commit always gets the same id."""
        who = {f"GIT_{part}_{key}": value for part in ("AUTHOR", "COMMITTER") for key, value in self._parts()}
        when = {} if at is None else {f"GIT_{part}_DATE": _git_date(at) for part in ("AUTHOR", "COMMITTER")}
        return who | when

    def _parts(self) -> tuple[tuple[str, str], tuple[str, str]]:
        return ("NAME", self.name), ("EMAIL", self.email)


def sha(text: str) -> str:
    """`text` when it is a full commit id (40 or 64 lower-case hexadecimal digits); else ValueError."""
    if not _SHA.fullmatch(text):
        raise ValueError(f"{text!r} is not a full commit id")
    return text


def branch_ref(branch: str) -> str:
    """The full name of a branch: what cannot be mistaken for an option, a tag or a commit."""
    return f"refs/heads/{branch}"


class Git:
    """Git in one directory: the top of a work tree, or a bare repository.

    `settings` are configuration for these commands alone; a secret among them is in no file and on no command line.
    With `own_session` a command ends what it began even when this process is killed (see `process.run`).
    """

    def __init__(
        self,
        directory: Path,
        *,
        env: Mapping[str, str] = _NOTHING,
        settings: Mapping[str, str] = _NOTHING,
        limits: Limits = LIMITS,
        own_session: bool = False,
    ) -> None:
        self.directory = directory
        self._own_session = own_session
        self._limits = limits
        configured = (*_SETTINGS, *settings.items())
        given = {"GIT_CONFIG_COUNT": str(len(configured))}
        for index, (key, value) in enumerate(configured):
            given |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
        ceiling = {"GIT_CEILING_DIRECTORIES": str(directory.resolve().parent)}
        self._env = process.environment({**_HERMETIC, **ceiling, **given, **env})

    async def run(self, *args: str, stdin: bytes = b"") -> str:
        """Standard output without its last newline. Raises GitError unless it succeeds, SpawnFailed without git."""
        outcome = await self.outcome(*args, stdin=stdin)
        if not outcome.ok:
            raise GitError(self.directory, args, outcome)
        return outcome.output.decode("utf-8", "replace").rstrip("\n")

    async def ok(self, *args: str) -> bool:
        """Git's answer to a yes-or-no question: exit code 0 or 1. Raises GitError for any other."""
        outcome = await self.outcome(*args)
        if outcome.exit_code not in (0, 1):
            raise GitError(self.directory, args, outcome)
        return outcome.ok

    async def outcome(self, *args: str, stdin: bytes = b"", held: int | None = None) -> Outcome:
        """How the command ended, for callers that know its exit codes. Raises GitError when it was cut at a limit.

        `held` is an open file that git, and what git starts, have as descriptor 3 (`HELD`): the lock on it lasts as
        long as they do. With it there is no `stdin`.
        """
        outcome = await process.run(
            ["git", *args] if held is None else [*_HOLDING, "git", *args],
            cwd=self.directory,
            env=self._env,
            limits=self._limits,
            stdin=stdin if held is None else held,
            separate_errors=True,
            own_session=self._own_session,
        )
        if outcome.cut is not None:
            raise GitError(self.directory, args, outcome)
        return outcome

    async def commit_id(self, revision: str) -> str | None:
        """The id of the commit that a branch, tag or id names here; None when there is none."""
        args = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        outcome = await self.outcome(*args)
        if outcome.exit_code not in (0, 1):
            raise GitError(self.directory, args, outcome)
        return outcome.output.decode().strip() or None

    async def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Whether the history of one full commit id contains another (a commit contains itself)."""
        return await self.ok("merge-base", "--is-ancestor", sha(ancestor), sha(descendant))


def _git_date(at: datetime) -> str:
    return f"@{int(at.timestamp())} {at.strftime('%z') or '+0000'}"
