"""Was what the forge merged taken out again? Read from the last commits of the base branch, whoever made them.

A commit takes a merge out when it puts back every file that the merge changed, as it was: that can be seen, and holds
for a commit, a merge and a push alike. Where others have changed these files since, git's own word in a message
counts: "This reverts commit <the merge>". Not in a message of the rig's own: these quote the text of issues.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from machine.git import Git, GitError, sha
from schemas import one_line

COMMITS: Final = 300
"""Of the base branch, each with all that came with it: what was merged before them is not watched any more."""
_LOG = (
    *("log", "-z", f"-n{COMMITS}", "--format=%x01%H%x00%an%x00%B%x00"),
    *("--no-show-signature", "--no-notes", "--encoding=UTF-8"),
)
_CHANGES = (
    *("--first-parent", "--diff-merges=first-parent", "--raw", "--no-abbrev", "--no-renames"),
    "--ignore-submodules=none",
)
_SAID = re.compile(r"^This reverts commit ([0-9a-f]{40}(?:[0-9a-f]{24})?)\b", re.MULTILINE)
_OURS = re.compile(r"^Rig-Issue: ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Revert:
    """A merge, the commit that took it out, and who made that."""

    merge: str
    commit: str
    by: str


@dataclass(frozen=True, slots=True)
class _Commit:
    sha: str
    author: str
    message: str
    changes: Mapping[str, tuple[str, str]]
    """By path: mode and content before, and after; against the first parent."""


async def find_reverts(repository: Path, base: str, merges: Collection[str]) -> list[Revert]:
    """Which of these merges (full ids) were taken out again, on the branch at `base`. Raises GitError."""
    if not merges:
        return []
    git = Git(repository)
    line = await _commits(git, *_CHANGES, sha(base))
    found = {revert.merge: revert for revert in _seen(line, merges)}
    before = [f"^{line[-1].sha}"] if len(line) == COMMITS else []
    for revert in _said(await _commits(git, "--grep=^This reverts commit ", sha(base), *before), merges):
        found.setdefault(revert.merge, revert)
    return list(found.values())


def _seen(line: Sequence[_Commit], merges: Collection[str]) -> Iterator[Revert]:
    """What the files tell; `line` is newest first."""
    made: dict[tuple[str, str, str], list[_Commit]] = {}
    """The commits, so far, that changed this path from this to that."""
    for commit in line:
        if commit.sha in merges and commit.changes:
            path, (before, after) = next(iter(commit.changes.items()))
            for later in reversed(made.get((path, after, before), [])):
                if all(later.changes.get(path) == (new, old) for path, (old, new) in commit.changes.items()):
                    yield _revert(commit.sha, later)
                    break
        for path, (before, after) in commit.changes.items():
            made.setdefault((path, before, after), []).append(commit)


def _said(commits: Iterable[_Commit], merges: Collection[str]) -> Iterator[Revert]:
    """What messages tell."""
    for commit in commits:
        if not _OURS.search(commit.message):
            yield from (_revert(merge, commit) for merge in _SAID.findall(commit.message) if merge in merges)


def _revert(merge: str, commit: _Commit) -> Revert:
    return Revert(merge, commit.sha, one_line(commit.author) or "somebody")


async def _commits(git: Git, *arguments: str) -> list[_Commit]:
    command = (*_LOG, *arguments, "--")
    outcome = await git.outcome(*command)
    if not outcome.ok:
        raise GitError(git.directory, command, outcome)
    return list(_read(outcome.output.decode("utf-8", "surrogateescape").split("\0")))


def _read(fields: Iterable[str]) -> Iterator[_Commit]:
    """The fields of _LOG and _CHANGES: a commit's begin with \\x01, a change's with a colon; then comes its path."""
    reading = iter(fields)
    changes: dict[str, tuple[str, str]] = {}
    for field in reading:
        if field.startswith("\x01"):
            changes = {}
            yield _Commit(field[1:], next(reading), next(reading), changes)
        elif field.lstrip("\n").startswith(":"):
            old_mode, new_mode, old, new, _ = field.lstrip("\n:").split(" ")
            changes[next(reading)] = (f"{old_mode} {old}", f"{new_mode} {new}")
