"""Dead letters in the making, and waiting for them."""

import asyncio

from bus import DeadLetter, Delivery, Drop, Outcome
from bus.dead import DeadLetters


async def drops(delivery: Delivery) -> Outcome:
    """A handler that gives everything up."""
    return Drop("makes no sense")


async def open_letters(dead: DeadLetters, count: int) -> list[DeadLetter]:
    """Waits until so many are open, and has them whole."""
    while len(found := [letter for letter in await dead.all() if letter.state == "open"]) != count:  # noqa: ASYNC110 - letters are not told of
        await asyncio.sleep(0.01)
    return [await dead.show(letter.id) for letter in found]
