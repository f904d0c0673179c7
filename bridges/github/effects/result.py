"""What comes of an effect, and of one that GitHub will not do."""

from datetime import datetime
from typing import Final, TypeAlias

from msgspec import Struct

from bridges.github.errors import ApiError
from bridges.github.payloads import Issue, PullRequest
from schemas import EffectRecorded, Event

_LINE: Final = 300


class Told(Struct, frozen=True):
    """An event with GitHub's own time of it."""

    data: Event
    at: datetime


Result: TypeAlias = Event | Told | PullRequest | Issue | None
"""An event to say; or how a thing stands, of which the translator says what there is to say; or nothing."""


class Outcome(Struct, frozen=True):
    """Of one step."""

    results: tuple[Result, ...] = ()
    again: float | None = None
    """In so many seconds there may be more to see, and nobody will tell."""


class NotYet(Exception):
    """GitHub has not come to it: again in a moment. No failure."""


class BadRepository(Exception):
    """A repository that cannot be served as it is; a person must mend it. The message says what."""


def done(effect: str, key: str, outcome: str = "done", url: str = "") -> EffectRecorded:
    """The record of one effect."""
    return EffectRecorded(effect=effect, key=key, outcome=outcome[:_LINE], url=url)


def refused(effect: str, key: str, error: ApiError) -> EffectRecorded:
    """The record of one that only a person can mend: it is not tried again until something else is to be done."""
    words = "".join(sign if sign.isprintable() else " " for sign in error.message)
    return done(effect, key, f"refused: {words}")
