"""What a table of the read side is: rows under keys, and how one event changes one of them. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from msgspec import Struct

from conductor.state import State
from schemas import Event, Recorded

R = TypeVar("R", bound=Struct)


class Model(Struct, Generic[R], frozen=True):
    """One table: rig.<table> (key text primary key, row jsonb not null, and columns generated from it to search by)."""

    table: str
    row: type[R]
    keys: Callable[[Recorded], Iterable[str]]
    """Of the rows that an event changes."""
    fold: Callable[[str, R | None, Recorded], R | None]
    """(key, the row before, the event) → the row after; None: there is none. It may change the row in place."""
    events: tuple[type[Event], ...] = (Event,)
    """Those that change rows, by class or base: of any other there are no keys, and nobody asks."""
    finish: Callable[[str, R], R] | None = None
    """What the row takes from the conductor's fold, at the end of a batch."""
    together: Callable[[Recorded, Mapping[str, R | None]], Mapping[str, R | None] | None] | None = None
    """Of an event that moves something from one row to another: (the event, its rows) → its rows after it; None for one
    that does not, and `fold` takes each."""
    part_of: str | None = None
    """A table that comes before it: a row goes when the one under the same key there has gone, or never was."""
    version: int = 1
    """Raise it with the next release in which rows come out otherwise: the projector makes the table anew then."""


class Overview(Struct, Generic[R], frozen=True):
    """One table that follows from the conductor's fold as a whole, and is small."""

    table: str
    row: type[R]
    rows: Callable[[State], dict[str, R]]
    """All of them."""
    version: int = 1
    """As a model's."""
