"""The clocks of a run, as far as they need nothing but its output."""

import asyncio
from collections.abc import Awaitable, Callable

from agents.coders.driver import OnOutput, Result, Task
from schemas import FailureKind


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
