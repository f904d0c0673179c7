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


async def fired(bus: Bus, until: bytes) -> list[bytes]:
    """What fires, in order, up to this body."""
    stop = asyncio.Event()
    bodies: list[bytes] = []

    async def hear(delivery: Delivery) -> Outcome:
        bodies.append(delivery.body)
        if delivery.body == until:
            stop.set()
        return Done()

    await bus.timers.fired(hear, stop=stop)
    return bodies


async def test_a_timer_fires_once_at_the_time_that_was_said_last(connect: Connect) -> None:
    bus = await connect(Actor.CONDUCTOR)
    await bus.timers.set("moved", soon(0.5), b"first")
    await bus.timers.set("moved", soon(0.7), b"moved")
    await bus.timers.set("set again", soon(0.5), b"cancelled")
    await bus.timers.cancel("set again")
    await bus.timers.set("set again", soon(0.8), b"set again")
    await bus.timers.set("of the past", soon(-60), b"of the past")
    assert await fired(bus, b"set again") == [b"of the past", b"moved", b"set again"]


async def test_a_cancelled_timer_does_not_fire_and_leaves_nothing(connect: Connect, nats: Server) -> None:
    class State(Struct):
        messages: int

    class Info(Struct):
        state: State

    bus = await connect(Actor.CONDUCTOR)
    for number in range(3):
        await bus.timers.set(f"cancelled {number}", soon(0.8), b"cancelled")
    await bus.timers.set("kept", soon(1.0), b"kept")
    for number in range(3):
        await bus.timers.cancel(f"cancelled {number}")
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
