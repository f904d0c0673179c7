"""dev-e: takes an assigned issue, has code written for it, checks it, pushes it and says so.

One assignment is one call of `DevE.work`. The claim is `WorkStarted`; from then on the issue is followed, and a run
that does not own it any more stops at once. How a run ended is read from the world: the coder's exit and clocks, the
diff, the repository's own check. It opens no pull request and merges nothing: a forge does, when it reads `WorkPushed`.
"""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from agents import runtime
from agents.brief import Brief, NotReady, brief, required
from agents.coders.coder import coder as coder_of
from agents.coders.driver import NOTHING, CoderUnavailable, Driver, Result, Task, Usage
from agents.output import RunOutput
from agents.prompt import prompt
from agents.runtime import AgentConfig, Replica
from agents.workspace import Workspace, WorkspaceFailed, Worktree
from agents.workspace.access import access
from bus import Bus, BusError, Done, Drop, Outcome, Retry, trace_of
from bus.tracing import tracing
from machine.checks import run_check
from machine.git import GitError, Identity
from machine.lifecycle import Lifecycle, Misconfigured
from machine.process import Limits, SpawnFailed
from schemas import (
    Draft,
    FailureKind,
    Invalid,
    IssueAssigned,
    IssueEvent,
    IssueRef,
    Ownership,
    Recorded,
    RepoRef,
    TokensUsed,
    WorkFailed,
    WorkPushed,
    WorkStarted,
    escape,
    event_id,
    everything_about,
    work_branch,
)
from schemas.refs import Name

log = logging.getLogger(__name__)

ROLE = "dev-e"
MAX_SLOTS = 64
DETAIL_CHARACTERS = 8_192
"""Of WorkFailed.detail; longer ones are cut."""
BODY_CHARACTERS = 4_000
"""Of an issue's body in a commit message."""
GRACE_SECONDS = 2.0
"""Between TERM and KILL, for a check that is stopped."""
BUS_AWAY_SECONDS = 2.0
"""After which an assignment is tried again when the bus went away in the middle."""
HOMES = ".coders"
"""In the workspace: what coding CLIs keep there. No owner of a repository is called so."""


LEAST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
"""Of an assignment for which this replica lacks something; see `pause`."""

MACHINE_FAILURES = (WorkspaceFailed, GitError, SpawnFailed, OSError)
"""What says nothing about the work: another run, here or elsewhere, may do better."""


class NotOwner(Exception):
    """The run does not own the issue's work any more."""


class Run(Struct, frozen=True, kw_only=True):
    """One claim of one assignment."""

    id: str
    issue: IssueRef
    assigned: IssueAssigned
    cause: str
    """Id of the IssueAssigned."""
    correlation: str | None
    traceparent: str | None

    @property
    def branch(self) -> str:
        return work_branch(self.issue.number, self.assigned.epoch, self.id)

    @property
    def session(self) -> str:
        return self.assigned.resume or self.id

    def failed(self, kind: FailureKind, detail: str) -> WorkFailed:
        return WorkFailed(epoch=self.assigned.epoch, run=self.id, kind=kind, detail=detail[:DETAIL_CHARACTERS])

    def used(self, provider: str, usage: Usage) -> TokensUsed:
        return TokensUsed(epoch=self.assigned.epoch, run=self.id, provider=provider, **structs.asdict(usage))


class DevE:
    """What dev-e does with an assignment."""

    def __init__(self, bus: Bus, replica: Replica, workspace: Workspace, driver: Driver, *, home: Path) -> None:
        self._bus = bus
        self._replica = replica
        self._workspace = workspace
        self._driver = driver
        self._home = home

    async def work(self, recorded: Recorded) -> Outcome:
        """Works one assignment to its end, whatever that is; a `runtime.Work`."""
        assigned, issue = recorded.event.data, recorded.event.about
        if not isinstance(assigned, IssueAssigned) or not isinstance(issue, IssueRef):
            return Drop(f"{type(assigned).__name__} about {issue} is no assignment")
        run = Run(
            id=f"r-{secrets.token_hex(5)}",
            issue=issue,
            assigned=assigned,
            cause=recorded.event.id,
            correlation=recorded.event.correlationid,
            traceparent=trace_of(recorded.event),
        )
        outcome = Done()
        try:
            events = await self._events(issue)
            owner = _owner(events)
            if not owner.open or owner.epoch != assigned.epoch:
                log.info("%s: epoch %d is over; nothing to do", issue, assigned.epoch)
                return Done()
            repository = await self._events(issue.repository)
            if lacking := required(events, repository) - set(self._replica.config.capabilities):
                needs = ", ".join(sorted(lacking))
                log.warning("%s needs %s, which is not here: it goes back for another replica", issue, needs)
                age = (datetime.now(UTC) - recorded.event.time).total_seconds()
                return Retry(pause(age, self._replica.policy.claim_seconds))
            with self._replica.working_on(issue):
                claimed = await self._say(run, self._claim(run))
                async with asyncio.TaskGroup() as group:
                    watch = group.create_task(self._watch(run, claimed))
                    await self._report(run, events, repository)
                    watch.cancel()
        except* NotOwner as lost:
            log.info("%s", lost.exceptions[0])
        except* BusError as away:
            log.warning("%s: %s is put down: %s", issue, run.id, away.exceptions[0])
            outcome = Retry(BUS_AWAY_SECONDS)
        return outcome

    def _claim(self, run: Run) -> WorkStarted:
        return WorkStarted(
            epoch=run.assigned.epoch,
            run=run.id,
            agent=self._replica.config.name,
            branch=run.branch,
            session=run.session,
            provider=self._driver.provider,
        )

    async def _watch(self, run: Run, claimed: int) -> None:
        """Follows the issue while it is worked on. Raises NotOwner when somebody else's word ends that."""
        owner = Ownership()
        async with self._bus.log.follow([everything_about(run.issue)]) as reader:
            async for item in reader:
                if not isinstance(item, Recorded):
                    continue
                said = item.event.data
                owner.apply(said)
                if item.position < claimed or owner.owns(run.assigned.epoch, run.id):
                    continue
                if isinstance(said, WorkPushed | WorkFailed) and said.run == run.id:
                    return  # our own report
                raise NotOwner(f"{run.issue}: {run.id} lost epoch {run.assigned.epoch} by {said.name()}")

    async def _report(self, run: Run, events: Sequence[Recorded], repository: Sequence[Recorded]) -> None:
        """Makes the attempt and says how it ended, before its worktree goes."""
        async with AsyncExitStack() as afterwards:
            try:
                report = await self._attempt(run, events, repository, afterwards)
            except (NotOwner, BusError):
                raise
            except (NotReady, *MACHINE_FAILURES) as error:
                report = run.failed(FailureKind.SPAWN, str(error))
            except Exception as error:
                log.exception("%s: %s failed", run.issue, run.id)
                report = run.failed(FailureKind.BUG, f"{type(error).__name__}: {error}")
            await self._still_owner(run)
            await self._say(run, report)
            log.info("%s: %s ended: %s", run.issue, run.id, report.name())

    async def _attempt(
        self, run: Run, events: Sequence[Recorded], repository: Sequence[Recorded], afterwards: AsyncExitStack
    ) -> WorkPushed | WorkFailed:
        """Code, commit, check, push. Whatever was changed is pushed, good or not: the next run goes on from it."""
        try:
            what = brief(run.issue, events, repository)
            checkout = self._workspace.checkout(
                run.issue.repository,
                what.clone_url,
                base=what.base_branch,
                branch=run.branch,
                earlier=what.earlier,
                access=access(self._bus, run.issue.repository, what.forge, what.clone_url),
            )
            with tracing.step("prepare"):
                tree = await afterwards.enter_async_context(checkout)
        except Exception:
            await self._say(run, run.used(self._driver.provider, NOTHING))
            raise
        with tracing.step("code"):
            result = await self._code(run, what, tree)
        if result.failure is not None:
            return run.failed(result.failure, f"{result.detail}\n{await self._hand_on(run, what, tree)}".strip())
        if problem := await self._commit(run, what, tree):
            return run.failed(FailureKind.CHECKS_FAILED, problem)
        if not await tree.has_base():
            return run.failed(FailureKind.CHECKS_FAILED, f"{what.base_branch} was to be merged in, and is not")
        size = await tree.diff_size()
        if nested := await tree.nested():
            if size.files:
                await self._push(run, tree)
            return run.failed(FailureKind.CHECKS_FAILED, _about_nested(nested))
        if not size.files:
            return run.failed(FailureKind.NO_CHANGES, "the coder finished and changed nothing")
        head = await tree.head()
        if head == what.pushed_head:
            return run.failed(FailureKind.NO_CHANGES, f"the coder finished and changed nothing since {head[:12]}")
        policy = self._replica.policy
        limits = Limits(policy.check_wall_seconds, policy.check_output_bytes, GRACE_SECONDS)
        with tracing.step("check"):
            check = await run_check(what.check, cwd=tree.path, limits=limits)
        await self._push(run, tree)
        if not check.passed:
            return run.failed(FailureKind.CHECKS_FAILED, check.excerpt)
        return WorkPushed(
            epoch=run.assigned.epoch,
            run=run.id,
            branch=run.branch,
            head_sha=head,
            title=what.title,
            body=f"For {run.issue}, attempt {run.assigned.attempt}. `{what.check}` passes on it.",
            files_changed=size.files,
            lines_changed=size.lines,
        )

    async def _code(self, run: Run, what: Brief, tree: Worktree) -> Result:
        policy, assigned = self._replica.policy, run.assigned
        task = Task(
            issue=run.issue,
            title=what.title,
            attempt=assigned.attempt,
            prompt=prompt(what, attempt=assigned.attempt, conflicts=tree.conflicts),
            session=run.session,
            resumed=assigned.resume is not None,
            wall_seconds=policy.coder_wall_seconds,
            silence_seconds=policy.coder_silence_seconds,
            output_bytes=policy.coder_output_bytes,
            budget_usd=assigned.reserved_usd,
        )
        async with RunOutput.sent(self._bus, run.id) as output:
            result = await self._driver.run(task, tree.path, home=self._home, on_output=output.add)
        await self._say(run, run.used(self._driver.provider, result.usage))  # whoever owns the work by now
        return result

    async def _commit(self, run: Run, what: Brief, tree: Worktree) -> str:
        """Commits what the coder left. When that cannot be: why, for people; else ""."""
        if unresolved := await tree.unresolved():
            return f"Conflicts with {what.base_branch} are left in: {', '.join(unresolved)}"
        await tree.commit_all(commit_message(what, run))
        return ""

    async def _hand_on(self, run: Run, what: Brief, tree: Worktree) -> str:
        """Pushes what a coder that failed has done, for the next run. What is left out of that, for people; else ""."""
        try:
            if problem := await self._commit(run, what, tree):
                return problem
            if (await tree.diff_size()).files:
                await self._push(run, tree)
            nested = await tree.nested()
        except MACHINE_FAILURES as error:  # how the coder ended counts for more
            return f"What it had done could not be pushed: {error}"
        return _about_nested(nested) if nested else ""

    async def _push(self, run: Run, tree: Worktree) -> None:
        with tracing.step("push"):
            await self._still_owner(run)
            await tree.push()

    async def _still_owner(self, run: Run) -> None:
        """Raises NotOwner unless the log, as it is now, says that this run owns the work."""
        if not _owner(await self._events(run.issue)).owns(run.assigned.epoch, run.id):
            raise NotOwner(f"{run.issue}: {run.id} does not own epoch {run.assigned.epoch} any more")

    async def _events(self, about: IssueRef | RepoRef) -> list[Recorded]:
        return await self._bus.log.history([everything_about(about)])

    async def _say(self, run: Run, event: IssueEvent) -> int:
        draft = Draft(
            about=run.issue, data=event, cause=run.cause, correlation=run.correlation, traceparent=run.traceparent
        )
        return await self._bus.log.publish(draft, event_id(ROLE, run.id, event.name()))


def pause(age_seconds: float, claim_seconds: float) -> float:
    """How long an assignment goes back for, by its age: at first hardly at all, for another replica may be idle.

    However many replicas lack what it needs, the conductor assigns it anew before bus.outcomes.MAX_ATTEMPTS are used
    up. Clocks may differ, either way.
    """
    return min(max(LEAST_PAUSE_SECONDS, 2 * abs(age_seconds)), max(LONGEST_PAUSE_SECONDS, claim_seconds / 8))


def commit_message(what: Brief, run: Run) -> str:
    """Subject, body and trailers of a run's commit."""
    body = what.body.replace("\0", "").strip()[:BODY_CHARACTERS]
    trailers = f"Rig-Issue: {run.issue}\nRig-Run: {run.id}"
    return "\n\n".join(part for part in (what.title, body, trailers) if part) + "\n"


def _about_nested(paths: Sequence[str]) -> str:
    what = "Repositories of their own, whose files cannot be committed here"
    return f"{what}, are left in: {', '.join(paths)}. Remove them, or their .git, or name them in .gitignore."


def _owner(events: Sequence[Recorded]) -> Ownership:
    owner = Ownership()
    for recorded in events:
        owner.apply(recorded.event.data)
    return owner


async def run_dev_e(
    bus: Bus,
    life: Lifecycle,
    *,
    name: str,
    slots: int,
    coder: str,
    data_dir: Path,
    capabilities: tuple[str, ...] = (),
) -> None:
    """Is the replica `name` until `life.stop`; its workspace is `data_dir/<name>`.

    It takes work that needs no more than its `capabilities`. Raises Misconfigured with all that is wrong about name,
    slots and coder (see coders.coder), WorkspaceInUse when the replica runs already, and what runtime.run raises.
    """
    driver = _configured(name, slots, coder)
    try:
        checked = await driver.check()
    except CoderUnavailable as error:
        raise Misconfigured(str(error)) from None
    life.check("coder", ok=True, detail=f"{driver.provider} {checked.version}".strip())
    config = AgentConfig(name=name, role=ROLE, slots=slots, provider=driver.provider, capabilities=capabilities)
    async with Workspace.taken(data_dir / escape(name), Identity(name, f"{name}@rig.invalid")) as workspace:
        home = data_dir / escape(name) / HOMES / escape(driver.provider)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        await runtime.run(bus, config, lambda replica: DevE(bus, replica, workspace, driver, home=home).work, life)


def _configured(name: str, slots: int, coder: str) -> Driver:
    problems: list[str] = []
    try:
        msgspec.convert(name, Name)
    except msgspec.ValidationError:
        problems.append(f"name {name!r}: write letters, digits, dots and dashes, like dev-e-1")
    if not 1 <= slots <= MAX_SLOTS:
        problems.append(f"slots {slots}: write 1 to {MAX_SLOTS}")
    try:
        driver = coder_of(coder)
    except Invalid as error:
        problems += [f"coder: {problem}" for problem in error.problems]
    else:
        if not problems:
            return driver
    raise Misconfigured(str(Invalid(ROLE, problems)))
