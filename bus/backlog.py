"""What a durable has not handled yet, as anybody may see who must not take from it."""

from datetime import datetime

import msgspec
from msgspec import Struct

from bus.connection import Connection
from bus.stored import get
from bus.topology import Durable


class Backlog(Struct, frozen=True):
    """Messages that wait for an outcome."""

    oldest: datetime
    """When the first of them was stored, by the server's clock."""
    count: int


class _Floor(Struct, frozen=True):
    stream_seq: int


class _Info(Struct, frozen=True):
    ack_floor: _Floor
    num_pending: int
    num_ack_pending: int


async def backlog(connection: Connection, durable: Durable) -> Backlog | None:
    """What waits, whether somebody holds it or not; None: nothing does. Raises Unavailable or ServerRefused."""
    answer = await connection.api(f"$JS.API.CONSUMER.INFO.{durable.stream.name}.{durable.name}")
    info = msgspec.json.decode(answer, type=_Info)
    count = info.num_pending + info.num_ack_pending
    if count == 0:
        return None
    wanted: dict[str, object] = {"seq": info.ack_floor.stream_seq + 1, "next_by_subj": durable.filter}
    first = await get(connection, durable.stream, wanted)
    return None if first is None else Backlog(first.stored_at, count)
