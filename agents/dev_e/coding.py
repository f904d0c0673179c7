"""One run of the coder: what it is told, the conversation it goes on with, and what is said of it afterwards.

What it used is said whoever owns the work by then, since the money is spent; so is what a guard kept it from.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import structs

from agents.brief import Brief
from agents.coders.driver import Driver, Result, Task
from agents.coders.sessions import Sessions
from agents.dev_e.manner import Manner
from agents.dev_e.remembering import Remembering
from agents.dev_e.run import Run
from agents.output import RunOutput
from agents.prompt import prompt
from agents.runtime import Replica
from agents.workspace import Worktree
from agents.workspace.conventions import FILES, Conventions, conventions
from bus import Bus
from machine.sandbox import Sandbox
from schemas import FailureKind, IssueEvent, QuotaReported

BLOCKED_MAX = 20
"""Blocked commands of one run that are said; a coder may try thousands."""
GOES_ON = frozenset(
    {
        None,
        FailureKind.TIMED_OUT,
        FailureKind.MAX_TURNS,
        FailureKind.OVER_BUDGET,
        FailureKind.QUOTA,
        FailureKind.RATE_LIMITED,
        FailureKind.OVERLOADED,
        FailureKind.AUTH,
    }
)
"""How a run may have ended that leaves a conversation worth going on with. After the others one begins anew."""

Say = Callable[[IssueEvent, str], Awaitable[int]]
"""Says something of a run; the text sets it apart from others of its kind."""


class Coding:
    """The coder of one replica."""

    def __init__(
        self, bus: Bus, replica: Replica, driver: Driver, home: Path, *, sandbox: Sandbox | None, manner: Manner
    ) -> None:
        self._bus = bus
        self._replica = replica
        self._driver = driver
        self._home = home
        self._sandbox = sandbox
        self._manner = manner
        self._sessions = Sessions(bus.objects, driver, home)

    async def code(self, run: Run, what: Brief, tree: Worktree, say: Say) -> Result:
        """Has the code written, in this worktree. Raises what saying raises."""
        resumed = await self._before(run, tree)
        ways = conventions(await tree.base_texts(FILES))
        memory = Remembering(self._bus, run, self._manner)
        task = self._task(run, what, tree, resumed, ways, remembered=await memory.before(what))
        async with RunOutput.sent(self._bus, run.id) as output:
            result = await self._driver.run(task, tree.path, home=self._home, on_output=output.add)
        await say(run.used(result.provider or self._driver.provider, result.usage), "")
        if (quota := result.quota) is not None:
            provider = result.provider or self._driver.provider
            await self._replica.say(QuotaReported(provider=provider, **structs.asdict(quota)))
        for number, blocked in enumerate(result.blocked[:BLOCKED_MAX], 1):
            await say(run.blocked(blocked), str(number))
        await memory.after(result)
        return result

    @asynccontextmanager
    async def kept(self, run: Run, tree: Worktree, result: Result) -> AsyncGenerator[None]:
        """Archives the conversation for the next run, on whichever replica, beside the block, and is done at its end.

        For the owner of the work alone.
        """
        keeping = asyncio.ensure_future(self._keep(run, tree, result))
        try:
            yield
        except asyncio.CancelledError:
            keeping.cancel()
            raise
        finally:
            await asyncio.wait((keeping,))
        keeping.result()

    async def _keep(self, run: Run, tree: Worktree, result: Result) -> None:
        if result.session is not None and result.failure in GOES_ON:
            await self._sessions.keep(run.issue, run.session, result.session, tree.path)
        elif run.assigned.resume is not None:
            await self._sessions.forget(run.issue, run.session)

    async def _before(self, run: Run, tree: Worktree) -> str | None:
        """What the coder calls the conversation that it is to go on with."""
        if run.assigned.resume is None:
            return None
        return await self._sessions.bring_back(run.issue, run.session, tree.path)

    def _task(
        self, run: Run, what: Brief, tree: Worktree, resumed: str | None, ways: Conventions, *, remembered: str
    ) -> Task:
        policy, assigned, manner = self._replica.policy, run.assigned, self._manner
        turns = policy.coder_turns_max
        return Task(
            issue=run.issue,
            title=what.title,
            attempt=assigned.attempt,
            prompt=prompt(
                what,
                attempt=assigned.attempt,
                conflicts=tree.conflicts,
                guides=ways.guides,
                remembered=remembered,
                persona=manner.persona,
            ),
            session=resumed or run.id,
            resumed=resumed is not None,
            wall_seconds=_within(policy.coder_wall_seconds, manner.seconds),
            first_output_seconds=policy.coder_first_output_seconds,
            silence_seconds=policy.coder_silence_seconds,
            settle_seconds=policy.coder_settle_seconds,
            turns_max=min(turns, ways.turns_max or turns, manner.turns or turns),
            output_bytes=policy.coder_output_bytes,
            budget_usd=_within(assigned.reserved_usd, manner.cost_usd),
            sandbox=None if self._sandbox is None else structs.replace(self._sandbox, clone=tree.clone),
        )


def _within(limit: float, own: float | None) -> float:
    """The lesser of two limits, of which the first may be none: 0."""
    return limit if own is None else min(limit or own, own)
