"""Room on the disk for another run: clones that nobody needs go, the one that was used longest ago first.

A clone in use stays, and so does one that keeps work which was never pushed.
"""

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final

from agents.workspace.remote import WorkspaceFailed
from machine.trees import remove_tree

__all__ = ["LEAST_FREE_BYTES", "Room", "size"]

log = logging.getLogger(__name__)

LEAST_FREE_BYTES: Final = 512 * 1024 * 1024
"""On the disk, whoever else fills it."""
MEASURED_SECONDS: Final = 300.0
"""How long what was measured counts: looking at every file takes a while."""
_USED: Final = "rig.used"


class Room:
    """The disk under an agent's directory; at most `quota_bytes` of it are the agent's. None: as much as there is."""

    def __init__(self, root: Path, quota_bytes: int | None) -> None:
        self._root = root
        self._quota = quota_bytes
        self._measured = -MEASURED_SECONDS
        self._one = asyncio.Lock()
        """Whoever wants room waits until another has it: nobody begins in a clone that is going."""

    async def make(self, used: Callable[[], Collection[Path]]) -> None:
        """Sees to it that there is some, sparing the clones that are used then. Raises WorkspaceFailed."""
        async with self._one:
            if not self._is_enough(time.monotonic()):
                await asyncio.to_thread(self._make, frozenset(used()))
                self._measured = time.monotonic()

    def _is_enough(self, now: float) -> bool:
        """Without looking at every file."""
        measured = self._quota is None or now - self._measured < MEASURED_SECONDS
        return measured and _free(self._root) >= LEAST_FREE_BYTES

    def _make(self, used: frozenset[Path]) -> None:
        clones = sorted((clone for clone in self._clones() if clone not in used), key=_last_used)
        while (lacking := self._lacking()) and clones:
            clone = clones.pop(0)
            log.warning("%s goes, to make room: %s", clone, lacking)
            if error := remove_tree(clone):
                log.warning("%s is left behind: %s", clone, error)
        if lacking:
            raise WorkspaceFailed(f"there is no room for another run: {lacking}")

    def _lacking(self) -> str:
        """What is wrong, for people; "" when there is room."""
        if (free := _free(self._root)) < LEAST_FREE_BYTES:
            return f"{_mib(free)} are free on the disk of {self._root}, {_mib(LEAST_FREE_BYTES)} are needed"
        if self._quota is not None and (taken := size(self._root)) > self._quota:
            return f"{self._root} takes {_mib(taken)}, {_mib(self._quota)} are allowed"
        return ""

    def _clones(self) -> Iterator[Path]:
        for clone in self._root.glob("*/*/cache.git"):
            if not _keeps_work(clone):
                yield clone


def used(clone: Path) -> None:
    """Notes that a clone is used now."""
    if clone.is_dir():
        (clone / _USED).touch()


def size(top: Path) -> int:
    """Bytes of the disk that a directory takes; what is removed meanwhile takes none."""
    total, waiting = 0, [top]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
        except OSError:
            continue
    return total


def _last_used(clone: Path) -> float:
    try:
        return (clone / _USED).stat().st_mtime
    except OSError:
        return 0.0


def _keeps_work(clone: Path) -> bool:
    if (clone / "refs" / "kept").is_dir() and any(path.is_file() for path in (clone / "refs" / "kept").rglob("*")):
        return True
    packed = clone / "packed-refs"
    return packed.is_file() and " refs/kept/" in packed.read_text("utf-8", "replace")


def _free(place: Path) -> int:
    return shutil.disk_usage(place).free


def _mib(count: int) -> str:
    return f"{count // (1024 * 1024)} MiB"
