"""Durable work: each message is handled until its handler says what became of it.

    Done()            it is finished; acknowledged, and the server confirmed
    Retry(after)      not now; it comes again after that many seconds
    Drop(reason)      it can never be handled: a copy goes to the dead letters, with the reason

Delivery is at least once. While a handler runs, its message is kept alive; when its process dies, another replica of
the same durable gets the message after `ack_wait`. A late acknowledgement from a dead delivery still counts with the
server, so an acknowledgement is never proof of ownership: an epoch is.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from bus.connection import Connection, Message, header
from bus.delivery import Delivery
from bus.errors import BusError, ServerRefused, Unavailable
from bus.topology import SECOND, Stream

log = logging.getLogger(__name__)

COPY_BYTES: Final = 524_288
"""Of a body that is buried: its letter, in base64, must fit into one message."""
_PULL_SECONDS: Final = 5.0
_BACKOFF: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Done(Struct, frozen=True):
    """It is finished."""


class Retry(Struct, frozen=True):
    """Not now."""

    after: float
    """Seconds; 0: at once."""


class Drop(Struct, frozen=True):
    """It can never be handled."""

    reason: str


Outcome: TypeAlias = Done | Retry | Drop
Handler: TypeAlias = Callable[[Delivery], Awaitable[Outcome]]


class DeadLetter(Struct, frozen=True):
    """What could not be handled."""

    stream: str
    consumer: str
    position: int
    subject: str
    reason: str
    body: bytes


async def consume(
    connection: Connection,
    stream: Stream,
    durable: str,
    filter_subject: str,
    handler: Handler,
    *,
    ack_wait_seconds: float,
    slots: int,
    stop: asyncio.Event,
) -> None:
    """Hands every message of the filter to `handler`, at most `slots` at a time, until `stop` is set.

    Then nothing new is taken, running handlers are cancelled and their messages go back at once. A durable begins at
    the first message ever stored. Raises what ends the work for good; a server that is away is waited for.
    """
    worker = _Worker(connection, stream, durable, filter_subject, handler, ack_wait_seconds)
    await worker.create()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(worker.take(stop)) for _ in range(slots)]
        await stop.wait()
        for task in tasks:
            task.cancel()


@dataclass(frozen=True, slots=True)
class _Worker:
    connection: Connection
    stream: Stream
    durable: str
    filter: str
    handler: Handler
    ack_wait: float

    async def create(self) -> None:
        """Creates the durable consumer, or brings the one that is there in line."""
        config: dict[str, object] = {
            "durable_name": self.durable,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": int(self.ack_wait * SECOND),
            "max_deliver": -1,
            "filter_subject": self.filter,
            "replay_policy": "instant",
        }
        await self.connection.api(
            f"$JS.API.CONSUMER.DURABLE.CREATE.{self.stream.name}.{self.durable}",
            {"stream_name": self.stream.name, "config": config},
        )

    async def take(self, stop: asyncio.Event) -> None:
        """One slot: pulls a message, handles it, pulls the next."""
        messages: asyncio.Queue[Message] = asyncio.Queue()

        inbox = self.connection.inbox()
        await self.connection.subscribe(inbox, messages.put_nowait)
        pause, lost = 0.1, False
        while not stop.is_set():
            try:
                if lost:
                    await self.create()
                delivery = await self._next(inbox, messages)
                pause, lost = 0.1, False
            except BusError as error:
                log.info("%s: nothing to be had: %s", self.durable, error)
                await asyncio.sleep(pause)
                pause, lost = min(pause * 2, 5.0), True
                continue
            if delivery is not None:
                await self._handle(delivery)

    async def _next(self, inbox: str, messages: asyncio.Queue[Message]) -> Delivery | None:
        """None when nothing was there for a while, or the server was away in the middle of the pull."""
        request = {"batch": 1, "expires": int(_PULL_SECONDS * SECOND)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream.name}.{self.durable}"
        if messages.empty():
            await self.connection.publish(subject, msgspec.json.encode(request), reply=inbox)
        try:
            async with asyncio.timeout(_PULL_SECONDS + 1.0):
                message = await messages.get()
        except TimeoutError:
            return None
        delivery = Delivery.of(message)
        if delivery is None and header(message, "Status") not in ("404", "408"):
            raise Unavailable(f"the pull ended: {header(message, 'Status')} {header(message, 'Description')}")
        return delivery

    async def _handle(self, delivery: Delivery) -> None:
        alive = asyncio.create_task(self._keep_alive(delivery))
        try:
            outcome = await self.handler(delivery)
        except asyncio.CancelledError:
            await self._settle(delivery, Retry(0))  # it goes back at once, not after ack_wait
            raise
        except Exception:
            after = _BACKOFF[min(delivery.attempt, len(_BACKOFF)) - 1]
            log.exception("%s: position %d failed; again in %g s", self.durable, delivery.position, after)
            outcome = Retry(after)
        finally:
            alive.cancel()
        settling = asyncio.create_task(self._settle(delivery, outcome))
        cancelled = False
        while not settling.done():  # a handler's outcome is never lost to an orderly stop
            try:
                await asyncio.shield(settling)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    async def _keep_alive(self, delivery: Delivery) -> None:
        while True:
            await asyncio.sleep(self.ack_wait / 3)
            try:
                await self.connection.publish(delivery.reply, b"+WPI")
            except Unavailable as error:
                log.info("%s: position %d not kept alive: %s", self.durable, delivery.position, error)

    async def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """An acknowledgement that is lost is no harm: the message comes again, and the handler knows its work."""
        try:
            match outcome:
                case Done():
                    await self.connection.request(delivery.reply, b"+ACK")
                case Retry(after):
                    delay = b' {"delay": %d}' % int(after * SECOND) if after > 0 else b""
                    await self.connection.publish(delivery.reply, b"-NAK" + delay)
                case Drop(reason):
                    await self._bury(delivery, reason)
                    await self.connection.publish(delivery.reply, b"+TERM " + reason.encode()[:500])
        except (Unavailable, ServerRefused) as error:
            log.warning("%s: position %d stays unsettled: %s", self.durable, delivery.position, error)

    async def _bury(self, delivery: Delivery, reason: str) -> None:
        log.error("%s: position %d is dead: %s", self.durable, delivery.position, reason)
        letter = DeadLetter(
            self.stream.name, self.durable, delivery.position, delivery.subject, reason, delivery.body[:COPY_BYTES]
        )
        await self.connection.api(f"dead.{self.stream.name}.{self.durable}", letter)
