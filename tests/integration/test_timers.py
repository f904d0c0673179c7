"""Timers on a real server: set, moved, cancelled, and fired to whoever is there."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import Struct, json

from bus import Bus, Delivery, Done, NoStream, Outcome
from bus.topology import CONDUCTOR_TIMERS
from deploy.embedded.server import Server
from schemas import Actor
from tests.conftest import Connect


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def fired(bus: Bus, *wanted: bytes) -> list[bytes]:
    """What fires, in order, until all of these bodies have come."""
    stop = asyncio.Event()
    bodies: list[bytes] = []

    async def hear(delivery: Delivery) -> Outcome:
        bodies.append(delivery.body)
        if set(wanted) <= set(bodies):
            stop.set()
        return Done()

    await bus.timers.fired(hear, stop=stop)
    return bodies


async def test_a_timer_fires_once_at_the_time_that_was_said_last(connect: Connect) -> None:
    bus = await connect(Actor.CONDUCTOR)
    await asyncio.gather(  # one behind the other at the server: nothing fires between two of them
        bus.timers.set("moved", soon(1.0), b"first"),
        bus.timers.set("moved", soon(1.2), b"moved"),
        bus.timers.set("set again", soon(1.0), b"cancelled"),
        bus.timers.cancel("set again"),
        bus.timers.set("set again", soon(1.2), b"set again"),
        bus.timers.set("of the past", soon(-60), b"of the past"),
    )
    found = await fired(bus, b"moved", b"set again")
    assert sorted(found) == [b"moved", b"of the past", b"set again"]
    assert found[0] == b"of the past"


async def test_a_cancelled_timer_does_not_fire_and_leaves_nothing(connect: Connect, nats: Server) -> None:
    class State(Struct):
        messages: int

    class Info(Struct):
        state: State

    bus = await connect(Actor.CONDUCTOR)
    await bus.timers.set("kept", soon(1.2), b"kept")
    await asyncio.gather(  # one behind the other at the server: nothing fires between two of them
        *(bus.timers.set(f"cancelled {number}", soon(1.0), b"cancelled") for number in range(3)),
        *(bus.timers.cancel(f"cancelled {number}") for number in range(3)),
    )
    await bus.timers.cancel("never set")
    await nats.kill()  # a server that starts again reads its timers from what is stored
    await nats.start()
    assert await fired(bus, b"kept") == [b"kept"]
    while True:
        info = await bus.connection.api(f"$JS.API.STREAM.INFO.{CONDUCTOR_TIMERS.name}")
        if json.decode(info, type=Info).state.messages == 1:  # the firing
            break
        await asyncio.sleep(0.05)


async def test_timers_fire_after_a_restart_of_the_server(connect: Connect, nats: Server) -> None:
    bus = await connect(Actor.CONDUCTOR)
    await bus.timers.set("key", soon(0.2), b"fired")
    await nats.kill()
    await nats.start()
    assert await fired(bus, b"fired") == [b"fired"]


async def test_a_role_without_a_stream_of_timers_is_told_so(connect: Connect) -> None:
    bus = await connect(Actor.DEV_E)
    with pytest.raises(NoStream, match="dev-e has no stream of timers"):
        await bus.timers.set("key", soon(1), b"")
