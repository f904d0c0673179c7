"""Subjects, replies and headers are anybody's bytes: no message ends the reading of those who hear it."""

import asyncio
import json
from urllib.parse import urlsplit

import pytest

from bus import Bus
from bus.connection import MAX_PAYLOAD, Answer
from bus.replay import replay
from bus.sturdy import SturdyClient
from deploy.embedded.nats import NatsServer
from schemas import Actor
from tests.conftest import Connect
from tests.support.jobs import fill, make, working
from tests.support.servers import as_root


def published(subject: bytes, head: bytes = b"", reply: bytes = b"") -> bytes:
    """A frame of the client protocol."""
    if not head:
        return b"PUB %s %s 2\r\nhi\r\n" % (subject, reply)
    return b"HPUB %s %s %d %d\r\n%shi\r\n" % (subject, reply, len(head), len(head) + 2, head)


STRANGE = [
    published(b"rig.jobs.\xff"),  # subject
    published(b"rig.jobs.\xff", b"NATS/1.0\r\nA: \xff\r\n\r\n"),  # subject and headers
    published(b"rig.jobs.a\x0b1"),  # subject with a byte that Python calls a space
    published(b"rig.jobs.a", b"NATS/1.0 \xff\xff\xff\r\nA: b\r\n\r\n"),  # status
    published(b"rig.jobs.a", b"NATS/1.0 100 \xff\r\n\r\n"),  # description
    published(b"rig.jobs.a", b"NATS/1.0"),  # no end of the headers
    published(b"rig.jobs.a", b"abc"),  # no headers
]
ALL = list(range(1, 2 * len(STRANGE) + 1))
"""Positions: each of them, and a message after it."""


@pytest.fixture
def connect(connect_freely: Connect) -> Connect:
    """A durable of the tests' own, and readers that may hear everything."""
    return connect_freely


async def raw(server: NatsServer, frame: bytes) -> None:
    """What no client library would send; it has been taken in after this."""
    url = urlsplit(as_root(server))
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    await reader.readline()
    login = {"user": url.username, "pass": url.password, "verbose": False, "headers": True}
    writer.write(b"CONNECT %s\r\n%sPING\r\n" % (json.dumps(login).encode(), frame))
    assert await reader.readline() == b"PONG\r\n"
    writer.close()
    await writer.wait_closed()


def is_well(bus: Bus) -> bool:
    return bus.connection.connected and bus.connection.reconnects == 0


async def test_readers_go_past_it(connect: Connect, nats: NatsServer) -> None:
    role = await connect(Actor.LOCAL)
    async with role.log.follow(["rig.>"]) as everything, role.log.follow(["rig.jobs.>"]) as some:
        for number, frame in enumerate(STRANGE):
            await raw(nats, frame)
            await fill(role, "after")
            for reader in (everything, some):
                assert [(await reader.next()).position for _ in range(2)] == ALL[2 * number : 2 * number + 2]
    assert [item.position async for batch in replay(role.connection, ["rig.>"]) for item in batch] == ALL
    assert is_well(role)


async def test_a_durable_goes_past_it(connect: Connect, nats: NatsServer) -> None:
    role = await connect(Actor.LOCAL)
    await make(role)
    async with working(role) as worker:
        for frame in STRANGE:
            await raw(nats, frame)
            await fill(role, "after")
        await worker.until(lambda: worker.done == ALL)
    assert is_well(role)


@pytest.mark.parametrize(
    "frame",
    [
        published(b"ask.local.hello", reply=b"\xff"),
        published(b"ask.local.hello"),
        published(b"ask.local.hello", b"NATS/1.0 \xff\xff\xff\r\n\r\n", b"nobody"),
    ],
    ids=["reply", "no reply", "status"],
)
async def test_a_service_goes_past_it(connect: Connect, nats: NatsServer, frame: bytes) -> None:
    role = await connect(Actor.LOCAL)
    answered: list[bytes] = []

    async def hello(asked: bytes) -> Answer:
        answered.append(asked)
        return Answer(b"hello")

    await role.connection.offer("local", "hello", "ask.local.hello", hello)
    await raw(nats, frame)
    assert await role.connection.request("ask.local.hello", b"after") == b"hello"
    assert answered == ([b"hi", b"after"] if b"nobody" in frame else [b"after"])
    assert is_well(role)


async def test_what_the_server_would_cut_us_off_for_is_not_sent(connect: Connect) -> None:
    role = await connect(Actor.LOCAL)
    with pytest.raises(ValueError, match="no message"):
        await role.connection.publish_many([("rig.jobs.a", b"x" * MAX_PAYLOAD, {"A": "b"}), ("rig.jobs.a", b"", {})])
    await role.connection.check()
    assert is_well(role)


async def test_a_connection_that_cannot_read_on_comes_back(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    role = await connect(Actor.LOCAL)
    build, failed = SturdyClient._build_message, asyncio.Event()  # pyright: ignore[reportPrivateUsage]

    def fails_once(*arguments: object) -> object:
        if not failed.is_set():
            failed.set()
            raise RecursionError
        return build(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(SturdyClient, "_build_message", fails_once)
    async with role.log.follow() as reader, asyncio.timeout(20):  # sooner than by pings that are not answered
        await fill(role, "after")
        assert (await reader.next()).position == 1
    assert failed.is_set()
    assert role.connection.reconnects == 1
    assert "could not be read" in caplog.text
