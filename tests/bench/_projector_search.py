"""What a search in the rig's memory costs: 20 000 memories of 384 dimensions, with the index that searches want.

Each search is one transaction on one session, as the query service makes it; vectors and words are drawn anew for each.
The bars are for a filter that leaves a hundredth of all; the other figures say what a search of everything costs.
"""

import tempfile
import time
from pathlib import Path
from typing import Final

from conductor import recall
from conductor.postgres import Session, connect
from conductor.vectors import VectorIndexes, make_vector_index
from deploy.embedded.postgres import embedded_postgres
from schemas import FoundMemories, MemorySearchRequest
from tests.bench._report import Row
from tests.support.memories import MODEL, NOW, SCOPES, MadeUp, name_of, planted_word, put_all, scope_of
from tests.support.readside import database

COUNT: Final = 20_000
WARM_UP: Final = 20
SEARCHES: Final = 300
P99_MS: Final = 40.0
NEAREST: Final = 10
COMPARED: Final = 40
"""Searches that are made exactly too."""


async def measure(count: int = COUNT) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="rig-bench-") as directory:
        async with embedded_postgres(Path(directory) / "postgres") as server:
            session = await connect(server.url, name="bench")
            try:
                return await _measure(session, server.url, MadeUp(count))
            finally:
                await session.close()
                await server.kill()  # its data is thrown away


async def _measure(session: Session, url: str, made_up: MadeUp) -> list[Row]:
    began = time.monotonic()
    async with database(url) as db:
        await put_all(db, made_up)
    written = time.monotonic() - began
    building = await connect(url, name="bench index")
    began = time.monotonic()
    assert await make_vector_index(building, MODEL, made_up.dimensions)
    indexed = time.monotonic() - began
    await building.close()
    found = _Searches(session, made_up)
    return [
        Row("search_scope_recall", await found.recall(), "", bar=0.95, at_least=True),
        Row("search_planted_found", await found.planted(), "", bar=0.95, at_least=True),
        Row("search_scope_hybrid_p99_ms", await found.p99(vector=True, scope=True), "ms", bar=P99_MS),
        Row("search_scope_text_p99_ms", await found.p99(vector=False, scope=True), "ms", bar=P99_MS),
        Row("search_all_hybrid_p99_ms", await found.p99(vector=True, scope=False), "ms"),
        Row("search_all_text_p99_ms", await found.p99(vector=False, scope=False), "ms"),
        Row("search_memories", made_up.count, ""),
        Row("search_write_seconds", written, "s"),
        Row("search_index_seconds", indexed, "s"),
    ]


class _Searches:
    """Somebody who searches."""

    def __init__(self, session: Session, made_up: MadeUp) -> None:
        self._session = session
        self._made_up = made_up
        self._indexes = VectorIndexes()

    async def recall(self) -> float:
        """Of the nearest in a scope, by comparing all of it: the share that is found."""
        hits = wanted = 0
        for number in range(COMPARED):
            query = self._made_up.query()
            nearest = self._made_up.nearest(query, range(number, self._made_up.count, SCOPES), NEAREST)
            answer = await self._search(
                MemorySearchRequest(scopes=(scope_of(number),), model=MODEL, vector=tuple(query), limit=NEAREST)
            )
            hits += len({one.memory.memory for one in answer.found} & set(nearest))
            wanted += len(nearest)
        return hits / wanted

    async def planted(self) -> float:
        """Among all: the share of the planted ones that come first, by a word and by a vector near theirs."""
        first = 0
        for number in self._made_up.planted:
            near = tuple(self._made_up.near(self._made_up.vectors[number]))
            for request in (
                MemorySearchRequest(query=f"word1 word2 {planted_word(number)}"),
                MemorySearchRequest(model=MODEL, vector=near),
            ):
                first += (await self._search(request)).found[0].memory.memory == name_of(number)
        return first / (2 * len(self._made_up.planted))

    async def p99(self, *, vector: bool, scope: bool) -> float:
        """Milliseconds, after a warm-up."""
        took: list[float] = []
        for number in range(WARM_UP + SEARCHES):
            request = MemorySearchRequest(
                query=" ".join(self._made_up.words(6)),
                scopes=(scope_of(number),) if scope else (),
                model=MODEL if vector else None,
                vector=tuple(self._made_up.query()) if vector else None,
            )
            began = time.perf_counter()
            await self._search(request)
            took.append((time.perf_counter() - began) * 1_000)
        return sorted(took[WARM_UP:])[int(SEARCHES * 0.99) - 1]

    async def _search(self, request: MemorySearchRequest) -> FoundMemories:
        async with self._session.transaction(snapshot=True):
            return await recall.search(self._session, 1, request, NOW, self._indexes)
