"""Field types that several events share. Bounds live here, so that nothing oversized or unprintable enters the log."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypeAlias

from msgspec import Meta

Line: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=300,
        pattern=r"\A(?=.*\S)[^\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]*\Z",
        description="one line of 1 to 300 printable characters",
    ),
]
Text: TypeAlias = Annotated[str, Meta(max_length=65_536, description="text of at most 65536 characters")]
Excerpt: TypeAlias = Annotated[str, Meta(max_length=8_192, description="an excerpt of at most 8192 characters")]
Sha: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9a-f]{40}(?:[0-9a-f]{24})?\Z", description="a full commit id")]
Branch: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=250,
        pattern=r"\A(?![-/.])(?!.*(?:\.\.|//|@\{|\\))[^\x00-\x20\x7f~^:?*\[]+\Z",
        description="a git branch name",
    ),
]
Instant: TypeAlias = Annotated[
    datetime, Meta(tz=True, description="a time with its offset from UTC, like 2026-01-31T12:00:00Z")
]
Epoch: TypeAlias = Annotated[int, Meta(ge=1, description="an assignment's number, from 1")]
Run: TypeAlias = Annotated[
    str,
    Meta(min_length=1, max_length=60, pattern=r"\A[A-Za-z0-9-]+\Z", description="the id of one run of an agent"),
]

Tokens: TypeAlias = Annotated[int, Meta(ge=0)]
Usd: TypeAlias = Annotated[float, Meta(ge=0, le=1_000_000, description="an amount in US dollars, from 0")]


class Priority(StrEnum):
    """How urgent an issue is; `rank` sorts the most urgent first."""

    CRITICAL = "critical"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @property
    def rank(self) -> int:
        return _RANKS[self]


_RANKS = {priority: rank for rank, priority in enumerate(Priority)}
