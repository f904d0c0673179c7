"""Objects: stored whole or not at all, once, and read by others."""

from contextlib import aclosing

import pytest

from bus import Bus, ObjectMissing
from bus.objects import BATCH_CHUNKS, CHUNK_BYTES
from schemas import Actor
from tests.contract.conftest import MakeBus

LARGE = bytes(range(256)) * (CHUNK_BYTES // 256 * BATCH_CHUNKS + 300)
"""Two batches, the last chunk of which is short."""


async def read(bus: Bus, name: str) -> bytes:
    async with aclosing(bus.objects.get(name, role=Actor.DEV_E)) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_what_was_put_is_what_others_get(make_bus: MakeBus) -> None:
    bus, other = await make_bus(Actor.DEV_E), await make_bus(Actor.REVIEW_E)
    for content in (b"", b"small", LARGE):
        put = await bus.objects.put("sessions/1", content, content_type="application/zstd")
        assert await other.objects.stat("sessions/1", role=Actor.DEV_E) == put
        assert await read(other, "sessions/1") == content
    with pytest.raises(ObjectMissing):
        await other.objects.stat("sessions/2", role=Actor.DEV_E)


async def test_the_same_content_is_stored_once(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.DEV_E)
    one = await bus.objects.put("sessions/1", LARGE, content_type="application/zstd")
    two = await bus.objects.put("sessions/2", LARGE, content_type="application/zstd")
    assert one.put == two.put
    assert await read(bus, "sessions/2") == LARGE
