"""What is said of memories to the log, and where a text lies in a model's space: neither fails for want of them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from agents.llm.messages import Embeddings, ModelError
from bus import Bus, BusError, DuplicateMismatch
from schemas import Draft, MemoryRef, event_id
from schemas.event import MemoryEvent

__all__ = ["SAYING_SECONDS", "Embed", "say", "vector_of"]

Embed: TypeAlias = Callable[[Sequence[str]], Awaitable[Embeddings]]
"""Where texts lie in a model's space: a gateway's `embed`. Raises ModelError."""

SAYING_SECONDS: Final = 10.0

log = logging.getLogger(__name__)


async def say(bus: Bus, scope: str, event: MemoryEvent, *parts: str, cause: str | None = None) -> bool:
    """Whether it is said; what was said before stands as it was, also when its expiry or its vector is another now."""
    draft = Draft(about=MemoryRef(scope), data=event, cause=cause)
    said = event_id(bus.log.actor, "memory", *parts)
    try:
        await bus.log.publish(draft, said, timeout_seconds=SAYING_SECONDS)
    except DuplicateMismatch:
        log.info("%s of %s was said before, and stands as it was", event.name(), scope)
    except BusError as error:
        log.warning("%s of %s is not said: %s", event.name(), scope, error)
        return False
    return True


async def vector_of(embed: Embed | None, text: str, seconds: float) -> Embeddings | None:
    """Where a text lies; None where nobody says so in time, or says it badly."""
    if embed is None:
        return None
    try:
        async with asyncio.timeout(seconds):
            found = await embed([text])
    except (ModelError, TimeoutError) as error:
        log.info("no vector: %s", error or "the model has not answered in time")
        return None
    right = len(found.vectors) == 1 and 0 < len(found.vectors[0]) == found.dimensions <= 8_192
    return found if right and any(found.vectors[0]) else None
