"""What is known of each model here and now: which one need not be asked, why, and until when. Pure; time is passed in.

A process has one, whatever runs in it: what one conversation finds out, the others need not. A key that is refused, a
quota that is used up, a limit that is reached: the model rests until then. When one is in trouble, or cannot be
reached, several times in a row, its circuit opens; later one call tries it, and others are not let in until it is known
how that went.
"""

from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from agents.llm.config import ModelName, split
from agents.llm.errors import Failure
from agents.llm.messages import ErrorKind

__all__ = ["TROUBLES", "Rest", "Standing"]

TROUBLES: Final = 3
"""In a row, and the circuit opens."""
OPEN: Final = timedelta(seconds=30)
LONGEST_OPEN: Final = timedelta(minutes=10)
RESTS: Final = {
    ErrorKind.AUTH: timedelta(minutes=10),
    ErrorKind.QUOTA: timedelta(minutes=15),
    ErrorKind.RATE_LIMITED: timedelta(seconds=10),
}
"""How long, where the endpoint does not say."""
_TROUBLE: Final = frozenset({ErrorKind.OVERLOADED, ErrorKind.NETWORK})


class Rest(Struct, frozen=True):
    """It need not be asked before `until`."""

    kind: ErrorKind
    detail: str
    until: datetime


class Standing:
    """Of all models and providers; nothing is known of one that was not asked."""

    def __init__(self) -> None:
        self._rests: dict[str, Rest] = {}
        """By model, or by provider: what is wrong with all of its models."""
        self._troubles: dict[ModelName, int] = {}
        self._without: dict[ModelName, frozenset[str]] = {}

    def resting(self, name: ModelName, now: datetime) -> Rest | None:
        """Why a model need not be asked now; None: ask it, and tell how that went."""
        for key in (split(name)[0], name):
            rest = self._rests.get(key)
            if rest is None:
                continue
            if now < rest.until:
                return rest
            del self._rests[key]
            if rest.kind in _TROUBLE:  # this call tries it; until it is known how that went, nobody else need
                self._rests[key] = Rest(rest.kind, rest.detail, now + self._open_for(name))
        return None

    def without(self, name: ModelName) -> frozenset[str]:
        """What of a request a model is known not to understand."""
        return self._without.get(name, frozenset())

    def not_understood(self, name: ModelName, what: str) -> None:
        """It is asked without that from now on."""
        self._without[name] = self.without(name) | {what}

    def answered(self, name: ModelName) -> None:
        """It works."""
        for key in (split(name)[0], name):
            self._rests.pop(key, None)
        self._troubles.pop(name, None)

    def failed(self, name: ModelName, failure: Failure, now: datetime) -> None:
        """It does not. What is said of one request (too long, refused, invalid) says nothing of the next."""
        key = split(name)[0] if failure.of_provider else name
        if (pause := RESTS.get(failure.kind)) is not None:
            self._rests[key] = Rest(failure.kind, failure.detail, failure.retry_at or now + pause)
        elif failure.kind in _TROUBLE:
            self._troubles[name] = self._troubles.get(name, 0) + 1
            if self._troubles[name] >= TROUBLES:
                until = max(failure.retry_at or now, now + self._open_for(name))
                self._rests[name] = Rest(failure.kind, failure.detail, until)
        else:
            self.answered(name)

    def _open_for(self, name: ModelName) -> timedelta:
        opened = max(0, self._troubles.get(name, 0) - TROUBLES)
        return min(OPEN * 2 ** min(opened, 10), LONGEST_OPEN)
