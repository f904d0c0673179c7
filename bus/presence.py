"""Presence and live output: what is true for the moment, kept out of the log.

A heartbeat expires by itself when its agent falls silent. The output of a run is what a person watches live.
"""

import msgspec

from bus.connection import Connection, raise_refusal
from schemas import Heartbeat, escape


class Presence:
    """Who is there."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def beat(self, heartbeat: Heartbeat, *, ttl_seconds: int) -> None:
        """Says that the agent is there for that many whole seconds more. Raises Unavailable or ServerRefused."""
        answer = await self._connection.request(
            f"presence.{escape(heartbeat.agent)}",
            msgspec.json.encode(heartbeat),
            headers={"Nats-TTL": f"{max(1, ttl_seconds)}s"},
        )
        raise_refusal(f"the heartbeat of {heartbeat.agent}", answer)


class Runs:
    """Output of agent runs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def write(self, run: str, chunk: bytes) -> None:
        """Appends to what a run has printed. Raises Unavailable or ServerRefused."""
        raise_refusal(f"output of {run}", await self._connection.request(f"run.{escape(run)}", chunk))
