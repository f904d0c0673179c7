"""What could not be handled."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from schemas.queries.paging import PAGE_MAX, Position


class LetterState(StrEnum):
    """What became of a letter."""

    OPEN = "open"
    RETRIED = "retried"
    DROPPED = "dropped"
    REPLACED = "replaced"
    """The same message was buried again: there is a newer letter about it."""


class DeadLettersRequest(Struct, frozen=True, kw_only=True):
    """What could not be handled, the oldest first, a page at a time."""

    state: LetterState | None = None
    about: Annotated[int, Meta(ge=1)] | None = None
    """Of the message at this position of its stream."""
    after: Position = 0
    """`next` of the page before."""
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 50
    wait_for: Position | None = None


class DeadLetterLine(Struct, frozen=True, kw_only=True):
    """One dead letter, without what it holds of its message."""

    id: int
    """Its position in RIG_DEAD."""
    state: LetterState
    stream: str
    consumer: str
    position: int
    """Of the message in its stream."""
    subject: str
    reason: str
    attempts: int
    time: datetime
    size: int
    """Bytes of the message's body."""
    cause: str | None
    """The retry that failed again, like RIG_DEAD:17."""
    by: str | None = None
    """Who decided about it."""
    because: str | None = None
    decided: datetime | None = None


class DeadLetterPage(Struct, frozen=True, kw_only=True):
    """One page."""

    position: int
    dead_position: int
    """How far RIG_DEAD was read."""
    letters: tuple[DeadLetterLine, ...]
    next: int | None
    """Ask again with `after` set to this; None: that was all."""
