"""Events about what the rig remembers."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from schemas.event import MemoryEvent
from schemas.fields import Instant, Line, Text
from schemas.refs import IssueRef


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
    importance: Annotated[int, Meta(ge=1, le=5)] = 3
    expires_at: Instant | None = None
    about: IssueRef | None = None


class MemoryRead(MemoryEvent, frozen=True, kw_only=True):
    """Somebody looked for something, and this was found."""

    query: Text
    found: tuple[Line, ...] = ()


class MemoryUsed(MemoryEvent, frozen=True, kw_only=True):
    """What was remembered was of use."""

    memory: Line


class MemoryForgotten(MemoryEvent, frozen=True, kw_only=True):
    """It is not to be found any more."""

    memory: Line
    by: Line


class MemoriesCompacted(MemoryEvent, frozen=True, kw_only=True):
    """Several memories became one."""

    into: Line
    replaced: tuple[Line, ...]


class MemoryEmbedded(MemoryEvent, frozen=True, kw_only=True):
    """Where the memory lies in a model's space."""

    memory: Line
    model: Line
    dimensions: Annotated[int, Meta(ge=1, le=8_192)]
    vector: Annotated[tuple[float, ...], Meta(max_length=8_192)]
