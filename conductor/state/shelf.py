"""A shelf of issues in the order of their keys: putting, taking and reading the next each cost log n.

Reading changes nothing, so `decide` may look as far as it likes. What is taken away stays in the heap until it comes to
the front, or until it is worth sweeping; what counts is `_keys`.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import TypeAlias

from schemas import IssueRef

Key: TypeAlias = tuple[float, int]
"""Smallest first. The second part is a position of the log, and no two issues have the same."""
_SLACK = 64


class Shelf:
    """Issues by key. Equal to another when both hold the same."""

    __slots__ = ("_heap", "_keys")

    def __init__(self) -> None:
        self._heap: list[tuple[Key, IssueRef]] = []
        self._keys: dict[IssueRef, Key] = {}

    def put(self, ref: IssueRef, key: Key) -> None:
        """Puts an issue there, or moves it."""
        before = self._keys.get(ref)
        if before != key:
            self._keys[ref] = key
            heappush(self._heap, (key, ref))
            if before is not None:
                self._sweep()

    def take(self, ref: IssueRef) -> None:
        """Takes an issue away, if it is there."""
        if self._keys.pop(ref, None) is not None:
            self._sweep()

    @property
    def first(self) -> tuple[Key, IssueRef]:
        """The one with the smallest key. Raises IndexError when nothing is there."""
        return self._heap[0]

    def __iter__(self) -> Iterator[tuple[Key, IssueRef]]:
        """In order: walks down the heap from its root, beside a small heap of what comes next."""
        heap, last = self._heap, None
        ahead = [(heap[0], 0)] if heap else []
        while ahead:
            entry, place = heappop(ahead)
            key, ref = entry
            if entry != last and self._keys.get(ref) == key:
                last = entry
                yield entry
            for child in (2 * place + 1, 2 * place + 2):
                if child < len(heap):
                    heappush(ahead, (heap[child], child))

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, ref: object) -> bool:
        return ref in self._keys

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shelf) and self._keys == other._keys

    def __hash__(self) -> int:
        raise TypeError("a shelf changes: it has no hash")

    def __repr__(self) -> str:
        return f"Shelf({self._keys!r})"

    def _sweep(self) -> None:
        """The first of the heap is always one that counts; once most of it is what was taken away, it is made anew."""
        heap, keys = self._heap, self._keys
        while heap:
            key, ref = heap[0]
            if keys.get(ref) == key:
                break
            heappop(heap)
        if len(heap) > 2 * len(keys) + _SLACK:
            self._heap = [(key, ref) for ref, key in keys.items()]
            heapify(self._heap)
