"""Bulk replay: any range of a stream, fast, in order and in flat memory, without a consumer.

It asks in batches (`$JS.API.DIRECT.GET.<stream>` with `batch`) and keeps one batch ahead, so that the server works
while we do. Every message of a batch names the one before it (`Nats-Last-Sequence`, 0 for the first), and the end of
the batch names the last: what was lost on the way is noticed, and asked for again. An end is believed of the stream's
leader alone, since any replica may answer a direct get.
Source of the protocol: nats-architecture-and-design, ADR-31, batched requests; measured on nats-server 2.15.1.
"""

import asyncio
import itertools
import logging
from bisect import bisect_right
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

import msgspec

from bus.connection import Connection, Message, Subscription, header
from bus.errors import BusError, ServerRefused, Unavailable
from bus.look import Look
from bus.stored import Stored, get, refusal
from bus.topology import LOG, Stream

log = logging.getLogger(__name__)

BATCH_COUNT: Final = 500
BATCH_BYTES: Final = 4 * 1024 * 1024
"""Of one batch, shared by the filters; two batches are in memory at most."""
EVERYTHING: Final = ">"
_PATIENCE_SECONDS: Final = 1.0
"""How long the server may be silent before it is asked again; doubled each time, since a long search is silent too."""
_GLANCE_SECONDS: Final = 0.1
"""How soon a connection that came back is noticed: what was asked before will not be answered."""
_GIVE_UP_SECONDS: Final = 30.0


async def replay(
    connection: Connection,
    filters: Iterable[str],
    *,
    stream: Stream = LOG,
    after: int = 0,
    until: int | None = None,
    since: datetime | None = None,
) -> AsyncGenerator[list[Stored]]:
    """What is stored by now on any of the filters, in batches, in order, each message once.

    Behind the position `after`, up to the position `until`, not before the time `since`. Raises Unavailable when the
    server gives nothing for 30 s, ServerRefused, or LogChanged when the stream was recreated in the middle.
    """
    look = Look(connection, stream)
    end = await look.end(0)
    if until is not None:
        end = min(until, end)
    if since is not None:
        first = await first_since(connection, since, look)
        after = end if first is None else max(after, first - 1)
    async with Replay(connection, filters, look, after=after, until=end) as reading:
        while batch := await reading.batch():
            yield batch


async def first_since(connection: Connection, since: datetime, look: Look) -> int | None:
    """The first position that was stored at a time or later; None when there was none when `look` last looked."""
    if connection.restored and look.stream.name == LOG.name:
        return await _search(connection, since, await look.end(0))
    if look.last_time < since:
        return None
    for _ in range(50):
        found = await get(connection, look.stream, {"start_time": since.astimezone(UTC), "next_by_subj": EVERYTHING})
        if found is not None:
            return found.position
        if not look.replicated:
            return None
        await asyncio.sleep(0.1)  # a replica that lags
    raise Unavailable(f"{look.stream.name}: a replica lags; nothing from {since:%FT%TZ} on is there yet")


async def _search(connection: Connection, since: datetime, end: int) -> int | None:
    """As `first_since`, in a log that was put back: the server does not know when that was stored first."""
    low, high = 1, end + 1
    while low < high:
        middle = (low + high) // 2
        found = await get(connection, LOG, {"seq": middle})
        if found is not None and found.stored_at < since:
            low = middle + 1
        else:
            high = middle
    return low if low <= end else None


class Replay:
    """The range of a stream behind `after` up to `until`, which must be stored already. Use it as `async with`."""

    def __init__(self, connection: Connection, filters: Iterable[str], look: Look, *, after: int, until: int) -> None:
        wanted = set(filters)
        if any(covers(look.stream, subject) for subject in wanted):
            wanted = {EVERYTHING}
        self._asking = _Asking(connection, look.stream, BATCH_COUNT // len(wanted) or 1, BATCH_BYTES // len(wanted))
        self._restored = connection.restored if look.stream.name == LOG.name else ()
        self._cursors = [_Cursor(self._asking, subject, look, after, until) for subject in sorted(wanted)]

    async def __aenter__(self) -> "Replay":
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Ready to ask. Raises Unavailable when the connection is closed."""
        await self._asking.open()

    async def close(self) -> None:
        """Takes no more answers."""
        await self._asking.close()

    @property
    def ended(self) -> bool:
        """Whether everything has been handed over."""
        return all(cursor.ended and not cursor.found for cursor in self._cursors)

    async def batch(self) -> list[Stored]:
        """What comes next; empty at the end. Nothing is lost to a caller that is cancelled. Raises as `replay` does."""
        found = await self._next()
        return [item.at_first(self._restored) for item in found] if self._restored else found

    async def _next(self) -> list[Stored]:
        for cursor in self._cursors:
            await cursor.fill()
        if len(self._cursors) == 1:
            return self._cursors[0].take(None)
        # What a filter that has not ended may still bring stands behind all that it has brought.
        bound = min((cursor.found[-1].position for cursor in self._cursors if not cursor.ended), default=None)
        merged = {item.position: item for cursor in self._cursors for item in cursor.take(bound)}
        return [merged[position] for position in sorted(merged)]


def covers(stream: Stream, subject: str) -> bool:
    """Whether a filter matches everything in the stream."""
    republished = stream.republish is not None and subject == stream.republish.src
    return subject == EVERYTHING or stream.subjects == (subject,) or republished


class _Answers:
    """What has come of one batch."""

    def __init__(self, reconnects: int) -> None:
        self.messages: list[Message] = []
        self.end: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.reconnects = reconnects


class _Asking:
    """Asks for batches and gathers the answers, for all cursors of a replay."""

    def __init__(self, connection: Connection, stream: Stream, count: int, size: int) -> None:
        self._connection = connection
        self._bounds = {"batch": count, "max_bytes": size}
        self._subject = f"$JS.API.DIRECT.GET.{stream.name}"
        self._inbox = connection.inbox()
        self._tokens = itertools.count(1)
        self._asked: dict[str, _Answers] = {}
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        self._subscription = await self._connection.subscribe(f"{self._inbox}.*", self._heard)

    async def close(self) -> None:
        self._asked.clear()
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with suppress(Unavailable):  # closed, and the subscription with it
                await subscription.unsubscribe()

    def _heard(self, message: Message) -> None:
        answers = self._asked.get(message.subject.rpartition(".")[2])
        if answers is None:
            return  # to a question that was given up
        if message.headers is not None and "Nats-Sequence" in message.headers:
            answers.messages.append(message)
        elif not answers.end.done():
            answers.end.set_result(message)

    async def ask(self, subject: str, position: int) -> str:
        """Asks for the batch from a position on; the token of its answers."""
        token = f"{next(self._tokens)}"
        self._asked[token] = _Answers(self._connection.reconnects)
        request = {"seq": position, "next_by_subj": subject, **self._bounds}
        try:
            await self._connection.publish(self._subject, msgspec.json.encode(request), reply=f"{self._inbox}.{token}")
            await asyncio.sleep(0)  # it goes out now, and not when whoever reads what came has done with it
        except BaseException:
            del self._asked[token]
            raise
        return token

    async def answers(self, token: str, patience: float) -> _Answers:
        """All that comes until the batch ends, or the server is silent for so long, or the connection was lost."""
        answers = self._asked[token]
        clock = asyncio.get_running_loop().time
        count, heard = 0, clock()
        while not answers.end.done() and answers.reconnects == self._connection.reconnects:
            await asyncio.wait((answers.end,), timeout=_GLANCE_SECONDS)
            if len(answers.messages) > count:
                count, heard = len(answers.messages), clock()
            elif clock() >= heard + patience:
                break
        del self._asked[token]
        return answers


class _Cursor:
    """The way of one filter through the stream: what was found and not taken yet, and a batch that is on its way."""

    def __init__(self, asking: _Asking, subject: str, look: Look, after: int, until: int) -> None:
        self._asking = asking
        self._subject = subject
        self._look = look
        self._position = after
        self._until = until
        self._token: str | None = None
        self._more = False  # it is known that something follows what was found
        self._no_more = False  # who answered last says that nothing does
        self.found: list[Stored] = []
        self.ended = after >= until

    def take(self, bound: int | None) -> list[Stored]:
        """What was found, up to a position."""
        count = len(self.found) if bound is None else bisect_right(self.found, bound, key=lambda item: item.position)
        taken, self.found = self.found[:count], self.found[count:]
        return taken

    async def fill(self) -> None:
        """Waits until something is found or there is no more; then the next batch is on its way.

        What was found is not handed over before it is known whether that was all: with the last item, a reader says
        that it has caught up, and who waits for that word hears no other.
        """
        clock = asyncio.get_running_loop().time
        patience, pause, deadline = _PATIENCE_SECONDS, 0.05, clock() + _GIVE_UP_SECONDS
        while not self.ended and not (self.found and self._more):
            trouble: BusError = Unavailable(
                f"{self._look.stream.name}: no answer from position {self._position + 1} on"
            )
            try:
                if not self._no_more:
                    if self._token is None:
                        self._token = await self._asking.ask(self._subject, self._position + 1)
                    answers = await self._asking.answers(self._token, patience)
                    self._token = None
                    self._no_more = self._accept(answers)
                if self._no_more:
                    await self._look.end(self._until)
                    self.ended = not self._look.replicated or await self._leader_has_no_more()
                    self._no_more, self._more = False, not self.ended
                if self.ended or (self.found and self._more):
                    break
                await asyncio.sleep(pause)
                await self._look.end(self._position)
            except (Unavailable, ServerRefused) as error:
                trouble = error
                await asyncio.sleep(pause)
            if clock() >= deadline:
                raise trouble
            log.debug("asked again: %s", trouble)
            patience, pause = min(2 * patience, 8.0), min(2 * pause, 1.0)
        if self._token is None and not self.ended:
            with suppress(Unavailable):
                self._token = await self._asking.ask(self._subject, self._position + 1)

    def _accept(self, answers: _Answers) -> bool:
        """Takes what came, up to the first hole. True: the server that answered has no more."""
        before, self._more = "0", False
        for message in answers.messages:
            item = Stored.of(message)
            if item is None or item.headers.get("Nats-Last-Sequence") != before:
                self._more = True
                break
            if item.position > self._until:
                self.ended = True
                break
            self.found.append(item)
            self._position = item.position
            before = item.headers["Nats-Sequence"]
        self.ended = self.ended or self._position >= self._until
        if self.ended or not answers.end.done():
            return False
        end = answers.end.result()
        match header(end, "Status"):
            case "204":
                self._more = header(end, "Nats-Last-Sequence") != before or header(end, "Nats-Num-Pending") != "0"
                return not self._more
            case "404":
                return not answers.messages
            case "503":
                raise Unavailable(f"nobody answers for {self._look.stream.name}")
            case _:
                raise refusal(end)

    async def _leader_has_no_more(self) -> bool:
        following = await self._look.next_of(self._subject, self._position)
        return following is None or following > self._until
