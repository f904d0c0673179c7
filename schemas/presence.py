"""What an agent says of itself for the moment. Heartbeats live in presence, not in the log."""

from enum import StrEnum

from msgspec import Struct

from schemas.refs import IssueRef, Name


class AgentStatus(StrEnum):
    """What a replica is doing."""

    IDLE = "idle"
    WORKING = "working"


class Heartbeat(Struct, frozen=True, kw_only=True):
    """A sign of life."""

    agent: Name
    role: Name
    boot: str
    status: AgentStatus
    slots_free: int
    issues: tuple[IssueRef, ...] = ()
    """What it works on now."""
    provider: str
    degraded: tuple[str, ...] = ()
