"""Very many memories, made up: their rows as the projector would write them, in clusters as texts of one theme lie.

A vector is its theme's direction and a little of two of many fixed ones; a text is words of which few are frequent (as
in any language) and a word of its theme. The same in every run.
"""

import random
from array import array
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from operator import mul
from typing import Any, Final

import msgspec

from conductor.projector.memory import EmbeddingRow, MemoryRow, memory_key, unit_vector
from schemas import MemoryKind

MODEL: Final = "embed-1"
NOW: Final = datetime(2026, 6, 1, tzinfo=UTC)
SCOPES: Final = 100
PLANTED: Final = 20
"""Spread over all; each with a word that no other memory has, and half in a direction of its own."""
_THEMES: Final = 200
_WORDS: Final = 4_000
_PUT: Final = """
insert into rig.{} (key, row) select key, row::jsonb from unnest($1::text[], $2::text[]) as new (key, row)
on conflict (key) do update set row = excluded.row"""


class MadeUp:
    """`count` memories of so many dimensions, each scope with a hundredth of them."""

    def __init__(self, count: int, dimensions: int = 384) -> None:
        self.count = count
        self.dimensions = dimensions
        self.random = random.Random(f"{count}/{dimensions}")  # noqa: S311 - the same in every run
        self.vectors: list[array[float]] = []
        """Of each memory; none is of length 1."""
        self.planted = [1 + number * count // PLANTED for number in range(PLANTED)]
        self._themes = [self._direction() for _ in range(_THEMES)]
        self._noise = [self._direction() for _ in range(2 * dimensions)]
        self._frequent = list(accumulate(1 / (rank + 3) for rank in range(_WORDS)))

    def rows(self) -> Iterator[tuple[MemoryRow, EmbeddingRow]]:
        """All of them, in the order of their writing."""
        theirs = set(self.planted)
        for number in range(self.count):
            theme = self.random.randrange(_THEMES)
            vector = self._themes[theme]
            vector = self._between(vector, self._direction()) if number in theirs else self.near(vector)
            self.vectors.append(vector)
            unit = unit_vector(vector)
            assert unit is not None
            text = " ".join(self.words(30))
            memory = MemoryRow(
                scope=scope_of(number),
                memory=name_of(number),
                kind=tuple(MemoryKind)[number % 7],
                title=f"theme{theme} {' '.join(self.words(4))}",
                text=f"{text} {planted_word(number)}" if number in theirs else text,
                tags=(f"tag{number % 10}",),
                importance=3,
                expires_at=None,
                about=None,
                position=number + 1,
                written=NOW,
                actor="dev-e",
                source="dev-e/dev-e-1",
            )
            yield (
                memory,
                EmbeddingRow(
                    scope=memory.scope,
                    memory=memory.memory,
                    model=MODEL,
                    dimensions=self.dimensions,
                    vector=unit,
                    position=number + 1,
                ),
            )

    def words(self, count: int) -> list[str]:
        drawn = self.random.choices(range(_WORDS), cum_weights=self._frequent, k=count)
        return [f"word{number}" for number in drawn]

    def query(self) -> "array[float]":
        """Near a theme."""
        return self.near(self.random.choice(self._themes))

    def near(self, vector: Sequence[float]) -> "array[float]":
        one, two = self.random.choices(self._noise, k=2)
        return array("f", [a + 0.6 * b + 0.6 * c for a, b, c in zip(vector, one, two, strict=True)])

    def _between(self, one: Sequence[float], two: Sequence[float]) -> "array[float]":
        return array("f", [a + b for a, b in zip(one, two, strict=True)])

    def nearest(self, query: Sequence[float], numbers: Sequence[int], most: int) -> list[str]:
        """By comparing all of them: the names of the nearest, of those that do not point away."""

        def cosine(number: int) -> float:
            vector = self.vectors[number]
            return sum(map(mul, query, vector)) / sum(map(mul, vector, vector)) ** 0.5

        compared = sorted(((cosine(number), number) for number in numbers), reverse=True)
        return [name_of(number) for near, number in compared[:most] if near > 0]

    def _direction(self) -> "array[float]":
        gauss = self.random.gauss
        drawn = [gauss(0, 1) for _ in range(self.dimensions)]
        length = sum(map(mul, drawn, drawn)) ** 0.5
        return array("f", [value / length for value in drawn])


def name_of(number: int) -> str:
    return f"memory-{number}"


def scope_of(number: int) -> str:
    return f"repo:acme/r{number % SCOPES}"


def planted_word(number: int) -> str:
    return f"planted{number}"


async def put(db: Any, rows: Sequence[MemoryRow | EmbeddingRow]) -> None:
    """Writes rows as the store does, over a plain connection."""
    for table, kind in (("memories", MemoryRow), ("embeddings", EmbeddingRow)):
        of_table = [row for row in rows if isinstance(row, kind)]
        keys = [memory_key(row.scope, row.memory) for row in of_table]
        await db.execute(_PUT.format(table), keys, [msgspec.json.encode(row).decode() for row in of_table])


async def put_all(db: Any, made_up: MadeUp, batch: int = 500) -> None:
    """Writes them all, and lets the server see how they are distributed, as it does by itself after a while."""
    waiting: list[MemoryRow | EmbeddingRow] = []
    for pair in made_up.rows():
        waiting += pair
        if len(waiting) >= 2 * batch:
            await put(db, waiting)
            waiting = []
    await put(db, waiting)
    await db.execute("vacuum analyze rig.memories, rig.embeddings")
