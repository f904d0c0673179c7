"""Services and plain messages."""

import asyncio

import pytest
from msgspec import Struct

from bus import NoService, Refused, Unavailable
from bus.connection import MAX_PAYLOAD, Answer, Message
from schemas import Actor
from tests.contract.conftest import Carrier, MakeBus


class Number(Struct):
    value: int


class Words(Struct):
    text: str


async def test_a_service_answers_refuses_and_is_missed(make_bus: MakeBus) -> None:
    serving, asking = await make_bus(Actor.LOCAL), await make_bus(Actor.CLI)

    async def double(asked: Number) -> Number:
        if asked.value < 0:
            raise Refused("negative numbers are not doubled here")
        return Number(asked.value * 2)

    await serving.services.serve("local", "double", Number, double)
    answers = await asyncio.gather(*(asking.services.ask("local", "double", Number(n), Number) for n in range(20)))
    assert answers == [Number(n * 2) for n in range(20)]
    with pytest.raises(Refused, match="negative numbers"):
        await asking.services.ask("local", "double", Number(-1), Number)
    with pytest.raises(NoService, match="query"):
        await asking.services.ask("query", "double", Number(1), Number)


async def test_who_asks_for_more_than_a_message_holds_is_told_so(make_bus: MakeBus) -> None:
    serving, asking = await make_bus(Actor.LOCAL), await make_bus(Actor.CLI)

    async def words(asked: Number) -> Words:
        return Words("x" * asked.value)

    await serving.services.serve("local", "words", Number, words)
    most = MAX_PAYLOAD - 1_024 - len('{"text":""}')
    assert len((await asking.services.ask("local", "words", Number(most), Words)).text) == most
    with pytest.raises(Refused, match="the answer has 1047553 bytes and a message 1047552: ask for less"):
        await asking.services.ask("local", "words", Number(most + 1), Words)


async def test_a_service_is_there_again_after_a_crash(make_bus: MakeBus, carrier: Carrier) -> None:
    serving, asking = await make_bus(Actor.LOCAL), await make_bus(Actor.CLI)

    async def same(asked: Number) -> Number:
        return asked

    await serving.services.serve("local", "same", Number, same)
    await carrier.crash()
    await carrier.restart()
    while True:
        try:
            assert await asking.services.ask("local", "same", Number(1), Number) == Number(1)
            break
        except NoService:
            await asyncio.sleep(0.1)


async def test_of_a_queue_group_one_hears_and_everybody_else_too(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.CONDUCTOR, free=True)
    group: list[Message] = []
    everybody: list[Message] = []
    for _ in range(3):
        await bus.connection.subscribe("news.today", group.append, queue="readers")
    subscription = await bus.connection.subscribe("news.*", everybody.append)
    await bus.connection.check()
    for number in range(30):
        await bus.connection.publish("news.today", b"%d" % number, headers={"X": str(number)})
    await bus.connection.check()
    assert sorted(int(m.data) for m in group) == list(range(30))
    assert [(m.data, m.headers) for m in everybody] == [(b"%d" % n, {"X": str(n)}) for n in range(30)]
    await subscription.unsubscribe()
    await bus.connection.publish("news.today", b"later")
    await bus.connection.check()
    assert len(everybody) == 30


async def test_what_is_too_large_with_its_headers_is_not_sent(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.DEV_E)
    for body, headers in ((MAX_PAYLOAD + 1, {}), (MAX_PAYLOAD - 40, {"A": "x" * 40}), (1, {"A": "é" * MAX_PAYLOAD})):
        with pytest.raises(Unavailable, match="bytes with its headers"):
            await bus.connection.publish("run.dev-e.x", b"x" * body, headers=headers)
    await bus.connection.check()


async def test_a_closed_connection_says_so(make_bus: MakeBus) -> None:
    bus, forge = await make_bus(Actor.CLI), await make_bus(Actor.LOCAL)
    asked = asyncio.Event()

    async def never(_: bytes) -> Answer:
        asked.set()
        await asyncio.Event().wait()
        return Answer(b"")

    await forge.connection.offer("local", "never", "ask.local.never", never)
    asking = asyncio.create_task(bus.connection.request("ask.local.never", timeout_seconds=3_600))
    await asked.wait()
    await bus.close()
    with pytest.raises(Unavailable, match="the connection was closed"):
        await asking
    assert bus.connection.closed.is_set()
    assert not bus.connection.connected
    with pytest.raises(Unavailable):
        await bus.connection.publish("news.today", b"")
    with pytest.raises(Unavailable):
        await bus.connection.subscribe("news.today", lambda message: None)
