"""What a coding CLI is to the rig: given a task and a directory, it changes files there.

Every driver, scripted or real, answers with the same Result, and decides it from the world (how the program ended,
what the clocks say), never from words. A driver neither commits nor pushes, and knows no events: see dev_e.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeAlias

from msgspec import Struct

from schemas import FailureKind, IssueRef

OnOutput: TypeAlias = Callable[[bytes], None]
"""Sees every piece of output as it comes, in the event loop: it must be quick."""


class CoderUnavailable(Exception):
    """The coder cannot be used on this machine; the message says why and how to mend it."""


class Task(Struct, frozen=True, kw_only=True):
    """One try at one issue."""

    issue: IssueRef
    title: str
    attempt: int
    prompt: str
    """Everything the coder needs to know; for its standard input."""
    session: str
    """The conversation to have: a new one is begun under this id."""
    resumed: bool
    """Whether that conversation has been had before."""
    wall_seconds: float
    silence_seconds: float
    """How long it may print nothing."""
    output_bytes: int
    budget_usd: float = 0.0
    """What was set aside for it; 0: nothing was, and nobody has said what it may spend."""


class Usage(Struct, frozen=True, kw_only=True):
    """What a run of the coder used, as its provider counts it."""

    model: str = ""
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cost_usd: float | None = None
    """None: nobody knows the price."""


NOTHING = Usage(cost_usd=0.0)


class Result(Struct, frozen=True, kw_only=True):
    """How a run of the coder ended. What it achieved is to be seen in the worktree."""

    failure: FailureKind | None = None
    """None: the coder says that it has finished."""
    detail: str = ""
    """For people: what went wrong."""
    usage: Usage = Usage()


class Driver(Protocol):
    """A way to have code written."""

    @property
    def provider(self) -> str:
        """Whose quota and login it uses; for a program without either, its name."""
        ...

    async def check(self) -> str:
        """Its version, or "" where that cannot be known. Raises CoderUnavailable."""
        ...

    async def run(self, task: Task, worktree: Path, *, on_output: OnOutput) -> Result:
        """Works on the task in `worktree`. When it returns, or is cancelled, nothing of it is running any more."""
        ...


async def unless_silent(work: Callable[[OnOutput], Awaitable[Result]], task: Task, on_output: OnOutput) -> Result:
    """Does the work, and cancels it when it has printed nothing for the task's `silence_seconds`: STALLED."""
    loop = asyncio.get_running_loop()
    clock = asyncio.timeout(task.silence_seconds)

    def heard(chunk: bytes) -> None:
        if not clock.expired():  # what it prints while being stopped winds nothing up again
            clock.reschedule(loop.time() + task.silence_seconds)
        on_output(chunk)

    try:
        async with clock:
            return await work(heard)
    except TimeoutError:
        if not clock.expired():
            raise
        return Result(failure=FailureKind.STALLED, detail=f"it printed nothing for {task.silence_seconds:g} s")
