"""What the rig remembers, listed and searched: the query service's answers about memory.

A search is hybrid: 0.35 of how well a memory's words match and 0.65 of how near its vector is to the asker's, where
both have one; its words alone otherwise. That, times how fresh and how important it is, is its score.

Where the filters leave few memories, all of them are matched. Where they leave many, candidates are the best by words
and the nearest by vector, which an index finds, read on until enough pass; these are matched exactly then.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bus import Refused
from conductor.answers import fitting
from conductor.postgres import Session
from conductor.projector.fading import weight
from conductor.projector.memory import MemoryRow, space, unit_vector
from conductor.projector.store import clean
from conductor.vectors import VectorIndexes
from schemas import (
    REPLACES_MAX,
    FoundMemories,
    FoundMemory,
    Memories,
    MemoriesRequest,
    MemoryKind,
    MemoryLine,
    MemorySearchRequest,
)

OF_TEXT: Final = 0.35
OF_VECTOR: Final = 0.65
FEW: Final = 1_000
"""So many are all matched: no index finds what that does, or much faster."""
RANKED_MAX: Final = 1_000
"""Of more memories that share words with a query not all are ranked."""
CANDIDATES: Final = 60
"""Of many: by words, and as many by vector."""
QUERY_MAX: Final = 4_000
"""Characters of a query that are read."""


class Match(Struct):
    """How well one memory matches."""

    key: str
    kind: MemoryKind
    importance: int
    fresh: datetime
    rank: float
    """Of its words, by the server's measure; 0: none is in it."""
    similarity: float | None
    """The cosine of its vector and the asker's."""


class Scored(Struct, frozen=True):
    """The same, as the answer has it."""

    key: str
    score: float
    text: float
    similarity: float | None


class _Key(Struct):
    key: str


class _Row(Struct):
    key: str
    row: str


class _Count(Struct):
    count: int


class _Words(Struct):
    every: str
    rare: str
    together: str


def check(request: MemorySearchRequest) -> None:
    """Raises Refused for a search that asks for nothing, or with half of what a vector needs."""
    if (request.vector is None) != (request.model is None):
        raise Refused("a vector and the model that made it belong together: give both or neither")
    if request.vector is None and not request.query.strip():
        raise Refused("what is looked for? give a query, or a vector and its model")
    if request.vector is not None and unit_vector(request.vector) is None:
        raise Refused("the vector has no direction: all of it is nought, or it is too long")


async def memories(session: Session, position: int, request: MemoriesRequest, now: datetime) -> Memories:
    """One page, those written last first."""
    found = await session.rows("list_memories", _Row, *_filters(request, now), request.after or None, request.limit + 1)
    lines = [_line(row) for row in found]
    page = fitting(lines[: request.limit])
    more = len(lines) > len(page)
    return Memories(position=position, memories=tuple(page), next=page[-1].position if more else None)


async def search(
    session: Session, position: int, request: MemorySearchRequest, now: datetime, indexes: VectorIndexes
) -> FoundMemories:
    """One page, the best match first. Within a transaction, for which it makes settings."""
    await session.run("search_settings")
    filters = _filters(request, now)
    counted = await session.row("count_findable", _Count, *filters, FEW + 1)
    few = counted is not None and counted.count <= FEW
    words = await _words(session, request.query)
    dimensions = len(request.vector or ())
    vector = None if request.vector is None else unit_vector(request.vector)
    place = None if request.model is None else space(request.model, dimensions)
    asked = (words.rare, words.every, place, vector)
    if few:
        matches = await session.rows("compared_memories", Match, *filters, *asked)
        return await _page(session, position, request, scored(matches, now))
    keys: dict[str, None] = {}
    for wanted in dict.fromkeys((words.rare, words.together, words.every)):
        # Rare words are in few memories, or nobody knew that they are frequent; so what has every word is asked for
        # beside them, and what has any where that is all little.
        if wanted and (wanted != words.every or len(keys) < CANDIDATES):
            asked_for = (wanted, words.every, RANKED_MAX, CANDIDATES)
            keys |= _keys(await session.rows("memories_by_text", _Key, *filters, *asked_for))
    if vector is not None and request.model is not None:
        await indexes.want(session, request.model, dimensions)
        keys |= _keys(await session.rows("memories_nearest", _Key, *filters, place, dimensions, vector, CANDIDATES))
    matches = await session.rows("memory_matches", Match, list(keys), *asked)
    return await _page(session, position, request, scored(matches, now))


def scored(matches: Sequence[Match], now: datetime) -> list[Scored]:
    """The best first. Words count against the best match of words that was found; a vector that points away, nought.

    What has neither is no match.
    """
    best = max((match.rank for match in matches), default=0.0) or 1.0
    found: list[Scored] = []
    for match in matches:
        text = match.rank / best
        similarity = None if match.similarity is None else min(max(match.similarity, 0.0), 1.0)
        both = text if similarity is None else OF_TEXT * text + OF_VECTOR * similarity
        score = both * weight(match.kind, match.importance, match.fresh, now)
        if score > 0:
            found.append(Scored(match.key, score, text, similarity))
    return sorted(found, key=lambda one: (-one.score, one.key))


async def _page(
    session: Session, position: int, request: MemorySearchRequest, found: Sequence[Scored]
) -> FoundMemories:
    wanted = found[request.after : request.after + request.limit]
    rows = await session.rows("memory_rows", _Row, [one.key for one in wanted])
    lines = {row.key: _line(row) for row in rows}
    page = [
        FoundMemory(memory=lines[one.key], score=one.score, text=one.text, similarity=one.similarity) for one in wanted
    ]
    page = fitting(page)
    reached = request.after + len(page)
    return FoundMemories(position=position, found=tuple(page), next=reached if reached < len(found) else None)


async def _words(session: Session, query: str) -> _Words:
    """Of the query, as the server reads words."""
    text = clean(query[:QUERY_MAX])
    found = await session.row("query_words", _Words, text, RANKED_MAX) if text.strip() else None
    return found or _Words("", "", "")


def _filters(request: MemoriesRequest, now: datetime) -> tuple[object, ...]:
    """What the statements take first."""
    return (
        [clean(scope) for scope in request.scopes] or None,
        [kind.value for kind in request.kinds] or None,
        list(request.tags) or None,
        request.importance if request.importance > 1 else None,
        now,
    )


def _keys(found: Sequence[_Key]) -> dict[str, None]:
    return dict.fromkeys(row.key for row in found)


def _line(found: _Row) -> MemoryLine:
    row = msgspec.json.decode(found.row, type=MemoryRow)
    row = replace(row, replaces=row.replaces[-REPLACES_MAX:])
    return MemoryLine(**{name: getattr(row, name) for name in MemoryLine.__struct_fields__})
