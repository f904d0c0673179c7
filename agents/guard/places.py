"""Where a path leads, as seen from an agent's worktree. It asks the disk for links alone.

The directory that a command runs in may be one of several, where a script moves about.
"""

import os
from enum import Enum
from fnmatch import fnmatchcase

from msgspec import Struct

from agents.guard.stream import FETCHED_FILE, FRESH, MANY, ONE

__all__ = ["Place", "Places"]

_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm", "/private/tmp")  # noqa: S108 - names; nothing is put there
_DEVICES = frozenset({"/dev/null", "/dev/stdout", "/dev/stderr", "/dev/stdin", "/dev/tty", "/dev/zero", "/dev/full"})
_SETTINGS = ("*/.claude/settings*.json", "*/.codex/config.toml")
NOWHERE = "?"
PLACES_MAX = 32
"""Directories that a script may be in at once; more of them count as unknown."""


class Place(Enum):
    """Of a path."""

    INSIDE = "inside"
    """Below the worktree."""
    TOP = "top"
    """The worktree itself."""
    SCRATCH = "scratch"
    """In the temporary directory, outside the part of it where the rig itself may live."""
    FRESH = "fresh"
    """What the command itself has just made there."""
    OUTSIDE = "outside"
    UNKNOWN = "unknown"


class Places(Struct, frozen=True):
    """A worktree's real absolute path, and where a command may run."""

    worktree: str
    here: frozenset[str] = frozenset({"."})

    def or_else(self, other: "Places") -> "Places":
        """Either of two."""
        here = self.here | other.here
        return Places(self.worktree, here if len(here) <= PLACES_MAX else frozenset({NOWHERE}))

    def moved(self, path: str) -> "Places":
        """After `cd`."""
        if path in ("-", "") or _unknown(path):
            return Places(self.worktree, frozenset({NOWHERE}))
        if path == self.worktree or path.startswith((f"{self.worktree}/", "/", "~", FRESH)):
            return Places(self.worktree, frozenset({path}))
        moved = {here if here == NOWHERE else os.path.normpath(f"{self._absolute(here)}/{path}") for here in self.here}
        return Places(self.worktree, frozenset(moved))

    def named(self, path: str) -> str:
        """A name for it that is the same however it is written, if only from one place."""
        return os.path.normpath(path if path.startswith("/") else f"{self._absolute(min(self.here))}/{path}")

    def of(self, path: str) -> set[Place]:
        """All that it may be."""
        if path.startswith(("/", "~", FRESH)):
            return {self._of(path)}
        if path.startswith((ONE, MANY, FETCHED_FILE)):
            return {Place.UNKNOWN}
        return {Place.UNKNOWN if here == NOWHERE else self._of(f"{self._absolute(here)}/{path}") for here in self.here}

    def may_be_removed(self, path: str) -> bool:
        """With all that is in it."""
        return self.of(path) <= {Place.INSIDE, Place.FRESH}

    def may_hold(self, path: str) -> bool:
        """Whether something may be written there. What cannot be known may: it is most often a variable's file."""
        if path in _DEVICES or path.startswith("/dev/fd/") or path == "":
            return True
        return Place.OUTSIDE not in self.of(path) and not self.is_guarded(path)

    def may_hold_tree(self, path: str) -> bool:
        """Whether everything below may be changed."""
        return self.of(path) <= {Place.INSIDE, Place.FRESH, Place.SCRATCH, Place.TOP}

    def is_outside(self, path: str) -> bool:
        """Whether it is, or may be, known to be somewhere else."""
        return Place.OUTSIDE in self.of(path)

    def is_lost(self, path: str) -> bool:
        """Whether it is somewhere else, and what is there is not made to be thrown away."""
        return self.is_outside(path)

    def is_guarded(self, path: str) -> bool:
        """Whether it is a file by which git, or the coder, is told what to run."""
        for here in self.here:
            name = os.path.normpath(path if path.startswith("/") else f"{self._absolute(here)}/{path}")
            parts = name.removeprefix(self.worktree).split("/")
            if ".git" in parts or any(fnmatchcase(name, pattern) for pattern in _SETTINGS):
                return True
        return False

    def _absolute(self, here: str) -> str:
        return here if here.startswith(("/", "~", FRESH)) else os.path.normpath(f"{self.worktree}/{here}")

    def _of(self, path: str) -> Place:
        if path.startswith("~"):
            return Place.OUTSIDE
        known, mark, rest = _cut(path)
        if ".." in rest.split("/"):
            return Place.UNKNOWN
        if path.startswith(FRESH):
            return Place.UNKNOWN if ".." in path.split("/") else Place.FRESH
        # Of what cannot be known it is taken that it stays below what stands before it.
        name = os.path.normpath(f"{known}x" if mark else path)
        real = os.path.join(os.path.realpath(os.path.dirname(name)), os.path.basename(name))
        for each in (name, real):
            if each == self.worktree:
                return Place.TOP
            if not each.startswith(f"{self.worktree}/"):
                return self._scratch(each)
        return Place.INSIDE

    def _scratch(self, name: str) -> Place:
        for directory in _TEMPORARY:
            if name == directory:
                return Place.SCRATCH
            if name.startswith(f"{directory}/"):
                shared = f"{directory}/{name.removeprefix(f'{directory}/').split('/')[0]}/"
                return Place.OUTSIDE if self.worktree.startswith(shared) else Place.SCRATCH
        return Place.OUTSIDE


def _unknown(path: str) -> bool:
    return any(mark in path for mark in (ONE, MANY, FETCHED_FILE))


def _cut(path: str) -> tuple[str, str, str]:
    """What stands before the first mark."""
    at = min((path.index(mark) for mark in (ONE, MANY, FETCHED_FILE) if mark in path), default=-1)
    return (path, "", "") if at < 0 else (path[:at], path[at], path[at + 1 :])
