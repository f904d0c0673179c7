"""What was spent and what came of it: the query service's answer about money. Sums are of millionths of a dollar."""

from datetime import date
from fractions import Fraction

from msgspec import Struct, structs

from conductor.postgres import Session
from conductor.state import Micros
from schemas import Spend, SpendLine, SpendOnMerged, SpendRequest, Spent


class _Sum(Struct):
    input: int
    output: int
    cache_read: int
    cache_write: int
    cost: Micros
    unpriced: int


class _Line(_Sum):
    name: str


class _Total(_Sum):
    unmerged: Micros


class _Merged(Struct):
    changes: int
    reverted: int
    cost: Micros


async def spend(session: Session, position: int, request: SpendRequest) -> Spend:
    """One page. Raises PostgresAway."""
    place = None if request.repository is None else str(request.repository)
    where = _day(request.since), _day(request.until), place
    found = await session.rows("spend_by", _Line, request.by.value, *where, request.after, request.limit + 1)
    total = await session.rows("spend_in_all", _Total, *where)
    merged = await session.rows("merged_changes", _Merged, *where)
    return Spend(
        position=position,
        lines=tuple(_line(line) for line in found[: request.limit]),
        next=request.after + request.limit if len(found) > request.limit else None,
        total=_spent(total[0]),
        merged=_merged(merged[0]),
        unmerged_usd=_usd(total[0].unmerged),
    )


def _spent(found: _Sum) -> Spent:
    return Spent(
        input=found.input,
        output=found.output,
        cache_read=found.cache_read,
        cache_write=found.cache_write,
        cost_usd=_usd(found.cost),
        unpriced=found.unpriced,
    )


def _line(found: _Line) -> SpendLine:
    return SpendLine(name=found.name, **structs.asdict(_spent(found)))


def _merged(found: _Merged) -> SpendOnMerged:
    return SpendOnMerged(
        changes=found.changes,
        reverted=found.reverted,
        cost_usd=_usd(found.cost),
        per_change_usd=_usd(round(Fraction(found.cost, found.changes))) if found.changes else None,
    )


def _usd(amount: Micros) -> float:
    """Only written as a fraction: nothing is added up any more."""
    return amount / 1_000_000


def _day(day: date | None) -> str | None:
    """As the tables hold it."""
    return None if day is None else day.isoformat()
