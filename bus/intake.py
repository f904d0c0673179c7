"""Group commit of what is stored once for each subject: everybody in a process who takes deliveries in shares it.

That nothing is there yet is expected of the server with every message, so it decides what is new; here is only
remembered what it said. What costs is going to disk, so whatever waits goes as one atomic batch, and what comes
meanwhile waits for the next. A few go side by side: for a batch the server waits six times for the disk, whatever is
in it, since it makes a store of files for each; for a message by itself once. (nats-server 2.15.1, traced.)

    known       a subject that is known to have its word is answered at once, and never spoils a batch
    refused     a batch with a word that is there already: all that are there are found with one question and answered,
                the others sent again; of any other refusal each gets his own
    silence     they are sent again. What had landed is refused then, and found; each bears a name, so it is known whose
                try it was
    deadline    each caller has his own; a server that is away is waited for until then
"""

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bus.connection import Connection, raise_refusal
from bus.errors import BusError, Conflict, ServerRefused, Unavailable
from bus.publish import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, TRY_SECONDS
from bus.stored import newest
from bus.topology import Stream

log = logging.getLogger(__name__)

FEW: Final = 6
"""So many go side by side, more as a batch."""
BATCH_MESSAGES: Final = 500
BATCH_BYTES: Final = 4 * 1024 * 1024
REMEMBERED: Final = 100_000
"""Subjects that are known to have their word, of those that came last."""
INCOMPLETE_BATCH: Final = 10176
_NAME: Final = "Rig-Intake"
"""Header with a name that no other try to store has."""
_FREE: Final = {"Nats-Expected-Last-Subject-Sequence": "0"}


@dataclass(slots=True, eq=False)
class _Waiting:
    """A message, and who waits for whether it is new."""

    subject: str
    body: bytes
    headers: dict[str, str]
    answer: asyncio.Future[bool]


class _Incomplete(Unavailable):
    """The server has not the whole of a batch."""


class Intake:
    """Everybody in a process who stores on a stream of one word for each subject."""

    def __init__(self, connection: Connection, stream: Stream, *, try_seconds: float = TRY_SECONDS) -> None:
        self._connection = connection
        self._stream = stream
        self._try_seconds = try_seconds
        self._me = uuid.uuid4().hex
        self._count = 0
        self._known: dict[str, None] = {}
        self._reconnects = 0
        self._waiting: dict[str, _Waiting] = {}
        self._queue: deque[_Waiting] = deque()
        self._working: asyncio.Task[None] | None = None
        self._trouble: BusError | None = None  # the last that kept anything from being stored
        self._closed = False

    def knows(self, subject: str) -> bool:
        """Whether the subject is known to have its word. What a server knew that was away must be asked again."""
        if self._reconnects != self._connection.reconnects:
            self._reconnects = self._connection.reconnects
            self._known.clear()
        return subject in self._known

    async def store(self, subject: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float) -> bool:
        """Stores it if nothing is there; whether it did.

        Raises ServerRefused, or Unavailable at the deadline: then it may be stored nevertheless.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                while not self.knows(subject):
                    if (other := self._waiting.get(subject)) is None:
                        return await self._enter(subject, body, headers)
                    await asyncio.wait((other.answer,))
                return False
        except TimeoutError:
            why = self._trouble or "the server has not answered yet"
            raise Unavailable(f"{subject} is not known to be stored: {why}") from None

    async def close(self) -> None:
        """Takes nothing more. Who still waits gets Unavailable."""
        self._closed = True
        if self._working is not None:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)
        for waiting in self._waiting.values():
            _fail(waiting, Unavailable("the connection was closed before the server confirmed"))

    async def _enter(self, subject: str, body: bytes, headers: Mapping[str, str]) -> bool:
        if self._closed:
            raise Unavailable("the connection is closed")
        loop = asyncio.get_running_loop()
        self._count += 1
        named = {**headers, **_FREE, _NAME: f"{self._me}.{self._count}"}
        waiting = self._waiting[subject] = _Waiting(subject, body, named, loop.create_future())
        self._queue.append(waiting)
        if self._working is None:
            self._working = loop.create_task(self._work())
        try:
            return await waiting.answer
        finally:
            del self._waiting[subject]

    async def _work(self) -> None:
        """Until nothing waits any more."""
        try:
            while self._queue:
                taken = self._take()
                try:
                    await self._store(taken)
                except Exception as error:
                    log.exception("%d messages were not stored", len(taken))
                    for waiting in taken:
                        _fail(waiting, error)
        finally:
            self._working = None

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        size = 0
        while self._queue and len(taken) < BATCH_MESSAGES:
            size += len(self._queue[0].body)
            if taken and size > BATCH_BYTES:
                break
            taken.append(self._queue.popleft())
        return taken

    async def _store(self, taken: Sequence[_Waiting]) -> None:
        """Until each has its answer, or nobody waits for it any more."""
        pause, alone = FIRST_PAUSE_SECONDS, False
        while taken := [waiting for waiting in taken if not waiting.answer.done()]:
            try:
                if not self._connection.connected:
                    raise Unavailable("the connection to the server is lost")
                if alone or len(taken) <= FEW:
                    await self._try_each(taken)
                else:
                    await self._try_together(taken)
            except (Conflict, Unavailable) as trouble:
                if isinstance(trouble, Conflict) and await self._find(taken):
                    continue
                log.info("%d messages are not known to be stored yet: %s", len(taken), trouble)
                self._trouble = trouble
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            except ServerRefused:
                alone = True

    async def _try_each(self, taken: Sequence[_Waiting]) -> None:
        """Side by side. Raises Conflict when one of them is there already, or Unavailable; never another refusal."""
        told = await asyncio.gather(*(self._request(each, each.headers) for each in taken), return_exceptions=True)
        troubles: list[BaseException] = []
        for waiting, error in zip(taken, told, strict=True):
            if error is None:
                self._answer(waiting, new=True)
            elif isinstance(error, ServerRefused) and not isinstance(error, Conflict):
                _fail(waiting, error)
            else:
                troubles.append(error)
        for trouble in sorted(troubles, key=lambda trouble: not isinstance(trouble, Conflict)):
            raise trouble

    async def _try_together(self, taken: Sequence[_Waiting]) -> None:
        """As one batch. Raises Conflict when one of them is there already, ServerRefused, Unavailable."""
        batch = uuid.uuid4().hex
        numbered = [
            (each.subject, each.body, {**each.headers, "Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)})
            for number, each in enumerate(taken, start=1)
        ]
        await self._connection.publish_many(numbered[:-1])
        try:
            await self._request(taken[-1], {**numbered[-1][2], "Nats-Batch-Commit": "1"})
        except _Incomplete as lacking:  # a member was refused, or the server was restarted in the middle
            raise self._connection.not_permitted(each.subject for each in taken) or lacking from None
        for waiting in taken:
            self._answer(waiting, new=True)

    async def _request(self, waiting: _Waiting, headers: Mapping[str, str]) -> None:
        answer = await self._connection.request(
            waiting.subject, waiting.body, headers=headers, timeout_seconds=self._try_seconds
        )
        try:
            raise_refusal(f"storing on {waiting.subject}", answer)
        except ServerRefused as refused:
            if refused.code == INCOMPLETE_BATCH:
                raise _Incomplete(str(refused)) from None
            raise

    async def _find(self, taken: Sequence[_Waiting]) -> bool:
        """Answers those whose subject has its word; whether there were any."""
        wanted = {waiting.subject: waiting for waiting in taken if not waiting.answer.done()}
        try:
            found = await newest(self._connection, self._stream, list(wanted))
        except BusError as error:
            log.info("what is stored already is not known yet: %s", error)
            return False
        for stored in found:
            waiting = wanted[stored.subject]
            self._answer(waiting, new=stored.headers.get(_NAME) == waiting.headers[_NAME])
        return bool(found)

    def _answer(self, waiting: _Waiting, *, new: bool) -> None:
        self._trouble = None
        self._known[waiting.subject] = None
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        if not waiting.answer.done():
            waiting.answer.set_result(new)


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)
