"""What was spent and what is set aside, by budget, as far as the log tells: for people to look at. Pure.

A run counts for what was set aside for it until it has spent more, or is settled; budgets of a day begin anew at
midnight (UTC), but what is set aside stays set aside. The conductor's own sums decide; these should be the same.
"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Final, TypeAlias

from msgspec import Struct, field

from schemas import (
    DAY,
    BudgetReleased,
    BudgetReserved,
    BudgetSettled,
    Event,
    IssueAssigned,
    IssueRef,
    ModelUsed,
    Recorded,
    TokensUsed,
    WorkStarted,
    scopes,
)

MONEY: Final[tuple[type[Event], ...]] = (
    IssueAssigned,
    WorkStarted,
    BudgetReserved,
    BudgetSettled,
    BudgetReleased,
    TokensUsed,
    ModelUsed,
)
"""What it is folded from."""
Micros: TypeAlias = int
"""Millionths of a US dollar: sums of whole numbers do not drift."""


class Sum(Struct):
    """What counts against one budget now."""

    spent: Micros = 0
    reserved: Micros = 0
    """Set aside and not spent yet."""


class _Account(Struct):
    """The money of one run; or what is set aside for an epoch that nobody has claimed."""

    role: str
    reserved: Micros = 0
    spent: Micros = 0
    settled: Micros | None = None
    day: date | None = None
    """When it was settled."""


class _Issue(Struct):
    roles: dict[int, str] = field(default_factory=dict[int, str])
    """By epoch."""
    role: str = ""
    accounts: dict[str, _Account] = field(default_factory=dict[str, _Account])
    """By run; `#<epoch>` for an epoch that nobody has claimed."""
    claimed: set[int] = field(default_factory=set[int])


class Ledger:
    """The sums, after the events that it was given, in order."""

    def __init__(self, history: Iterable[Recorded] = ()) -> None:
        self._issues: dict[IssueRef, _Issue] = {}
        self._calls: dict[str, tuple[ModelUsed, date]] = {}
        """Of models, outside the runs: by the event's id, since one may have been said twice."""
        for said in history:
            if isinstance(said.event.data, ModelUsed):
                self._calls[said.event.id] = said.event.data, said.event.time.date()
            elif isinstance(said.event.about, IssueRef):
                _apply(self._issues.setdefault(said.event.about, _Issue()), said.event.data, said.event.time)

    def sums(self, today: date) -> dict[str, Sum]:
        """By budget, all that anything counts against. Those of issues hold for what the ledger was given of them."""
        found: dict[str, Sum] = {}
        for ref, issue in self._issues.items():
            for account in issue.accounts.values():
                of_issue, *of_the_day = scopes(ref, account.role or "none")
                _add(found.setdefault(of_issue, Sum()), account)
                if account.settled is None or account.day == today:
                    for scope in of_the_day:
                        _add(found.setdefault(scope, Sum()), account)
        for call, day in self._calls.values():
            for scope in _counted(call, today=day == today):
                found.setdefault(scope, Sum()).spent += _micros(call.counts_usd)
        return found

    def under_way(self) -> list[IssueRef]:
        """The issues for which something is set aside."""
        return [
            ref
            for ref, issue in self._issues.items()
            if any(account.settled is None and account.reserved for account in issue.accounts.values())
        ]


def _counted(call: ModelUsed, *, today: bool) -> tuple[str, ...]:
    """The budgets that a call counts against."""
    if call.issue is None:
        return (f"role:{call.role}", DAY) if today else ()
    of_issue, *of_the_day = scopes(call.issue, call.role)
    return (of_issue, *of_the_day) if today else (of_issue,)


def _add(into: Sum, account: _Account) -> None:
    if account.settled is not None:
        into.spent += max(account.settled, account.spent)
    else:
        into.spent += account.spent
        into.reserved += max(account.reserved - account.spent, 0)


def _apply(it: _Issue, data: Event, time: datetime) -> None:
    match data:
        case IssueAssigned(epoch=epoch, role=role):
            it.roles[epoch] = it.role = role
        case WorkStarted(epoch=epoch, run=run) if epoch not in it.claimed:
            it.claimed.add(epoch)
            _claim(it, epoch, run)
        case BudgetReserved(epoch=epoch, run=run, amount_usd=usd):
            _account(it, run, epoch).reserved = _micros(usd)
        case TokensUsed(epoch=epoch, run=run, cost_usd=usd):
            _account(it, run, epoch).spent += _micros(usd or 0)
        case BudgetSettled(run=run, amount_usd=usd) if run in it.accounts and it.accounts[run].settled is None:
            it.accounts[run].settled, it.accounts[run].day = _micros(usd), time.date()
        case BudgetReleased(epoch=epoch):
            it.accounts.pop(_unclaimed(epoch), None)
        case _:
            pass


def _claim(it: _Issue, epoch: int, run: str) -> None:
    """The first run of an epoch takes over what was set aside for it."""
    aside = it.accounts.pop(_unclaimed(epoch), None)
    if aside is None:
        return
    early = it.accounts.get(run)  # it said what it used before its claim was read
    aside.spent += early.spent if early is not None else 0
    it.accounts[run] = aside


def _account(it: _Issue, run: str | None, epoch: int) -> _Account:
    key = run or _unclaimed(epoch)
    if key not in it.accounts:
        it.accounts[key] = _Account(it.roles.get(epoch, it.role))
    return it.accounts[key]


def _unclaimed(epoch: int) -> str:
    return f"#{epoch}"


def _micros(usd: float) -> Micros:
    return round(usd * 1_000_000)
