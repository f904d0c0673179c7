"""The read models of runs and of what they cost: what each said of itself, whoever owned the work. Pure.

Money is counted in millionths of a US dollar, so that sums do not drift.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Final

from msgspec import Struct

from conductor.projector.model import Model
from conductor.state import Micros, micros
from schemas import (
    AgentRef,
    CommandBlocked,
    FailureKind,
    IssueRef,
    ModelUsed,
    Recorded,
    TokensUsed,
    WorkFailed,
    WorkPushed,
    WorkStarted,
)


class Tokens(Struct, kw_only=True):
    """What was used, summed."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cost: Micros = 0
    unpriced: int = 0
    """Reports whose price nobody knows."""

    def add(self, used: TokensUsed | ModelUsed) -> None:
        self.input += used.input
        self.output += used.output
        self.cache_read += used.cache_read
        self.cache_write += used.cache_write
        self.cost += micros(used.cost_usd or 0)
        self.unpriced += used.cost_usd is None


class RunRow(Struct, kw_only=True):
    """One run of an agent on an issue."""

    issue: IssueRef
    run: str
    epoch: int
    agent: str | None = None
    """None: it has not said yet that it began."""
    provider: str = ""
    model: str | None = None
    branch: str = ""
    session: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    pushed: str | None = None
    """The head that it ended with."""
    failed: FailureKind | None = None
    detail: str = ""
    blocked: int = 0
    """Commands that a guard kept it from."""
    tokens: Tokens


class SpendRow(Struct, kw_only=True):
    """What one run used of one model on one day (UTC); or what calls of a model outside the runs did, for one thing."""

    day: date
    issue: IssueRef | None
    run: str
    """Empty: calls outside the runs."""
    role: str
    agent: str
    """The replica, as it calls itself."""
    purpose: str
    provider: str
    model: str
    tokens: Tokens


WORK: Final = "work"
"""What runs are for."""


def _runs_said(said: Recorded) -> Iterable[str]:
    about = said.event.about
    match said.event.data:
        case (
            WorkStarted(run=run)
            | WorkPushed(run=run)
            | WorkFailed(run=run)
            | TokensUsed(run=run)
            | CommandBlocked(run=run)
        ):
            return (f"{about}/{run}",)
        case _:
            return ()


def fold_run(_: str, row: RunRow | None, said: Recorded) -> RunRow | None:
    """The run after one of its own words, which may come in any order."""
    event, issue = said.event.data, said.event.about
    match event:
        case WorkStarted() | WorkPushed() | WorkFailed() | TokensUsed() | CommandBlocked() if isinstance(
            issue, IssueRef
        ):
            run = row or RunRow(issue=issue, run=event.run, epoch=event.epoch, tokens=Tokens())
        case _:
            return row
    match event:
        case WorkStarted():
            run.agent, run.provider, run.model = event.agent, event.provider, event.model
            run.branch, run.session, run.started = event.branch, event.session, said.event.time
        case WorkPushed():
            run.pushed, run.ended = event.head_sha, said.event.time
        case WorkFailed():
            run.failed, run.detail, run.ended = event.kind, event.detail, said.event.time
        case TokensUsed():
            run.tokens.add(event)
        case CommandBlocked():
            run.blocked += 1
    return run


def _spend_said(said: Recorded) -> Iterable[str]:
    match said.event.data:
        case TokensUsed(run=run, provider=provider, model=model):
            who = f"{_one_part(said.event.source)}/{_one_part(provider)}"
            return (f"{day_of(said)}/{said.event.about}/{run}/{who}/{model}",)
        case ModelUsed() as call:
            parts = (call.issue or "", said.event.about, call.role, call.purpose, call.provider, call.model)
            return (f"{day_of(said)}/calls/{'/'.join(_one_part(str(part)) for part in parts)}",)
        case _:
            return ()


def fold_spend(_: str, row: SpendRow | None, said: Recorded) -> SpendRow | None:
    match said.event.data, said.event.about:
        case TokensUsed() as used, IssueRef() as issue:
            source = said.event.source
            spend = row or SpendRow(
                day=day_of(said),
                issue=issue,
                run=used.run,
                role=said.event.actor,
                agent=source.partition("/")[2] or source,
                purpose=WORK,
                provider=used.provider,
                model=used.model,
                tokens=Tokens(),
            )
        case ModelUsed() as used, AgentRef(agent):
            spend = row or SpendRow(
                day=day_of(said),
                issue=used.issue,
                run="",
                role=used.role,
                agent=agent,
                purpose=used.purpose,
                provider=used.provider,
                model=used.model,
                tokens=Tokens(),
            )
        case _:
            return row
    spend.tokens.add(used)
    return spend


def _one_part(text: str) -> str:
    """Of a key, whose parts stand between slashes: no two texts become one."""
    return text.replace("%", "%25").replace("/", "%2F")


def day_of(said: Recorded) -> date:
    """The day (UTC) on which it happened, by the source's clock."""
    return said.event.time.astimezone(UTC).date()


RUNS = Model("runs", RunRow, _runs_said, fold_run, (WorkStarted, WorkPushed, WorkFailed, TokensUsed, CommandBlocked))
SPEND = Model("spend", SpendRow, _spend_said, fold_spend, (TokensUsed, ModelUsed), version=2)
