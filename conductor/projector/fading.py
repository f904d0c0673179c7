"""How memories fade: what nobody uses counts for less with time, and is forgotten in the end. Pure.

A memory is as fresh as its last use, or its writing where nobody has used it; being found is no use, else what is found
would be found ever more. Half-lives are of the kind of memory: how long what it says tends to stay true.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from conductor.projector.memory import MemoryRow
from schemas import Draft, MemoryForgotten, MemoryKind, MemoryRef

HALF_LIFE_DAYS: Final[dict[MemoryKind, float]] = {
    MemoryKind.DECISION: 350,
    MemoryKind.LEARNING: 140,
    MemoryKind.ERROR: 70,  # errors are of the code as it was
    MemoryKind.GOTCHA: 140,  # a learning that hurt: it goes with the tool or the code that it is about
    MemoryKind.PATTERN: 350,  # how things are done here; it changes as decisions do
    MemoryKind.STANDARD: 700,  # holds until somebody replaces it; a year without a mention says little
    MemoryKind.FACT: 350,  # of people and projects: true for years, but nobody says when it ceases to be
}
FADED: Final = 1 / 16
"""Of its first freshness: four half-lives without a use, and it is forgotten."""
KEPT: Final = 5
"""From this importance on nothing is forgotten for its age."""


def freshness(kind: MemoryKind, since: datetime, now: datetime) -> float:
    """1 at its last use or writing, half of that after each half-life. A clock that is ahead makes nothing fresher."""
    days = max(0.0, (now - since) / timedelta(days=1))
    return 0.5 ** (days / HALF_LIFE_DAYS[kind])


def weight(kind: MemoryKind, importance: int, since: datetime, now: datetime) -> float:
    """What a memory's match is multiplied with: its freshness; 0.8 of it for importance 1, and 1.2 for 5."""
    return freshness(kind, since, now) * (0.7 + 0.1 * importance)


def due_for_forgetting(rows: Iterable[MemoryRow], now: datetime) -> list[Draft]:
    """What retention has to say now: expired memories, and those that have faded, are forgotten. By scope and name.

    Two who say it of a memory that stands as it stood say the same, whenever they do; and it is void once the memory
    was used or written anew.
    """
    due = [(row, why) for row in rows if (why := _why(row, now)) is not None]
    due.sort(key=lambda one: (one[0].scope, one[0].memory))
    return [
        Draft(
            about=MemoryRef(row.scope),
            data=MemoryForgotten(memory=row.memory, by=f"retention: {why}", as_it_stood=row.stands),
        )
        for row, why in due
    ]


def is_due(row: MemoryRow, now: datetime) -> bool:
    """Whether a memory is to be forgotten now."""
    return _why(row, now) is not None


def _why(row: MemoryRow, now: datetime) -> str | None:
    if row.expires_at is not None and row.expires_at <= now:
        return "expired"
    if row.importance < KEPT and freshness(row.kind, row.fresh, now) < FADED:
        return f"not used since {row.fresh.astimezone(UTC):%Y-%m-%d}"
    return None
