"""The ordered reader: every event of the log from a position on, in order, once, for those who fold it.

It acknowledges nothing and keeps its place itself. Underneath is a throw-away pull consumer; whenever that is lost
(server restarted, consumer gone, a message missing on the way), a new one starts behind the last event read. A log
that was recreated or cut under the reader is refused, not papered over.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final

import msgspec
from msgspec import Struct

from bus.connection import Connection, Message, Subscription, header
from bus.delivery import Delivery, Skipped
from bus.errors import LogChanged, ServerRefused, Unavailable
from bus.topology import LOG, SECOND, Stream
from schemas import Recorded

log = logging.getLogger(__name__)

BATCH: Final = 500
HEARTBEAT_SECONDS: Final = 1.0
"""How often a quiet server says that it is there."""
SILENCE_SECONDS: Final = 3 * HEARTBEAT_SECONDS
"""After so long without a sign of life the reader opens anew."""


class _State(Struct):
    last_seq: int = 0
    first_seq: int = 0


class _StreamInfo(Struct):
    created: str
    state: _State


class _ConsumerInfo(Struct):
    num_pending: int = 0


class Reader:
    """An ordered reader of one stream. Use it as `async with`, then iterate; it never ends by itself."""

    def __init__(self, connection: Connection, filters: Sequence[str], *, after: int = 0, stream: Stream = LOG) -> None:
        self._connection = connection
        self._filters = tuple(filters)
        self._stream = stream
        self._consumer: str | None = None
        self._subscription: Subscription | None = None
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._created: str | None = None
        self._order = 0
        self._wanted = 0  # messages still due from the pull in flight
        self._unread = 0  # deliveries that wait; what else waits (the end of a pull) is no event
        self._heard = 0.0  # when the server gave its last sign of life
        self.position = after
        """Position of the last event read."""
        self._nothing_pending = False

    @property
    def caught_up(self) -> bool:
        """Whether nothing more was stored when the last event was handed over, and nothing has come since."""
        return self._nothing_pending and self._unread == 0

    async def __aenter__(self) -> "Reader":
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def __aiter__(self) -> AsyncIterator[Recorded | Skipped]:
        while True:
            yield (await self.next()).decoded()

    async def next(self) -> Delivery:
        """Waits for the next message. Survives a server that restarts; raises LogChanged for one with another log."""
        while True:
            if self._consumer is None:
                await self._reopen()
            if self._wanted <= 0:
                await self._pull()
            message = await self._message()
            if message is None:
                log.info("%s: the server fell silent at %d; opening anew", self._stream.name, self.position)
                await self._close()
                continue
            delivery = Delivery.of(message)
            if delivery is None:
                await self._status(message)
                continue
            self._unread -= 1
            if delivery.order != self._order + 1:
                log.info("%s: a message was lost behind %d; opening anew", self._stream.name, self.position)
                await self._close()
            else:
                self._order = delivery.order
                self._wanted -= 1
                self.position = delivery.position
                self._nothing_pending = delivery.pending == 0
                return delivery

    async def _message(self) -> Message | None:
        """The next message, or None after a silence. It counts from the last sign of life, whoever waited since."""
        clock = asyncio.get_running_loop().time
        while True:
            with suppress(asyncio.QueueEmpty):
                return self._messages.get_nowait()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._heard + SILENCE_SECONDS):
                    return await self._messages.get()
            if clock() >= self._heard + SILENCE_SECONDS and self._messages.empty():
                return None

    async def _status(self, message: Message) -> None:
        match header(message, "Status"):
            case "404" | "408":  # this pull has ended; the next one asks again
                self._wanted = 0
            case status:
                log.info("%s: the consumer ended (%s); opening anew", self._stream.name, status)
                await self._close()

    async def _reopen(self) -> None:
        pause = 0.1
        while True:
            try:
                await self._open()
            except (Unavailable, ServerRefused) as error:
                log.info("%s: cannot read yet: %s", self._stream.name, error)
                await self._close()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
            else:
                return

    async def _open(self) -> None:
        try:
            await self._start()
        except BaseException:
            await self._close()
            raise

    async def _start(self) -> None:
        await self._check_stream()
        messages: asyncio.Queue[Message] = asyncio.Queue()
        self._messages, self._unread = messages, 0
        inbox = self._connection.inbox()
        clock = asyncio.get_running_loop().time

        def received(message: Message) -> None:
            if messages is not self._messages:
                return  # of a consumer that was given up
            self._heard = clock()
            if header(message, "Status") != "100":  # a heartbeat
                self._unread += Delivery.of(message) is not None
                messages.put_nowait(message)

        self._subscription = await self._connection.subscribe(inbox, received)
        self._inbox = inbox
        name = uuid.uuid4().hex
        config: dict[str, object] = {
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self.position + 1,
            "ack_policy": "none",
            "filter_subjects": self._filters,
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": 30 * SECOND,
        }
        answer = await self._connection.api(
            f"$JS.API.CONSUMER.CREATE.{self._stream.name}.{name}", {"stream_name": self._stream.name, "config": config}
        )
        self._nothing_pending = msgspec.json.decode(answer, type=_ConsumerInfo).num_pending == 0
        self._consumer, self._order, self._wanted = name, 0, 0

    async def _check_stream(self) -> None:
        answer = await self._connection.api(f"$JS.API.STREAM.INFO.{self._stream.name}")
        info = msgspec.json.decode(answer, type=_StreamInfo)
        if self._created not in (None, info.created):
            raise LogChanged(f"{self._stream.name} was recreated: it was made {self._created}, now {info.created}")
        if info.state.last_seq < self.position:
            raise LogChanged(
                f"{self._stream.name} ends at {info.state.last_seq}, but it was read up to {self.position}:"
                " it was cut or rolled back"
            )
        self._created = info.created

    async def _pull(self) -> None:
        request = {"batch": BATCH, "expires": 30 * SECOND, "idle_heartbeat": int(HEARTBEAT_SECONDS * SECOND)}
        await self._connection.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._stream.name}.{self._consumer}",
            msgspec.json.encode(request),
            reply=self._inbox,
        )
        self._wanted, self._heard = BATCH, asyncio.get_running_loop().time()

    async def _close(self) -> None:
        self._nothing_pending = False
        consumer, self._consumer = self._consumer, None
        subscription, self._subscription = self._subscription, None
        try:
            if subscription is not None:
                await subscription.unsubscribe()
            if consumer is not None:
                await self._connection.publish(f"$JS.API.CONSUMER.DELETE.{self._stream.name}.{consumer}", b"")
        except Unavailable as error:
            log.debug("the consumer %s is left to expire: %s", consumer, error)
