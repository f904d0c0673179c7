"""Timers that outlive every process: the server holds them, fires them, and hands the firing to whoever is there.

Each role has a timer stream of its own, which is a cache: what it holds can be set again from the log at any time,
and setting the same key again moves the timer. A timer early, late or twice must do no harm to who hears it.
"""

import asyncio
from datetime import UTC, datetime
from hashlib import sha256

from bus.connection import Connection, raise_refusal
from bus.consume import Handler, consume
from bus.topology import CONDUCTOR_TIMERS


class Timers:
    """The timers of the conductor."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def set(self, key: str, at: datetime, body: bytes) -> None:
        """At `at`, `body` fires. The same key again replaces. Raises Unavailable or ServerRefused."""
        token = sha256(key.encode()).hexdigest()[:32]  # any key, however long, is one token
        moment = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        headers = {
            "Nats-Schedule": f"@at {moment}",
            "Nats-Schedule-Target": f"timer.conductor.fired.{token}",
            "Nats-Schedule-TTL": "24h",
        }
        answer = await self._connection.request(f"timer.conductor.set.{token}", body, headers=headers)
        raise_refusal(f"setting the timer {key}", answer)

    async def fired(self, handler: Handler, *, stop: asyncio.Event) -> None:
        """Hands each firing to `handler` until `stop` is set; several conductors share them."""
        await consume(
            self._connection,
            CONDUCTOR_TIMERS,
            "conductor",
            "timer.conductor.fired.>",
            handler,
            ack_wait_seconds=10,
            slots=1,
            stop=stop,
        )
