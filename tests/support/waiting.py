"""Waiting for a fact; a test's own time limit is the bound."""

import asyncio
import time
from collections.abc import Callable

from machine import sessions


async def until(holds: Callable[[], bool]) -> None:
    """A fact of this process."""
    while not holds():  # noqa: ASYNC110 - any fact, without an event of its own
        await asyncio.sleep(0.002)


def until_gone(*pids: int) -> None:
    """Returns when the kernel has torn these processes down."""
    while any(sessions.command_line(pid) for pid in pids):
        time.sleep(0.005)
