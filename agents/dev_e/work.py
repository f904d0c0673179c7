"""One assignment, from its claim to the word that ends it.

One assignment is one call of `DevE.work`. The claim is `WorkStarted`; from then on the issue is followed, and a run
that does not own it any more stops at once. How a run ended is read from the world: the coder's exit and clocks, the
diff, the repository's own check. It opens no pull request and merges nothing: a forge does, when it reads `WorkPushed`.
"""

import asyncio
import logging
import os
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from msgspec import structs

from agents.brief import Brief, NotReady, brief, required
from agents.coders.driver import NOTHING, Driver, Result
from agents.dev_e.coding import Coding
from agents.dev_e.fitness import Fitness
from agents.dev_e.manner import PLAIN, Manner
from agents.dev_e.run import ROLE, Run, about_nested, commit_message, pause
from agents.guard.blocked import Blocked
from agents.guard.secrets import held
from agents.runtime import Replica
from agents.workspace import Workspace, WorkspaceFailed, Worktree
from agents.workspace.access import access
from bus import Bus, BusError, Done, Drop, Outcome, Retry, trace_of
from bus.tracing import tracing
from machine.checks import run_check
from machine.git import GitError
from machine.process import Limits, SpawnFailed
from machine.sandbox import Sandbox
from schemas import (
    Draft,
    FailureKind,
    IssueAssigned,
    IssueEvent,
    IssueRef,
    Ownership,
    Recorded,
    RepoRef,
    WorkFailed,
    WorkPushed,
    WorkStarted,
    event_id,
    everything_about,
)

log = logging.getLogger(__name__)

GRACE_SECONDS = 2.0
"""Between TERM and KILL, for a check that is stopped."""
TAKEN_OVER_SECONDS = 30.0
"""After which an assignment that another replica has taken over comes back, should that one be dead by then."""
BUS_AWAY_SECONDS = 2.0
"""After which an assignment is tried again when the bus went away in the middle."""

LEAK_RULE = "credentials in what would be pushed"
LEAK_ADVICE = "Nothing was pushed: these lines look like credentials. Take them out; read them from the environment."

MACHINE_FAILURES = (WorkspaceFailed, GitError, SpawnFailed, OSError)
"""What says nothing about the work: another run, here or elsewhere, may do better."""


class NotOwner(Exception):
    """The run does not own the issue's work any more."""

    def __init__(self, what: str, *, taken_over: bool) -> None:
        super().__init__(what)
        self.taken_over = taken_over
        """Somebody else works on the same assignment now: it is not for us to acknowledge."""


class DevE:
    """What dev-e does with an assignment."""

    def __init__(
        self,
        bus: Bus,
        replica: Replica,
        workspace: Workspace,
        driver: Driver,
        fitness: Fitness,
        *,
        home: Path,
        sandbox: Sandbox | None = None,
        manner: Manner = PLAIN,
    ) -> None:
        self._bus = bus
        self._replica = replica
        self._workspace = workspace
        self._driver = driver
        self._fitness = fitness
        self._sandbox = sandbox
        self._coding = Coding(bus, replica, driver, home, sandbox=sandbox, manner=manner)

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
            if why := self._unable(required(events, repository)):
                log.warning("%s %s: it goes back for another replica", issue, why)
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
            if any(isinstance(each, NotOwner) and each.taken_over for each in lost.exceptions):
                outcome = Retry(TAKEN_OVER_SECONDS, counts=False)  # who works on it puts that off while it lives
        except* BusError as away:
            log.warning("%s: %s is put down: %s", issue, run.id, away.exceptions[0])
            outcome = Retry(BUS_AWAY_SECONDS)
        return outcome

    def _unable(self, needed: frozenset[str]) -> str:
        """Why this replica cannot take an issue that needs all that; "" when it can."""
        if lacking := needed - set(self._replica.config.capabilities):
            return f"needs {', '.join(sorted(lacking))}, which is not here"
        return "" if self._fitness.fit else f"needs a coder, and {self._driver.provider} cannot be used"

    def _claim(self, run: Run) -> WorkStarted:
        return WorkStarted(
            epoch=run.assigned.epoch,
            run=run.id,
            agent=self._replica.config.name,
            branch=run.branch,
            session=run.session,
            provider=self._driver.provider,
            model=next(iter(self._fitness.checked.models), None),
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
                why = f"{run.issue}: {run.id} lost epoch {run.assigned.epoch} by {said.name()}"
                raise NotOwner(why, taken_over=owner.open and owner.epoch == run.assigned.epoch)

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
            result = await self._coding.code(run, what, tree, lambda event, which: self._say(run, event, which))
        self._fitness.heard(result.failure)
        await self._still_owner(run)
        async with self._coding.kept(run, tree, result):
            return await self._made(run, what, tree, result)

    async def _made(self, run: Run, what: Brief, tree: Worktree, result: Result) -> WorkPushed | WorkFailed:
        """What a coder that has ended has made of it: committed, checked, pushed."""
        if result.failure is not None:
            detail = f"{result.detail}\n{await self._hand_on(run, what, tree)}".strip()
            return run.failed(result.failure, detail, result.retry_at)
        if problem := await self._commit(run, what, tree):
            return run.failed(FailureKind.CHECKS_FAILED, problem)
        if not await tree.has_base():
            return run.failed(FailureKind.CHECKS_FAILED, f"{what.base_branch} was to be merged in, and is not")
        size = await tree.diff_size()
        if nested := await tree.nested():
            if size.files:
                await self._push(run, tree)
            return run.failed(FailureKind.CHECKS_FAILED, about_nested(nested))
        if not size.files:
            return run.failed(FailureKind.NO_CHANGES, "the coder finished and changed nothing")
        head = await tree.head()
        if head == what.pushed_head:
            return run.failed(FailureKind.NO_CHANGES, f"the coder finished and changed nothing since {head[:12]}")
        policy = self._replica.policy
        limits = Limits(policy.check_wall_seconds, policy.check_output_bytes, GRACE_SECONDS)
        sandbox = None if self._sandbox is None else structs.replace(self._sandbox, clone=tree.clone)
        with tracing.step("check"):
            check = await run_check(what.check, cwd=tree.path, limits=limits, sandbox=sandbox)
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

    async def _commit(self, run: Run, what: Brief, tree: Worktree) -> str:
        """Commits what the coder left. When that cannot be: why, for people; else ""."""
        if unresolved := await tree.unresolved():
            return f"Conflicts with {what.base_branch} are left in: {', '.join(unresolved)}"
        message = commit_message(what, run)
        await tree.commit_all(message)
        return await self._given_away(run, tree, message)

    async def _given_away(self, run: Run, tree: Worktree, message: str) -> str:
        """The credentials that a push would give away, for people and the next run; nothing is pushed then.

        What held one and was taken back is taken out of the commits as well, since a push would bring them all.
        """
        known = held(os.environ)
        if not await tree.leaks(known):
            return ""
        if not (leaks := await tree.leaks(known, at_the_end=True)):
            await tree.squash(message)
            return ""
        where = "\n".join(map(str, leaks))
        await self._say(run, run.blocked(Blocked(f"git push\n{where}", LEAK_RULE)), "leak")
        return f"{LEAK_ADVICE}\n{where}"

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
        return about_nested(nested) if nested else ""

    async def _push(self, run: Run, tree: Worktree) -> None:
        with tracing.step("push"):
            await self._still_owner(run)
            await tree.push()

    async def _still_owner(self, run: Run) -> None:
        """Raises NotOwner unless the log, as it is now, says that this run owns the work."""
        epoch, owner = run.assigned.epoch, _owner(await self._events(run.issue))
        if not owner.owns(epoch, run.id):
            why = f"{run.issue}: {run.id} does not own epoch {epoch} any more"
            raise NotOwner(why, taken_over=owner.open and owner.epoch == epoch)

    async def _events(self, about: IssueRef | RepoRef) -> list[Recorded]:
        return await self._bus.log.history([everything_about(about)])

    async def _say(self, run: Run, event: IssueEvent, which: str = "") -> int:
        """The position of what was said; `which` sets it apart from others of its kind that this run says."""
        draft = Draft(
            about=run.issue, data=event, cause=run.cause, correlation=run.correlation, traceparent=run.traceparent
        )
        return await self._bus.log.publish(draft, event_id(ROLE, run.id, event.name(), *filter(None, [which])))


def _owner(events: Sequence[Recorded]) -> Ownership:
    owner = Ownership()
    for recorded in events:
        owner.apply(recorded.event.data)
    return owner
