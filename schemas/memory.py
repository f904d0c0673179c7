"""Events about what the rig remembers."""

from enum import StrEnum
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from schemas.event import MemoryEvent
from schemas.fields import Instant, Line, Text
from schemas.refs import IssueRef

Position: TypeAlias = Annotated[int, Meta(ge=1, description="a position of the log, from 1")]
Importance: TypeAlias = Annotated[int, Meta(ge=1, le=5)]


class MemoryKind(StrEnum):
    """What sort of thing is remembered."""

    LEARNING = "learning"
    DECISION = "decision"
    ERROR = "error"
    PATTERN = "pattern"
    STANDARD = "standard"
    GOTCHA = "gotcha"
    FACT = "fact"


class MemoryWritten(MemoryEvent, frozen=True, kw_only=True):
    """Something to remember; written again under the same name, it replaces what stood there."""

    memory: Line
    """Its name, unique in its scope."""
    kind: MemoryKind
    title: Line
    text: Text
    tags: tuple[Line, ...] = ()
    importance: Importance = 3
    expires_at: Instant | None = None
    about: IssueRef | None = None


class MemoryRead(MemoryEvent, frozen=True, kw_only=True):
    """Somebody looked for something, and this was found."""

    query: Text
    found: tuple[Line, ...] = ()


class MemoryUsed(MemoryEvent, frozen=True, kw_only=True):
    """What was remembered was of use."""

    memory: Line


class AsItStood(Struct, frozen=True, kw_only=True):
    """All of a memory that says whether it is to be forgotten, as it was when that was decided."""

    position: Position
    """Of its writing."""
    uses: Annotated[int, Meta(ge=0)]
    fresh: Instant
    """Of its last use, or else its writing."""
    importance: Importance
    expires_at: Instant | None


class MemoryForgotten(MemoryEvent, frozen=True, kw_only=True):
    """It is not to be found any more."""

    memory: Line
    by: Line
    as_it_stood: AsItStood | None = None
    """Only if it still stands so: one that was used or written anew meanwhile is kept. None: however it stands."""


class MemoriesCompacted(MemoryEvent, frozen=True, kw_only=True):
    """Several memories became one, which has what each had: uses, tags, the highest importance, the latest expiry."""

    into: Line
    replaced: tuple[Line, ...]
    written: dict[Line, Position] | None = None
    """By its name, where each was written, if they became one for what they said there: one that was written anew
    meanwhile is no part of it. None: whatever they say."""


class MemoryEmbedded(MemoryEvent, frozen=True, kw_only=True):
    """Where the memory lies in a model's space."""

    memory: Line
    model: Line
    dimensions: Annotated[int, Meta(ge=1, le=8_192)]
    vector: Annotated[tuple[float, ...], Meta(max_length=8_192)]
