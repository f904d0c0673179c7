"""What lies in a stream, read as it was stored and without a consumer (JetStream's direct get): one message, or many.

direct.py reads events of the log this way; this file serves the streams whose messages are no events.
"""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from bus.connection import Connection, Message, header
from bus.errors import ServerRefused, Unavailable
from bus.topology import Stream

PATIENCE_SECONDS: Final = 5.0
"""With a server that says nothing: between two messages of one answer, too."""


class Stored(Struct, frozen=True):
    """A stored message."""

    position: int
    subject: str
    stored_at: datetime
    headers: dict[str, str]
    body: bytes


async def last(
    connection: Connection, stream: Stream, subject: str, *, timeout_seconds: float = PATIENCE_SECONDS
) -> Stored | None:
    """The newest message on a subject or filter. Raises Unavailable or ServerRefused."""
    request = msgspec.json.encode({"last_by_subj": subject})
    asked = f"$JS.API.DIRECT.GET.{stream.name}"
    message = await connection.request_message(asked, request, timeout_seconds=timeout_seconds)
    return None if header(message, "Status") == "404" else _stored(message)


async def messages(
    connection: Connection, stream: Stream, subject: str, *, first: int = 1, batch: int = 256
) -> AsyncGenerator[Stored]:
    """Every message now stored on a subject or filter, from position `first` on, `batch` in one request.

    Close it when you stop early (`contextlib.aclosing`). Raises Unavailable or ServerRefused, in the middle too.
    """
    inbox = connection.inbox()
    heard: asyncio.Queue[Message] = asyncio.Queue()
    subscription = await connection.subscribe(inbox, heard.put_nowait)
    try:
        pending = 1
        while pending:
            request = msgspec.json.encode({"seq": first, "next_by_subj": subject, "batch": batch})
            await connection.publish(f"$JS.API.DIRECT.GET.{stream.name}", request, reply=inbox)
            while (message := await _next(heard, stream)) is not None and header(message, "Status") != "204":
                stored = _stored(message)
                first = stored.position + 1
                yield stored
            pending = int(header(message, "Nats-Num-Pending") or 0) if message is not None else 0
    finally:
        await subscription.unsubscribe()


async def _next(heard: asyncio.Queue[Message], stream: Stream) -> Message | None:
    """None when nothing is stored there."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            message = await heard.get()
    except TimeoutError:
        raise Unavailable(f"{stream.name}: reading it ended in silence") from None
    match header(message, "Status"):
        case "404":
            return None
        case "503":
            raise Unavailable(f"{stream.name}: nobody answers")
        case _:
            return message


def _stored(message: Message) -> Stored:
    position, subject, stored = (header(message, f"Nats-{name}") for name in ("Sequence", "Subject", "Time-Stamp"))
    if position is None or subject is None or stored is None:
        status, reason = header(message, "Status"), header(message, "Description")
        raise ServerRefused("direct get", int(status or 0), reason or "no reason given")
    return Stored(int(position), subject, datetime.fromisoformat(stored), message.headers or {}, message.data)
