"""Puts the log back: the same messages at the same positions, from who has kept them.

For who holds the key `restore`, which no role has. Every batch is stored all or none, and only right behind what stands
before it: whoever else writes meanwhile is noticed, and nothing is stored twice after a silence.
"""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from bus.connection import MAX_PAYLOAD, Connection, frame_size, raise_refusal
from bus.ensure import ensure
from bus.errors import NoStream
from bus.publish import MAX_BATCH
from bus.restored import HEADER, amended
from bus.topology import LOG
from bus.verify import stream_info

COMMIT_SECONDS: Final = 30.0
BATCH_BYTES: Final = 8 * 1024 * 1024
HEADERS_BYTES: Final = 512
"""Of one message of a batch, at most."""


class Kept(Struct, frozen=True):
    """One message of the log, as somebody has kept it."""

    position: int
    subject: str
    stored_at: datetime
    body: bytes


async def make_log_anew(connection: Connection) -> None:
    """Deletes the log and makes it again, empty, with the durables that consume it. Raises BusError."""
    info = await stream_info(connection, LOG.name)
    replicas = info.config.get("num_replicas") if info is not None else None
    if info is not None:
        await connection.api(f"$JS.API.STREAM.DELETE.{LOG.name}")
    await ensure(connection, replicas=replicas if isinstance(replicas, int) else None)


async def announce(connection: Connection, first: int, last: int) -> None:
    """Before these positions are put back: from now on their own word on when they were stored is believed."""
    info = await stream_info(connection, LOG.name)
    if info is None:
        raise NoStream(f"the server has no stream {LOG.name}")
    await connection.api(f"$JS.API.STREAM.UPDATE.{LOG.name}", amended(info.config, first, last))


async def put_back(connection: Connection, messages: Sequence[Kept]) -> int:
    """Stores as many of these as go together, and returns how many. They must follow each other without a gap.

    Raises Conflict when the log does not end right before the first of them; Unavailable when that is not known.
    """
    if len(messages[0].body) > MAX_PAYLOAD - HEADERS_BYTES:
        await _put_back_alone(connection, messages[0])
        return 1
    batch, size, count = uuid.uuid4().hex, 0, 0
    for message in messages[:MAX_BATCH]:
        size += len(message.body)
        if count and (size > BATCH_BYTES or len(message.body) > MAX_PAYLOAD - HEADERS_BYTES):
            break
        count += 1
    outgoing: list[tuple[str, bytes, dict[str, str]]] = []
    for number, message in enumerate(messages[:count], 1):
        headers = {
            "Nats-Batch-Id": batch,
            "Nats-Batch-Sequence": str(number),
            HEADER: message.stored_at.astimezone(UTC).isoformat(),
        }
        if number == 1:
            headers["Nats-Expected-Last-Sequence"] = str(message.position - 1)
        outgoing.append((message.subject, message.body, headers))
    subject, body, headers = outgoing.pop()
    await connection.publish_many(outgoing)
    headers["Nats-Batch-Commit"] = "1"
    answer = await connection.request(subject, body, headers=headers, timeout_seconds=COMMIT_SECONDS)
    raise_refusal(f"putting back {messages[0].position} to {messages[count - 1].position}", answer)
    return count


async def _put_back_alone(connection: Connection, message: Kept) -> None:
    """One that leaves no room for the headers of a batch: no role says so much, but a key can. As many as fit."""
    headers = {
        "Nats-Expected-Last-Sequence": str(message.position - 1),
        HEADER: message.stored_at.astimezone(UTC).isoformat(),
    }
    while headers and frame_size(message.body, headers) > MAX_PAYLOAD:
        headers.popitem()
    answer = await connection.request(
        message.subject, message.body, headers=headers or None, timeout_seconds=COMMIT_SECONDS
    )
    raise_refusal(f"putting back {message.position}", answer)
