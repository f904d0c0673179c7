"""The memories looked after on real servers: once, by any number of projectors, and never what has changed since."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bus import Bus
from conductor.postgres import connect as open_session
from conductor.projector.keeping import Keeper, keep
from conductor.projector.verify import verify
from deploy.embedded.nats import NatsServer
from schemas import (
    Actor,
    Draft,
    Event,
    MemoriesCompacted,
    MemoryEmbedded,
    MemoryForgotten,
    MemoryKind,
    MemoryRef,
    MemoryUsed,
    MemoryWritten,
    Recorded,
)
from tests.support.readside import projecting, reached, rows
from tests.support.servers import reaching

Connect = Callable[..., Awaitable[Bus]]

NOW = datetime.now(UTC)
PAST, FUTURE = NOW - timedelta(days=1), NOW + timedelta(days=1)
RIG = MemoryRef("rig")
FACT = MemoryWritten(memory="a", kind=MemoryKind.FACT, title="The CI is slow", text="On Mondays.")
SAID = ["rig.memory.*.projector.>"]
NEVER = 1e6
"""Seconds until a keeper looks again."""


def written(name: str, **fields: Any) -> MemoryWritten:
    return MemoryWritten(memory=name, kind=MemoryKind.FACT, **{"title": name, "text": name, **fields})


@pytest.fixture
async def agent(connect: Connect) -> Bus:
    return await connect(Actor.DEV_E)


async def tell(agent: Bus, *events: Event) -> int:
    """What an agent says of the rig's memories; the last position."""
    position = 0
    for event in events:
        last = await agent.log.last()
        position = await agent.log.publish(Draft(about=RIG, data=event), f"e{0 if last is None else last.position}")
    return position


async def next_word(bus: Bus, after: int = 0) -> Recorded:
    """What a projector says next; the test's time limit is the bound."""
    async with bus.log.follow(SAID, after=after) as reader:
        found = (await reader.next()).decoded()
        assert isinstance(found, Recorded)
        return found


async def names(url: str) -> list[str]:
    return [name for (name,) in await rows(url, "select row ->> 'memory' from rig.memories order by 1")]


async def agrees(bus: Bus, url: str) -> None:
    """The tables are as the log says."""
    last = await bus.log.last()
    assert last is not None
    await reached(url, last.position)
    session = await open_session(url, name="test")
    assert (await verify(bus, session, lambda *_: None)).differs == {}
    await session.close()


async def test_at_start_and_then_when_it_is_due_again(connect: Connect, agent: Bus, postgres_url: str) -> None:
    times = [NOW]
    await tell(
        agent,
        written("gone", expires_at=PAST),
        written("later", expires_at=FUTURE),
        written("one", title="Same.", text="It is"),
        MemoryUsed(memory="one"),
        written("two", title="same", text="it  IS!"),
        written("stays"),
    )
    bus = await connect(Actor.PROJECTOR)
    keeper = Keeper(bus, postgres_url, now=lambda: times[0], seconds=0.02)
    async with projecting(bus, postgres_url, keeper):
        forgotten = await next_word(agent)
        compacted = await next_word(agent, forgotten.position)
        assert isinstance(forgotten.event.data, MemoryForgotten)
        assert (forgotten.event.data.memory, forgotten.event.data.by) == ("gone", "retention: expired")
        data = compacted.event.data
        assert isinstance(data, MemoriesCompacted)
        assert (data.into, data.replaced, data.written) == ("one", ("two",), {"one": 3, "two": 5})
        times[0] = FUTURE
        later = await next_word(agent, compacted.position)
        assert (later.event.actor, later.event.source) == ("projector", "projector")
        assert isinstance(later.event.data, MemoryForgotten)
        assert later.event.data.memory == "later"
        await agrees(bus, postgres_url)
        assert await names(postgres_url) == ["one", "stays"]
    assert len(await agent.log.history(SAID)) == 3


async def test_two_projectors_and_a_third_that_comes_later_say_it_once(
    connect: Connect, agent: Bus, postgres_url: str
) -> None:
    count = 40
    await tell(agent, *(written(f"m{number}", expires_at=PAST) for number in range(count)))
    last = await tell(agent, *(written(f"n{number}", title="Same", text="") for number in range(3)))
    buses = [await connect(Actor.PROJECTOR) for _ in range(3)]
    keepers = [Keeper(bus, postgres_url, seconds=NEVER) for bus in buses]
    async with projecting(buses[0], postgres_url, keepers[0]), projecting(buses[1], postgres_url, keepers[1]):
        await reached(postgres_url, last + count + 1)
    async with projecting(buses[2], postgres_url, Keeper(buses[2], postgres_url, seconds=NEVER)):
        session = await open_session(postgres_url, name="test")
        assert not await keep(buses[2], session, NOW), "there is nothing left to say"
        await session.close()
        await agrees(agent, postgres_url)
    words = await agent.log.history(SAID)
    assert len(words) == len({said.event.id for said in words}) == count + 1
    assert await names(postgres_url) == ["n2"]


@pytest.mark.parametrize("meanwhile", [MemoryUsed(memory="a"), written("a", expires_at=FUTURE, text="Anew")])
async def test_used_or_written_anew_between_the_look_and_the_word_it_is_kept(
    connect: Connect, agent: Bus, postgres_url: str, monkeypatch: pytest.MonkeyPatch, meanwhile: Event
) -> None:
    bus = await connect(Actor.PROJECTOR)
    publish = bus.log.publish

    async def late(*arguments: Any, **options: Any) -> int:
        await tell(agent, meanwhile)
        return await publish(*arguments, **options)

    vector = MemoryEmbedded(memory="a", model="m", dimensions=1, vector=(1,))
    await tell(agent, written("a", expires_at=PAST), *([vector] if isinstance(meanwhile, MemoryUsed) else []))
    session = await open_session(postgres_url, name="test")
    async with projecting(agent, postgres_url, Keeper(agent, postgres_url, now=lambda: PAST - timedelta(days=1))):
        monkeypatch.setattr(bus.log, "publish", late)
        await keep(bus, session, NOW)
        monkeypatch.undo()
        assert len(await agent.log.history(SAID)) == 1
        await agrees(bus, postgres_url)
        assert await names(postgres_url) == ["a"]
        kept = await rows(postgres_url, "select key from rig.embeddings")
        assert len(kept) == isinstance(meanwhile, MemoryUsed), "its vector stays with it"
        await keep(bus, session, FUTURE)
        await agrees(bus, postgres_url)
        assert await names(postgres_url) == [], "as it stands now it is expired then"
        assert await rows(postgres_url, "select key from rig.embeddings") == []
    await session.close()


async def test_nothing_is_said_before_the_read_side_has_caught_up(
    connect: Connect, agent: Bus, postgres_url: str
) -> None:
    bus = await connect(Actor.PROJECTOR)
    first = await tell(agent, written("a", expires_at=PAST))
    idle = Keeper(agent, postgres_url, now=lambda: PAST - timedelta(days=1))
    async with projecting(agent, postgres_url, idle):
        await reached(postgres_url, first)
    await tell(agent, written("a"))
    session = await open_session(postgres_url, name="test")
    keeping = asyncio.create_task(keep(bus, session, NOW))
    async with projecting(agent, postgres_url, idle):
        assert not await keeping
    assert await agent.log.history(SAID) == []
    await session.close()


async def test_what_is_too_much_for_one_look_is_said_in_the_next(
    connect: Connect, agent: Bus, postgres_url: str
) -> None:
    bus = await connect(Actor.PROJECTOR)
    await tell(agent, *(written(f"m{number}", expires_at=PAST) for number in range(5)))
    session = await open_session(postgres_url, name="test")
    idle = Keeper(agent, postgres_url, now=lambda: PAST - timedelta(days=1))
    async with projecting(agent, postgres_url, idle):
        more = [await keep(bus, session, NOW, words_max=2) for _ in range(3)]
    assert more == [True, True, False]
    assert len(await agent.log.history(SAID)) == 5
    await session.close()


async def test_the_role_does_it_with_its_own_key(nats: NatsServer, agent: Bus, postgres_url: str) -> None:
    scope = MemoryRef("user:ann/\0")
    await agent.log.publish(Draft(about=scope, data=written("a", expires_at=PAST)), "odd")
    argv = [sys.executable, "-P", "-m", "deploy.roles", "projector"]
    environ = {**reaching(nats, "projector"), "RIG_POSTGRES_URL": postgres_url}
    process = subprocess.Popen(argv, env=environ, stderr=subprocess.DEVNULL)  # noqa: ASYNC220 - at once
    try:
        said = await next_word(agent)
        assert (said.event.actor, said.event.about) == ("projector", scope)
        await reached(postgres_url, said.position)
        assert await names(postgres_url) == []
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)
