"""What a command line, or the path of a file to be written, must not do. Pure, but that links on the disk are followed.

What cannot be read as a shell's command line is looked through roughly: it is blocked where it names what could do
harm, since a shell runs what stands before its mistake.
"""

import os
import re
from pathlib import Path

from agents.guard import files, gits, services
from agents.guard.blocked import Blocked, Rule
from agents.guard.places import Place, Places
from agents.guard.quoting import MARKS
from agents.guard.reading import Run, read
from agents.guard.syntax import TooMuch, Unreadable

__all__ = ["Blocked", "Rule", "judge", "judge_write"]

COMMAND_BYTES = 1_000
"""Of a command in what is said of it."""
LENGTH_MAX = 65_536
"""Nobody writes longer ones."""
TRIES = 100
"""To find where a command line ceases to make sense."""

_ROUGH = re.compile(
    r"\b(sudo|doas|rm|mkfs|dd|shutdown|reboot|dropdb|filter-branch|filter-repo|eval|kubectl|terraform|helm)\b"
    r"|\bpush\b.*(-f|--force|\+)|\bdrop\s+(database|table|schema)\b|\b(curl|wget)\b.*\|\s*\w*sh\b|\bpublish\b"
    r"|--amend|\brebase\b|\bbase64\b",
    re.IGNORECASE | re.DOTALL,
)


def judge(command: str, *, worktree: Path, cwd: Path | None = None) -> Blocked | None:
    """Whether a shell may run this in a worktree, or in `cwd`: None, or what is wrong."""
    here = "." if cwd is None else os.path.realpath(cwd)
    places = Places(os.path.realpath(worktree), frozenset({here}))
    text = command.translate({ord(mark): "\ufffd" for mark in MARKS})
    rule = _rule(text, places) if len(text) <= LENGTH_MAX else Rule.HIDDEN
    return None if rule is None else Blocked(command[:COMMAND_BYTES], rule.value)


def judge_write(path: str | Path, *, worktree: Path) -> Blocked | None:
    """Whether a file may be written: below the worktree, or as a scratch file."""
    places = Places(os.path.realpath(worktree))
    name = os.fspath(path)
    if name.startswith("~"):
        name = os.path.expanduser(name)
    if not places.of(name) <= {Place.INSIDE, Place.SCRATCH}:
        return Blocked(name[:COMMAND_BYTES], Rule.WRITE.value)
    return Blocked(name[:COMMAND_BYTES], Rule.GIT_FILES.value) if places.is_guarded(name) else None


def _judged(run: Run) -> Rule | None:
    return (
        files.judged(run.name, run.args, run.given, run.places)
        or gits.judged(run.name, run.args, run.places)
        or services.judged(run.name, run.args, run.given, run.places)
    )


def _rule(text: str, places: Places) -> Rule | None:
    try:
        return read(text, places, _judged)
    except TooMuch:
        return Rule.HIDDEN
    except Unreadable:
        return _before_the_mistake(text, places) or _roughly(text)


def _before_the_mistake(text: str, places: Places) -> Rule | None:
    """Of the first lines, as many as make sense: a shell runs them."""
    lines = text.split("\n")
    for end in range(len(lines) - 1, max(0, len(lines) - 1 - TRIES), -1):
        try:
            return read("\n".join(lines[:end]), places, _judged)
        except TooMuch:
            return Rule.HIDDEN
        except Unreadable:
            continue
    return None


def _roughly(text: str) -> Rule | None:
    return Rule.HIDDEN if _ROUGH.search(re.sub(r"[\\\\'\"]", "", text)) else None
