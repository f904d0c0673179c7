"""The messages of one durable, pulled as there is room for them.

One pull is under way at a time: for as many as there is room, asked for again when half of what may wait here is free,
so that it does not run out while the next is on its way; and always when somebody is idle. A pull that ends badly is
followed by a look at the durable and a pause: a durable that is not there is waited for, one that is another is
refused.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from bus.connection import Connection, Message, Subscription, header
from bus.delivery import Delivery
from bus.errors import LogChanged, NoDurable, NoStream, ServerRefused, Unavailable
from bus.topology import SECOND, Durable
from bus.verify import find_durable

log = logging.getLogger(__name__)

PULL_SECONDS: Final = 2.0
"""How long a pull waits for messages. One that was lost with its server is noticed a second later."""
_LOST_SECONDS: Final = PULL_SECONDS + 1.0
_PAUSE_MIN: Final = 0.1
_PAUSE_MAX: Final = 5.0


class Pulls:
    """Pulls for one durable. `run` until cancelled, then `end`."""

    def __init__(
        self,
        connection: Connection,
        durable: Durable,
        heard: Callable[[Delivery], None],
        room: Callable[[], int],
        enough: int,
    ) -> None:
        """`enough` is the room that is worth a pull."""
        self._connection = connection
        self._durable = durable
        self._heard = heard
        self._room = room
        self._enough = enough
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._number = 0
        self._due = 0
        """Messages that the pull under way may still bring."""
        self._began = 0.0
        self._ended: str | None = None
        """Why the last pull ended, when it did not end well."""
        self._wake = asyncio.Event()
        self._created: str | None = None
        self.ack_wait = durable.ack_wait_seconds
        """The server's own, once it has been asked."""

    def look(self) -> None:
        """Something was taken away: perhaps there is room for more."""
        if self._due == 0 and self._room() >= self._enough:
            self._wake.set()

    async def run(self) -> None:
        """Pulls for ever. Raises LogChanged or TopologyDrift; a server or a durable that is away is waited for."""
        await self._until_there()
        clock = asyncio.get_running_loop().time
        pause = _PAUSE_MIN
        while True:
            self._wake.clear()
            if self._due == 0 and (room := self._room()) >= self._enough:
                await self._pull(room)
            try:
                async with asyncio.timeout_at(self._began + _LOST_SECONDS if self._due else None):
                    await self._wake.wait()
            except TimeoutError:
                self._ended = "nothing was heard of it" if self._due else None
            if self._ended is None:
                pause = _PAUSE_MIN
                continue
            log.info("%s: the pull ended: %s", self._durable.name, self._ended)
            self._due, self._ended = 0, None
            if clock() - self._began < PULL_SECONDS:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _PAUSE_MAX)
            await self._until_there()

    async def end(self) -> None:
        """No more: what the server had sent by now is still heard."""
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        try:
            if self._due and self._connection.connected:
                # A pull from another account whose inbox ends before the server has looked at it takes a message along.
                await self._connection.check()
        except (Unavailable, ServerRefused) as error:
            log.debug("%s: %s", self._durable.name, error)
        try:
            await subscription.unsubscribe()
        except Unavailable as error:
            log.debug("%s: %s", self._durable.name, error)

    async def check(self) -> None:
        """Raises LogChanged when the stream is not the one that it was. Also Unavailable, and TopologyDrift."""
        found = await find_durable(self._connection, self._durable)
        if self._created not in (None, found.stream_created):
            raise LogChanged(
                f"{self._durable.stream.name} was recreated under {self._durable.name}:"
                f" it was made {self._created}, now {found.stream_created}"
            )
        self._created, self.ack_wait = found.stream_created, found.ack_wait_seconds

    async def _until_there(self) -> None:
        pause, said = _PAUSE_MIN, False
        while True:
            try:
                await self.check()
                if self._subscription is None:
                    self._inbox = self._connection.inbox()
                    self._subscription = await self._connection.subscribe(f"{self._inbox}.*", self._receive)
            except (NoStream, NoDurable) as error:
                log.log(logging.DEBUG if said else logging.ERROR, "nothing to consume: %s", error)
                said = True
            except (Unavailable, ServerRefused) as error:
                log.info("%s: nothing to be had: %s", self._durable.name, error)
            else:
                if said:
                    log.info("%s: the durable is there", self._durable.name)
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSE_MAX)

    async def _pull(self, batch: int) -> None:
        self._number += 1
        self._due, self._began = batch, asyncio.get_running_loop().time()
        request = {"batch": batch, "expires": int(PULL_SECONDS * SECOND)}
        try:
            await self._connection.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{self._durable.stream.name}.{self._durable.name}",
                msgspec.json.encode(request),
                reply=f"{self._inbox}.{self._number}",
            )
        except Unavailable as error:
            self._ended = str(error)
            self._wake.set()

    def _receive(self, message: Message) -> None:
        delivery = Delivery.of(message)
        if delivery is not None:
            self._due -= self._due > 0
            self._heard(delivery)
            self.look()
            return
        if message.subject != f"{self._inbox}.{self._number}":
            return  # the end of a pull that was given up
        status = header(message, "Status")
        lasted = asyncio.get_running_loop().time() - self._began
        if status in ("404", "408") and lasted > PULL_SECONDS / 2:
            self._due = 0
        elif status != "100":
            self._ended = f"{status} {header(message, 'Description') or ''}".strip()
        self._wake.set()
