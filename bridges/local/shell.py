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

from bridges import agent_file
from bridges.local.effects import Effects
from bridges.local.fold import Known, Landed
from bridges.local.numbers import Numbers
from bridges.local.plan import Action, Check, Inspect, due, leftovers, look_again
from bridges.local.repository import BadAgentFile, RepositoryError
from bridges.local.scratch import Scratch
from bus import Bus, BusError, Causes, LogChanged, Skipped, Stored
from bus.tracing import tracing
from machine.git import GitError
from machine.lifecycle import Lifecycle
from machine.process import SpawnFailed
from machine.sandbox import Sandbox
from schemas import Actor, Draft, Event, IssueRef, Merged, RepoRef, Reverted, event_id

log = logging.getLogger(__name__)

FILTERS = ("rig.issue.>", "rig.repo.>", "rig.fleet.*.policy_adopted")
PAUSE_SECONDS = 1.0
"""Before what failed is tried again; doubled each time, up to LONGEST_PAUSE_SECONDS."""
LONGEST_PAUSE_SECONDS = 60.0

_RETRIED = (GitError, SpawnFailed, RepositoryError, OSError, BusError)
"""What the machine or a person can mend. Anything else is a bug: the same, with its traceback in the log."""


async def run(bus: Bus, lifecycle: Lifecycle, *, scratch: Path, sandbox: Sandbox | None = None) -> None:
    """Serves until the lifecycle says stop. `scratch` is a directory for throw-away clones; checks run in a `sandbox`.

    Raises what makes going on impossible (a log that was recreated, say).
    """
    room = Scratch(scratch)
    try:
        async with asyncio.TaskGroup() as group:
            forge = LocalForge(bus, lifecycle, Effects(room, sandbox), group)
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
        self._looked_at: dict[RepoRef, str] = {}
        """Which word on its base was followed up last: see plan.look_again."""
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
                return {issue, issue.repository}
            case None:
                return set()

    async def _read_up_to(self, position: int) -> None:
        async with self._advanced:
            await self._advanced.wait_for(lambda: self._position >= position)

    # ── doing ────────────────────────────────────────────────────────────────

    def _consider(self, about: IssueRef | RepoRef) -> None:
        action, doing = self._due(about), self._doing.get(about)
        if doing is None:
            if action is not None:
                self._start(action)
            elif (check := _agent_file_of(about)) in self._lifecycle.checks:
                self._lifecycle.check(check, ok=True)
        elif doing.action != action and (doing.pausing or isinstance(doing.action, Check)) and not doing.dropped:
            doing.dropped = True
            doing.task.cancel()

    def _due(self, about: IssueRef | RepoRef) -> Action | None:
        action = due(self._known, about)
        if action is None and isinstance(about, RepoRef):
            action = look_again(self._known.repositories.get(about), self._looked_at.get(about))
        return action

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
            if isinstance(action, Inspect):
                await self._say_reverts(action.about)
                self._looked_at[action.about] = action.cause if said is None else _id_of(action)
        except LogChanged:
            raise
        except Exception as error:  # one issue's trouble, also with our own code, is not the others'
            self._failures[action.about] += 1
            pause = min(PAUSE_SECONDS * 2 ** (self._failures[action.about] - 1), LONGEST_PAUSE_SECONDS)
            self._doing[action.about].pausing = True
            if isinstance(error, BadAgentFile):
                self._lifecycle.check(_agent_file_of(action.about), ok=False, detail=str(error))
            bug = None if isinstance(error, _RETRIED) else error
            level = logging.WARNING if bug is None else logging.ERROR
            log.log(level, "%s: %s; again in %g s: %s", action.about, type(action).__name__, pause, error, exc_info=bug)
            await asyncio.sleep(pause)
        else:
            del self._failures[action.about]

    async def _say(self, action: Action, said: Event) -> int:
        issue = self._known.issues.get(action.about) if isinstance(action.about, IssueRef) else None
        draft = Draft(about=action.about, data=said, cause=action.cause, correlation=issue.approval if issue else None)
        return await self._bus.log.publish(self._causes.followed(draft), _id_of(action))

    async def _say_reverts(self, about: RepoRef) -> None:
        """Says which merges were taken out again, each once: whoever finds one first."""
        repository = self._known.repositories[about]
        if repository.configured is None:
            return
        path, ours = Path(repository.configured.clone_url), repository.configured.base_branch
        merges: dict[str, dict[str, Landed]] = {}
        for merge, landed in repository.merges.items():
            merges.setdefault(landed.base_branch or ours, {})[merge] = landed
        for branch, landed in merges.items():
            for revert in await self._effects.reverts(path, branch, landed):
                merged, data = (
                    landed[revert.merge],
                    Reverted(merge_sha=revert.merge, revert_sha=revert.commit, by=revert.by),
                )
                approval = self._known.issues[merged.issue].approval
                draft = Draft(about=merged.issue, data=data, cause=merged.id, correlation=approval)
                id_ = event_id(Actor.LOCAL, Reverted.name(), revert.merge)
                await self._read_up_to(await self._bus.log.publish(self._causes.followed(draft), id_))

    async def _tidy(self, repository: RepoRef) -> None:
        known = self._known.repositories[repository]
        if known.configured is not None:
            path = Path(known.configured.clone_url)
            await self._effects.tidy(path, lambda branches: leftovers(self._known, repository, branches))


def _id_of(action: Action) -> str:
    """Of what is said of it."""
    return event_id(Actor.LOCAL, type(action).__name__, action.cause)


def _agent_file_of(about: IssueRef | RepoRef) -> str:
    """The name of the check that fails while a repository stays as it was configured."""
    return f"{agent_file.NAME} of {about}"
