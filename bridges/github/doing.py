"""Doing what is due: of each thing one step at a time, different things side by side, what fails again after a pause.

It does nothing until it `begins`, when this process may act outside, and puts everything down when it `rests`.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Generic, Protocol, TypeVar

from bridges.github.effects.result import BadRepository, NotYet
from bridges.github.errors import ApiError, Forbidden, NotFound, RateLimited, Unauthorized, Unprocessable
from bus import BusError, LogChanged
from schemas import IssueRef, RepoRef

log = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 1.0
"""Before what failed is tried again; doubled each time, up to LONGEST_PAUSE_SECONDS."""
LONGEST_PAUSE_SECONDS: Final = 60.0
PERSONS_PAUSE_SECONDS: Final = 600.0
"""Before what a person has to mend is tried again, unless the log says more before."""
SOON: Final = 4
"""So many tries come soon, also of what only a person seems able to mend: GitHub shows late what it has just taken."""
_PERSONS: Final = (BadRepository, Forbidden, NotFound, Unauthorized, Unprocessable)


class Step(Protocol):
    """Something to do."""

    @property
    def about(self) -> IssueRef | RepoRef: ...


StepT = TypeVar("StepT", bound=Step)


@dataclass(slots=True)
class _Doing(Generic[StepT]):
    step: StepT
    task: asyncio.Task[None]
    pausing: bool = False
    """It failed, and waits to be tried again."""
    dropped: bool = False
    """The log has said more, so that it is not due any more."""


class Doing(Generic[StepT]):
    """What is under way of one kind of steps."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        due: Callable[[IssueRef | RepoRef], StepT | None],
        do: Callable[[StepT], Awaitable[None]],
        told: Callable[[StepT, Exception | None], Awaitable[None]],
    ) -> None:
        """`do` performs and records; `told` hears of what only a person can mend, and (None) that a step was done."""
        self._group = group
        self._due = due
        self._do = do
        self._told = told
        self._doing: dict[IssueRef | RepoRef, _Doing[StepT]] = {}
        self._failures: Counter[IssueRef | RepoRef] = Counter()
        self._active = False

    def begin(self) -> None:
        """From here on what is considered is done."""
        self._active = True

    async def rest(self) -> None:
        """Puts down what is being done, and returns when it has ended: it is due still."""
        self._active = False
        tasks = [doing.task for doing in self._doing.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def consider(self, about: IssueRef | RepoRef) -> None:
        """Begins what is due about it, if nothing is under way; drops what waits for another try and is not due."""
        if not self._active:
            return
        step, doing = self._due(about), self._doing.get(about)
        if doing is None:
            if step is not None:
                self._start(step)
        elif doing.step != step and doing.pausing and not doing.dropped:
            doing.dropped = True
            doing.task.cancel()

    def _start(self, step: StepT) -> None:
        task = self._group.create_task(self._try(step))
        self._doing[step.about] = _Doing(step, task)
        task.add_done_callback(lambda _: self._ended(step))

    def _ended(self, step: StepT) -> None:
        doing = self._doing.pop(step.about)
        if doing.dropped or not doing.task.cancelled():
            self.consider(step.about)

    async def _try(self, step: StepT) -> None:
        try:
            await self._do(step)
            await self._told(step, None)
        except LogChanged:
            raise
        except Exception as error:  # one issue's trouble, also with our own code, is not the others'
            pause = self._pause(step, error)
            bug = None if isinstance(error, ApiError | BadRepository | BusError | NotYet) else error
            level = logging.INFO if isinstance(error, NotYet) else logging.WARNING if bug is None else logging.ERROR
            log.log(level, "%s: %s; again in %g s: %s", step.about, type(step).__name__, pause, error, exc_info=bug)
            self._doing[step.about].pausing = True
            if isinstance(error, _PERSONS):
                try:
                    await self._told(step, error)
                except (ApiError, BusError) as unsaid:
                    log.warning("%s: %s", step.about, unsaid)
            await asyncio.sleep(pause)
        else:
            del self._failures[step.about]

    def _pause(self, step: StepT, error: Exception) -> float:
        if isinstance(error, RateLimited):
            return max((error.until - datetime.now(UTC)).total_seconds(), PAUSE_SECONDS)
        self._failures[step.about] += 1
        if isinstance(error, _PERSONS) and self._failures[step.about] >= SOON:
            return PERSONS_PAUSE_SECONDS
        return min(PAUSE_SECONDS * 2 ** (self._failures[step.about] - 1), LONGEST_PAUSE_SECONDS)
