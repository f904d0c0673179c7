"""GitHub's limits for one identity: when the next call may go out, and which calls are left out first. Pure.

Primary: so many calls an hour, told by every answer (`x-ratelimit-*`). Secondary: too much at once, told by a 403 or
429, with `retry-after` or without; then nothing goes out at all for a while, as GitHub asks. Instants are seconds of
our clock: what GitHub says by its own is taken relative to the `date` of the same answer.
Source: docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import IntEnum
from math import isfinite
from typing import Final

from msgspec import Struct

_SECONDARY_SECONDS: Final = 60.0
"""The least to wait at a secondary limit that does not say how long; twice as long each time."""
_LONGEST_SECONDS: Final = 3_600.0
"""No limit of GitHub's lasts longer; whoever says so is asked again after that."""
_WORDS: Final = ("secondary rate limit", "rate limit exceeded", "abuse detection")
"""In the message of a 403 that is a limit and not a prohibition."""


class Priority(IntEnum):
    """How much a call matters, while little is left of the limit."""

    LOW = 0
    """Can wait: status comments, labels, audits. Left out below a quarter of the limit."""
    NORMAL = 1
    """Left out below a twentieth."""
    HIGH = 2
    """What an issue waits for: pull requests, merges. Goes out as long as anything is left."""


RESERVED: Final = {Priority.LOW: 0.25, Priority.NORMAL: 0.05, Priority.HIGH: 0.0}
"""The part of the limit that is kept from calls of a priority."""


class Wait(Struct, frozen=True):
    """A call may not go out yet."""

    until: float
    left_out: bool
    """Not for want of the limit: what is left of it is for calls that matter more."""


class Limits:
    """What GitHub has told one identity of its limits."""

    def __init__(self) -> None:
        self.limit: int | None = None
        self.remaining: int | None = None
        self.resets_at = 0.0
        self._closed_until = 0.0
        self._secondary = 0
        """Secondary limits in a row that did not say how long."""

    def heard(self, headers: Mapping[str, str], now: float) -> None:
        """What any answer says of the primary limit; those of search and such are other limits."""
        if headers.get("x-ratelimit-resource", "core") != "core":
            return
        limit, remaining = _number(headers, "x-ratelimit-limit"), _number(headers, "x-ratelimit-remaining")
        reset = _number(headers, "x-ratelimit-reset")
        if limit is None or remaining is None or reset is None:
            return
        resets_at = now + _bounded(reset - (_date(headers) or now))
        if resets_at >= self.resets_at - 2 or now >= self.resets_at:  # not of an hour that is over; dates are whole
            self.limit, self.remaining, self.resets_at = int(limit), int(remaining), resets_at

    def fine(self) -> None:
        """A call was let through."""
        self._secondary = 0

    def hit(self, status: int, headers: Mapping[str, str], message: str, now: float) -> float | None:
        """Whether a refusal is a limit: until when nothing may go out; None: it is not one."""
        retry = _number(headers, "retry-after")
        used_up = headers.get("x-ratelimit-remaining", "").strip() == "0"
        spoken = any(word in message.lower() for word in _WORDS)
        if status != 429 and not (status == 403 and (retry is not None or used_up or spoken)):
            return None
        reset = _number(headers, "x-ratelimit-reset")
        if retry is not None:
            wait = retry
        elif used_up and reset is not None:
            wait = reset - (_date(headers) or now)
        else:
            wait = _SECONDARY_SECONDS * 2 ** min(self._secondary, 6)
            self._secondary += 1
        # A second on top: GitHub's clock may be anywhere within the one that it names.
        self._closed_until = max(self._closed_until, now + _bounded(wait) + 1.0)
        return self._closed_until

    def wait(self, priority: Priority, now: float) -> Wait | None:
        """What a call of this priority waits for; None: it may go out."""
        if now < self._closed_until:
            return Wait(self._closed_until, left_out=priority is Priority.LOW)
        if self.remaining is None or self.limit is None or now > self.resets_at:
            return None
        if self.remaining > self.limit * RESERVED[priority]:
            return None
        return Wait(self.resets_at + 1.0, left_out=self.remaining > 0 or priority is Priority.LOW)


def _number(headers: Mapping[str, str], name: str) -> float | None:
    try:
        value = float(headers[name])
    except (KeyError, ValueError):
        return None
    return value if isfinite(value) and value >= 0 else None


def _date(headers: Mapping[str, str]) -> float | None:
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), _LONGEST_SECONDS)
