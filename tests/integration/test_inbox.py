"""The inbox on a real server: a delivery is stored once, whoever brings it and whatever breaks, and comes out whole."""

import asyncio
import random
from contextlib import aclosing

import pytest
from msgspec import Struct

from bus import Arrived, Bus, Done, NoStream
from deploy.embedded.nats import NatsServer
from schemas import Actor, BadSubject
from tests.conftest import Connect

HEADERS = {"X-GitHub-Event": "issues", "Content-Type": "application/json"}
LARGE = random.Random(5).randbytes(20 * 1024 * 1024)  # noqa: S311
"""As large as GitHub's largest, about."""


async def all_of(bus: Bus) -> list[Arrived]:
    async with aclosing(bus.inbox.replay()) as found:
        return [arrived async for arrived in found]


async def test_a_delivery_comes_out_as_it_came_in(connect: Connect) -> None:
    bus = await connect(Actor.GITHUB)
    bodies = {"1-a": b'{"a":1}', "no.3 > *": b"\xff\x00", "empty": b"", "large": LARGE}
    for delivery, body in bodies.items():
        assert await bus.inbox.store(delivery, HEADERS, body)
    found = await all_of(bus)
    assert {each.delivery: each.body for each in found} == bodies
    assert all(each.headers == HEADERS for each in found)
    assert await bus.inbox.known(["1-a", "2-b", "large"]) == {"1-a", "large"}
    async with aclosing(bus.inbox.replay(after=found[0].position, until=found[2].position)) as some:
        assert [each.delivery async for each in some] == ["no.3 > *", "empty"]


async def test_the_first_word_of_an_id_stays(connect: Connect, nats: NatsServer) -> None:
    bus = await connect(Actor.GITHUB)
    assert await bus.inbox.store("a", HEADERS, b"first")
    assert not await bus.inbox.store("a", HEADERS, b"second")
    other = await connect(Actor.GITHUB)
    assert not await other.inbox.store("a", HEADERS, b"third")
    await nats.kill()
    await nats.start()
    assert not await bus.inbox.store("a", HEADERS, b"fourth", timeout_seconds=60)
    assert [each.body for each in await all_of(other)] == [b"first"]


async def test_what_nobody_may_say_is_refused(connect: Connect) -> None:
    bus = await connect(Actor.GITHUB)
    for hostile in ({"Nats-Rollup": "all"}, {"rig-object": "x"}, {"X": "a\r\nNats-TTL: 1s"}, {"X": "ä"}, {"X:": "y"}):
        with pytest.raises(ValueError, match="no header of a delivery"):
            await bus.inbox.store("a", hostile, b"")
    for hostile in ("", "x" * 301):
        with pytest.raises(BadSubject):
            await bus.inbox.store(hostile, HEADERS, b"")
    assert await bus.inbox.known(["a"]) == set()
    with pytest.raises(NoStream):
        await (await connect(Actor.CLI)).inbox.work(never, slots=1, stop=asyncio.Event())


async def never(_: Arrived) -> Done:
    raise AssertionError


async def test_every_delivery_is_worked_on_and_what_became_of_it_is_noted_once(connect: Connect) -> None:
    class Note(Struct):
        said: int

    bus = await connect(Actor.GITHUB)
    bodies = {"1": b"one", "2": LARGE[: 1 << 20], "3": b"three"}
    for delivery, body in bodies.items():
        await bus.inbox.store(delivery, HEADERS, body)
    seen: dict[str, bytes] = {}
    stop = asyncio.Event()

    async def handle(arrived: Arrived) -> Done:
        seen[arrived.delivery] = arrived.body
        for _ in range(2):
            await bus.inbox.note(arrived.delivery, 1, Note(7))
        if len(seen) == len(bodies):
            stop.set()
        return Done()

    await bus.inbox.work(handle, slots=1, stop=stop)
    assert seen == bodies
    assert [each.delivery for each in await all_of(bus)] == ["1", "2", "3"], "notes are no deliveries"
