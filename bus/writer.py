"""Group commit: everybody in a process who says something to the log shares one writer.

An acknowledged event is on disk, and going to disk is what costs. So the writer takes whatever waits, makes one atomic
batch of it, and answers everybody at once; what comes meanwhile waits for the next. A few go side by side, at once: a
batch costs the server some 3 ms whatever is in it, a message 0.3. (nats-server 2.15.1; its fast-ingest batches gave
4 000 messages a second where atomic ones gave 25 000 and more, and they do not tell what is stored where.)

    order       first come, first stored, as long as no try fails; who waits for his answer before he says the next
                thing keeps his order whatever happens
    neighbours  a batch that the server refuses is halved until those left go side by side, each with its own answer
    silence     after a try without an answer the leader is asked what landed, and the rest is sent again under the same
                ids: nothing is stored twice, also when the server has forgotten the ids
    deadline    each caller has his own; a server that is away is waited for until then
    overlap     the answers to a batch are given a stretch at a time, and what is said next goes out at once, as members
                of the next batch: the server takes those in while the others still speak
    memory      what waits is bounded; beyond it, callers wait to be let in
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from bus.connection import Connection
from bus.errors import BusError, DuplicateMismatch, Unavailable
from bus.publish import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, TRY_SECONDS, Batch, Outgoing, find, store_one
from bus.topology import LOG, Stream

log = logging.getLogger(__name__)

FEW: Final = 12
"""So many go side by side, more as a batch."""
STRETCH: Final = 32
"""So many are answered at one go."""
BATCH_MESSAGES: Final = 500
BATCH_BYTES: Final = 4 * 1024 * 1024
LINGER_SECONDS: Final = 0.0005
"""How long a batch may wait for those who were answered with the last one and are about to speak again."""
TICK_SECONDS: Final = 0.1
"""How often it is looked who in the queue is past his deadline: by so much a caller may wait longer."""
WAITING_MESSAGES: Final = 10_000
WAITING_BYTES: Final = 32 * 1024 * 1024


@dataclass(slots=True, eq=False)
class _Waiting:
    """A message, and who waits for its position."""

    message: Outgoing
    answer: asyncio.Future[int]
    deadline: float


class Writer:
    """The one writer of a connection. `publish` is for many callers at once."""

    def __init__(self, connection: Connection, *, stream: Stream = LOG, try_seconds: float = TRY_SECONDS) -> None:
        self._connection = connection
        self._stream = stream
        self._try_seconds = try_seconds
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._room = asyncio.Condition()
        self._crowded = 0  # who waits to be let in
        self._working: asyncio.Task[None] | None = None
        self._taken: list[_Waiting] = []  # what is being stored
        self._begun: list[_Waiting] = []  # what is on its way as members of the next batch
        self._begun_bytes = 0
        self._next: Batch | None = None
        self._trouble: BusError | None = None  # the last that kept anything from being stored
        self._ticking: asyncio.TimerHandle | None = None
        self._closed = False
        self._stored = 0  # the last position that we know of: what we send now lands behind it

    def publish(self, message: Outgoing, *, timeout_seconds: float) -> Awaitable[int]:
        """Stores one event once; its position, or, said again with the same id, the position of the first.

        Awaiting raises DuplicateMismatch when its id is stored with another subject or data, ServerRefused, or
        Unavailable at the deadline; after that one it may be stored nevertheless.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(message, loop.create_future(), loop.time() + timeout_seconds)
        if self._crowded or self._full:
            return self._enter_late(waiting)
        self._enter(waiting)
        return waiting.answer

    def _enter(self, waiting: _Waiting) -> None:
        if self._closed:
            raise Unavailable("the connection is closed")
        self._queue.append(waiting)
        self._bytes += len(waiting.message.body)
        if self._working is None:
            loop = asyncio.get_running_loop()
            self._working = loop.create_task(self._work())
            self._ticking = self._ticking or loop.call_later(TICK_SECONDS, self._tick)

    async def _enter_late(self, waiting: _Waiting) -> int:
        await self._be_let_in(waiting.deadline)
        self._enter(waiting)
        return await waiting.answer

    async def close(self) -> None:
        """Ends the work. Who still waits gets Unavailable."""
        self._closed = True
        if self._ticking is not None:
            self._ticking.cancel()
        if self._working is not None:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)
        _fail(self._queue, Unavailable("the connection was closed before the server confirmed"))
        async with self._room:
            self._room.notify_all()

    @property
    def _full(self) -> bool:
        return len(self._queue) >= WAITING_MESSAGES or self._bytes >= WAITING_BYTES

    async def _be_let_in(self, deadline: float) -> None:
        self._crowded += 1
        try:
            async with asyncio.timeout_at(deadline), self._room:
                await self._room.wait_for(lambda: self._closed or not self._full)
        except TimeoutError:
            raise Unavailable(f"{len(self._queue)} events wait to be stored, and no more fit") from None
        finally:
            self._crowded -= 1

    async def _work(self) -> None:
        """Until nothing waits any more."""
        try:
            while self._queue or self._begun:
                if len(self._taken) > 1:
                    await self._linger(len(self._taken))
                await self._begin(only_more=True)
                batch, self._next = self._next, None
                self._taken, self._begun, self._begun_bytes = self._begun or self._take(), [], 0
                if self._crowded:
                    async with self._room:
                        self._room.notify_all()
                try:
                    await self._store(self._taken, self._stored, batch)
                except Exception as error:
                    log.exception("%d events were not stored", len(self._taken))
                    _fail(self._taken, error)
        finally:
            self._working = None
            _fail([*self._taken, *self._begun], Unavailable("the writer was stopped before the server confirmed"))
            self._taken, self._begun, self._begun_bytes, self._next = [], [], 0, None

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        for waiting in (*self._taken, *self._begun, *self._queue):
            if waiting.deadline <= loop.time():
                what = f"{waiting.message.event.id} on {waiting.message.subject}"
                why = self._trouble or "the server has not answered yet"
                _fail([waiting], Unavailable(f"{what} is not known to be stored: {why}"))
        self._ticking = None if self._working is None else loop.call_later(TICK_SECONDS, self._tick)

    async def _linger(self, expected: int) -> None:
        clock = asyncio.get_running_loop().time
        until = clock() + LINGER_SECONDS
        while len(self._begun) + len(self._queue) < min(expected, BATCH_MESSAGES) and clock() < until:  # noqa: ASYNC110 - no caller sets an event
            await asyncio.sleep(0)

    def _take(self) -> list[_Waiting]:
        """As many as wait and fit into a batch beside what is begun."""
        taken: list[_Waiting] = []
        room = BATCH_MESSAGES - len(self._begun)
        while self._queue and len(taken) < room:
            waiting = self._queue[0]
            length = len(waiting.message.body)
            if (taken or self._begun) and self._begun_bytes + length > BATCH_BYTES:
                break
            self._queue.popleft()
            self._bytes -= length
            if not waiting.answer.done():  # whoever was cancelled meanwhile wants nothing any more
                taken.append(waiting)
                self._begun_bytes += length
        return taken

    async def _begin(self, *, only_more: bool = False) -> None:
        """Sends what waits as members of the next batch: the server takes them in while others are being answered."""
        if only_more and self._next is None:
            return
        if fresh := self._take():
            self._next = self._next or Batch(self._connection)
            self._begun += fresh
            with suppress(Unavailable):  # the commit will tell
                await self._next.add([waiting.message for waiting in fresh])

    async def _store(self, taken: Sequence[_Waiting], behind: int, batch: Batch | None = None) -> None:
        """Until each has its answer. Tries again after a silence; halves what the server refuses.

        `batch` is what they are on their way in already.

        Whatever a try of theirs has stored is behind the position `behind`.
        """
        everybody = taken
        pause, silent = FIRST_PAUSE_SECONDS, False  # silent: a try has ended so, and may have landed
        while taken := [waiting for waiting in taken if not waiting.answer.done()]:
            looking = silent
            try:
                if looking:
                    await self._look(taken, behind)
                    silent = False
                else:
                    silent = self._connection.connected
                    begun, batch = batch, None
                    await (self._try(taken) if begun is None else self._commit(everybody, begun))
            except BusError as trouble:
                if not looking and not isinstance(trouble, Unavailable):  # a batch: each of a few has had its own
                    middle = len(taken) // 2
                    await self._store(taken[:middle], behind)
                    await self._store(taken[middle:], behind)
                    return
                log.info("%d events are not known to be stored yet: %s", len(taken), trouble)
                self._trouble = trouble
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _try(self, taken: Sequence[_Waiting]) -> None:
        """A few side by side, or all as one batch. Raises Unavailable if any ended so, ServerRefused for a batch."""
        patience = self._try_seconds
        if not self._connection.connected:
            raise Unavailable("the connection to the server is lost")
        if len(taken) > FEW:
            batch = Batch(self._connection)
            await batch.add([waiting.message for waiting in taken])
            await self._commit(taken, batch)
        elif len(taken) > 1:
            async with asyncio.TaskGroup() as group:
                trying = [group.create_task(self._try_one(waiting, patience)) for waiting in taken]
            for silence in filter(None, (task.result() for task in trying)):
                raise silence
        elif silence := await self._try_one(taken[0], patience):
            raise silence

    async def _commit(self, members: Sequence[_Waiting], batch: Batch) -> None:
        """Answers the members a stretch at a time; what those say next goes out at once, as members of the next."""
        first = await batch.commit(timeout_seconds=self._try_seconds)
        for start in range(0, len(members), STRETCH):
            self._answer(members[start : start + STRETCH], first + start)
            await asyncio.sleep(0)
            await self._begin()

    async def _try_one(self, waiting: _Waiting, patience: float) -> Unavailable | None:
        """Answers it, with its position or its error; or returns why it may be tried again."""
        try:
            first = await store_one(self._connection, waiting.message, stream=self._stream, timeout_seconds=patience)
        except Unavailable as silence:
            return silence
        except BusError as error:
            _fail([waiting], error)
        else:
            self._answer([waiting], first)
        return None

    def _answer(self, taken: Sequence[_Waiting], first: int) -> None:
        self._stored = max(self._stored, first + len(taken) - 1)
        self._trouble = None
        for position, waiting in enumerate(taken, start=first):
            if not waiting.answer.done():
                waiting.answer.set_result(position)

    async def _look(self, taken: Sequence[_Waiting], behind: int) -> None:
        """Answers those whose event has landed after all. A batch lands whole: without its last there is none of it."""
        if len(taken) <= FEW:
            await self._look_for_each(taken, behind)
            return
        last, first = [await self._find(waiting, behind) for waiting in (taken[-1], taken[0])]
        if last is not None and first is not None and last - first == len(taken) - 1:
            self._answer(taken, first)
        elif last is not None:  # it was a larger batch: some have given up since
            await self._look_for_each(taken, behind)

    async def _look_for_each(self, taken: Sequence[_Waiting], behind: int) -> None:
        for waiting in taken:
            if not waiting.answer.done() and (position := await self._find(waiting, behind)) is not None:
                self._answer([waiting], position)

    async def _find(self, waiting: _Waiting, behind: int) -> int | None:
        try:
            return await find(self._connection, waiting.message, after=behind, stream=self._stream)
        except DuplicateMismatch as mismatch:
            _fail([waiting], mismatch)
            return None


def _fail(waiting: Sequence[_Waiting] | deque[_Waiting], error: Exception) -> None:
    for one in waiting:
        if not one.answer.done():
            one.answer.set_exception(error)
