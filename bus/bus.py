"""The bus of one role: a checked connection, and on it the log and everything else that a role works with."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType

from bus.client import NatsConnection
from bus.connection import Connection
from bus.dead import DeadLetters
from bus.ensure import ensure
from bus.inbox import Inbox
from bus.insist import insist
from bus.leases import Leases
from bus.log import Log
from bus.objects import Objects
from bus.presence import Presence
from bus.restored import ranges
from bus.runs import Runs
from bus.services import Services
from bus.timers import Timers
from bus.verify import verify
from schemas import Actor


class Bus:
    """What a role does its work with. Make one with `Bus.connect`."""

    def __init__(self, connection: Connection, actor: Actor, source: str) -> None:
        self.connection = connection
        self.log = Log(connection, actor, source)
        self.timers = Timers(connection, actor)
        self.leases = Leases(connection, actor, source)
        self.objects = Objects(connection, actor)
        self.inbox = Inbox(connection, actor, self.objects)
        self.presence = Presence(connection, actor)
        self.runs = Runs(connection, actor)
        self.services = Services(connection)
        self.dead = DeadLetters(connection)

    @classmethod
    async def connect(
        cls, url: str, *, actor: Actor, source: str, key: Path | None = None, timeout_seconds: float = 10.0
    ) -> "Bus":
        """Connects as an actor, with the key of its role; without one, the URL holds a login. The log must be there.

        Raises Unavailable at the deadline, Unsuitable or TopologyDrift, each saying what to do.
        """
        until = asyncio.get_running_loop().time() + timeout_seconds
        connection = await NatsConnection.connect(url, name=source, key=key, timeout_seconds=timeout_seconds)
        try:
            log = await insist(lambda: verify(connection), until=until)
            connection.restored = ranges(log.config)
        except BaseException:
            await connection.close()
            raise
        return cls(connection, actor, source)

    async def close(self) -> None:
        """Flushes and closes, in order."""
        await self.inbox.close()
        await self.log.close()
        await self.connection.close()

    async def __aenter__(self) -> "Bus":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


@asynccontextmanager
async def connected_to_log(
    url: str, *, name: str, key: Path | None = None, timeout_seconds: float = 10.0
) -> AsyncGenerator[Connection]:
    """A connection that nobody speaks on, with the log there: for who looks after it. Raises as `Bus.connect`."""
    connection = await NatsConnection.connect(url, name=name, key=key, timeout_seconds=timeout_seconds)
    try:
        connection.restored = ranges((await verify(connection)).config)
        yield connection
    finally:
        await connection.close()


async def make_streams(
    url: str, *, key: Path | None = None, replicas: int | None = None, timeout_seconds: float = 10.0
) -> list[str]:
    """Makes streams and durables what they must be, with the key of `admin`; what was changed: see `ensure`."""
    connection = await NatsConnection.connect(url, name="rig admin", key=key, timeout_seconds=timeout_seconds)
    try:
        return await ensure(connection, replicas=replicas)
    finally:
        await connection.close()
