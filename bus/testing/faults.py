"""What can go wrong between a client and the server, on demand and the same way for the same seed.

A wire carries the messages of one connection in one direction. Without faults it hands over at once and in order.
Chances are between 0 and 1; a test sets them and takes them back at any time. What a wire never does is change the
order of two messages of one subject: neither does a real one.
"""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

from bus.testing.subjects import matches

__all__ = ["Faults", "Wire"]


class Faults:
    """The faults of one server's wires. Crash and restart are the server's own (`InMemoryBus.crash`)."""

    def __init__(self, seed: int = 0) -> None:
        self.random = Random(seed)  # noqa: S311 - a test's, not a secret's
        self.drop = 0.0
        """A message is lost."""
        self.duplicate = 0.0
        """A message arrives twice."""
        self.delay = 0.0
        """A message is late, and all behind it on its connection."""
        self.reorder = 0.0
        """A message is late, and those of other subjects overtake it."""
        self.lose_ack = 0.0
        """The server stores what was published, and its acknowledgement is lost."""
        self.longest_seconds = 1.0
        """How late a message can be."""
        self.on: tuple[str, ...] = (">",)
        """Which subjects `drop`, `duplicate`, `delay` and `reorder` touch."""

    def none(self) -> None:
        """From here on nothing goes wrong."""
        self.drop = self.duplicate = self.delay = self.reorder = self.lose_ack = 0.0

    @property
    def any(self) -> bool:
        return bool(self.drop or self.duplicate or self.delay or self.reorder)

    def happens(self, chance: float) -> bool:
        return chance > 0 and self.random.random() < chance

    def lateness(self, chance: float) -> float:
        return self.random.uniform(0, self.longest_seconds) if self.happens(chance) else 0.0

    def touch(self, subject: str) -> bool:
        return self.any and any(matches(pattern, subject) for pattern in self.on)


class Wire:
    """One direction of one connection."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._loop = asyncio.get_running_loop()
        self._held: list[tuple[float, int, Callable[[], None]]] = []
        self._sent = 0
        self._late_until = 0.0
        self._subject_late_until: dict[str, float] = {}
        self._due: asyncio.Handle | None = None
        self._due_at = 0.0

    def send(self, subject: str, arrive: Callable[[], None], *, certain: bool = False) -> None:
        """Calls `arrive` when the message comes through, if it does; never at once. What is `certain` does."""
        faults, now, copies = self._faults, self._loop.time(), 1
        at = max(now, self._late_until)
        if not certain and faults.touch(subject):
            if faults.happens(faults.drop):
                return
            copies += faults.happens(faults.duplicate)
            self._late_until = at = at + faults.lateness(faults.delay)
            at += faults.lateness(faults.reorder)
        if at > now or self._subject_late_until:
            at = max(at, self._subject_late_until.get(subject, 0.0))
            self._subject_late_until[subject] = at
        for _ in range(copies):
            self._sent += 1
            heappush(self._held, (at, self._sent, arrive))
        self._wait(now)

    def cut(self) -> None:
        """What is under way is lost."""
        self._held.clear()
        self._subject_late_until.clear()
        self._late_until = 0.0

    def _wait(self, now: float) -> None:
        """One timer, for what comes first."""
        if not self._held:
            return
        at = self._held[0][0]
        if self._due is not None:
            if self._due_at <= at:
                return
            self._due.cancel()
        self._due_at = at
        self._due = self._loop.call_soon(self._carry) if at <= now else self._loop.call_at(at, self._carry)

    def _carry(self) -> None:
        self._due = None
        now = self._loop.time() + 1e-9
        while self._held and self._held[0][0] <= now:
            heappop(self._held)[2]()
        if not self._held:
            self._subject_late_until.clear()
        self._wait(self._loop.time())
