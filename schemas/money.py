"""Events about money: reserved before a run begins, settled after it, released when it never began."""

import re
from functools import lru_cache
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from schemas.event import FleetEvent, IssueEvent
from schemas.fields import Epoch, Instant, Line, Run, Text, Usd
from schemas.refs import NAME, IssueRef, RepoRef

_REPOSITORY: Final = rf"{NAME.pattern}/{NAME.pattern}"
_SCOPE: Final = rf"day|role:{NAME.pattern}|repository:{_REPOSITORY}|issue:{_REPOSITORY}#[1-9][0-9]{{0,8}}"
Scope: TypeAlias = Annotated[
    str,
    Meta(
        pattern=rf"\A(?:{_SCOPE})\Z",
        max_length=320,
        description="a budget: day, role:NAME, repository:OWNER/REPO or issue:OWNER/REPO#NUMBER",
    ),
]
"""What a limit is about. All but an issue's are limits of one day (UTC)."""
DAY: Final = "day"


def scopes(issue: IssueRef, role: str) -> tuple[Scope, ...]:
    """Every budget that work on the issue counts against."""
    return f"issue:{issue}", *day_scopes(issue.repository, role)


@lru_cache(maxsize=4_096)
def day_scopes(repository: RepoRef, role: str) -> tuple[Scope, ...]:
    """The budgets of a day among them."""
    return f"repository:{repository}", f"role:{role}", DAY


def is_scope(text: str) -> bool:
    """Whether the text names a budget."""
    return re.fullmatch(_SCOPE, text) is not None


class BudgetReserved(IssueEvent, frozen=True, kw_only=True):
    """Set aside for a run, in every budget that the issue counts against."""

    epoch: Epoch
    run: Run | None = None
    """None: the first run of the epoch, whoever claims it. A run that takes over reserves for itself."""
    amount_usd: Usd


class BudgetSettled(IssueEvent, frozen=True, kw_only=True):
    """A run is over: what it spent takes the place of what was reserved for it."""

    epoch: Epoch
    run: Run
    amount_usd: Usd


class BudgetReleased(IssueEvent, frozen=True, kw_only=True):
    """The run never began: nothing was spent."""

    epoch: Epoch
    amount_usd: Usd


class BudgetExceeded(FleetEvent, frozen=True, kw_only=True):
    """A budget has no room for another run."""

    scope: Scope
    limit_usd: Usd
    spent_usd: Usd
    """With what is reserved."""


class BudgetRaised(FleetEvent, frozen=True, kw_only=True):
    """A person allows more, for a time; then the policy's limit holds again."""

    scope: Scope
    limit_usd: Usd
    until: Instant
    by: Line
    note: Text = ""


__all__ = [
    "DAY",
    "BudgetExceeded",
    "BudgetRaised",
    "BudgetReleased",
    "BudgetReserved",
    "BudgetSettled",
    "Scope",
    "day_scopes",
    "is_scope",
    "scopes",
]
