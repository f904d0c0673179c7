"""The local forge's shell: reads the log in order, does what is due, and says how it went.

Its state is the log and the repositories, nothing else: a restart folds and does what is not yet said. Different issues
go on side by side, each one step at a time. It keeps reading meanwhile: a check that counts for nothing any more is
stopped, and a merge is judged again right before it lands. Two of these at once do the same work twice and say it once:
ids follow from causes, branches move by compare-and-set.
"""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bridges.local.effects import Effects
from bridges.local.fold import Known
from bridges.local.numbers import Numbers
from bridges.local.plan import Action, Check, Inspect, due, leftovers, look_again
from bridges.local.repository import RepositoryError
from bridges.local.scratch import Scratch
from bus import Bus, BusError, Causes, LogChanged, Skipped, Stored
from bus.tracing import tracing
from machine.git import GitError
from machine.lifecycle import Lifecycle
from machine.process import SpawnFailed
from schemas import Actor, Draft, Event, IssueRef, Merged, RepoRef, event_id

log = logging.getLogger(__name__)

FILTERS = ("rig.issue.>", "rig.repo.>", "rig.fleet.*.policy_adopted")
PAUSE_SECONDS = 1.0
"""Before what failed is tried again; doubled each time, up to LONGEST_PAUSE_SECONDS."""
LONGEST_PAUSE_SECONDS = 60.0

_RETRIED = (GitError, SpawnFailed, RepositoryError, OSError, BusError)
"""What the machine or a person can mend. Anything else is a bug: the same, with its traceback in the log."""


async def run(bus: Bus, lifecycle: Lifecycle, *, scratch: Path) -> None:
    """Serves until the lifecycle says stop. `scratch` is a directory for throw-away clones.

    Raises what makes going on impossible (a log that was recreated, say).
    """
    room = Scratch(scratch)
    try:
        async with asyncio.TaskGroup() as group:
            forge = LocalForge(bus, lifecycle, Effects(room), group)
            reading = group.create_task(forge.read())
            await lifecycle.stop.wait()
            reading.cancel()
            forge.stop()
    finally:
        room.close()


@dataclass(slots=True)
class _Doing:
    action: Action
    task: asyncio.Task[None]
    pausing: bool = False
    """It failed, and waits to be tried again."""
    dropped: bool = False
    """The log has said more, so that it is not due any more."""


class LocalForge:
    """One forge: a fold, and what it is doing now."""

    def __init__(self, bus: Bus, lifecycle: Lifecycle, effects: Effects, group: asyncio.TaskGroup) -> None:
        self._bus = bus
        self._lifecycle = lifecycle
        self._effects = effects
        self._group = group
        self._known = Known()
        self._causes = Causes()
        self._position = 0
        self._advanced = asyncio.Condition()
        self._doing: dict[IssueRef | RepoRef, _Doing] = {}
        self._failures: Counter[IssueRef | RepoRef] = Counter()

    async def read(self) -> None:
        """Folds the log; once it has caught up, serves, and considers everything that the log says more about."""
        touched: set[IssueRef | RepoRef] = set()
        serving = False
        async with self._bus.log.follow(FILTERS) as reader:
            while True:
                if reader.caught_up:
                    if not serving:
                        serving = True
                        await self._begin()
                    for about in sorted(touched, key=str):
                        self._consider(about)
                    touched.clear()
                touched |= self._fold(await reader.next())
                async with self._advanced:
                    self._advanced.notify_all()

    def stop(self) -> None:
        """Puts down what is being done. A merge that is landing is finished first (see merging.py)."""
        for doing in self._doing.values():
            doing.task.cancel()

    async def _begin(self) -> None:
        for repository in self._known.repositories.values():
            if action := look_again(repository):
                self._start(action)
        await Numbers(self._bus, self._known, self._read_up_to).serve()
        self._lifecycle.ready()

    def _fold(self, stored: Stored) -> set[IssueRef | RepoRef]:
        """What the event is about, and all that hangs on it."""
        self._position = stored.position
        item = stored.decoded()
        if isinstance(item, Skipped):
            log.warning("position %d is skipped: %s", item.position, item.reason)
            return set()
        self._causes.hear(item.event)
        match self._known.apply(item):
            case RepoRef() as repository:
                return {repository, *(ref for ref in self._known.issues if ref.repository == repository)}
            case IssueRef() as issue:
                return {issue}
            case None:
                return set()

    async def _read_up_to(self, position: int) -> None:
        async with self._advanced:
            await self._advanced.wait_for(lambda: self._position >= position)

    # ── doing ────────────────────────────────────────────────────────────────

    def _consider(self, about: IssueRef | RepoRef) -> None:
        action, doing = due(self._known, about), self._doing.get(about)
        if doing is None:
            if action is not None:
                self._start(action)
        elif doing.action != action and (doing.pausing or isinstance(doing.action, Check)) and not doing.dropped:
            doing.dropped = True
            doing.task.cancel()

    def _start(self, action: Action) -> None:
        task = self._group.create_task(self._do(action))
        self._doing[action.about] = _Doing(action, task)
        task.add_done_callback(lambda _: self._ended(action))

    def _ended(self, action: Action) -> None:
        doing = self._doing.pop(action.about)
        if (doing.dropped or not doing.task.cancelled()) and not self._lifecycle.stop.is_set():
            self._consider(action.about)

    async def _do(self, action: Action) -> None:
        """One step. What fails is tried again after a pause, if it then is still due."""
        try:
            with tracing.answering(self._causes.find(action.about, action.cause), type(action).__name__.lower()):
                said = await self._effects.perform(
                    action, self._known.policy, lambda: due(self._known, action.about) == action
                )
                position = None if said is None else await self._say(action, said)
            if position is not None:
                await self._read_up_to(position)
            if isinstance(said, Merged) or isinstance(action, Inspect):
                await self._tidy(action.about if isinstance(action.about, RepoRef) else action.about.repository)
        except LogChanged:
            raise
        except Exception as error:  # one issue's trouble, also with our own code, is not the others'
            self._failures[action.about] += 1
            pause = min(PAUSE_SECONDS * 2 ** (self._failures[action.about] - 1), LONGEST_PAUSE_SECONDS)
            self._doing[action.about].pausing = True
            bug = None if isinstance(error, _RETRIED) else error
            level = logging.WARNING if bug is None else logging.ERROR
            log.log(level, "%s: %s; again in %g s: %s", action.about, type(action).__name__, pause, error, exc_info=bug)
            await asyncio.sleep(pause)
        else:
            del self._failures[action.about]

    async def _say(self, action: Action, said: Event) -> int:
        issue = self._known.issues.get(action.about) if isinstance(action.about, IssueRef) else None
        draft = Draft(about=action.about, data=said, cause=action.cause, correlation=issue.approval if issue else None)
        return await self._bus.log.publish(
            self._causes.followed(draft), event_id(Actor.LOCAL, type(action).__name__, action.cause)
        )

    async def _tidy(self, repository: RepoRef) -> None:
        known = self._known.repositories[repository]
        if known.configured is not None:
            path = Path(known.configured.clone_url)
            await self._effects.tidy(path, lambda branches: leftovers(self._known, repository, branches))
