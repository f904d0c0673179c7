"""One message as JetStream hands it over, and what its reply subject tells about it."""

import time
from datetime import UTC, datetime

from msgspec import Struct

from bus.connection import Message
from bus.tracing import tracing
from schemas import Recorded, SchemaError, decode


class Skipped(Struct, frozen=True):
    """A position of the log whose body this version cannot use: an unknown type, or not an event at all."""

    position: int
    subject: str
    reason: str
    body: bytes
    stored_at: datetime


class Delivery(Struct, frozen=True):
    """A message with its place in the stream and in the consumer."""

    subject: str
    body: bytes
    reply: str
    position: int
    """Sequence in the stream."""
    order: int
    """Sequence in the consumer: contiguous unless a message was lost on the way."""
    attempt: int
    """How often it was delivered, from 1."""
    pending: int
    """How many more the consumer had for us at that moment."""
    stored_at: datetime
    headers: dict[str, str] | None = None
    cause: str | None = None
    """What brought it back from the dead letters, like RIG_DEAD:17; None for what came by itself."""
    heard: int = 0
    """When it came here, in ns of Unix time; 0: nobody wants to know, or it has been here for long."""

    @classmethod
    def of(cls, message: Message) -> "Delivery | None":
        """None for a status message. Reply subjects have 9 tokens, or 11 and more with domain and account."""
        tokens = message.reply.split(".") if message.reply else []
        if len(tokens) < 9 or tokens[1] != "ACK":
            return None
        attempt, position, order, stored, pending = tokens[4:9] if len(tokens) == 9 else tokens[6:11]
        return cls(
            subject=message.subject,
            body=message.data,
            reply=message.reply,
            position=int(position),
            order=int(order),
            attempt=int(attempt),
            pending=int(pending),
            stored_at=datetime.fromtimestamp(int(stored) / 1e9, UTC),
            headers=message.headers,
            heard=time.time_ns() if tracing.on else 0,
        )

    def decoded(self) -> Recorded | Skipped:
        """The event that it carries, or why it carries none."""
        return recorded(self.position, self.stored_at, self.subject, self.body)


def recorded(position: int, stored_at: datetime, subject: str, body: bytes) -> Recorded | Skipped:
    """A stored message → the event, or why there is none."""
    try:
        return Recorded(position, stored_at, decode(body, subject=subject))
    except SchemaError as error:
        return Skipped(position, subject, str(error), body, stored_at)
