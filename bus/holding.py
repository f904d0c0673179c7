"""What is held here of a durable, and what its server is told: still alive, done, give it to somebody.

Every outcome is said until the server confirms it; but nothing is built up for one message that could serve all: one
subscription hears the confirmations, and one task keeps everything alive.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from bus.connection import Connection, Message, Subscription, header
from bus.delivery import Delivery
from bus.errors import BusError, LogChanged, Unavailable
from bus.pulls import Pulls
from bus.topology import SECOND, Durable

log = logging.getLogger(__name__)

ACK: Final = b"+ACK"
_ALIVE: Final = b"+WPI"
_BACK: Final = b"-NAK"
_CONFIRM_ROUNDS: Final = 5
"""How often who stops says again what is not confirmed."""
_AGAIN_SECONDS: Final = 1.0
"""When an outcome is said again that was not confirmed."""


def back(after: float) -> bytes:
    """For any replica, after so many seconds."""
    return b'-NAK {"delay": %d}' % int(after * SECOND) if after > 0 else _BACK


class Held:
    """A message that is here, until the server has confirmed what became of it."""

    __slots__ = ("delivery", "hopeless", "place", "reply", "rounds", "source", "token", "word")

    def __init__(self, source: "Source", delivery: Delivery) -> None:
        self.source = source
        self.delivery = delivery
        """What the handler gets."""
        self.place = delivery.position
        """Its position in its source's stream; a retry stands elsewhere than the message that it asks for."""
        self.reply = delivery.reply
        """Where its acknowledgement goes: of its last delivery."""
        self.hopeless: str | None = None
        """Why the handler never sees it."""
        self.word: bytes | None = None
        """What was said of it to the server."""
        self.token = ""
        self.rounds = 0
        """For how many rounds its word has not been confirmed."""
        source.open += 1


class Source:
    """A durable, and what is held of it, by position."""

    def __init__(
        self,
        connection: Connection,
        durable: Durable,
        hear: Callable[["Source", Delivery], None],
        room: Callable[[int], int],
        enough: int = 1,
    ) -> None:
        self.durable = durable
        self.held: dict[int, Held] = {}
        self.open = 0
        """How many of them have no outcome yet."""
        self.pulls = Pulls(connection, durable, lambda delivery: hear(self, delivery), lambda: room(self.open), enough)


class Holding:
    """All that one consumer holds."""

    def __init__(self, connection: Connection, name: str, sources: Sequence[Source]) -> None:
        self._connection = connection
        self._name = name
        self._sources = sources
        self._inbox = connection.inbox()
        self._subscription: Subscription | None = None
        self._tokens = itertools.count(1)
        self._unconfirmed: dict[str, Held] = {}
        self._empty = asyncio.Event()

    async def begin(self) -> None:
        """Before anything is said. Raises Unavailable when the connection is closed."""
        self._subscription = await self._connection.subscribe(f"{self._inbox}.*", self._confirmed)

    async def say(self, held: Held, word: bytes) -> None:
        """Tells the server what became of it, until it confirms or there is no sense in it any more."""
        held.word = word
        held.token = token = str(next(self._tokens))
        self._unconfirmed[token] = held
        await self._publish(held.reply, word, token)
        held.source.open -= 1
        held.source.pulls.look()

    async def keep_alive(self) -> None:
        """For ever: what has no outcome lives on, what is unconfirmed is said again. Raises LogChanged."""
        clock = asyncio.get_running_loop().time
        alive_at = clock()
        while True:
            patience = min(source.pulls.ack_wait for source in self._sources)
            await asyncio.sleep(min(_AGAIN_SECONDS, patience / 3))
            if not self._connection.connected:
                continue
            for held in list(self._unconfirmed.values()):
                await self._again(held)
            if clock() < alive_at + patience / 3:
                continue
            alive_at = clock()
            for source in self._sources:
                for held in list(source.held.values()):
                    if held.word is None:
                        await self._publish(held.reply, _ALIVE, "")
                try:
                    await source.pulls.check()
                except LogChanged:
                    raise
                except BusError as error:
                    log.debug("%s: the pulls will notice: %s", self._name, error)

    async def give_back(self) -> None:
        """All that has no outcome goes back at once; waits until the server has confirmed what it was told."""
        for source in self._sources:
            await source.pulls.end()
        for source in self._sources:
            for held in list(source.held.values()):
                if held.word is None:
                    await self.say(held, _BACK)
        self._empty.clear()
        for _ in range(_CONFIRM_ROUNDS):
            if not self._left() or not self._connection.connected:
                break
            try:
                async with asyncio.timeout(_AGAIN_SECONDS):
                    await self._empty.wait()
            except TimeoutError:
                for held in list(self._unconfirmed.values()):
                    if held.word is not None:
                        await self._publish(held.reply, held.word, held.token)
        if self._left():
            log.warning("%s: %d outcomes are not confirmed", self._name, self._left())
        if self._subscription is not None:
            with suppress(Unavailable):
                await self._subscription.unsubscribe()

    def _left(self) -> int:
        return sum(len(source.held) for source in self._sources)

    def _confirmed(self, message: Message) -> None:
        held = self._unconfirmed.pop(message.subject.rpartition(".")[2], None)
        if held is None:
            return
        if message.headers and header(message, "Status") == "503":
            log.warning("%s: position %d: its durable is gone", self._name, held.delivery.position)
        self._forget(held)

    def _forget(self, held: Held) -> None:
        source = held.source
        if source.held.get(held.place) is held:  # else it has come again by now
            del source.held[held.place]
            if not source.held and not self._left():
                self._empty.set()

    async def _again(self, held: Held) -> None:
        """Once a message has come again and nobody has confirmed it yet, nobody will: its durable is another by now."""
        held.rounds += 1
        if held.rounds * _AGAIN_SECONDS > 2 * held.source.pulls.ack_wait + _CONFIRM_ROUNDS:
            log.warning("%s: position %d: its outcome is not confirmed", self._name, held.delivery.position)
            self._unconfirmed.pop(held.token, None)
            self._forget(held)
        elif held.rounds > 1 and held.word is not None:  # the first round may be the next moment
            await self._publish(held.reply, held.word, held.token)

    async def _publish(self, subject: str, word: bytes, token: str) -> None:
        try:
            await self._connection.publish(subject, word, reply=f"{self._inbox}.{token}" if token else "")
        except Unavailable as error:
            log.info("%s: %s is not told: %s", self._name, subject, error)
