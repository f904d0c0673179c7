"""Writing to the log: one event that is stored once whatever happens on the way, or an atomic batch.

Nothing here is fire and forget: a position comes back, or an error that says what is known.
"""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from bus.connection import Connection, raise_refusal
from bus.direct import get_last, get_position
from bus.errors import Conflict, DuplicateMismatch, ServerRefused, Unavailable
from schemas import Envelope, Recorded, encode

MAX_BATCH: Final = 1_000
"""Messages of one atomic batch; the server refuses more."""
_TRY_SECONDS: Final = 5.0


class Expect(Struct, frozen=True):
    """Compare-and-set: the last position on exactly this subject; 0: nothing may be there."""

    subject: str
    position: int


class _Ack(Struct, frozen=True):
    seq: int = 0
    duplicate: bool = False


async def publish_event(
    connection: Connection, event: Envelope, *, expect: Expect | None = None, timeout_seconds: float = 30.0
) -> int:
    """Stores one event and returns its position; said again with the same id, the position of the first.

    An attempt that ends in silence is repeated with the same id until the deadline, so a lost acknowledgement neither
    stores twice nor reports a false conflict. Raises Conflict when `expect` does not hold, DuplicateMismatch when the
    id is stored with another subject or data, ServerRefused, or Unavailable at the deadline.
    """
    body, subject = encode(event), str(event.subject)
    headers = {"Nats-Msg-Id": event.id}
    if expect is not None:
        headers |= _expectation(expect, subject)
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout_seconds
    pause = 0.05
    while True:
        try:
            patience = max(0.05, min(_TRY_SECONDS, deadline - clock()))
            answer = await connection.request(subject, body, headers=headers, timeout_seconds=patience)
            raise_refusal(f"publishing {event.id} on {subject}", answer)
            ack = msgspec.json.decode(answer, type=_Ack)
        except Conflict:
            stored = await get_last(connection, subject)
            if isinstance(stored, Recorded) and stored.event.id == event.id:
                return _same(stored, event)
            raise
        except Unavailable:
            if clock() + pause >= deadline:
                raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)
        else:
            return _same(await get_position(connection, ack.seq), event) if ack.duplicate else ack.seq


def _same(stored: Recorded | object | None, event: Envelope) -> int:
    if isinstance(stored, Recorded) and stored.event.says_the_same(event):
        return stored.position
    raise DuplicateMismatch(f"the id {event.id} is stored already and says something else than {event.subject}")


async def publish_batch(connection: Connection, events: Sequence[Envelope], *, expect: Expect) -> int:
    """Stores all events or none, and returns the position of the first; they are contiguous.

    One try. Any refusal or silence raises (Conflict, ServerRefused, Unavailable) and leaves it to the caller to read
    the log before saying anything again: the batch may have landed.
    """
    if not 1 <= len(events) <= MAX_BATCH:
        raise ServerRefused("an atomic batch", 0, f"{len(events)} events, 1 to {MAX_BATCH} fit")
    batch = uuid.uuid4().hex
    for index, event in enumerate(events, start=1):
        subject, body = str(event.subject), encode(event)
        headers = {"Nats-Msg-Id": event.id, "Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(index)}
        if index == 1:
            headers |= _expectation(expect, subject)
        if index < len(events):
            await connection.publish(subject, body, headers=headers)
            continue
        headers["Nats-Batch-Commit"] = "1"
        answer = await connection.request(subject, body, headers=headers, timeout_seconds=_TRY_SECONDS)
        raise_refusal(f"a batch of {len(events)} events", answer)
        return msgspec.json.decode(answer, type=_Ack).seq - len(events) + 1
    raise AssertionError("unreachable: the loop returns at its last event")


def _expectation(expect: Expect, subject: str) -> dict[str, str]:
    headers = {"Nats-Expected-Last-Subject-Sequence": str(expect.position)}
    if expect.subject != subject:
        headers["Nats-Expected-Last-Subject-Sequence-Subject"] = expect.subject
    return headers
