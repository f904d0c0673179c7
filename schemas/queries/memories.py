"""What is remembered: listed, and searched."""

from datetime import datetime
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from schemas.fields import Line, Text
from schemas.memory import MemoryKind
from schemas.queries.paging import Position
from schemas.refs import IssueRef

MEMORIES_MAX = 50
"""Memories in one answer; fewer where their texts are long."""
REPLACES_MAX = 100
"""Names of others that an answer tells of one memory."""

Scope: TypeAlias = Annotated[str, Meta(min_length=1, max_length=100)]


class MemoriesRequest(Struct, frozen=True, kw_only=True):
    """Memories, those written last first, a page at a time; expired and forgotten ones are not among them."""

    scopes: tuple[Scope, ...] = ()
    """In any of these; none: in all."""
    kinds: tuple[MemoryKind, ...] = ()
    """Of any of these; none: of all."""
    tags: tuple[Line, ...] = ()
    """With every one of these."""
    importance: Annotated[int, Meta(ge=1, le=5)] = 1
    """At least."""
    after: Position = 0
    """`next` of the page before."""
    limit: Annotated[int, Meta(ge=1, le=MEMORIES_MAX)] = 20
    wait_for: Position | None = None


class MemorySearchRequest(MemoriesRequest, frozen=True, kw_only=True):
    """Memories that match, the best first: by their words, and by their meaning where the asker knows a vector."""

    query: Text = ""
    model: Line | None = None
    """Which made the vector; only what the same model made is compared with it."""
    vector: Annotated[tuple[float, ...], Meta(min_length=1, max_length=8_192)] | None = None
    after: Position = 0
    """`next` of the page before: how many came before."""


class MemoryLine(Struct, frozen=True, kw_only=True):
    """One memory, with who wrote it and where."""

    scope: str
    memory: str
    """Its name in its scope."""
    kind: MemoryKind
    title: str
    text: str
    tags: tuple[str, ...]
    importance: int
    expires_at: datetime | None
    about: IssueRef | None
    position: int
    """Where the log says it."""
    written: datetime
    actor: str
    source: str
    hits: int
    """How often a search said that it found it."""
    uses: int
    last_used: datetime | None
    replaces: tuple[str, ...]
    """Memories that became this one: the last of them, where there are more than REPLACES_MAX."""


class Memories(Struct, frozen=True, kw_only=True):
    """One page."""

    position: int
    memories: tuple[MemoryLine, ...]
    next: int | None
    """Ask again with `after` set to this; None: that was all."""


class FoundMemory(Struct, frozen=True, kw_only=True):
    """One memory and how well it matches."""

    memory: MemoryLine
    score: float
    """By which they are in order: words and meaning, times freshness and importance."""
    text: float
    """How well its words match, against the best match found: 0 to 1."""
    similarity: float | None
    """Of its vector and the asker's, 0 to 1; None: there is none to compare."""


class FoundMemories(Struct, frozen=True, kw_only=True):
    """One page."""

    position: int
    found: tuple[FoundMemory, ...]
    next: int | None
