"""What runs have cost, and calls of models outside them."""

from datetime import date
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from schemas.queries.paging import PAGE_MAX, Position
from schemas.refs import RepoRef


class SpendBy(StrEnum):
    """By what spending is told apart."""

    AGENT = "agent"
    """By the replica that spent it."""
    ROLE = "role"
    REPOSITORY = "repository"
    ISSUE = "issue"
    DAY = "day"
    """Of UTC."""
    MODEL = "model"
    PURPOSE = "purpose"
    """What runs used is for work; of a call outside them it is said what it was for."""


class SpendRequest(Struct, frozen=True, kw_only=True):
    """What was spent, by one thing, a page at a time: the dearest first, days the newest first."""

    by: SpendBy = SpendBy.AGENT
    since: date | None = None
    """From this day on (UTC)."""
    until: date | None = None
    """Up to this day, and with it."""
    repository: RepoRef | None = None
    after: Position = 0
    """`next` of the page before: how many came before."""
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 50
    wait_for: Position | None = None


class Spent(Struct, frozen=True, kw_only=True):
    """What runs and callers have said that they used. Sums are of whole millionths of a dollar: they do not drift."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
    """Reports whose price nobody knows: they are not in the cost."""


class SpendLine(Spent, frozen=True, kw_only=True):
    """Of one agent, role, repository, issue, day, model or purpose."""

    name: str
    """Empty: of no issue or repository; or it was not said, which model."""


class SpendOnMerged(Struct, frozen=True, kw_only=True):
    """The changes that were merged on the days that were asked for."""

    changes: int
    reverted: int
    """So many of them were taken out again since."""
    cost_usd: float
    """All that was ever spent on their issues, on whichever day."""
    per_change_usd: float | None
    """None: nothing was merged."""


class Spend(Struct, frozen=True, kw_only=True):
    """One page; what is not a line is of all days and repositories that were asked for, whatever the page."""

    position: int
    lines: tuple[SpendLine, ...]
    next: int | None
    """Ask again with `after` set to this; None: that was all."""
    total: Spent
    merged: SpendOnMerged
    unmerged_usd: float
    """How much of the total went into issues of which nothing was ever merged."""
