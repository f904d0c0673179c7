"""One connection to the server: opened with checks, kept alive, closed in order.

The only file (with its neighbours in bus/) that knows the client library. It refuses a server that would quietly drop
a promise: one older than 2.14 ignores what it does not know (atomic batches, schedules, message TTL), and one that
does not sync each write to disk can lose what it acknowledged. Measured facts behind this: nats-server's `JSZ` tells
the sync setting, to an account that imports that one service.
"""

import asyncio
import itertools
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionClosedError, NoServersError, OutboundBufferLimitError
from nats.errors import Error as NatsError

from bus.errors import Conflict, ServerRefused, Unavailable, Unsuitable

log = logging.getLogger(__name__)

API_LEVEL: Final = 4
"""What nats-server 2.14 reports; 2.15 reports 5."""
CONFLICT_CODES: Final = frozenset({10071, 10164})
"""Wrong last sequence; the same on a replicated stream while another is in flight."""
DURABILITY_SUBJECT: Final = "$SYS.REQ.SERVER.PING.JSZ"


class _ApiError(Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Answer(Struct, frozen=True):
    error: _ApiError | None = None


class Connection:
    """A connected client. Make one with `connect`; close it with `close`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = ""
        self._tokens = itertools.count(1)
        self._answers: dict[str, asyncio.Future[Msg]] = {}
        self.closed = asyncio.Event()
        """Set when the connection is gone for good."""

    @classmethod
    async def connect(cls, url: str, *, name: str, timeout_seconds: float = 10.0) -> "Connection":
        """Connects and checks the server.

        Raises Unavailable when there is no server at `url` within the deadline, Unsuitable when it is too old or
        not durable (RIG_ALLOW_LOSSY=1 lets a server without proof of durability pass, with a warning).
        """
        client = Client()
        connection = cls(client)

        heard = ""
        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def said(error: Exception) -> None:
            nonlocal heard
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
                url,
                name=name,
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
            reason = "it refuses the login" if refused.done() else str(error) or heard
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
            await connection._check_server()
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _check_server(self) -> None:
        class Api(Struct):
            level: int = 0

        class Info(Struct):
            api: Api = msgspec.field(default_factory=Api)

        version = self._client.connected_server_version
        try:
            info = msgspec.json.decode(await self.api("$JS.API.INFO"), type=Info)
        except (Unavailable, ServerRefused) as error:
            raise Unsuitable(f"nats-server {version}: JetStream does not answer here ({error}); switch it on") from None
        if info.api.level < API_LEVEL:
            raise Unsuitable(
                f"nats-server {version} has JetStream API level {info.api.level}; Rig needs 2.14 or newer"
                " (older servers accept and drop what they do not know)"
            )
        problem = await self._durability_problem()
        if problem is None:
            return
        if os.environ.get("RIG_ALLOW_LOSSY") != "1":
            raise Unsuitable(f"nats-server {version}: {problem}")
        log.warning("nats-server %s is allowed to lose acknowledged events (RIG_ALLOW_LOSSY=1): %s", version, problem)

    async def _durability_problem(self) -> str | None:
        class Config(Struct):
            sync_always: bool = False

        class Data(Struct):
            config: Config = msgspec.field(default_factory=Config)

        class Jsz(Struct):
            data: Data = msgspec.field(default_factory=Data)

        try:
            body = await self.request(DURABILITY_SUBJECT, b'{"config":true}', timeout_seconds=2.0)
        except Unavailable:
            return (
                f"it does not say whether it syncs each write; let its account import the service {DURABILITY_SUBJECT}"
                " from the system account, or set RIG_ALLOW_LOSSY=1 to accept losing acknowledged events"
            )
        if msgspec.json.decode(body, type=Jsz).data.config.sync_always:
            return None
        return "it does not sync each write to disk; set `jetstream { sync_interval: always }`"

    @property
    def client(self) -> Client:
        return self._client

    @property
    def connected(self) -> bool:
        return self._client.is_connected

    async def check(self) -> None:
        """Proof that the read loop lives and JetStream answers. Raises Unavailable or ServerRefused."""
        await self.api("$JS.API.INFO", timeout_seconds=2.0)

    async def request(
        self, subject: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None, timeout_seconds: float = 5.0
    ) -> bytes:
        """One request, one answer. Raises Unavailable when none comes within the deadline."""
        return (await self.request_message(subject, body, headers=headers, timeout_seconds=timeout_seconds)).data

    async def request_message(
        self, subject: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None, timeout_seconds: float = 5.0
    ) -> Msg:
        """As `request`, with the answer's headers.

        Not the client's own `request`: on Python 3.11 that loses a cancellation which comes together with the answer.
        """
        token = f"{next(self._tokens)}"
        answered: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._answers[token] = answered
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.publish(subject, body, reply=f"{self._inbox}.{token}", headers=headers)
                message = await answered
        except TimeoutError:
            raise Unavailable(f"no answer on {subject} within {timeout_seconds:g} s") from None
        finally:
            del self._answers[token]
        if header(message, "Status") == "503":
            raise Unavailable(f"nobody answers on {subject}")
        return message

    async def _listen(self) -> None:
        """One subscription for the answers to all requests."""

        async def answered(message: Msg) -> None:
            waiting = self._answers.get(message.subject.rpartition(".")[2])
            if waiting is not None and not waiting.done():
                waiting.set_result(message)

        self._inbox = self.inbox()
        await self.subscribe(f"{self._inbox}.*", callback=answered)

    async def api(self, subject: str, request: object = None, *, timeout_seconds: float = 5.0) -> bytes:
        """One call of the JetStream API. Raises ServerRefused (or Conflict) with its reason, or Unavailable."""
        body = b"" if request is None else msgspec.json.encode(request)
        answer = await self.request(subject, body, timeout_seconds=timeout_seconds)
        raise_refusal(subject, answer)
        return answer

    async def publish(
        self, subject: str, body: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Fire and forget. Raises Unavailable when the connection is closed or its buffer is full."""
        try:
            await self._client.publish(subject, body, reply=reply, headers=dict(headers) if headers else None)
        except (ConnectionClosedError, OutboundBufferLimitError, NatsError, OSError) as error:
            raise Unavailable(f"cannot publish on {subject}: {error}") from None

    async def subscribe(
        self, subject: str, *, queue: str = "", callback: Callable[[Msg], Awaitable[None]] | None = None
    ) -> Subscription:
        """A plain subscription. Raises Unavailable when the connection is closed."""
        try:
            return await self._client.subscribe(subject, queue=queue, cb=callback)  # pyright: ignore[reportUnknownMemberType] - an untyped Future among its parameters
        except (NatsError, OSError) as error:
            raise Unavailable(f"cannot subscribe to {subject}: {error}") from None

    def inbox(self) -> str:
        return self._client.new_inbox()

    async def close(self) -> None:
        """Flushes what was published and closes. Never hangs on a pull that timed out (`drain` does)."""
        with suppress(NatsError, OSError, TimeoutError):
            if self._client.is_connected:
                await self._client.flush(timeout=2)
        with suppress(NatsError, OSError):
            await self._client.close()


def raise_refusal(what: str, answer: bytes) -> None:
    """Raises what a JetStream answer holds of an error."""
    try:
        error = msgspec.json.decode(answer, type=_Answer).error
    except msgspec.DecodeError as problem:
        raise ServerRefused(what, 0, f"an answer that is not JSON: {problem}") from None
    if error is not None:
        kind = Conflict if error.err_code in CONFLICT_CODES else ServerRefused
        raise kind(what, error.err_code, error.description)


def header(message: Msg, name: str) -> str | None:
    """One header of a message."""
    headers: dict[str, Any] | None = message.headers
    value = headers.get(name) if headers else None
    return value if isinstance(value, str) else None


def _without_secret(url: str) -> str:
    scheme, _, rest = url.rpartition("://")
    return f"{scheme or 'nats'}://{rest.rpartition('@')[2]}"
