"""The inbox: a delivery is stored once, whoever brings it, and comes out as it came in."""

import asyncio
import random
from contextlib import aclosing

import pytest
from msgspec import Struct

from bus import Arrived, Bus, Done, NoStream, ObjectTooLarge
from schemas import Actor, BadSubject
from tests.contract.conftest import MakeBus

HEADERS = {"X-GitHub-Event": "issues", "Content-Type": "application/json"}
LARGE = random.Random(5).randbytes(1 << 20)  # noqa: S311 - the same each time
"""Larger than a message."""


class Note(Struct):
    text: str


async def all_of(bus: Bus) -> list[Arrived]:
    async with aclosing(bus.inbox.replay()) as found:
        return [arrived async for arrived in found]


async def test_a_delivery_comes_out_as_it_came_in(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.GITHUB)
    bodies = {"1-a": b'{"a":1}', "no.3 > *": b"\xff\x00", "empty": b"", "large": LARGE}
    for delivery, body in bodies.items():
        assert await bus.inbox.store(delivery, HEADERS, body)
    found = await all_of(bus)
    assert {each.delivery: each.body for each in found} == bodies
    assert all(each.headers == HEADERS for each in found)
    assert await bus.inbox.known(["1-a", "2-b", "large"]) == {"1-a", "large"}
    assert await bus.inbox.known([]) == set()
    async with aclosing(bus.inbox.replay(after=found[0].position, until=found[2].position)) as some:
        assert [each.delivery async for each in some] == ["no.3 > *", "empty"]
    async with aclosing(bus.inbox.replay(since=found[3].stored_at)) as some:
        assert [each.delivery async for each in some][-1] == "large"


async def test_the_first_word_of_an_id_stays(make_bus: MakeBus) -> None:
    bus, other = await make_bus(Actor.GITHUB), await make_bus(Actor.GITHUB)
    assert await bus.inbox.store("a", HEADERS, b"first")
    for body in (b"first", b"second", LARGE):
        assert not await bus.inbox.store("a", HEADERS, body)
    assert not await other.inbox.store("a", HEADERS, b"third")
    assert [each.body for each in await all_of(other)] == [b"first"]


@pytest.mark.parametrize("count", [5, 200])
async def test_of_many_at_once_each_is_told_whether_it_is_new(make_bus: MakeBus, count: int) -> None:
    """One that is there already spoils nothing for its neighbours, whether this process knows of it or not."""
    bus, other = await make_bus(Actor.GITHUB), await make_bus(Actor.GITHUB)
    for number in range(0, count, 3):
        await bus.inbox.store(str(number), HEADERS, b"first")
    for asked in (other, bus):
        told = await asyncio.gather(*(asked.inbox.store(str(number), HEADERS, b"x") for number in range(count)))
        assert told == [number % 3 != 0 and asked is other for number in range(count)]
    told = await asyncio.gather(*(bus.inbox.store(f"same {number % 20}", HEADERS, b"") for number in range(count)))
    assert sum(told) == min(count, 20)
    found = [each.delivery for each in await all_of(bus)]
    assert len(found) == len(set(found)) == count + min(count, 20)


async def test_what_nobody_may_say_is_refused(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.GITHUB)
    for hostile in ({"Nats-Rollup": "all"}, {"rig-object": "x"}, {"X": "a\r\nNats-TTL: 1s"}, {"X": "ä"}, {"X:": "y"}):
        with pytest.raises(ValueError, match="no header of a delivery"):
            await bus.inbox.store("a", hostile, b"")
    for hostile in ("", "x" * 301):
        with pytest.raises(BadSubject):
            await bus.inbox.store(hostile, HEADERS, b"")
    with pytest.raises(ObjectTooLarge):
        await bus.inbox.note("a", 1, Note("x" * (1 << 20)))
    assert await bus.inbox.known(["a"]) == set()
    cli = await make_bus(Actor.CLI)
    with pytest.raises(NoStream):
        await cli.inbox.work(never, slots=1, stop=asyncio.Event())


async def never(_: Arrived) -> Done:
    raise AssertionError


async def test_every_delivery_is_worked_on_and_what_became_of_it_is_noted_once(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.GITHUB)
    bodies = {"1": b"one", "2": LARGE, "3": b"three"}
    for delivery, body in bodies.items():
        await bus.inbox.store(delivery, HEADERS, body)
    seen: dict[str, bytes] = {}
    stop = asyncio.Event()

    async def handle(arrived: Arrived) -> Done:
        seen[arrived.delivery] = arrived.body
        for text in ("said", "said again"):
            await bus.inbox.note(arrived.delivery, 1, Note(text))
        if len(seen) == len(bodies):
            stop.set()
        return Done()

    await bus.inbox.work(handle, slots=1, stop=stop)
    assert seen == bodies
    assert [each.delivery for each in await all_of(bus)] == ["1", "2", "3"], "notes are no deliveries"
    async with aclosing(bus.inbox.noted(Note)) as notes:
        assert [note.text async for note in notes] == ["said", "said", "said"]
    async with aclosing(bus.inbox.noted(Arrived)) as notes:
        assert [note async for note in notes] == [], "what is none is left out"
    asked = {"last_by_subj": "inbox.github.outcome.2.1"}
    assert b'"data":"eyJ0ZXh0Ijoic2FpZCJ9"' in await bus.connection.api("$JS.API.STREAM.MSG.GET.RIG_INBOX", asked)
