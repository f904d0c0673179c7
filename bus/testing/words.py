"""What JetStream writes and reads in headers and errors: durations, moments, refusals."""

import re
from datetime import UTC, datetime
from typing import Final

from bus.testing.core import SECOND

__all__ = ["Refusal", "duration", "lifetime", "nanoseconds", "parse_moment"]

_UNITS: Final = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": SECOND, "m": 60 * SECOND, "h": 3_600 * SECOND}
_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


class Refusal(Exception):
    """What the server answers instead: its HTTP-like code, its own code, one line."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(description)
        self.code, self.err_code, self.description = code, err_code, description

    def body(self) -> dict[str, object]:
        return {"code": self.code, "err_code": self.err_code, "description": self.description}


def nanoseconds(text: str) -> int | None:
    """A duration as Go writes it (`1h30m`), or None."""
    total, end = 0, 0
    for part in _PART.finditer(text):
        if part.start() != end:
            return None
        total, end = total + int(float(part[1]) * _UNITS[part[2]]), part.end()
    return total if text and end == len(text) else None


def lifetime(text: str) -> int | None:
    """`Nats-TTL`: nanoseconds, whole seconds of them; -1 for `never`; None when it is not valid."""
    if text == "never":
        return -1
    found = int(text) * SECOND if text.isdecimal() else nanoseconds(text)
    return found // SECOND * SECOND if found is not None and found >= SECOND else None


def duration(value: int) -> str:
    """Whole seconds in nanoseconds, as Go prints a duration."""
    minutes, seconds = divmod(value // SECOND, 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{seconds}s"


def parse_moment(text: str) -> int | None:
    """RFC 3339 → nanoseconds since 1970, or None."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", text)
    if found is None:
        return None
    try:
        whole = datetime.fromisoformat(found[1] + ("+00:00" if found[3] == "Z" else found[3])).astimezone(UTC)
    except ValueError:
        return None
    return int(whole.timestamp()) * SECOND + int((found[2] or "0").ljust(9, "0"))
