"""What a stream holds: messages in order, found by position and by subject, and when each of them expires."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from heapq import heappop, heappush

from msgspec import Struct

from bus.testing.subjects import has_wildcard, matches

__all__ = ["Store", "Stored", "header_bytes"]


def header_bytes(headers: Mapping[str, str] | None) -> int:
    """How long headers are on the wire."""
    if not headers:
        return 0
    return 12 + sum(len(name.encode()) + len(value.encode()) + 4 for name, value in headers.items())


class Stored(Struct, frozen=True):
    """One message in a stream."""

    seq: int
    subject: str
    data: bytes
    headers: dict[str, str] | None
    at: int
    """When it was stored, in nanoseconds since 1970."""
    previous: int
    """The last position of its subject before it; 0 when there was none."""

    @property
    def header_bytes(self) -> int:
        return header_bytes(self.headers)

    @property
    def size(self) -> int:
        """Bytes in the server's file store."""
        header = 4 + self.header_bytes if self.headers else 0
        return 30 + len(self.subject.encode()) + header + len(self.data)

    @property
    def is_marker(self) -> bool:
        return bool(self.headers) and "Nats-Marker-Reason" in self.headers


class Store:
    """Messages of one stream; positions only grow."""

    def __init__(self) -> None:
        self._messages: dict[int, Stored] = {}
        self.by_subject: dict[str, list[int]] = {}
        self._expiring: list[tuple[int, int]] = []
        self.last = 0
        self.last_at = 0
        self.bytes = 0
        self._first = 1

    def __len__(self) -> int:
        return len(self._messages)

    def get(self, seq: int) -> Stored | None:
        return self._messages.get(seq)

    def add(self, message: Stored, expires: int) -> None:
        """`expires` in nanoseconds since 1970; 0: never."""
        self._messages[message.seq] = message
        self.by_subject.setdefault(message.subject, []).append(message.seq)
        self.last, self.last_at = message.seq, message.at
        self.bytes += message.size
        if expires:
            heappush(self._expiring, (expires, message.seq))

    def remove(self, seq: int) -> Stored | None:
        message = self._messages.pop(seq, None)
        if message is None:
            return None
        self.bytes -= message.size
        seqs = self.by_subject[message.subject]
        seqs.remove(seq)
        if not seqs:
            del self.by_subject[message.subject]
        return message

    @property
    def first(self) -> int:
        """The first position that holds a message; behind the last one when there is none."""
        if not self._messages:
            return self.last + 1
        while self._first not in self._messages:
            self._first += 1
        return self._first

    def subjects(self, pattern: str) -> list[str]:
        """The subjects under a pattern that hold a message."""
        if not has_wildcard(pattern):
            return [pattern] if pattern in self.by_subject else []
        return [subject for subject in self.by_subject if matches(pattern, subject)]

    def last_of(self, pattern: str) -> Stored | None:
        """The newest message on a subject or pattern."""
        if pattern == ">":
            return self._messages[next(reversed(self._messages))] if self._messages else None
        newest = max((self.by_subject[subject][-1] for subject in self.subjects(pattern)), default=0)
        return self._messages.get(newest)

    def since(self, seq: int, pattern: str = ">") -> Iterator[Stored]:
        """Messages of a pattern from a position on, in order."""
        if not has_wildcard(pattern):
            seqs = self.by_subject.get(pattern, [])
            for found in seqs[bisect_left(seqs, seq) :]:
                yield self._messages[found]
            return
        for position in range(max(seq, self.first), self.last + 1):
            message = self._messages.get(position)
            if message is not None and matches(pattern, message.subject):
                yield message

    def count(self, seq: int, pattern: str = ">") -> int:
        """How many messages of a pattern there are from a position on."""
        if pattern == ">" and len(self._messages) == self.last - self.first + 1:
            return max(0, self.last - max(seq, self.first) + 1)
        return sum(1 for _ in self.since(seq, pattern))

    def at_or_after(self, moment: int) -> int:
        """The first position stored at or after a time; behind the last one when there is none."""
        return next((message.seq for message in self.since(1) if message.at >= moment), self.last + 1)

    @property
    def next_expiry(self) -> int:
        """When the next message expires; 0: none does."""
        while self._expiring and self._expiring[0][1] not in self._messages:
            heappop(self._expiring)
        return self._expiring[0][0] if self._expiring else 0

    def due(self, now: int) -> list[int]:
        """Positions that have expired."""
        found: list[int] = []
        while self._expiring and self._expiring[0][0] <= now:
            seq = heappop(self._expiring)[1]
            if seq in self._messages:
                found.append(seq)
        return found
