"""What a handler says became of its message, and what is done about one that says nothing.

Done()            it is finished
Retry(after)      not now; it comes again after that many seconds
Drop(reason)      it can never be handled: a copy goes to the dead letters, with the reason
"""

from collections.abc import Awaitable, Callable
from math import inf
from typing import Final, TypeAlias

from msgspec import Struct

from bus.delivery import Delivery

MAX_ATTEMPTS: Final = 20
"""Tries of one message, whatever ended them. With the back-off below that is seven minutes of trying: longer than a
server's restart or a full disk lasts, and longer than the conductor waits before it decides anew; a message that
kills its process does not come back for ever."""
_BACKOFF: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Done(Struct, frozen=True):
    """It is finished."""


class Retry(Struct, frozen=True):
    """Not now."""

    after: float
    """Seconds; 0: at once. Raises ValueError when that is no time from now."""
    counts: bool = True
    """Whether this was one of the tries that it has. False: the message is well, and somebody else is away, however
    long; where messages have keys, for the server counts what goes back to it."""

    def __post_init__(self) -> None:
        if not 0 <= self.after < inf:
            raise ValueError(f"another try in {self.after} seconds: it must be a number from 0 on")


class Drop(Struct, frozen=True):
    """It can never be handled."""

    reason: str


Outcome: TypeAlias = Done | Retry | Drop
Handler: TypeAlias = Callable[[Delivery], Awaitable[Outcome]]
Key: TypeAlias = Callable[[Delivery], str]


def after_failure(attempt: int) -> Retry:
    """What follows an attempt (from 1) that raised: a pause that grows."""
    return Retry(_BACKOFF[min(attempt, len(_BACKOFF)) - 1])


def about(delivery: Delivery) -> str:
    """The key of an event of the log: the branch of what it is about, like `rig.issue.acme.web.7`."""
    tokens = delivery.subject.split(".", 6)
    return ".".join(tokens[: _BRANCH.get(tokens[1] if len(tokens) > 1 else "", len(tokens))])


_BRANCH: Final = {"issue": 5, "repo": 4, "agent": 3, "fleet": 2}
"""Tokens of the branch of each noun; see schemas/subjects.py."""
