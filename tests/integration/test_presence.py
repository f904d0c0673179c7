"""Presence on a real server: who is there, and who has fallen silent, by the server's word."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from msgspec import json

from bus import Bus, Seen, Silent, presence
from bus.client import NatsConnection
from bus.connection import Heard, Subscription
from bus.presence import Sight
from bus.topology import PRESENCE
from deploy.embedded.server import Server
from schemas import Actor, AgentStatus, Heartbeat
from tests.conftest import Connect


def beat(agent: str, boot: str = "b-1", role: str = "dev-e") -> Heartbeat:
    return Heartbeat(agent=agent, role=role, boot=boot, status=AgentStatus.IDLE, slots_free=1, provider="sh")


def shown(sight: Sight) -> str:
    return sight.heartbeat.agent if isinstance(sight, Seen) else f"{sight.agent} silent"


async def read(sights: AsyncGenerator[Sight], count: int) -> list[str]:
    return [shown(await anext(sights)) for _ in range(count)]


async def there(bus: Bus, *agents: str) -> None:
    """Waits until exactly these are there: a heartbeat takes a moment from the one stream to the other."""
    while tuple(heartbeat.agent for heartbeat in await bus.presence.now()) != agents:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def test_who_is_there_is_there_until_its_time_is_over(connect: Connect) -> None:
    bus = await connect(Actor.DEV_E)
    assert await bus.presence.now() == ()
    await bus.presence.beat(beat("dev-e-2"), ttl_seconds=60)
    await bus.presence.beat(beat("dev.e-1"), ttl_seconds=60)
    await there(bus, "dev-e-2", "dev.e-1")
    assert await bus.presence.now() == (beat("dev-e-2"), beat("dev.e-1"))
    await bus.presence.beat(beat("dev-e-2"), ttl_seconds=1)
    await there(bus, "dev.e-1")


async def test_a_watcher_sees_who_is_there_then_every_beat_and_every_silence_of_whom_it_saw(connect: Connect) -> None:
    bus, watcher = await connect(Actor.DEV_E), await connect(Actor.CONDUCTOR)
    await bus.presence.beat(beat("a"), ttl_seconds=60)
    await bus.presence.beat(beat("b"), ttl_seconds=60)
    await there(bus, "a", "b")
    async with aclosing(watcher.presence.watch()) as sights:
        assert sorted(await read(sights, 2)) == ["a", "b"]
        await bus.presence.beat(beat("c"), ttl_seconds=1)
        assert await read(sights, 2) == ["c", "c silent"]
        async with aclosing(bus.presence.watch()) as late:  # the marker is still stored
            assert sorted(await read(late, 2)) == ["a", "b"]
            await bus.presence.beat(beat("a"), ttl_seconds=60)
            assert await read(late, 1) == ["a"]
        assert await read(sights, 1) == ["a"]
        await bus.presence.beat(beat("c", "b-2"), ttl_seconds=60)
        assert await anext(sights) == Seen(beat("c", "b-2"))


async def test_who_leaves_is_silent_soon(connect: Connect) -> None:
    bus, watcher = await connect(Actor.DEV_E), await connect(Actor.CONDUCTOR)
    async with aclosing(watcher.presence.watch()) as sights:
        await bus.presence.beat(beat("a"), ttl_seconds=60)
        assert await read(sights, 1) == ["a"]
        await bus.presence.leave(beat("a"))
        assert await read(sights, 2) == ["a", "a silent"]


async def test_who_leaves_does_not_take_its_successor_along(connect: Connect) -> None:
    old, new = await connect(Actor.DEV_E, "dev-e/old"), await connect(Actor.DEV_E, "dev-e/new")
    async with aclosing(old.presence.watch()) as sights:
        await old.presence.beat(beat("a", "b-1"), ttl_seconds=60)
        assert await anext(sights) == Seen(beat("a", "b-1"))
        await new.presence.beat(beat("a", "b-2"), ttl_seconds=60)
        await old.presence.leave(beat("a", "b-1"))
        await new.presence.beat(beat("b"), ttl_seconds=60)
        assert [await anext(sights) for _ in range(2)] == [Seen(beat("a", "b-2")), Seen(beat("b"))]


async def test_a_silence_while_the_server_was_away_is_said_when_it_is_back(connect: Connect, nats: Server) -> None:
    bus, watcher = await connect(Actor.DEV_E), await connect(Actor.CONDUCTOR)
    async with aclosing(watcher.presence.watch()) as sights:
        await bus.presence.beat(beat("goes"), ttl_seconds=1)
        assert await read(sights, 1) == ["goes"]
        next_one = asyncio.ensure_future(anext(sights))
        await nats.kill()
        await nats.start()
        assert await next_one == Silent("dev-e", "goes")
        await bus.presence.beat(beat("goes"), ttl_seconds=60)
        assert await read(sights, 1) == ["goes"]


async def test_what_was_lost_on_the_way_is_read(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    bus, watcher = await connect(Actor.DEV_E), await connect(Actor.CONDUCTOR)
    real = watcher.connection.subscribe

    async def deaf(subject: str, heard: Heard, *, queue: str = "") -> Subscription:
        lost = subject.startswith("stored.")
        return await real(subject, (lambda message: None) if lost else heard, queue=queue)

    monkeypatch.setattr(watcher.connection, "subscribe", deaf)
    monkeypatch.setattr(presence, "AUDIT_SECONDS", 0.5)
    await bus.presence.beat(beat("goes"), ttl_seconds=60)
    await there(bus, "goes")
    async with aclosing(watcher.presence.watch()) as sights:
        assert await read(sights, 1) == ["goes"]
        await bus.presence.beat(beat("goes"), ttl_seconds=1)
        await bus.presence.beat(beat("comes"), ttl_seconds=60)
        seen: set[str] = set()
        while not {"comes", "goes silent"} <= seen:
            seen.update(await read(sights, 1))
        assert seen <= {"comes", "goes", "goes silent"}, "its last heartbeat may have been over before it was read"


async def test_who_is_not_stored_any_more_is_silent_though_no_marker_says_so(
    connect: Connect, root: NatsConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = await connect(Actor.DEV_E)
    monkeypatch.setattr(presence, "AUDIT_SECONDS", 0.2)
    async with aclosing(bus.presence.watch()) as sights:
        await bus.presence.beat(beat("stays"), ttl_seconds=60)
        await bus.presence.beat(beat("goes"), ttl_seconds=60)
        assert sorted(await read(sights, 2)) == ["goes", "stays"]
        await root.api(f"$JS.API.STREAM.PURGE.{PRESENCE.name}", {"filter": "presence.dev-e.goes"})
        assert await anext(sights) == Silent("dev-e", "goes")


async def test_what_is_no_heartbeat_of_its_agent_is_not_seen(connect: Connect, root: NatsConnection) -> None:
    bus = await connect(Actor.DEV_E)
    async with aclosing(bus.presence.watch()) as sights:
        for subject, body in (
            ("presence.dev-e.a", b"not json"),
            ("presence.dev-e.deep", b'{"x":' + b"[" * 100_000),
            ("presence.dev-e.a", json.encode(beat("b"))),
            ("presence.dev-e.a", json.encode(beat("a", role="local"))),
            ("presence.a", json.encode(beat("a"))),
            ("presence.dev-e.a.b.c", json.encode(beat("a"))),
        ):
            await root.request(subject, body, headers={"Nats-TTL": "60s"})
        await bus.presence.beat(beat("real"), ttl_seconds=60)
        assert await read(sights, 1) == ["real"]
    assert await bus.presence.now() == (beat("real"),)
