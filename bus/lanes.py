"""Which message may be handled next: of each key one at a time, in the order of the stream, keys side by side. Pure.

A key has a lane as long as something of it is here. Its head is taken, and the lane is busy until the head is done; or
the head is to be tried again, and the lane is blocked until somebody says so. Without a key everything is a lane of
its own.
"""

from bisect import insort
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Lane(Generic[T]):
    """What is here of one key."""

    __slots__ = ("blocked", "key", "taken", "waiting")

    def __init__(self, key: str | None, position: int, item: T) -> None:
        self.key = key
        self.taken = position, item
        self.waiting = deque([self.taken])
        self.blocked = False

    @property
    def head(self) -> T:
        """What was taken last."""
        return self.taken[1]


class Lanes(Generic[T]):
    """All that is here and not done."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane[T]] = {}
        self._ready: deque[Lane[T]] = deque()
        self.blocked = 0
        """Items that nobody may take now: heads to be tried again, and what stands behind them."""

    @property
    def ready(self) -> bool:
        """Whether there is something to take."""
        return bool(self._ready)

    def add(self, key: str | None, position: int, item: T) -> None:
        """One more. It goes before what is behind it in the stream and has not been taken yet."""
        lane = None if key is None else self._lanes.get(key)
        if lane is None:
            lane = Lane(key, position, item)
            if key is not None:
                self._lanes[key] = lane
            self._ready.append(lane)
            return
        if not lane.waiting or lane.waiting[-1][0] <= position:
            lane.waiting.append((position, item))
        else:  # given back by another replica, or lost on the way and delivered again
            insort(lane.waiting, (position, item), key=_position)
        self.blocked += lane.blocked

    def take(self) -> Lane[T] | None:
        """The lane whose head is to be handled now; it is busy until `done` or `block`. None: nothing can be."""
        if not self._ready:
            return None
        lane = self._ready.popleft()
        lane.taken = lane.waiting.popleft()
        return lane

    def done(self, lane: Lane[T]) -> None:
        """The head is no more; the next of its key may be taken."""
        if lane.waiting:
            self._ready.append(lane)
        elif lane.key is not None:
            del self._lanes[lane.key]

    def block(self, lane: Lane[T]) -> None:
        """The head is to be tried again, and its key waits for it."""
        insort(lane.waiting, lane.taken, key=_position)
        lane.blocked = True
        self.blocked += len(lane.waiting)

    def unblock(self, lane: Lane[T]) -> None:
        """The key of the head may go on."""
        lane.blocked = False
        self.blocked -= len(lane.waiting)
        self._ready.append(lane)


def _position(entry: tuple[int, object]) -> int:
    return entry[0]


__all__ = ["Lane", "Lanes"]
