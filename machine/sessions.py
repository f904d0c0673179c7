"""The processes of one session (setsid): who is still in it, and ending them all.

A supervisor starts every role in a session of its own. Whatever the role starts stays in that session, also in process
groups of their own and also after the role itself has died, so the session's id is the handle by which leftovers are
found. Not for running programs: see `process`. A program that opens a session of its own is out of reach.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["command_line", "kill", "members", "sweep"]

PAUSE_SECONDS = 0.01
_PROC = Path("/proc")


def members(session: int) -> list[int]:
    """Ids of the living processes of `session`. Zombies are dead: they hold an entry and nothing else."""
    found: list[int] = []
    for pid in _living():
        with suppress(ProcessLookupError, PermissionError):  # gone since; the system does not tell us
            if os.getsid(pid) == session:
                found.append(pid)
    return found


def kill(session: int, *, but: int | None = None) -> list[int]:
    """One round of SIGKILL for the members of `session` (except `but`); whom it hit.

    A member may start another in the same moment: call it again until it hits nobody.
    """
    hit: list[int] = []
    for pid in members(session):
        if pid != but:
            with suppress(ProcessLookupError, PermissionError):  # gone since; another user's, out of our reach
                os.kill(pid, signal.SIGKILL)
                hit.append(pid)
    return hit


async def sweep(session: int) -> list[int]:
    """Kill the members of `session` until none is left; who they were, in order of their ids."""
    killed: set[int] = set()
    while victims := kill(session):
        killed.update(victims)
        await asyncio.sleep(PAUSE_SECONDS)  # a killed process is gone when the kernel has torn it down, not before
    return sorted(killed)


def command_line(pid: int) -> str | None:
    """The command line of a living process, arguments joined by spaces; None when there is none."""
    if sys.platform == "linux":
        try:
            arguments = (_PROC / str(pid) / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return arguments.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace") or None
    return _ps("-o", "command=", "-p", str(pid)).strip() or None


def _living() -> Iterator[int]:
    if sys.platform == "linux":
        for entry in _PROC.iterdir():
            if not entry.name.isdigit():
                continue
            with suppress(FileNotFoundError, ProcessLookupError):  # gone since
                # "pid (name) state …": the name may hold anything, parentheses too
                if (entry / "stat").read_text(errors="replace").rpartition(") ")[2][0] not in "ZX":
                    yield int(entry.name)
        return
    for line in _ps("-A", "-o", "pid=,stat=").splitlines():
        pid, state = line.split()
        if not state.startswith("Z"):
            yield int(pid)


def _ps(*arguments: str) -> str:
    return subprocess.run(["ps", *arguments], capture_output=True, text=True, check=False).stdout
