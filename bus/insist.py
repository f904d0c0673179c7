"""Asking again for as long as one has time: a cluster that elects a leader has no answer for some seconds."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from bus.errors import Unavailable

PAUSE_SECONDS: Final = 0.2

Answer = TypeVar("Answer")


async def insist(ask: Callable[[], Awaitable[Answer]], *, until: float) -> Answer:
    """What `ask` returns, tried anew after each Unavailable until that time of the event loop; then raises the last."""
    trouble = Unavailable("the server has not answered in time")
    try:
        async with asyncio.timeout_at(until):
            while True:
                try:
                    return await ask()
                except Unavailable as error:
                    trouble = error
                await asyncio.sleep(PAUSE_SECONDS)
    except TimeoutError:
        raise trouble from None
