"""What is written on RIG_DEAD: letters about messages that could not be handled, and what people decided about them.

    dead.letter.<stream>.<durable>     Letter    by the role whose durable it is
    dead.retry.<stream>.<durable>      Verdict   by a person: the same message once more
    dead.dropped.<stream>.<durable>    Verdict   by a person: never again

A letter holds a copy of the message for people, and for a retry when its stream has forgotten it. A retry names its
letter and holds no message: whoever asks for one cannot put words into the mouth of who wrote the original.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from bus.connection import Connection, raise_refusal
from bus.delivery import Delivery
from bus.stored import Stored, get
from bus.topology import DEAD, Durable
from schemas import MALFORMED

log = logging.getLogger(__name__)

COPY_BYTES: Final = 524_288
"""Of a body that is buried: its letter, in base64, must fit into one message."""
REASON_CHARACTERS: Final = 2_000
_HEADER_CHARACTERS: Final = 16_384


class Letter(Struct, frozen=True, kw_only=True):
    """A message that could not be handled."""

    stream: str
    consumer: str
    position: int
    subject: str
    reason: str
    attempts: int
    time: datetime
    size: int
    """Bytes of the whole body."""
    body: bytes
    """All of it, or the first COPY_BYTES."""
    headers: dict[str, str] = {}
    cause: str | None = None
    """The retry that failed again."""

    @property
    def whole(self) -> bool:
        """Whether the copy is all of the body."""
        return len(self.body) == self.size


class Verdict(Struct, frozen=True, kw_only=True):
    """What a person decided about a letter."""

    letter: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    """Its position in RIG_DEAD; the server takes no other for one."""
    by: str
    reason: str
    time: datetime


class Advisory(Struct, frozen=True, kw_only=True):
    """What the server says when a consumer gives a message up (its `max_deliver`, or a termination)."""

    stream: str
    consumer: str
    stream_seq: int
    deliveries: int = 0
    reason: str = ""
    timestamp: datetime


class _Ack(Struct, frozen=True):
    seq: int = 0
    duplicate: bool = False


ADVISORIES: Final = ("MAX_DELIVERIES", "MSG_TERMINATED")


async def bury(connection: Connection, durable: Durable, delivery: Delivery, reason: str) -> None:
    """Stores a letter about what came from this durable; once, however often it is said. Raises BusError."""
    headers, attempts, cause = delivery.headers or {}, delivery.attempt, delivery.cause
    await _store_letter(connection, durable, delivery, reason, headers=headers, attempts=attempts, cause=cause)


async def bury_stored(
    connection: Connection, reader: Durable, message: Stored, reason: str, *, cause: str | None = None
) -> int:
    """The same, about what was read without the server's counting; returns the letter's position."""
    return await _store_letter(connection, reader, message, reason, headers=own_headers(message), cause=cause)


async def _store_letter(
    connection: Connection,
    durable: Durable,
    message: Delivery | Stored,
    reason: str,
    *,
    headers: dict[str, str],
    attempts: int = 1,
    cause: str | None = None,
) -> int:
    letter = Letter(
        stream=durable.stream.name,
        consumer=durable.name,
        position=message.position,
        subject=message.subject,
        reason=reason[:REASON_CHARACTERS].encode(errors="replace").decode(),
        attempts=attempts,
        time=connection.now(),
        size=len(message.body),
        body=message.body[:COPY_BYTES],
        headers=_bounded(headers),
        cause=cause,
    )
    said = ":".join((letter.stream, letter.consumer, str(letter.position), cause or ""))

    def is_ours(stored: Stored) -> bool:
        found = read_letter(stored)
        about = found and (found.stream, found.consumer, found.position)
        return about == (letter.stream, letter.consumer, letter.position)

    subject = f"dead.letter.{letter.stream}.{letter.consumer}"
    position, _ = await write(connection, subject, msgspec.json.encode(letter), id=said, is_ours=is_ours)
    return position


async def write(
    connection: Connection,
    subject: str,
    body: bytes,
    *,
    id: str,  # noqa: A002 - CloudEvents' name
    is_ours: Callable[[Stored], bool],
) -> tuple[int, bool]:
    """Stores a word on RIG_DEAD; its position, and whether it stood there already. Raises BusError.

    An id belongs to nobody: where somebody else has taken ours for a word of his own, ours is stored without one.
    """
    ack = await _store(connection, subject, body, {"Nats-Msg-Id": id})
    if not ack.duplicate:
        return ack.seq, False
    stored = await get(connection, DEAD, {"seq": ack.seq})
    if stored is not None and is_ours(stored):
        return ack.seq, True
    log.error("the id %s on %s is taken by another, at position %d", id, DEAD.name, ack.seq)
    return (await _store(connection, subject, body, {})).seq, False


async def _store(connection: Connection, subject: str, body: bytes, headers: dict[str, str]) -> _Ack:
    answer = await connection.request(subject, body, headers=headers)
    raise_refusal(f"writing on {subject}", answer)
    return msgspec.json.decode(answer, type=_Ack)


def _bounded(headers: dict[str, str]) -> dict[str, str]:
    room, kept = _HEADER_CHARACTERS, dict[str, str]()
    for name, value in headers.items():
        room -= len(name) + len(value)
        if room < 0:
            break
        kept[str(name)] = value
    return kept


async def resurrect(connection: Connection, durable: Durable, retry: Delivery) -> Delivery | str:
    """The message that a retry asks for, as this durable would have delivered it; or why there is none.

    Nothing in the retry is believed but the number of its letter: the letter must be one about this durable, which its
    role and the server alone can write, and the message is its stream's own, or the role's copy of it.
    """
    stream, name = durable.stream.name, durable.name
    try:
        wanted = msgspec.json.decode(retry.body, type=Verdict).letter
    except MALFORMED as error:
        return f"not a retry: {error}"
    about = await get(connection, DEAD, {"seq": wanted})
    if about is None:
        return f"there is no letter {wanted}"
    letter = read_letter(about)
    if letter is None or (letter.stream, letter.consumer) != (stream, name):
        return f"{wanted} is no letter about {stream} {name}"
    found = await get(connection, durable.stream, {"seq": letter.position})
    if found is None or (letter.subject and found.subject != letter.subject):
        if not letter.whole or not letter.subject:
            return f"{stream} does not hold position {letter.position} any more, and the letter has no whole copy"
        found = Stored(letter.position, letter.subject, letter.time, letter.headers, letter.body)
    if not matches(durable.filter, found.subject):
        return f"{found.subject} is none of what {name} takes"
    return Delivery(
        subject=found.subject,
        body=found.body,
        reply=retry.reply,
        position=found.position,
        order=retry.order,
        attempt=retry.attempt,
        pending=retry.pending,
        stored_at=found.stored_at,
        headers=own_headers(found),
        cause=f"{DEAD.name}:{retry.position}",
    )


def read_letter(stored: Stored) -> Letter | None:
    """What stands on RIG_DEAD → the letter; None when it is none. Its stream and consumer are those of its subject."""
    match stored.subject.split("."):
        case ["dead", "letter", stream, consumer]:
            try:
                letter = msgspec.json.decode(stored.body, type=Letter)
            except MALFORMED:
                return None
            return letter if (letter.stream, letter.consumer) == (stream, consumer) else None
        case ["$JS", "EVENT", "ADVISORY", "CONSUMER", kind, stream, consumer] if kind in ADVISORIES:
            try:
                said = msgspec.json.decode(stored.body, type=Advisory)
            except MALFORMED:
                return None
            given_up = f"given up after {said.deliveries} deliveries"
            return Letter(
                stream=stream,
                consumer=consumer,
                position=said.stream_seq,
                subject="",
                reason=given_up if kind == "MAX_DELIVERIES" else said.reason or "terminated without a reason",
                attempts=said.deliveries,
                time=said.timestamp.astimezone(UTC),
                size=0,
                body=b"",
            )
        case _:
            return None


def own_headers(stored: Stored) -> dict[str, str]:
    """Those that its writer gave."""
    return {name: value for name, value in stored.headers.items() if name not in _OF_DIRECT_GET}


_OF_DIRECT_GET: Final = frozenset(
    {"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Num-Pending", "Nats-Last-Sequence"}
)


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject is one of a filter's, by the server's rules for * and >."""
    wanted, tokens = pattern.split("."), subject.split(".")
    for index, want in enumerate(wanted):
        if want == ">":
            return len(tokens) > index
        if index >= len(tokens) or want not in ("*", tokens[index]):
            return False
    return len(wanted) == len(tokens)
