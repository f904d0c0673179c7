"""Objects on a real server: stored whole or not at all, once, and verified when they are read."""

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta

import pytest
from msgspec import Struct, json

from bus import Bus, ObjectCorrupt, ObjectMissing, ObjectTooLarge, Unavailable, objects
from bus.client import NatsConnection
from bus.objects import BATCH_CHUNKS, CHUNK_BYTES
from bus.topology import OBJECTS
from deploy.embedded.server import Server
from schemas import Actor, BadSubject
from tests.conftest import Connect

SMALL = b"a small archive"
LARGE = random.Random(7).randbytes((2 * BATCH_CHUNKS + 3) * CHUNK_BYTES + 11)  # noqa: S311 - the same each time
"""Three batches, the last chunk of which is short."""


async def read(bus: Bus, name: str, role: Actor | None = None) -> bytes:
    async with aclosing(bus.objects.get(name, role=role)) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def stored(bus: Bus) -> int:
    class State(Struct):
        messages: int

    class Info(Struct):
        state: State

    info = await bus.connection.api(f"$JS.API.STREAM.INFO.{OBJECTS.name}")
    return json.decode(info, type=Info).state.messages


async def test_what_was_put_is_what_is_got(connect: Connect) -> None:
    bus, other = await connect(Actor.DEV_E), await connect(Actor.REVIEW_E)
    name = "sessions/1 of dev.e-1 >"
    for content in (b"", SMALL, LARGE[:CHUNK_BYTES], LARGE[: CHUNK_BYTES + 1], LARGE):
        put = await bus.objects.put(name, content, content_type="application/zstd")
        assert (put.size, put.content_type) == (len(content), "application/zstd")
        assert await other.objects.stat(name, role=Actor.DEV_E) == put
        assert await read(other, name, Actor.DEV_E) == content


async def test_it_takes_pieces_of_any_size_and_tells_how_far_it_is(connect: Connect) -> None:
    bus = await connect(Actor.DEV_E)
    cuts = sorted(random.Random(3).sample(range(len(LARGE)), 40))  # noqa: S311 - the same each time
    told: list[tuple[int, int]] = []

    async def pieces() -> AsyncGenerator[bytes]:
        for first, last in zip([0, *cuts], [*cuts, len(LARGE)], strict=True):
            yield LARGE[first:last]

    await bus.objects.put("x", pieces(), progress=lambda done, size: told.append((done, size)))
    batch = BATCH_CHUNKS * CHUNK_BYTES
    assert told == [(batch, len(LARGE)), (2 * batch, len(LARGE)), (len(LARGE), len(LARGE))]
    assert await read(bus, "x") == LARGE


async def test_a_name_stands_for_what_was_put_last(connect: Connect) -> None:
    bus = await connect(Actor.DEV_E)
    await bus.objects.put("x", SMALL)
    await bus.objects.put("x", b"another")
    assert await read(bus, "x") == b"another"
    await bus.objects.put("x", SMALL)
    assert await read(bus, "x") == SMALL


async def test_the_same_content_is_stored_once(connect: Connect) -> None:
    bus = await connect(Actor.DEV_E)
    first = await bus.objects.put("x", LARGE)
    before = await stored(bus)
    assert await bus.objects.put("x", LARGE) == first
    assert await stored(bus) == before, "nothing was said at all"
    await bus.objects.put("y", LARGE)
    assert await stored(bus) == before + 1, "the name alone"
    assert await read(bus, "y") == LARGE


async def test_a_content_that_will_age_out_soon_is_stored_again(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = await connect(Actor.DEV_E)
    first = await bus.objects.put("x", SMALL)
    later = bus.connection.now() + timedelta(days=2)

    def now() -> datetime:
        return later

    monkeypatch.setattr(bus.connection, "now", now)
    second = await bus.objects.put("x", SMALL)
    assert first.put != second.put
    assert await read(bus, "x") == SMALL


async def test_many_put_the_same_at_once(connect: Connect) -> None:
    buses = [await connect(Actor.DEV_E, f"dev-e/{number}") for number in range(3)]
    put = await asyncio.gather(*(bus.objects.put(f"x{number}", SMALL) for number, bus in enumerate(buses)))
    assert len({item.put for item in put}) == 1, "one of them was first, and the others refer to it"
    assert [await read(buses[0], f"x{number}") for number in range(3)] == [SMALL] * 3


# ── what goes wrong ──────────────────────────────────────────────────────────


class Died(Exception):
    """The process, in the middle of a put."""


async def test_a_put_that_dies_half_way_leaves_nothing_to_be_seen_and_can_be_repeated(connect: Connect) -> None:
    bus = await connect(Actor.DEV_E)
    await bus.objects.put("x", SMALL)

    def die(done: int, size: int) -> None:
        raise Died

    with pytest.raises(Died):
        await bus.objects.put("x", LARGE, progress=die)
    with pytest.raises(Died):
        await bus.objects.put("new", LARGE, progress=die)
    assert await read(bus, "x") == SMALL
    with pytest.raises(ObjectMissing):
        await bus.objects.stat("new")
    await bus.objects.put("x", LARGE)
    assert await read(bus, "x") == LARGE


async def test_lost_acknowledgements_do_no_harm(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = await connect(Actor.DEV_E)
    real, lost = bus.connection.request, set[str]()

    async def request(
        subject: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None, timeout_seconds: float = 5.0
    ) -> bytes:
        answer = await real(subject, body, headers=headers, timeout_seconds=timeout_seconds)
        what = f"{subject} {headers.get('Rig-Chunk') if headers else ''}"
        if subject.startswith("object.") and what not in lost:  # of everything, the first acknowledgement
            lost.add(what)
            raise Unavailable("the acknowledgement was lost")
        return answer

    monkeypatch.setattr(bus.connection, "request", request)
    put = await bus.objects.put("x", LARGE)
    assert len(lost) == 4
    assert await read(bus, "x") == LARGE
    assert await stored(bus) == put.chunks + 2, "each once"


async def test_a_put_goes_on_after_a_restart_of_the_server(
    connect: Connect, nats: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = await connect(Actor.DEV_E)
    monkeypatch.setattr(objects, "PATIENCE_SECONDS", 0.5)
    restarting: list[asyncio.Task[None]] = []

    async def restart() -> None:
        await nats.kill()
        await nats.start()

    def stored_some(done: int, size: int) -> None:
        if not restarting:
            restarting.append(asyncio.create_task(restart()))

    put = await bus.objects.put("x", LARGE, progress=stored_some)
    await restarting[0]
    assert await read(bus, "x") == LARGE
    assert await stored(bus) == put.chunks + 2


async def test_a_server_that_is_away_is_waited_for_until_the_deadline(connect: Connect, nats: Server) -> None:
    bus = await connect(Actor.DEV_E)
    await nats.stop()
    with pytest.raises(Unavailable):
        await bus.objects.put("x", SMALL, timeout_seconds=0.1)


async def test_more_than_an_object_may_hold_is_refused_before_anything_is_stored(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = await connect(Actor.DEV_E)
    monkeypatch.setattr(objects, "MAX_BYTES", 100)
    with pytest.raises(ObjectTooLarge, match="more than 100 bytes"):
        await bus.objects.put("x", bytes(101))
    assert await stored(bus) == 0
    await bus.objects.put("x", bytes(100))


async def test_what_is_not_there_is_said_to_be_missing(connect: Connect) -> None:
    bus = await connect(Actor.DEV_E)
    with pytest.raises(ObjectMissing, match="dev-e has no object x"):
        await read(bus, "x")
    with pytest.raises(BadSubject):
        await bus.objects.put("x" * 301, SMALL)
    await bus.objects.put("x", SMALL)
    with pytest.raises(ObjectMissing, match="conductor has no object x"):
        await read(bus, "x", Actor.CONDUCTOR)


@pytest.mark.parametrize(("keep", "error"), [(3, ObjectCorrupt), (0, ObjectMissing)])
async def test_an_object_that_lost_chunks_is_not_handed_over_as_whole(
    connect: Connect, root: NatsConnection, keep: int, error: type[Exception]
) -> None:
    """Nobody may delete on this stream: another stream stands in its place, with some of the messages."""
    bus = await connect(Actor.DEV_E)
    put = await bus.objects.put("x", LARGE)
    words = ["object.dev-e.name.x", f"object.dev-e.content.{put.digest}"]
    await root.api(f"$JS.API.STREAM.DELETE.{OBJECTS.name}")
    await root.api(f"$JS.API.STREAM.CREATE.{OBJECTS.name}", OBJECTS)
    for subject in words:
        await bus.connection.request(subject, json.encode(put))
    for index in range(keep):
        chunk = LARGE[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
        subject = f"object.dev-e.data.{put.digest}.{put.put}"
        await bus.connection.request(subject, chunk, headers={"Rig-Chunk": str(index)})
    with pytest.raises(error):
        await read(bus, "x")


async def test_an_object_whose_bytes_changed_is_corrupt(connect: Connect) -> None:
    bus = await connect(Actor.DEV_E)
    put = await bus.objects.put("x", SMALL)
    forged = json.encode({**json.decode(json.encode(put)), "put": "forged"})
    await bus.connection.request("object.dev-e.name.x", forged)
    await bus.connection.request(f"object.dev-e.data.{put.digest}.forged", SMALL[::-1], headers={"Rig-Chunk": "0"})
    with pytest.raises(ObjectCorrupt, match="is not what was stored"):
        await read(bus, "x")
