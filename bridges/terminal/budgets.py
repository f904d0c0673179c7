"""Budgets for people: each with its limit, what was spent and set aside; what was typed of them. Pure."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from bridges.terminal import names, show
from bridges.terminal.errors import BadInput
from bridges.terminal.explain import counts_today
from bridges.terminal.fleet import Fleet
from bridges.terminal.ledger import Ledger, Sum
from schemas import BudgetRaised, IssueRef, Overrides, Policy, Recorded, is_scope, one_line

ISSUES_MAX: Final = 50
LONGEST: Final = timedelta(days=366)
SAME: Final = timedelta(minutes=1)
"""Two raises of the same amount that end so close together are one, said twice."""
_FOR: Final = re.compile(r"(\d{1,6})([mhd])")
_UNITS: Final = {"m": 60, "h": 3_600, "d": 86_400}


class BudgetLine(Struct, frozen=True, kw_only=True):
    """One budget."""

    scope: str
    limit_usd: float | None
    """The one in force; None: as much as it takes."""
    spent_usd: float
    """On this day (UTC); of an issue, in all."""
    reserved_usd: float
    """Set aside for runs under way, and not spent yet."""
    left_usd: float | None
    raised_until: datetime | None
    raised_by: str | None
    full_since: datetime | None
    """Since when it has had no room for another run."""


class Budgets(Struct, frozen=True, kw_only=True):
    """`rig budget --json`."""

    run_usd: float
    """Set aside for each run."""
    breaker_usd: float | None
    budgets: list[BudgetLine]


# ── looking ──────────────────────────────────────────────────────────────────


def issues_to_show(ledger: Ledger, known: Fleet, now: datetime) -> list[IssueRef]:
    """Those with money set aside, with more allowed than usual, or without room."""
    scopes = [
        *in_force(known, now),
        *(scope for scope, said in known.exceeded.items() if counts_today(scope, said, now)),
    ]
    named = [IssueRef.parse(scope.removeprefix("issue:")) for scope in scopes if scope.startswith("issue:")]
    return list(dict.fromkeys([*ledger.under_way(), *named]))[:ISSUES_MAX]


def budgets(
    sums: dict[str, Sum], known: Fleet, policy: Policy, overrides: dict[str, Overrides | None], now: datetime
) -> Budgets:
    """Every budget there is something to say of, the whole rig's first."""
    raised = in_force(known, now)
    scopes = ["day", *sorted({*sums, *raised, *(f"role:{role}" for role in policy.roles)} - {"day"}, key=_order)]
    found: list[BudgetLine] = []
    for scope in scopes:
        total, more = sums.get(scope, Sum()), raised.get(scope)
        limit = limit_of(scope, policy, overrides.get(scope))
        if limit is not None and more is not None:
            limit = max(limit, more.limit_usd)
        spent, reserved = total.spent / 1_000_000, total.reserved / 1_000_000
        full = known.exceeded.get(scope)
        found.append(
            BudgetLine(
                scope=scope,
                limit_usd=limit,
                spent_usd=spent,
                reserved_usd=reserved,
                left_usd=None if limit is None else max(round(limit - spent - reserved, 6), 0.0),
                raised_until=None if more is None else more.until,
                raised_by=None if more is None else more.by,
                full_since=full.event.time if full is not None and counts_today(scope, full, now) else None,
            )
        )
    return Budgets(run_usd=policy.budget.run_usd, breaker_usd=policy.budget.breaker_usd, budgets=found)


def limit_of(scope: str, policy: Policy, overrides: Overrides | None) -> float | None:
    """The policy's limit of a budget; None: as much as it takes."""
    kind, _, name = scope.partition(":")
    match kind:
        case "day":
            return policy.budget.day_usd
        case "role":
            return policy.of_role(name).day_usd
        case "repository":
            own = overrides.day_usd if overrides is not None else None
            return policy.budget.repository_day_usd if own is None else own
        case _:
            return policy.budget.issue_usd


def in_force(known: Fleet, now: datetime) -> dict[str, BudgetRaised]:
    words = [said.event.data for said in known.raised.values()]
    return {data.scope: data for data in words if isinstance(data, BudgetRaised) and data.until > now}


def _order(scope: str) -> tuple[int, str]:
    return ("day", "role", "repository", "issue").index(scope.partition(":")[0]), scope


def lines(found: Budgets) -> Iterator[str]:
    """`rig budget`."""
    rows = [("BUDGET", "LIMIT", "SPENT", "SET ASIDE", "LEFT", "")]
    rows += [
        (
            line.scope,
            _usd(line.limit_usd),
            _usd(line.spent_usd),
            _usd(line.reserved_usd),
            _usd(line.left_usd),
            "; ".join(_notes(line)),
        )
        for line in found.budgets
    ]
    yield from show.table(rows)
    yield f"${found.run_usd:.2f} are set aside for each run; days are of UTC, and an issue's budget is for all its time"


def _notes(line: BudgetLine) -> Iterator[str]:
    if line.raised_until is not None:
        yield f"raised by {one_line(line.raised_by or '', 60)} until {show.clock(line.raised_until)}"
    if line.full_since is not None:
        yield f"no room for another run since {show.clock(line.full_since)}"


def _usd(amount: float | None) -> str:
    return "no limit" if amount is None else f"{amount:.2f}"


# ── raising ──────────────────────────────────────────────────────────────────


def duration(typed: str) -> timedelta:
    """`30m`, `4h`, `2d`. Raises BadInput."""
    found = _FOR.fullmatch(typed)
    lasts = timedelta(seconds=int(found[1]) * _UNITS[found[2]]) if found else timedelta()
    if not timedelta() < lasts <= LONGEST:
        raise BadInput(f"--for: {typed[:40]!r} is not how long, like 30m, 4h or 2d, and at most a year")
    return lasts


def budget_scope(typed: str) -> str | None:
    """What is meant, as events say it; None: a repository, or an issue, by its short name.

    Raises BadInput or BadReference.
    """
    for scope in (typed, f"repository:{typed}", f"issue:{typed}"):
        if is_scope(scope):
            return scope
    if ":" in typed:
        raise BadInput(
            f"{typed[:60]!r} is no budget: write day, role:dev-e, a repository (acme/web) or an issue (acme/web#42)"
        )
    if "#" in typed:
        names.check_issue(typed)
    else:
        names.check_repository(typed)
    return None


def is_same(said: Recorded, data: BudgetRaised) -> bool:
    """Whether that was said already, a moment ago."""
    before = said.event.data
    if not isinstance(before, BudgetRaised) or abs(before.until - data.until) > SAME:
        return False
    return (before.limit_usd, before.by, before.note) == (data.limit_usd, data.by, data.note)
