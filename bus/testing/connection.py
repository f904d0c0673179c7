"""The second carrier: a connection to a server in memory, equal to the real one in what it promises and refuses."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

from bus.connection import Answer, Connection, Heard, Subscription, check_size
from bus.errors import Unavailable
from bus.testing.core import SECOND
from bus.testing.grants import Grants
from bus.testing.jetstream import VERSION
from bus.testing.message import Packet, encoded
from bus.testing.server import Link, MemoryServer
from bus.testing.subjects import is_subject

__all__ = ["MemoryConnection"]


class MemoryConnection(Connection):
    """A connection that is up. Make one with `connect`."""

    def __init__(self, server: MemoryServer, name: str, key: str | None) -> None:
        super().__init__(key or name)
        self.name = name
        self._server = server
        self._link = Link(server, self, Grants(key))
        self._inboxes = 0
        self._number = server.next_client()
        self._answering: set[asyncio.Task[None]] = set()

    @classmethod
    async def connect(cls, server: MemoryServer, *, name: str, key: str | None = None) -> "MemoryConnection":
        """`key`: whose; without one it may do everything. Raises Unavailable when the server is down."""
        if not server.running:
            raise Unavailable("no NATS server for us in memory: it is down")
        connection = cls(server, name, key)
        server.links.append(connection._link)
        await connection._listen()
        return connection

    @property
    def connected(self) -> bool:
        return self._link.up and not self.closed.is_set()

    @property
    def reconnects(self) -> int:
        return self._link.restored

    @property
    def server_version(self) -> str:
        return f"{VERSION}, in memory"

    def now(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self._server.core.now() // 1_000)

    def clock(self) -> float:
        return self._server.core.now() / SECOND

    def inbox(self) -> str:
        self._inboxes += 1
        return f"_INBOX.{self._number}.{self._inboxes}"

    async def publish(
        self, subject: str, body: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        self._check(subject, "publish on")
        check_size(subject, body, headers)
        self._link.send(Packet(subject, body, reply, encoded(headers)))

    async def _subscribe(self, subject: str, heard: Heard, queue: str) -> Subscription:
        self._check(subject, "subscribe to")

        def hear(packet: Packet) -> None:
            heard(Packet(packet.subject, packet.data, packet.reply, dict(packet.headers) if packet.headers else None))

        return _Subscription(self, self._link.subscribe(subject, hear, queue))

    async def _offer(self, service: str, name: str, subject: str, answer: Callable[[bytes], Awaitable[Answer]]) -> None:
        async def respond(packet: Packet) -> None:
            given = await answer(packet.data)
            headers: dict[str, str] = {}
            if given.refusal is not None:
                code, text = given.refusal
                headers = {"Nats-Service-Error": text, "Nats-Service-Error-Code": code}
            await self.publish(packet.reply, given.body, headers=headers)

        def asked(packet: Packet) -> None:
            if not packet.reply:
                return  # nobody to answer
            answering = asyncio.create_task(respond(packet))
            self._answering.add(answering)
            answering.add_done_callback(self._answering.discard)

        self._check(subject, "subscribe to")
        self._link.subscribe(subject, asked, "q")

    async def close(self) -> None:
        for answering in self._answering:
            answering.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        self._link.close()
        self._give_up()
        self.closed.set()

    def _check(self, subject: str, what: str) -> None:
        if self.closed.is_set():
            raise Unavailable(f"cannot {what} {subject}: nats: connection closed")
        if not is_subject(subject):
            raise Unavailable(f"cannot {what} {subject}: nats: invalid subject")

    # ── what the server tells the client ─────────────────────────────────────

    def refused(self, verb: str, subject: str) -> None:
        """The server has refused a subject."""
        self._refuse(verb, subject)


class _Subscription:
    def __init__(self, connection: MemoryConnection, end: Callable[[], asyncio.Future[None]]) -> None:
        self._connection = connection
        self._end = end

    async def unsubscribe(self) -> None:
        if self._connection.closed.is_set():
            raise Unavailable("cannot unsubscribe: nats: connection closed")
        await self._end()
