"""The server in memory against the real one, question by question: what expires, and what is scheduled."""

# ruff: noqa: ASYNC110 - what is waited for is a fact on a server, and no event tells

import asyncio
from datetime import datetime, timedelta

import pytest

from bus.stored import last
from bus.topology import BEATS, CONDUCTOR_TIMERS, LEASES, PRESENCE
from tests.contract.transcript import Compare, Wire

pytestmark = pytest.mark.asyncio(loop_factories=["real"])  # both servers at once, in real time


async def test_what_expires_and_what_is_scheduled(compare: Compare) -> None:
    async def script(wire: Wire) -> None:
        for stream in (BEATS, PRESENCE, LEASES, CONDUCTOR_TIMERS):
            await wire.create(stream)
        stored = await wire.hear("stored.>")
        for ttl in ("0", "x", "-1s", "500ms", "0s", "2d", "never", "1", "1.5s", "1m", "1h30m"):
            await wire.ask("lease.any", ttl, Nats_TTL=ttl)
        await wire.ask("lease.held", "", Nats_TTL="1h", **{"Nats-Expected-Last-Subject-Sequence": 0})
        await wire.ask("lease.held", "", Nats_TTL="1h", **{"Nats-Expected-Last-Subject-Sequence": 0})
        await wire.ask("lease.mine", "", Nats_TTL="1s", **{"Nats-Expected-Last-Subject-Sequence": 0})
        await wire.ask("presence.agent", "here", Nats_TTL="1s")
        await wire.heard(stored, 2)  # the heartbeat, and the marker of its end
        while await last(wire.connection, LEASES, "lease.mine") is not None:
            await asyncio.sleep(0.05)
        await wire.ask("$JS.API.DIRECT.GET.RIG_PRESENCE", {"last_by_subj": "presence.agent"})
        await wire.ask("lease.mine", "", Nats_TTL="1s", **{"Nats-Expected-Last-Subject-Sequence": 0})
        await wire.ask("$JS.API.STREAM.INFO.RIG_BEATS")
        await wire.ask("presence.agent", "", Nats_Rollup="all")

        def at(seconds: float) -> str:
            when: datetime = wire.connection.now() + timedelta(seconds=seconds)
            return f"@at {when.isoformat(timespec='milliseconds').replace('+00:00', 'Z')}"

        timer = "timer.conductor"
        fired = {"Nats-Schedule-Target": f"{timer}.fired.d"}
        for headers in (
            {"Nats-Schedule": at(3_600), "Nats-Schedule-Target": "rig.x"},
            {"Nats-Schedule": "@at nonsense", **fired},
            {"Nats-Schedule": "nonsense", **fired},
            {"Nats-Schedule": at(3_600)},
            {"Nats-Schedule": at(3_600), "Nats-Schedule-Target": f"{timer}.set.d"},
            {"Nats-Schedule": at(3_600), "Nats-Schedule-Target": f"{timer}.>"},
            {"Nats-Schedule": at(3_600), **fired, "Nats-Schedule-TTL": "x"},
        ):
            wire.transcript.append(str(sorted(headers)))
            await wire.ask(f"{timer}.set.d", "refused", **headers)

        async def schedule(key: str, seconds: float, **more: str) -> None:
            target = {"Nats-Schedule-Target": f"{timer}.fired.{key}"}
            await wire.ask(f"{timer}.set.{key}", key, **{"Nats-Schedule": at(seconds)}, **target, **more)

        for key in ("a", "b", "b", "c"):
            await schedule(key, 3_600)
        await wire.ask("$JS.API.STREAM.PURGE.RIG_TIMERS_CONDUCTOR", {"filter": f"{timer}.set.c"})
        await wire.many("$JS.API.DIRECT.GET.RIG_TIMERS_CONDUCTOR", {"seq": 1, "batch": 9})
        await schedule("a", 0.5, Nats_Schedule_TTL="24h")
        await schedule("b", 1, X_Own="1")
        while await last(wire.connection, CONDUCTOR_TIMERS, f"{timer}.fired.b") is None:
            await asyncio.sleep(0.05)
        await wire.many("$JS.API.DIRECT.GET.RIG_TIMERS_CONDUCTOR", {"seq": 1, "batch": 9})
        forged = {"Nats-Scheduler": f"{timer}.set.e", "Nats-Schedule-Next": "purge"}
        await wire.ask(f"{timer}.set.e", "", **{"Nats-Schedule": at(3_600), "Nats-Schedule-Target": f"{timer}.fired.e"})
        await wire.ask(f"{timer}.fired.e", "", **forged)
        await wire.ask(f"{timer}.set.f", "", Nats_Rollup="all")
        await wire.many("$JS.API.DIRECT.GET.RIG_TIMERS_CONDUCTOR", {"seq": 1, "batch": 9})

    assert not (await compare(script)).differ
