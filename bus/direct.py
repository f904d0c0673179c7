"""Reading single stored messages by position or by subject, without a consumer (JetStream's direct get)."""

from bus.connection import Connection
from bus.delivery import Skipped
from bus.stored import get
from bus.topology import LOG
from schemas import Recorded


async def get_position(connection: Connection, position: int) -> Recorded | Skipped | None:
    """The event at a position of the log; None when there is none. Raises Unavailable."""
    return await _get(connection, {"seq": position})


async def get_last(connection: Connection, subject: str) -> Recorded | Skipped | None:
    """The newest event on a subject or filter; None when there is none. Raises Unavailable."""
    return await _get(connection, {"last_by_subj": subject})


async def _get(connection: Connection, wanted: dict[str, object]) -> Recorded | Skipped | None:
    found = await get(connection, LOG, wanted)
    return None if found is None else found.decoded()
