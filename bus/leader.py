"""Reading what a stream's leader holds: for a writer who must know whether its own write landed.

A direct get may be answered by a replica that lags behind; these are answered by the leader alone. Readers of the log
use `direct.py` and `replay.py`, which are faster and spare the leader.
"""

from datetime import datetime

import msgspec
from msgspec import Struct

from bus.connection import Connection
from bus.delivery import Skipped, recorded
from bus.errors import ServerRefused
from bus.topology import LOG, Stream
from schemas import Recorded

ANSWER_SECONDS = 0.4
"""A leader answers within milliseconds. While there is none nobody does, and whoever asks must ask the next soon."""
_NOT_FOUND = 10037


class _Stored(Struct, frozen=True):
    subject: str
    seq: int
    time: datetime
    data: bytes = b""


class _Answer(Struct, frozen=True):
    message: _Stored


_ANSWER = msgspec.json.Decoder(_Answer)


async def read_position(connection: Connection, position: int, *, stream: Stream = LOG) -> Recorded | Skipped | None:
    """What stands at a position; None when there is none. Raises Unavailable, ServerRefused."""
    return await _get(connection, stream, {"seq": position})


async def read_id(
    connection: Connection,
    subject: str,
    id: str,  # noqa: A002 - CloudEvents' name
    *,
    after: int = 0,
    stream: Stream = LOG,
) -> Recorded | None:
    """The event with this id on exactly this subject, behind a position. Raises Unavailable, ServerRefused.

    The newest is looked at first, then the others in order: a subject of the log holds few.
    """
    item = await _get(connection, stream, {"last_by_subj": subject})
    last = 0 if item is None else item.position
    while item is not None and after < item.position:
        if isinstance(item, Recorded) and item.event.id == id:
            return item
        after = after if item.position == last else item.position
        item = await _get(connection, stream, {"seq": after + 1, "next_by_subj": subject})
        if item is not None and item.position == last:
            break
    return None


async def _get(connection: Connection, stream: Stream, request: dict[str, object]) -> Recorded | Skipped | None:
    try:
        answer = await connection.api(f"$JS.API.STREAM.MSG.GET.{stream.name}", request, timeout_seconds=ANSWER_SECONDS)
    except ServerRefused as error:
        if error.code != _NOT_FOUND:
            raise
        return None
    stored = _ANSWER.decode(answer).message
    return recorded(stored.seq, stored.time, stored.subject, stored.data)
