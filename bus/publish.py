"""The wire of publishing: one event, or an atomic batch, each tried once.

Nothing here is fire and forget, and nothing is tried again: a position comes back, or an error that says what is known.
Unavailable means that it may have landed. `writer.py` and `store_expecting` go on from there.
"""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from bus.connection import Connection, raise_refusal
from bus.delivery import Skipped
from bus.errors import Conflict, DuplicateMismatch, ServerRefused, Unavailable
from bus.leader import read_id, read_position
from bus.topology import LOG, Stream
from schemas import Envelope, Recorded, encode

MAX_BATCH: Final = 1_000
"""Messages of one atomic batch; the server refuses more."""
TRY_SECONDS: Final = 3.0
"""How long one try waits for its acknowledgement."""
FIRST_PAUSE_SECONDS: Final = 0.02
LONGEST_PAUSE_SECONDS: Final = 0.1


class Expect(Struct, frozen=True):
    """Compare-and-set: the last position on exactly this subject; 0: nothing may be there."""

    subject: str
    position: int


class Outgoing(Struct, frozen=True):
    """An event on its way."""

    event: Envelope
    subject: str
    body: bytes

    @classmethod
    def of(cls, event: Envelope) -> "Outgoing":
        """Encodes it. Raises Undecodable when it is too large."""
        return cls(event, event.on, encode(event))


class _Ack(Struct, frozen=True):
    seq: int = 0
    duplicate: bool = False


_ACK = msgspec.json.Decoder(_Ack)


async def store_one(
    connection: Connection,
    message: Outgoing,
    *,
    expect: Expect | None = None,
    stream: Stream = LOG,
    timeout_seconds: float = TRY_SECONDS,
) -> int:
    """Stores one event, or finds it stored already; its position.

    Raises Conflict when `expect` does not hold and it is not there, DuplicateMismatch, ServerRefused, Unavailable.
    """
    headers = {"Nats-Msg-Id": message.event.id}
    if expect is not None:
        headers |= _expectation(expect, message.subject)
    answer = await connection.request(message.subject, message.body, headers=headers, timeout_seconds=timeout_seconds)
    try:
        raise_refusal(f"publishing {message.event.id} on {message.subject}", answer)
    except Conflict:
        found = await find(connection, message, stream=stream)  # perhaps an earlier try of ours was the one that won
        if found is None:
            raise
        return found
    ack = _ACK.decode(answer)
    if not ack.duplicate:
        return ack.seq
    return same(await read_position(connection, ack.seq, stream=stream), message)


class Batch:
    """An atomic batch on its way: members go out as they come, and the server keeps them ready; the last one commits.

    All are stored or none. A batch that is never committed is as if it had never been. A batch with an id in it that is
    stored already is refused whole, at the commit, and so is one with a member that was refused. What an expectation
    protects from being stored twice needs no id; and nobody can keep it out by saying its ids before.
    """

    def __init__(self, connection: Connection, *, expect: Expect | None = None) -> None:
        self._connection = connection
        self._expect = expect
        self._id = uuid.uuid4().hex
        self._sent = 0
        self._subjects: list[str] = []
        self._last: Outgoing | None = None
        """It is held back: one has to commit."""

    async def add(self, messages: Sequence[Outgoing]) -> None:
        """Raises Unavailable when the connection is lost; then the batch is, too."""
        if not messages:
            return
        members = [*([self._last] if self._last else []), *messages]
        self._last = members.pop()
        await self._connection.publish_many([(each.subject, each.body, self._headers(each)) for each in members])

    async def commit(self, *, timeout_seconds: float = TRY_SECONDS) -> int:
        """The position of the first; the others follow without a gap. Raises Conflict, ServerRefused, Unavailable."""
        last = self._last
        if last is None or self._sent >= MAX_BATCH:
            count = self._sent + (last is not None)
            raise ServerRefused("an atomic batch", 0, f"{count} events, 1 to {MAX_BATCH} fit")
        headers = {**self._headers(last), "Nats-Batch-Commit": "1"}
        answer = await self._connection.request(
            last.subject, last.body, headers=headers, timeout_seconds=timeout_seconds
        )
        try:
            raise_refusal(f"a batch of {self._sent} events", answer)
        except ServerRefused as error:  # a member that was refused is what the whole lacks
            raise self._connection.not_permitted(self._subjects) or error from None
        return _ACK.decode(answer).seq - self._sent + 1

    def _headers(self, message: Outgoing) -> dict[str, str]:
        self._sent += 1
        self._subjects.append(message.subject)
        headers = {"Nats-Batch-Id": self._id, "Nats-Batch-Sequence": str(self._sent)}
        if self._expect is None:
            headers["Nats-Msg-Id"] = message.event.id
        elif self._sent == 1:
            headers |= _expectation(self._expect, message.subject)
        return headers


async def store_batch(
    connection: Connection,
    messages: Sequence[Outgoing],
    *,
    expect: Expect | None = None,
    timeout_seconds: float = TRY_SECONDS,
) -> int:
    """Stores all or none; the position of the first. One try; raises as `Batch.commit`."""
    if len(messages) > MAX_BATCH:
        raise ServerRefused("an atomic batch", 0, f"{len(messages)} events, 1 to {MAX_BATCH} fit")
    batch = Batch(connection, expect=expect)
    await batch.add(messages)
    return await batch.commit(timeout_seconds=timeout_seconds)


async def store_expecting(connection: Connection, message: Outgoing, expect: Expect, *, timeout_seconds: float) -> int:
    """Stores one event if `expect` holds, trying until the deadline; its position.

    A try that ended in silence is followed by a look whether it landed, so it is neither stored twice nor reported as
    a conflict with itself. Raises Conflict, DuplicateMismatch, ServerRefused, or Unavailable at the deadline.
    """
    pause = FIRST_PAUSE_SECONDS
    trouble: Unavailable | None = None
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                try:
                    if trouble is not None and (found := await find(connection, message)) is not None:
                        return found
                    return await store_one(connection, message, expect=expect)
                except Unavailable as error:
                    trouble = error
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
    except TimeoutError:
        why = trouble or "the server has not answered yet"
        raise Unavailable(f"{message.event.id} on {message.subject} is not known to be stored: {why}") from None


async def find(connection: Connection, message: Outgoing, *, after: int = 0, stream: Stream = LOG) -> int | None:
    """Where the event is stored, as far as its subject tells behind `after`; None when it is not there.

    Raises DuplicateMismatch when its id is there and says something else.
    """
    stored = await read_id(connection, message.subject, message.event.id, after=after, stream=stream)
    return None if stored is None else same(stored, message)


def same(stored: Recorded | Skipped | None, message: Outgoing) -> int:
    """The position of what is stored, which must say what we say. Raises DuplicateMismatch."""
    if isinstance(stored, Recorded) and stored.event.says_the_same(message.event):
        return stored.position
    raise DuplicateMismatch(
        f"the id {message.event.id} is stored already and says something else than {message.subject}"
    )


def _expectation(expect: Expect, subject: str) -> dict[str, str]:
    headers = {"Nats-Expected-Last-Subject-Sequence": str(expect.position)}
    if expect.subject != subject:
        headers["Nats-Expected-Last-Subject-Sequence-Subject"] = expect.subject
    return headers
