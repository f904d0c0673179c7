"""Timers that outlive every process: the server holds them, fires them, and hands the firing to whoever is there.

Each role that uses them has a timer stream of its own, which is a cache: what it holds can be set again from the log
at any time, and setting the same key again moves the timer. A timer fires at least once: early, late or twice it must
do no harm to who hears it.

Cancelling, measured on nats-server 2.15.1: a message without a schedule on the timer's subject cancels it in memory
only; the old schedule stays stored beside it, and fires after the next restart. A roll-up of the one subject puts that
message in the schedule's place, so that it is cancelled for good, needs no right to purge, and with a TTL leaves
nothing behind. (A schedule far away on the same subject cancels for good too, and stays until then.)
"""

import asyncio
from datetime import UTC, datetime
from hashlib import sha256

from bus.connection import Connection, raise_refusal
from bus.consume import consume
from bus.errors import NoStream
from bus.outcomes import Handler
from bus.topology import FIRED, Durable
from schemas import Actor


class Timers:
    """The timers of one role."""

    def __init__(self, connection: Connection, actor: Actor) -> None:
        self._connection = connection
        self._actor = actor

    async def set(self, key: str, at: datetime, body: bytes) -> None:
        """At `at`, `body` fires. The same key again replaces. Raises Unavailable, ServerRefused or NoStream."""
        moment = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        headers = {
            "Nats-Schedule": f"@at {moment}",
            "Nats-Schedule-Target": self._subject("fired", key),
            "Nats-Schedule-TTL": "24h",
        }
        await self._say(f"setting the timer {key}", self._subject("set", key), body, headers)

    async def cancel(self, key: str) -> None:
        """It does not fire any more; a firing that waits to be handled stays. No harm when there is no such timer.

        Raises Unavailable, ServerRefused or NoStream.
        """
        headers = {"Nats-Rollup": "sub", "Nats-TTL": "1s"}
        await self._say(f"cancelling the timer {key}", self._subject("set", key), b"", headers)

    async def fired(self, handler: Handler, *, stop: asyncio.Event) -> None:
        """Hands each firing to `handler` until `stop` is set; the replicas of the role share them."""
        await consume(self._connection, self._firings(), handler, slots=1, stop=stop)

    async def _say(self, what: str, subject: str, body: bytes, headers: dict[str, str]) -> None:
        self._firings()
        raise_refusal(what, await self._connection.request(subject, body, headers=headers))

    def _subject(self, branch: str, key: str) -> str:
        token = sha256(key.encode()).hexdigest()[:32]  # any key, however long, is one token
        return f"timer.{self._actor.value}.{branch}.{token}"

    def _firings(self) -> Durable:
        try:
            return FIRED[self._actor]
        except KeyError:
            raise NoStream(f"{self._actor.value} has no stream of timers: give it one in bus.topology") from None
