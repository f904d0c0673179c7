"""The connection to a real nats-server: opened with checks, kept alive, closed in order.

Only this file and sturdy.py know the client library. What is checked of the server: see suitable.py.

A subject that our key may not use, the server refuses on another way than it answers: here that becomes NotPermitted.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, cast

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.errors import ConnectionClosedError, NoServersError, OutboundBufferLimitError
from nats.errors import Error as NatsError
from nats.micro import add_service  # pyright: ignore[reportUnknownVariableType] - untyped **kwargs
from nats.micro.request import Request
from nats.micro.service import Service
from nkeys import NkeysError, from_seed  # pyright: ignore[reportUnknownVariableType]

from bus.connection import MAX_PAYLOAD, Answer, Connection, Heard, Message, Subscription, check_size
from bus.errors import Unavailable
from bus.insist import insist
from bus.sturdy import SturdyClient
from bus.suitable import check_server

log = logging.getLogger(__name__)

_STRETCH: Final = 32
"""Messages that are written at one go."""
_SUBJECT: Final = re.compile(r"[^\t\n\r ]+")
SERVICE_VERSION: Final = "1.0.0"
_BOOTTIME: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_VIOLATION: Final = re.compile(
    r"permissions violation for (?P<verb>publish|subscription)[a-z ]*\"(?P<subject>[^\"]*)\"", re.IGNORECASE
)


class NatsConnection(Connection):
    """A connected client. Make one with `connect`; close it with `close`."""

    def __init__(self, client: Client, principal: str) -> None:
        super().__init__(principal)
        self._client = client
        self._offered: dict[str, Service] = {}
        self._answering: set[asyncio.Task[None]] = set()

    @classmethod
    async def connect(
        cls, url: str, *, name: str, key: Path | None = None, timeout_seconds: float = 10.0
    ) -> "NatsConnection":
        """Connects and checks the server. `key` is the file of a principal's seed; without one, the URL holds a login.

        Raises Unavailable when no server at `url` answers within the deadline, Unsuitable when it is too old or not
        durable (RIG_ALLOW_LOSSY=1 lets a server without proof of durability pass, with a warning).
        """
        if key is not None:
            _check_key(key)
        until = asyncio.get_running_loop().time() + timeout_seconds
        client = SturdyClient()
        connection = cls(client, name if key is None else key.stem)

        heard = ""
        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def said(error: Exception) -> None:
            nonlocal heard
            if violation := _VIOLATION.search(str(error)):
                publishing = violation["verb"].lower() == "publish"
                connection._refuse("publish to" if publishing else "subscribe to", violation["subject"])
                return
            level = logging.DEBUG if str(error) == heard else logging.WARNING  # a server that is away: said once
            heard = str(error)
            log.log(level, "nats: %s", error)
            if "authorization violation" in heard.lower() and not refused.done():
                refused.set_result(None)

        async def back() -> None:
            nonlocal heard
            heard = ""
            log.info("nats: connected again")

        async def closed() -> None:
            connection.closed.set()

        connecting = asyncio.ensure_future(
            client.connect(
                _each(url),
                name=name,
                nkeys_seed=None if key is None else str(key),
                error_cb=said,
                reconnected_cb=back,
                closed_cb=closed,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.2,  # pyright: ignore[reportArgumentType] - seconds; the client sleeps on it
                ping_interval=10,
                max_outstanding_pings=2,
                pending_size=16 * 1024 * 1024,
            )
        )
        try:
            # No patience helps against a wrong password; a server that is not there may come.
            await asyncio.wait((connecting, refused), timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                raise Unavailable(heard or f"nobody answered within {timeout_seconds:g} s")
            connecting.result()
        except (Unavailable, NoServersError, OSError, NatsError) as error:
            login = "the login" if key is None else f"the key {key}"
            reason = f"it refuses {login}" if refused.done() else str(error) or heard
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            with suppress(NatsError, OSError):
                await client.close()
            raise Unavailable(f"no NATS server for us at {_without_secret(url)}: {reason}") from None
        except asyncio.CancelledError:
            connecting.cancel()
            raise
        try:
            await connection._listen()
            connection.lossy = await insist(
                lambda: check_server(connection, max_payload=client.max_payload), until=until
            )
        except BaseException:
            await connection.close()
            raise
        return connection

    @property
    def connected(self) -> bool:
        return self._client.is_connected

    @property
    def reconnects(self) -> int:
        return self._client.stats["reconnects"]

    @property
    def server_version(self) -> str:
        version = self._client.connected_server_version
        return f"{version.major}.{version.minor}.{version.patch}"

    def now(self) -> datetime:
        return datetime.now(UTC)

    def clock(self) -> float:
        return time.clock_gettime(_BOOTTIME)

    def inbox(self) -> str:
        return self._client.new_inbox()

    async def publish(
        self, subject: str, body: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        check_size(subject, body, headers)
        try:
            await self._client.publish(subject, body, reply=reply, headers=cast("dict[str, str] | None", headers))
        except (ConnectionClosedError, OutboundBufferLimitError, NatsError, OSError) as error:
            raise Unavailable(f"cannot publish on {subject}: {error}") from None

    async def publish_many(self, messages: Sequence[tuple[str, bytes, Mapping[str, str]]]) -> None:
        """As the base says, in a third of the time: the client's own `publish` checks and copies each header."""
        client = self._client
        for start in range(0, len(messages), _STRETCH):
            if not client.is_connected:
                raise Unavailable("the connection to the server is lost")
            *stretch, (subject, body, headers) = messages[start : start + _STRETCH]
            await client._send_command(b"".join(_frame(*message) for message in stretch))  # pyright: ignore[reportPrivateUsage]
            await self.publish(subject, body, headers=headers)
            await asyncio.sleep(0)  # it goes out now: the server takes it in while we write on

    async def _subscribe(self, subject: str, heard: Heard, queue: str) -> Subscription:
        async def received(message: Msg) -> None:
            heard(cast("Message", message))

        try:
            subscription = await self._client.subscribe(subject, queue=queue, cb=received)  # pyright: ignore[reportUnknownMemberType] - an untyped Future among its parameters
        except (NatsError, OSError) as error:
            raise Unavailable(f"cannot subscribe to {subject}: {error}") from None
        return _Subscription(self, self._client, subscription)

    async def _offer(self, service: str, name: str, subject: str, answer: Callable[[bytes], Awaitable[Answer]]) -> None:
        """As the base says, by the client's micro-services: `nats micro ls` lists them."""
        if service not in self._offered:
            self._offered[service] = await add_service(self._client, name=service, version=SERVICE_VERSION)

        async def respond(asked: Request) -> None:
            given = await answer(asked.data)
            if given.refusal is None:
                await asked.respond(given.body)
            else:
                await asked.respond_error(*given.refusal)

        async def received(asked: Request) -> None:
            if not asked._msg.reply:  # pyright: ignore[reportPrivateUsage]
                return  # nobody to answer
            answering = asyncio.create_task(respond(asked))
            self._answering.add(answering)
            answering.add_done_callback(self._answering.discard)

        await self._offered[service].add_endpoint(name=name, subject=subject, handler=received)

    async def close(self) -> None:
        """As the base says. Never hangs on a pull that timed out (the client's `drain` does)."""
        for service in self._offered.values():
            await service.stop()
        self._offered.clear()
        for answering in self._answering:
            answering.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        with suppress(NatsError, OSError, TimeoutError):
            if self._client.is_connected:
                await self._client.flush(timeout=2)
        with suppress(NatsError, OSError):
            await self._client.close()
        self._give_up()


class _Subscription:
    def __init__(self, connection: NatsConnection, client: Client, subscription: NatsSubscription) -> None:
        self._connection = connection
        self._client = client
        self._subscription = subscription

    async def unsubscribe(self) -> None:
        """As the base says; within some seconds, whether or not the server is there."""
        ended = self._subscription
        try:
            if not self._client.is_connected:
                return await ended.unsubscribe()
            try:
                # Not the library's `drain`: its ping overtakes what waits to be written, so also this unsubscribing.
                await self._client._send_unsubscribe(ended._id)  # pyright: ignore[reportPrivateUsage]
                with suppress(Unavailable, TimeoutError):
                    await self._connection.request("$JS.API.INFO", timeout_seconds=1.0)
                    async with asyncio.timeout(1.0):
                        await ended._pending_queue.join()  # pyright: ignore[reportPrivateUsage]
            finally:
                ended._stop_processing()  # pyright: ignore[reportPrivateUsage]
                self._client._remove_sub(ended._id)  # pyright: ignore[reportPrivateUsage]
        except NatsError as error:
            raise Unavailable(f"cannot unsubscribe from {self._subscription.subject}: {error}") from None


def _frame(subject: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """One HPUB of the client protocol (https://docs.nats.io/reference/reference-protocols/nats-protocol)."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    block = f"NATS/1.0\r\n{lines}\r\n".encode()
    size = len(block) + len(body)
    if not _is_subject(subject) or lines.count("\n") != len(headers) or size > MAX_PAYLOAD:
        raise ValueError(f"no message: {subject[:120]!r} with {lines[:400]!r} and {len(body)} bytes")
    return b"HPUB %s %d %d\r\n%s%s\r\n" % (subject.encode(), len(block), size, block, body)


@lru_cache(maxsize=65_536)
def _is_subject(text: str) -> bool:
    return _SUBJECT.fullmatch(text) is not None


def _check_key(path: Path) -> None:
    try:
        from_seed(bytearray(path.read_bytes().strip()))  # pyright: ignore[reportUnknownMemberType]
    except (OSError, NkeysError) as error:
        raise Unavailable(f"there is no key to connect with in {path}: {str(error) or 'not a seed'}") from None


def _each(url: str) -> list[str]:
    """One for each server of a cluster."""
    return [server.strip() for server in url.split(",")]


def _without_secret(url: str) -> str:
    parts = [server.rpartition("://") for server in _each(url)]
    return ",".join(f"{scheme or 'nats'}://{rest.rpartition('@')[2]}" for scheme, _, rest in parts)
