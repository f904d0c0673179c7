"""Spending for people: what was typed of it, and the answer in words. Pure."""

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Final

from bridges.terminal import show
from bridges.terminal.errors import BadInput
from schemas import Spend, SpendBy, Spent, one_line

_AGO: Final = re.compile(r"(\d{1,6})d")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


# ── typed ────────────────────────────────────────────────────────────────────


def thing(typed: str) -> SpendBy:
    """By what. Raises BadInput."""
    try:
        return SpendBy(typed.lower())
    except ValueError:
        raise BadInput(f"--by: {one_line(typed, 40)!r} is none of {', '.join(SpendBy)}") from None


def days(since: str | None, until: str | None, now: datetime) -> tuple[date | None, date | None]:
    """From which day to which. Raises BadInput."""
    first, last = _day("--since", since, now), _day("--until", until, now)
    if first is not None and last is not None and last < first:
        raise BadInput(f"--until: {last} is before {first}, where --since begins")
    return first, last


def _day(option: str, typed: str | None, now: datetime) -> date | None:
    """`2026-01-31`, or `7d`: the day that it was then."""
    if typed is None:
        return None
    try:
        if ago := _AGO.fullmatch(typed):
            return (now - timedelta(days=int(ago[1]))).date()
        if _DAY.fullmatch(typed):
            return date.fromisoformat(typed)
    except (ValueError, OverflowError):
        pass
    raise BadInput(f"{option}: {one_line(typed, 40)!r} is no day (2026-01-31) and no number of days ago (7d)")


# ── in words ─────────────────────────────────────────────────────────────────


def lines(found: Spend, by: SpendBy) -> Iterator[str]:
    """`rig spend`."""
    if found.total == Spent():
        yield "nothing was spent"
    else:
        rows = [(by.upper(), "INPUT", "OUTPUT", "CACHED", "USD")]
        nameless = "of no issue" if by in (SpendBy.ISSUE, SpendBy.REPOSITORY) else "not said"
        rows += [(one_line(line.name, 80) or nameless, *_cells(line)) for line in found.lines]
        yield from show.table([*rows, ("in all", *_cells(found.total))])
        if found.next is not None:
            yield f"… and more: --after {found.next}"
    if found.total.unpriced:
        yield f"not counted: {_many(found.total.unpriced, 'report')} of what nobody knows the price of"
    merged = found.merged
    if merged.per_change_usd is None:
        yield "no change was merged"
    else:
        reverted = f", {merged.reverted} of them reverted since" if merged.reverted else ""
        yield (
            f"{_many(merged.changes, 'change')} merged{reverted}: {merged.per_change_usd:.2f} for each,"
            f" with all that was ever spent on the issues ({merged.cost_usd:.2f})"
        )
    yield f"{found.unmerged_usd:.2f} went into issues of which nothing is merged"


def _cells(sums: Spent) -> tuple[str, ...]:
    cached = sums.cache_read + sums.cache_write
    return f"{sums.input}", f"{sums.output}", f"{cached}", f"{sums.cost_usd:.2f}"


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
