"""How hard, how long and how fast we ask: the client's numbers in one place, and the clock that it waits by."""

import asyncio
import time
from typing import Final, Protocol

from msgspec import Struct

MIB: Final = 1024 * 1024


class Pace(Struct, frozen=True, kw_only=True):
    """The client's bounds. The defaults follow GitHub's advice for integrations.

    Source: docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api
    """

    tries: int = 4
    """Of one call, while GitHub is away."""
    first_pause_seconds: float = 0.5
    """Before the second try; twice as long before each one after it, less up to a half by chance."""
    longest_pause_seconds: float = 20.0
    total_seconds: float = 120.0
    """All tries and waits of one call; a limit that lasts longer is the caller's to wait for."""
    connect_seconds: float = 10.0
    silence_seconds: float = 30.0
    """Between two pieces of one answer."""
    answer_seconds: float = 60.0
    """For one answer, from the first byte asked to the last one read."""
    answer_bytes: int = 32 * MIB
    concurrent: int = 8
    """Calls on their way at once; GitHub refuses more than a hundred."""
    writes_at_once: int = 20
    """So many writes may follow each other closely, one after another; GitHub refuses more than 80 a minute."""
    write_seconds: float = 1.0
    """For each further write: what GitHub asks for between two."""
    pages: int = 1_000
    """Of one listing."""
    cached_answers: int = 2_000
    cached_bytes: int = 32 * MIB
    seed: int | None = None
    """Of the chance in pauses."""


class Clock(Protocol):
    """The time that waits are measured in."""

    def now(self) -> float:
        """Seconds since 1970."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class WallClock:
    """The machine's."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
