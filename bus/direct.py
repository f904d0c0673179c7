"""Reading single stored messages by position or by subject, without a consumer (JetStream's direct get)."""

from datetime import datetime

import msgspec

from bus.connection import Connection, Message, header
from bus.delivery import Skipped, recorded
from bus.errors import ServerRefused
from bus.topology import LOG
from schemas import Recorded


async def get_position(connection: Connection, position: int) -> Recorded | Skipped | None:
    """The event at a position of the log; None when there is none. Raises Unavailable."""
    return await _get(connection, {"seq": position})


async def get_last(connection: Connection, subject: str) -> Recorded | Skipped | None:
    """The newest event on a subject or filter; None when there is none. Raises Unavailable."""
    return await _get(connection, {"last_by_subj": subject})


async def _get(connection: Connection, request: dict[str, object]) -> Recorded | Skipped | None:
    message = await connection.request_message(
        f"$JS.API.DIRECT.GET.{LOG.name}", msgspec.json.encode(request), timeout_seconds=5.0
    )
    return _read(message)


def _read(message: Message) -> Recorded | Skipped | None:
    status = header(message, "Status")
    if status == "404":
        return None
    position, subject, stored = (header(message, f"Nats-{name}") for name in ("Sequence", "Subject", "Time-Stamp"))
    if position is None or subject is None or stored is None:
        raise ServerRefused("direct get", int(status or 0), header(message, "Description") or "no reason given")
    return recorded(int(position), datetime.fromisoformat(stored), subject, message.data)
