"""Processes by a mark in their environment: who carries it, and ending them all.

A program hands its environment down to whatever it starts, into process groups and sessions of their own too, where
neither `process` nor `sessions` reaches. (Coding CLIs run every command in a session of its own, and leave it behind
when they are killed.) Only a program that clears its environment escapes: a sandbox holds that one. Where the system
does not tell (no /proc) nobody is found.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path

__all__ = ["bearers", "sweep", "to_its_end"]

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.01
PATIENCE_SECONDS = 30.0
"""With who was killed and does not go: the kernel lets nobody end what waits for a disk or a server of files."""
_PROC = Path("/proc")


def bearers(name: str, prefix: str) -> list[int]:
    """Ids of the living processes in whose environment the variable `name` begins with `prefix`; never our own."""
    wanted = f"{name}={prefix}".encode()
    found: list[int] = []
    if not _PROC.is_dir():
        return found
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):  # gone since; another user's, out of our reach
            environ = (entry / "environ").read_bytes()
            if environ.startswith(wanted) or b"\0" + wanted in environ:
                found.append(int(entry.name))
    return found


async def sweep(name: str, prefix: str) -> list[int]:
    """Kill who carries the mark until nobody does; who they were, in order of their ids. Not cut off half-way.

    Who has not gone after PATIENCE_SECONDS is left, and named in the log.
    """
    killed: set[int] = set()
    beyond_us: set[int] = set()

    async def until_none() -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while found := set(await asyncio.to_thread(bearers, name, prefix)) - beyond_us:
            for pid in found:
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
                except PermissionError:  # it has become another user
                    beyond_us.add(pid)
                except ProcessLookupError:
                    pass
            if time.monotonic() > deadline:
                log.warning("killed, and not gone after %g s: %s", PATIENCE_SECONDS, ", ".join(map(str, sorted(found))))
                return
            await asyncio.sleep(PAUSE_SECONDS)  # gone when the kernel has torn it down, not before

    await to_its_end(until_none())
    return sorted(killed)


async def to_its_end(work: Coroutine[object, object, None]) -> None:
    """Does the work, also when whoever waits for it is cancelled meanwhile; then that is raised afterwards."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait((task,))
        raise
