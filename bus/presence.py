"""Presence: who is there now, kept out of the log. A heartbeat expires by itself when its agent falls silent."""

import msgspec

from bus.connection import Connection, raise_refusal
from schemas import Actor, Heartbeat, escape


class Presence:
    """Who is there."""

    def __init__(self, connection: Connection, actor: Actor) -> None:
        self._connection = connection
        self._actor = actor

    async def beat(self, heartbeat: Heartbeat, *, ttl_seconds: int) -> None:
        """Says that the agent is there for that many whole seconds more. Raises Unavailable or ServerRefused."""
        answer = await self._connection.request(
            f"presence.{escape(self._actor)}.{escape(heartbeat.agent)}",
            msgspec.json.encode(heartbeat),
            headers={"Nats-TTL": f"{max(1, ttl_seconds)}s"},
        )
        raise_refusal(f"the heartbeat of {heartbeat.agent}", answer)
