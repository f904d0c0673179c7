"""What time does: timers fire, presence ends, leases run out."""

import asyncio
from contextlib import aclosing
from datetime import timedelta

import pytest

from bus import Delivery, Done, LeaseHeld, LeaseLost, Outcome, Seen, Silent
from bus.testing import VirtualLoop
from schemas import Actor, AgentStatus, Heartbeat
from tests.contract.conftest import Carrier, MakeBus
from tests.support.clock import pass_time


async def test_a_timer_fires_once_at_the_time_it_was_moved_to(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.CONDUCTOR)
    stop = asyncio.Event()
    fired: list[bytes] = []

    async def hear(delivery: Delivery) -> Outcome:
        fired.append(delivery.body)
        if {b"moved", b"last"} <= set(fired):
            stop.set()
        return Done()

    now = bus.connection.now()
    await bus.timers.set("moved", now + timedelta(hours=1), b"first")
    soon = bus.connection.now() + timedelta(seconds=1)
    await asyncio.gather(  # one behind the other at the server: nothing fires between two of them
        bus.timers.set("cancelled", soon, b"cancelled"),
        bus.timers.cancel("cancelled"),
        bus.timers.set("moved", soon, b"moved"),
        bus.timers.set("other", soon + timedelta(seconds=0.2), b"last"),
    )
    await bus.timers.fired(hear, stop=stop)
    assert sorted(fired) == [b"last", b"moved"]
    assert bus.connection.now() - soon >= timedelta(seconds=0.2)


async def test_a_timer_survives_a_crash(make_bus: MakeBus, carrier: Carrier) -> None:
    bus = await make_bus(Actor.CONDUCTOR)
    await bus.timers.set("key", bus.connection.now() + timedelta(seconds=0.5), b"body")
    await carrier.crash()
    await carrier.restart()
    stop = asyncio.Event()
    fired: list[bytes] = []

    async def hear(delivery: Delivery) -> Outcome:
        fired.append(delivery.body)
        stop.set()
        return Done()

    await bus.timers.fired(hear, stop=stop)
    assert fired == [b"body"]


async def test_who_falls_silent_is_said_to_be_so(make_bus: MakeBus) -> None:
    agent, watcher = await make_bus(Actor.DEV_E), await make_bus(Actor.CONDUCTOR)
    beat = Heartbeat(agent="dev-e-1", role="dev-e", boot="b", status=AgentStatus.IDLE, slots_free=1, provider="sh")
    await agent.presence.beat(beat, ttl_seconds=60)
    async with aclosing(watcher.presence.watch()) as watching:
        assert await anext(watching) == Seen(beat)
        assert await watcher.presence.now() == (beat,)
        await agent.presence.beat(beat, ttl_seconds=1)
        assert await anext(watching) == Seen(beat)
        assert await anext(watching) == Silent(role="dev-e", agent="dev-e-1")
        assert await watcher.presence.now() == ()
        await agent.presence.beat(beat, ttl_seconds=60)
        assert await anext(watching) == Seen(beat)
        await agent.presence.leave(beat)
        assert await anext(watching) == Seen(beat)
        assert await anext(watching) == Silent(role="dev-e", agent="dev-e-1")


async def time_passes(seconds: float) -> None:
    """For us: in memory for the server too, a real one has its own clock."""
    if isinstance(asyncio.get_running_loop(), VirtualLoop):
        await asyncio.sleep(seconds)
    else:
        pass_time(seconds)


async def test_a_lease_has_one_holder_and_its_next_a_higher_token(make_bus: MakeBus) -> None:
    one, two = await make_bus(Actor.LOCAL, "local/1"), await make_bus(Actor.LOCAL, "local/2")
    async with one.leases.hold("archive", ttl_seconds=60) as lease:
        with pytest.raises(LeaseHeld, match="local/1"):
            await two.leases.acquire("archive", ttl_seconds=1)
        while (held := await one.leases.look("archive")) is None or held.written < 5:  # renewed meanwhile
            await time_passes(20)
        lease.check()
        await lease.write(b"value")
        found = await two.leases.look("archive")
        assert found is not None
        assert (found.holder, found.token, found.value) == ("local/1", lease.token, b"value")
    taken = await two.leases.acquire("archive", ttl_seconds=60, wait_seconds=60)
    assert taken.token > lease.token


async def test_who_slept_through_its_lease_writes_no_more(make_bus: MakeBus) -> None:
    one, two = await make_bus(Actor.LOCAL, "local/1"), await make_bus(Actor.LOCAL, "local/2")
    slept = await one.leases.acquire("archive", ttl_seconds=1)
    taken = await two.leases.acquire("archive", ttl_seconds=60, wait_seconds=60)
    with pytest.raises(LeaseLost):
        slept.check()
    with pytest.raises(LeaseLost):
        await slept.write(b"late")
    found = await two.leases.look("archive")
    assert found is not None
    assert (found.token, found.value) == (taken.token, b"")
