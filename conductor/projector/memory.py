"""The read models of what the rig remembers: memories, and where each lies in a model's space. Pure.

A scope is the subject's (`rig`, `repo:acme/web`, `session:…`, `user:ann`), a name is unique in it. What is forgotten,
or became part of another memory, is no row any more; who wrote a memory and where in the log stays with it.

One vector a memory: the newest embedding of its newest text. Written anew, a memory has none until it is embedded anew.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from math import hypot, isfinite

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from conductor.projector.model import Model
from schemas import (
    AsItStood,
    IssueRef,
    MemoriesCompacted,
    MemoryEmbedded,
    MemoryForgotten,
    MemoryKind,
    MemoryRead,
    MemoryRef,
    MemoryUsed,
    MemoryWritten,
    Recorded,
)


class MemoryRow(Struct, frozen=True, kw_only=True):
    """One memory."""

    scope: str
    memory: str
    """Its name."""
    kind: MemoryKind
    title: str
    text: str
    tags: tuple[str, ...]
    importance: int
    expires_at: datetime | None
    about: IssueRef | None
    position: int
    """Of its writing: the order of lists."""
    written: datetime
    """By the writer's clock; where others became part of it, the latest writing of them all."""
    actor: str
    source: str
    """Who wrote it, more exactly than the actor."""
    hits: int = 0
    """How often a search said that it found it."""
    uses: int = 0
    """How often it was of use."""
    last_used: datetime | None = None
    replaces: tuple[str, ...] = ()
    """Names of the memories that became this one."""

    @property
    def fresh(self) -> datetime:
        """When it was last of use, or else written."""
        return self.written if self.last_used is None else max(self.written, self.last_used)

    @property
    def stands(self) -> AsItStood:
        """What says whether it is to be forgotten: as long as this is the same, so is the answer."""
        return AsItStood(
            position=self.position,
            uses=self.uses,
            fresh=self.fresh,
            importance=self.importance,
            expires_at=self.expires_at,
        )


class EmbeddingRow(Struct, frozen=True, kw_only=True):
    """Where one memory lies. Only the direction counts: the vector is of length 1."""

    scope: str
    memory: str
    model: str
    dimensions: int
    vector: str
    """As pgvector reads it, `[0.1000000,…]`, to the digits that 32 bits hold."""
    position: int


def memory_key(scope: str, memory: str) -> str:
    """The row's key; different for different pairs, whatever they hold."""
    return msgspec.json.encode((scope, memory)).decode()


def unit_vector(values: Iterable[float]) -> str | None:
    """The vector's direction, as pgvector reads it; None for one that has none."""
    vector = tuple(values)
    length = hypot(*vector)
    if not length or not isfinite(length):
        return None
    return f"[{','.join([f'{value / length:.7f}' for value in vector])}]"


def space(model: str, dimensions: int) -> str:
    """Vectors are compared within one space alone. The tables' column of that name says the same."""
    return f"{model}/{dimensions}"


def _memories_said(said: Recorded) -> Iterable[str]:
    match said.event.data:
        case MemoryWritten(memory=name) | MemoryUsed(memory=name) | MemoryForgotten(memory=name):
            names = (name,)
        case MemoryRead(found=found):
            names = found
        case MemoriesCompacted(into=into, replaced=replaced):
            names = (into, *replaced)
        case _:
            return ()
    return _keys(said, names)


def fold_memory(key: str, row: MemoryRow | None, said: Recorded) -> MemoryRow | None:
    event, time = said.event.data, said.event.time
    if isinstance(event, MemoryWritten):
        return _written(row, event, said)
    if row is None:
        return None
    match event:
        case MemoryRead():
            return replace(row, hits=row.hits + 1)
        case MemoryUsed():
            last = time if row.last_used is None else max(row.last_used, time)
            return replace(row, uses=row.uses + 1, last_used=last)
        case MemoryForgotten(as_it_stood=before):
            return None if before is None or before == row.stands else row
        case _:
            return row


def fold_memories(said: Recorded, rows: Mapping[str, MemoryRow | None]) -> Mapping[str, MemoryRow | None] | None:
    """What memories that become one hand over to it; None for other events, which are of each alone."""
    event, about = said.event.data, said.event.about
    if not isinstance(event, MemoriesCompacted) or not isinstance(about, MemoryRef):
        return None

    def takes_part(name: str) -> bool:
        row = rows[memory_key(about.scope, name)]
        return event.written is None or (row is not None and row.position == event.written.get(name))

    into = memory_key(about.scope, event.into)
    names = [name for name in dict.fromkeys(event.replaced) if name != event.into and takes_part(name)]
    remains = rows[into]
    if not names or remains is None or not takes_part(event.into):
        return rows  # what became part of nothing would be lost
    others = [row for name in names if (row := rows[memory_key(about.scope, name)]) is not None]
    gone = {memory_key(about.scope, name): None for name in names}
    return {**rows, **gone, into: _compacted(remains, others, names)}


def _compacted(row: MemoryRow, others: Iterable[MemoryRow], names: Iterable[str]) -> MemoryRow:
    """It and the others as one: nothing is lost that any of them had earned."""
    every = [row, *others]
    expires = [one.expires_at for one in every if one.expires_at is not None]
    return replace(
        row,
        tags=tuple(dict.fromkeys(tag for one in every for tag in one.tags)),
        importance=max(one.importance for one in every),
        expires_at=max(expires) if len(expires) == len(every) else None,
        written=max(one.written for one in every),
        hits=sum(one.hits for one in every),
        uses=sum(one.uses for one in every),
        last_used=max((one.last_used for one in every if one.last_used is not None), default=None),
        replaces=tuple(dict.fromkeys((*(name for one in every for name in one.replaces), *names))),
    )


def _written(row: MemoryRow | None, event: MemoryWritten, said: Recorded) -> MemoryRow | None:
    about = said.event.about
    if not isinstance(about, MemoryRef):
        return row
    now = MemoryRow(
        scope=about.scope,
        memory=event.memory,
        kind=event.kind,
        title=event.title,
        text=event.text,
        tags=tuple(dict.fromkeys(event.tags)),
        importance=event.importance,
        expires_at=event.expires_at,
        about=event.about,
        position=said.position,
        written=said.event.time,
        actor=said.event.actor,
        source=said.event.source,
    )
    if row is None:
        return now
    return replace(now, hits=row.hits, uses=row.uses, last_used=row.last_used, replaces=row.replaces)


def _embeddings_said(said: Recorded) -> Iterable[str]:
    match said.event.data:
        case MemoryEmbedded(memory=name) | MemoryWritten(memory=name) | MemoryForgotten(memory=name):
            return _keys(said, (name,))
        case MemoriesCompacted(into=into, replaced=replaced):
            return _keys(said, [name for name in replaced if name != into])
        case _:
            return ()


def fold_embedding(key: str, row: EmbeddingRow | None, said: Recorded) -> EmbeddingRow | None:
    """A vector of another length than it says, or without a direction, is none. It goes with its memory."""
    event, about = said.event.data, said.event.about
    if isinstance(event, MemoryWritten):
        return None  # another text
    if not isinstance(event, MemoryEmbedded):
        return row
    vector = unit_vector(event.vector)
    if vector is None or len(event.vector) != event.dimensions or not isinstance(about, MemoryRef):
        return row
    return EmbeddingRow(
        scope=about.scope,
        memory=event.memory,
        model=event.model,
        dimensions=event.dimensions,
        vector=vector,
        position=said.position,
    )


def _keys(said: Recorded, names: Iterable[str]) -> Iterable[str]:
    """Each once: a memory that is named twice in one event was found, or replaced, once."""
    about = said.event.about
    return [memory_key(about.scope, name) for name in dict.fromkeys(names)] if isinstance(about, MemoryRef) else ()


MEMORIES = Model(
    "memories",
    MemoryRow,
    _memories_said,
    fold_memory,
    (MemoryWritten, MemoryUsed, MemoryForgotten, MemoryRead, MemoriesCompacted),
    together=fold_memories,
)
EMBEDDINGS = Model(
    "embeddings",
    EmbeddingRow,
    _embeddings_said,
    fold_embedding,
    (MemoryEmbedded, MemoryWritten, MemoryForgotten, MemoriesCompacted),
    part_of="memories",
)
