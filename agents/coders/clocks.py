"""The clocks of a run: first output, silence, and from its result to its exit. The fourth, the wall, is its starter's.

A coding CLI that hangs does so before its first byte, somewhere in the middle, or after it has said how it ended; each
has a clock of its own, for each means something else: a CLI that never came up, one that is stuck, and work that is
done already.
"""

import asyncio
import enum
from collections.abc import Awaitable
from typing import TypeVar

from agents.coders.driver import Task
from schemas import FailureKind

T = TypeVar("T")


class Stopped(enum.Enum):
    """Which clock, or limit, ended a run."""

    NO_OUTPUT = "no_output"
    SILENT = "silent"
    UNSETTLED = "unsettled"
    OVERTIME = "overtime"
    TOO_MUCH = "too_much"

    def failure(self, task: Task) -> tuple[FailureKind, str]:
        """What kind of failure that is where nothing is known of a result, and how to tell it."""
        match self:
            case Stopped.NO_OUTPUT:
                return FailureKind.STALLED, f"printed nothing at all for {task.first_output_seconds:g} s"
            case Stopped.SILENT:
                return FailureKind.STALLED, f"printed nothing for {task.silence_seconds:g} s"
            case Stopped.UNSETTLED:
                return FailureKind.STALLED, f"went on for {task.settle_seconds:g} s after its result"
            case Stopped.OVERTIME:
                return FailureKind.TIMED_OUT, f"was stopped after {task.wall_seconds:g} s"
            case Stopped.TOO_MUCH:
                return FailureKind.GUARD, f"was stopped after printing {task.output_bytes} bytes"


class Clocks:
    """Watches one run. Make it in the event loop that runs it.

    `speaks`: it says something as soon as it is up, as a CLI does that prints a stream; of any other program nothing is
    known but how long it may be silent.
    """

    def __init__(self, task: Task, *, speaks: bool) -> None:
        self._task = task
        self._phase = Stopped.NO_OUTPUT if speaks else Stopped.SILENT
        self._clock = asyncio.timeout(task.first_output_seconds if speaks else task.silence_seconds)

    @property
    def stopped(self) -> bool:
        """Time is up: what is heard now is said while it is being stopped, and changes nothing."""
        return self._clock.expired()

    def heard(self) -> None:
        """It printed something."""
        self._enter(Stopped.SILENT, self._task.silence_seconds)

    def settled(self) -> None:
        """It has said how it ended; nothing that it prints afterwards gives it more time."""
        self._enter(Stopped.UNSETTLED, self._task.settle_seconds)

    async def watch(self, work: Awaitable[T]) -> T | Stopped:
        """Does the work, and cancels it when its time is up; then which clock that was."""
        try:
            async with self._clock:
                return await work
        except TimeoutError:
            if not self._clock.expired():
                raise
            return self._phase

    def _enter(self, phase: Stopped, seconds: float) -> None:
        if self._phase is not Stopped.UNSETTLED and not self.stopped:
            self._phase = phase
            self._clock.reschedule(asyncio.get_running_loop().time() + seconds)
