"""The inbox when the server fails: what was accepted is there, once, and nobody is told otherwise."""

import asyncio
import random
from contextlib import aclosing

from msgspec import to_builtins

from bus import Arrived, Bus
from bus.connection import Connection
from bus.intake import FEW, Intake
from bus.topology import INBOX
from deploy.embedded.nats import NatsServer
from schemas import Actor
from tests.conftest import Connect
from tests.support.proxy import losing_proxy

HEADERS = {"X-GitHub-Event": "issues"}
LARGE = random.Random(5).randbytes(20 * 1024 * 1024)  # noqa: S311 - the same each time
"""As GitHub's largest, about."""
PATIENCE = 60.0


async def all_of(bus: Bus) -> list[Arrived]:
    async with aclosing(bus.inbox.replay()) as found:
        return [arrived async for arrived in found]


async def test_a_redelivery_is_one_after_a_restart_and_for_another_process(connect: Connect, nats: NatsServer) -> None:
    bus = await connect(Actor.GITHUB)
    for delivery, body in {"a": b"first", "large": LARGE}.items():
        assert await bus.inbox.store(delivery, HEADERS, body, timeout_seconds=PATIENCE)
    await nats.kill()
    await nats.start()
    for each in (bus, await connect(Actor.GITHUB)):
        for delivery in ("a", "large"):
            assert not await each.inbox.store(delivery, HEADERS, b"second", timeout_seconds=PATIENCE)
    assert [(each.delivery, each.body) for each in await all_of(bus)] == [("a", b"first"), ("large", LARGE)]


async def test_lost_acknowledgements_leave_nothing_stored_twice_and_nobody_wrongly_told(
    connect: Connect, nats: NatsServer
) -> None:
    """A try that was not answered is made again; what had landed is found to be that caller's own."""
    await connect(Actor.GITHUB)
    async with losing_proxy(nats.url, lose=0.4, seed=3) as proxy:
        bus = await Bus.connect(
            proxy.url, actor=Actor.GITHUB, source="github", key=nats.key(Actor.GITHUB), timeout_seconds=PATIENCE
        )
        async with bus:
            intake = Intake(bus.connection, INBOX, try_seconds=0.2)
            for wide in (1, FEW, 40):
                subjects = [f"inbox.github.delivery.{wide}-{number}" for number in range(3 * wide)]
                for start in range(0, len(subjects), wide):
                    group = subjects[start : start + wide]
                    storing = [intake.store(each, b"", {}, timeout_seconds=PATIENCE) for each in group]
                    assert all(await asyncio.gather(*storing)), "new, whichever try it was"
                fresh = Intake(bus.connection, INBOX, try_seconds=0.2)
                storing = [fresh.store(each, b"", {}, timeout_seconds=PATIENCE) for each in subjects]
                assert not any(await asyncio.gather(*storing))
            assert proxy.lost > 0
    found = await all_of(await connect(Actor.GITHUB))
    assert len(found) == 3 * (1 + FEW + 40)


async def test_a_server_that_is_killed_in_the_middle_is_waited_for(connect: Connect, nats: NatsServer) -> None:
    bus = await connect(Actor.GITHUB)
    storing = [
        asyncio.create_task(bus.inbox.store(str(number), HEADERS, b"x" * 10_000, timeout_seconds=PATIENCE))
        for number in range(600)
    ]
    await asyncio.wait(storing, return_when=asyncio.FIRST_COMPLETED)
    await nats.kill()
    await nats.start()
    assert all(await asyncio.gather(*storing))
    assert len(await all_of(bus)) == 600


async def test_where_a_batch_is_refused_each_has_an_answer_of_its_own(connect: Connect, root: Connection) -> None:
    bus = await connect(Actor.GITHUB)
    await root.api(f"$JS.API.STREAM.UPDATE.{INBOX.name}", to_builtins(INBOX) | {"allow_atomic": False})
    storing = [bus.inbox.store(str(number), HEADERS, b"", timeout_seconds=PATIENCE) for number in range(2 * FEW)]
    assert all(await asyncio.gather(*storing))


async def test_what_a_server_has_lost_is_taken_again(connect: Connect, nats: NatsServer, root: Connection) -> None:
    """It cannot lose anything but while it is away, so then what is known of it here is forgotten."""
    bus = await connect(Actor.GITHUB)
    assert await bus.inbox.store("a", HEADERS, b"")
    await root.api(f"$JS.API.STREAM.DELETE.{INBOX.name}")
    await root.api(f"$JS.API.STREAM.CREATE.{INBOX.name}", INBOX)
    assert not await bus.inbox.store("a", HEADERS, b"")
    reconnects = bus.connection.reconnects
    await nats.kill()
    await nats.start()
    while bus.connection.reconnects == reconnects:  # noqa: ASYNC110 - nobody sets an event
        await asyncio.sleep(0.01)
    assert await bus.inbox.store("a", HEADERS, b"", timeout_seconds=PATIENCE)
