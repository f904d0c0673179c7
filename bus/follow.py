"""The ordered reader: every event of the log from a position on, in order, once, for those who fold it.

It acknowledges nothing, keeps its place itself, and needs no consumer. The server says everything again to plain
subscribers as it is stored (`stored.…`): that is the fast way, and it may lose. So the stream itself has the last word:
it is read from where the reader stands to its end at the beginning, after every reconnect, wherever a position is
missing, and whenever it has grown in a second of quiet. A log that was recreated or cut is refused, not papered over.

A reader of everything sees by the positions that nothing is missing. A reader of a part cannot; on one server what is
said on a connection that lasts does arrive, and in a cluster such a reader takes what it hears as a hint alone.
"""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from heapq import heappop, heappush
from types import TracebackType
from typing import Final

from bus.connection import Connection, Message, Subscription
from bus.delivery import Skipped
from bus.errors import ServerRefused, Unavailable
from bus.look import Look
from bus.replay import Replay, covers
from bus.stored import Stored, get
from bus.topology import LOG, STORED, Stream
from schemas import Recorded

log = logging.getLogger(__name__)

QUIET_SECONDS: Final = 1.0
"""How often a reader that waits looks whether it has missed something."""
WAITING_COUNT: Final = 5_000
WAITING_BYTES: Final = 16 * 1024 * 1024
"""Of what has been heard and not read; with more, it is let go and read from the stream."""


class Reader:
    """An ordered reader of one stream. Use it as `async with`, then iterate; it never ends by itself."""

    def __init__(self, connection: Connection, filters: Sequence[str], *, after: int = 0, stream: Stream = LOG) -> None:
        self._connection = connection
        self._filters = tuple(dict.fromkeys(filters))
        self._stream = stream
        self._everything = any(covers(stream, subject) for subject in filters)
        self._look = Look(connection, stream)
        self._subscriptions: list[Subscription] = []
        self.position = after
        """Position of the last event read."""
        self._known = after  # up to here the stream has been read, whether or not anything was found
        self._replay: Replay | None = None
        self._replay_end = 0
        self._read: deque[Stored] = deque()  # from the stream
        self._heard: dict[int, Stored] = {}  # live, by position
        self._order: list[int] = []  # the same positions, a heap
        self._heard_bytes = 0
        self._newest = 0  # the last position that was heard of
        self._lost = True  # something may have been missed: the stream must be read before anything that was heard
        self._reconnects = self._confirmed = connection.reconnects
        self._last: Stored | None = None  # the newest that is known
        self._looked_at = 0.0
        self._news = asyncio.Event()

    @property
    def caught_up(self) -> bool:
        """Whether nothing more was stored when the stream was looked at last, and nothing has come since."""
        return not self._read and self._replay is None and max(self._newest, self._replay_end) <= self._known

    async def __aenter__(self) -> "Reader":
        """Waits for a server that is away, so that it is known from the start whether there is anything to read."""
        try:
            if self._stream.republish is not None:
                for subject in self._filters:  # before the first look: what is stored behind that is heard
                    self._subscriptions.append(await self._connection.subscribe(f"{STORED}.{subject}", self._hear))
            pauses = _pauses()
            while self._lost:
                try:
                    await self._look_again()
                except Unavailable as error:
                    await self._wait(error, next(pauses))
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def __aiter__(self) -> AsyncIterator[Recorded | Skipped]:
        while True:
            yield (await self.next()).decoded()

    async def next(self) -> Stored:
        """Waits for the next message. Survives a server that restarts; raises LogChanged for one with another log.

        Raises Unavailable once the connection is closed.
        """
        pauses = _pauses()
        while True:
            if self._read:
                item = self._read.popleft()
                self.position = item.position
                return item
            try:
                if self._replay is not None:
                    await self._read_on(self._replay)
                elif self._must_look():
                    await self._look_again()
                elif (item := await self._next_heard()) is not None:
                    self.position = self._known = item.position
                    self._last = item
                    return item
            except (Unavailable, ServerRefused) as error:
                await self._wait(error, next(pauses))

    async def _wait(self, error: Unavailable | ServerRefused, pause: float) -> None:
        if self._connection.closed.is_set():
            raise error
        log.info("%s: cannot be read behind %d yet: %s", self._stream.name, self.position, error)
        await asyncio.sleep(pause)

    # ── what is stored ───────────────────────────────────────────────────────

    async def _look_again(self) -> None:
        """Begins to read what the stream holds behind what is known of it."""
        # Whatever is missed from this moment on counts again; what is heard from now on stands behind the end or is it.
        self._lost, self._reconnects = False, self._connection.reconnects
        try:
            end = await self._look.end(max(self.position, self._known))
            if self._last is None and self._known and self._stream.name == LOG.name:
                self._last = await get(self._connection, LOG, {"seq": self._known})  # who began here has read that
            # Also before anything is read: what was asked while the connection was lost is answered by the next server
            # before anybody is told of that.
            if self._last is not None and (end > self._known or self._confirmed != self._reconnects):
                await self._look.confirm(self._last)
            self._confirmed = self._reconnects
            self._looked_at = asyncio.get_running_loop().time()
            if end > self._known:
                replay = Replay(self._connection, self._filters, self._look, after=self._known, until=end)
                await replay.open()
                self._replay, self._replay_end = replay, end
                await self._read_on(replay)
        except BaseException:
            self._lost = True
            raise

    async def _read_on(self, replay: Replay) -> None:
        """Takes the next batch. What was heard meanwhile and is read now is not handed over twice."""
        try:
            batch = await replay.batch()
        except (Unavailable, ServerRefused):
            await self._end_replay(replay)
            self._lost = True
            raise
        self._read.extend(batch)
        if batch:
            self._last, self._known = batch[-1], batch[-1].position
        if replay.ended:
            self._known = self._replay_end
            await self._end_replay(replay)

    async def _end_replay(self, replay: Replay) -> None:
        self._replay = None
        await replay.close()

    # ── what is heard ────────────────────────────────────────────────────────

    def _hear(self, message: Message) -> None:
        item = Stored.of(message)
        if item is None or item.headers.get("Nats-Stream") != self._stream.name:
            self._lost = True  # no stream said it, or its writer's headers hide which: the stream knows
            self._news.set()
            return
        position = item.position
        if position <= max(self._newest, self._known) and len(self._subscriptions) == 1:
            self._lost = True  # positions never fall: this is another stream
        self._newest = max(self._newest, position)
        if not self._lost and position > self._known and position not in self._heard:
            self._heard[position] = item
            heappush(self._order, position)
            self._heard_bytes += len(item.body)
            if len(self._order) > WAITING_COUNT or self._heard_bytes > WAITING_BYTES:
                self._forget()
        self._news.set()

    async def _next_heard(self) -> Stored | None:
        """The next that was heard, or None when the stream must be asked first, or was in a second of quiet."""
        if len(self._subscriptions) > 1:
            await asyncio.sleep(0)  # what came earlier on another subscription has been heard after this
        while self._order and not self._must_look():
            position = self._order[0]
            if position > self._known and not self._follows(position):
                self._forget()
                return None
            heappop(self._order)
            item = self._heard.pop(position)
            self._heard_bytes -= len(item.body)
            if position > self._known:
                return item
        if self._must_look():
            return None
        clock = asyncio.get_running_loop().time
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._looked_at + QUIET_SECONDS):
                await self._news.wait()
        if not self._order and clock() >= self._looked_at + QUIET_SECONDS:
            self._lost = True
        return None

    def _must_look(self) -> bool:
        """Whether something may have been missed."""
        return self._lost or self._connection.reconnects != self._reconnects

    def _follows(self, position: int) -> bool:
        """Whether nothing can be missing before a position that was heard."""
        return position == self._known + 1 if self._everything else not self._look.clustered

    def _forget(self) -> None:
        """Lets go what was heard; the stream has it."""
        self._heard.clear()
        self._order.clear()
        self._heard_bytes = 0
        self._lost = True

    async def _close(self) -> None:
        subscriptions, self._subscriptions = self._subscriptions, []
        with suppress(Unavailable):  # closed, and the subscriptions with it
            for subscription in subscriptions:
                await subscription.unsubscribe()
        if self._replay is not None:
            await self._end_replay(self._replay)


def _pauses() -> Iterator[float]:
    """Seconds between two tries."""
    return itertools.chain((0.1, 0.2, 0.4, 0.8, 1.6), itertools.repeat(2.0))
