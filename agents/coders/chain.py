"""Several coders as one: the first that can work does, the next takes over where the fault is not the work's.

A login that is gone, a quota, a rate limit, an overloaded provider, a program that does not start: then the next one
tries, in the worktree as it was left. Whoever is known to be out is not asked again until his quota resets, or some
minutes have passed. What a run says of the work itself (a limit, a guard, a clock) is the answer, whoever said it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import structs

from agents.coders.device import Flow, HasDeviceFlow
from agents.coders.driver import NOTHING, Checked, CoderUnavailable, Driver, LoginMissing, OnOutput, Result, Task, Usage
from schemas import FailureKind

PASSES_ON = frozenset(
    {
        FailureKind.SPAWN,
        FailureKind.AUTH,
        FailureKind.QUOTA,
        FailureKind.RATE_LIMITED,
        FailureKind.OVERLOADED,
    }
)
PAUSES = {
    FailureKind.QUOTA: timedelta(minutes=15),
    FailureKind.AUTH: timedelta(minutes=5),
    FailureKind.RATE_LIMITED: timedelta(minutes=1),
    FailureKind.OVERLOADED: timedelta(minutes=1),
}
"""How long one is left alone that has not said until when."""
LONGEST_PAUSE = timedelta(days=8)
"""However long one says: the quotas of a week come back within it."""
LEAST_USD = 0.01
SEPARATOR = ":"
"""Between a link's name and its own name of a conversation."""


class Chain:
    """Drivers, in the order in which they are asked."""

    def __init__(self, drivers: Sequence[Driver], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._links = {f"{number}-{driver.provider}": driver for number, driver in enumerate(drivers, 1)}
        self._now = now
        self._out: dict[str, tuple[datetime, FailureKind]] = {}

    @property
    def provider(self) -> str:
        """The first: whose it is most of the time. A Result says who it was."""
        return next(iter(self._links.values())).provider

    async def check(self) -> Checked:
        """Of the first that can be used; what is wrong with every one of them when none can."""
        found: list[Checked] = []
        problems: list[CoderUnavailable] = []
        for driver in self._links.values():
            try:
                checked = await driver.check()
                found.append(structs.replace(checked, version=f"{driver.provider} {checked.version}".strip()))
            except CoderUnavailable as problem:
                problems.append(problem)
        if not found:
            kind = LoginMissing if all(isinstance(problem, LoginMissing) for problem in problems) else CoderUnavailable
            raise kind("; ".join(str(problem) for problem in problems))
        expiring = [checked.login_expires for checked in found if checked.login_expires is not None]
        return Checked(
            version=", ".join(checked.version for checked in found),
            login_expires=min(expiring, default=None),
            login=" ".join(checked.login for checked in found),
            models=tuple(dict.fromkeys(model for checked in found for model in checked.models)),
        )

    def device_flow(self) -> Flow | None:
        """Of the first that has one: it is asked for when none can be used."""
        flows = (driver.device_flow() for driver in self._links.values() if isinstance(driver, HasDeviceFlow))
        return next((flow for flow in flows if flow is not None), None)

    async def run(self, task: Task, worktree: Path, *, home: Path, on_output: OnOutput) -> Result:
        spent = NOTHING
        last: Result | None = None
        link, session = self._of(task.session) if task.resumed else (None, task.session)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for name, driver in self._links.items():
            wall = task.wall_seconds - (loop.time() - began)
            if self._known_out(name) or wall <= 0:
                continue
            budget = max(LEAST_USD, task.budget_usd - (spent.cost_usd or 0.0)) if task.budget_usd else 0.0
            theirs = structs.replace(task, session=session, resumed=name == link, wall_seconds=wall, budget_usd=budget)
            if last is not None:
                on_output(f"[{driver.provider} goes on]\n".encode())
            result = await driver.run(theirs, worktree, home=_home(home, name), on_output=on_output)
            spent = _sum(spent, result.usage)
            last = structs.replace(
                result,
                usage=spent,
                provider=result.provider or driver.provider,
                session=None if result.session is None else f"{name}{SEPARATOR}{result.session}",
            )
            if result.failure not in PASSES_ON:
                return last
            self._leave_alone(name, result)
        return last or self._all_out()

    def session_files(self, home: Path, worktree: Path, session: str) -> tuple[Path, ...]:
        link, theirs = self._of(session)
        if link is None:
            return ()
        files = self._links[link].session_files(_home(home, link), worktree, theirs)
        return tuple(Path(link, path) for path in files)

    def restore_session(self, home: Path, worktree: Path, session: str, files: Mapping[str, bytes]) -> None:
        link, theirs = self._of(session)
        if link is not None:
            inside = {name.removeprefix(f"{link}/"): content for name, content in files.items()}
            self._links[link].restore_session(_home(home, link), worktree, theirs, inside)

    def _of(self, session: str) -> tuple[str | None, str]:
        """Whose conversation it is, and what he calls it."""
        link, found, theirs = session.partition(SEPARATOR)
        return (link, theirs) if found and link in self._links else (None, session)

    def _known_out(self, name: str) -> bool:
        until, _ = self._out.get(name, (None, None))
        return until is not None and self._now() < until

    def _leave_alone(self, name: str, result: Result) -> None:
        kind = result.failure or FailureKind.SPAWN
        if kind in PAUSES:
            now = self._now()
            self._out[name] = (min(result.retry_at or now + PAUSES[kind], now + LONGEST_PAUSE), kind)

    def _all_out(self) -> Result:
        """Nobody was asked: each is known to be out. As what the one fails that comes back first."""
        (until, kind), name = min((out, name) for name, out in self._out.items())
        detail = f"every coder is known to be out; {self._links[name].provider} is asked again at {until:%H:%M:%S} UTC"
        return Result(failure=kind, detail=detail, usage=NOTHING, retry_at=until, provider=self._links[name].provider)


def _home(home: Path, name: str) -> Path:
    (own := home / name).mkdir(mode=0o700, exist_ok=True)
    return own


def _sum(one: Usage, other: Usage) -> Usage:
    known = one.cost_usd is not None and other.cost_usd is not None
    return Usage(
        model=other.model or one.model,
        input=one.input + other.input,
        output=one.output + other.output,
        cache_read=one.cache_read + other.cache_read,
        cache_write=one.cache_write + other.cache_write,
        cost_usd=(one.cost_usd or 0.0) + (other.cost_usd or 0.0) if known else None,
    )
