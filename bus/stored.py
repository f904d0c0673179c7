"""What lies in a stream, read as it was stored and without a consumer (JetStream's direct get): one message, or many.

direct.py reads events of the log this way, and replay.py whole ranges of any stream.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bus.connection import Connection, Message, header
from bus.delivery import Skipped, recorded
from bus.errors import ServerRefused, Unavailable
from bus.restored import Ranges, first_time
from bus.topology import LOG, Stream
from schemas import Recorded

PATIENCE_SECONDS: Final = 5.0
"""With a server that says nothing: between two messages of one answer, too."""


class Stored(Struct, frozen=True, gc=False):  # made by the thousand, in no cycle
    """A stored message."""

    position: int
    """Sequence in the stream, from 1."""
    subject: str
    stored_at: datetime
    """The server's clock; of what was put back (restored.py), when it was stored first."""
    headers: dict[str, str]
    """All of them; the server's own win over those of the same name that a writer gave."""
    body: bytes

    @classmethod
    def of(cls, message: Message) -> "Stored | None":
        """What direct get and republishing hand over; None for a status, or what no stream has said.

        The server adds these headers to every stored message and to nothing else; a writer may have forged any other,
        `Status` too.
        """
        headers = message.headers
        if headers is None:
            return None
        try:
            position, stored_at = int(headers["Nats-Sequence"]), datetime.fromisoformat(headers["Nats-Time-Stamp"])
            return cls(position, headers["Nats-Subject"], stored_at, headers, message.data)
        except (KeyError, ValueError):
            return None

    def at_first(self, restored: Ranges) -> "Stored":
        """As it was when it was stored first, for a message of the log."""
        return replace(self, stored_at=first_time(restored, self.position, self.headers, self.stored_at))

    def decoded(self) -> Recorded | Skipped:
        """The event that it carries, or why it carries none."""
        return recorded(self.position, self.stored_at, self.subject, self.body)


async def get(
    connection: Connection, stream: Stream, wanted: dict[str, object], *, timeout_seconds: float = PATIENCE_SECONDS
) -> Stored | None:
    """One direct get, asked in the server's words; None when nothing is there. Raises Unavailable or ServerRefused."""
    asked = f"$JS.API.DIRECT.GET.{stream.name}"
    message = await connection.request_message(asked, msgspec.json.encode(wanted), timeout_seconds=timeout_seconds)
    found = Stored.of(message)
    if found is None and header(message, "Status") != "404":
        raise refusal(message)
    if found is not None and connection.restored and stream.name == LOG.name:
        return found.at_first(connection.restored)
    return found


def refusal(message: Message) -> ServerRefused:
    """What a status of direct get says."""
    status, reason = header(message, "Status"), header(message, "Description")
    return ServerRefused("direct get", int(status or 0), reason or "no reason given")


async def last(
    connection: Connection, stream: Stream, subject: str, *, timeout_seconds: float = PATIENCE_SECONDS
) -> Stored | None:
    """The newest message on a subject or filter. Raises Unavailable or ServerRefused."""
    return await get(connection, stream, {"last_by_subj": subject}, timeout_seconds=timeout_seconds)


async def messages(
    connection: Connection, stream: Stream, subject: str, *, first: int = 1, batch: int = 256
) -> AsyncGenerator[Stored]:
    """Every message now stored on a subject or filter, from position `first` on, `batch` in one request.

    Close it when you stop early (`contextlib.aclosing`). Raises Unavailable or ServerRefused, in the middle too.
    """
    async with _asking(connection) as (inbox, heard):
        pending = 1
        while pending:
            request = msgspec.json.encode({"seq": first, "next_by_subj": subject, "batch": batch})
            await connection.publish(f"$JS.API.DIRECT.GET.{stream.name}", request, reply=inbox)
            while (stored := Stored.of(message := await _next(heard, stream))) is not None:
                first = stored.position + 1
                yield stored
            pending = _pending(message, stream)


async def newest(connection: Connection, stream: Stream, subjects: Sequence[str]) -> list[Stored]:
    """The newest message on each subject that has one, 1 024 at most; where they are large, some of those.

    Raises Unavailable or ServerRefused.
    """
    async with _asking(connection) as (inbox, heard):
        request = msgspec.json.encode({"multi_last": subjects})
        await connection.publish(f"$JS.API.DIRECT.GET.{stream.name}", request, reply=inbox)
        found: list[Stored] = []
        while (stored := Stored.of(message := await _next(heard, stream))) is not None:
            found.append(stored)
        _pending(message, stream)
        return found


@asynccontextmanager
async def _asking(connection: Connection) -> AsyncGenerator[tuple[str, asyncio.Queue[Message]]]:
    """Where many answers to one question go, and where they are heard."""
    inbox = connection.inbox()
    heard: asyncio.Queue[Message] = asyncio.Queue()
    subscription = await connection.subscribe(inbox, heard.put_nowait)
    try:
        yield inbox, heard
    finally:
        with suppress(Unavailable):
            await subscription.unsubscribe()


def _pending(end: Message, stream: Stream) -> int:
    """How many more there are behind what was answered. Raises Unavailable or ServerRefused."""
    match header(end, "Status"):
        case "204":
            return int(header(end, "Nats-Num-Pending") or 0)
        case "404":
            return 0
        case "503":
            raise Unavailable(f"{stream.name}: nobody answers")
        case _:
            raise refusal(end)


async def _next(heard: asyncio.Queue[Message], stream: Stream) -> Message:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await heard.get()
    except TimeoutError:
        raise Unavailable(f"{stream.name}: reading it ended in silence") from None
