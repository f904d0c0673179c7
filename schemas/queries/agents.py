"""The replicas of the agents."""

from datetime import datetime

from msgspec import Struct

from schemas.queries.paging import Position
from schemas.refs import IssueRef


class AgentsRequest(Struct, frozen=True, kw_only=True):
    """Everybody who ever joined."""

    wait_for: Position | None = None


class AgentLine(Struct, frozen=True, kw_only=True):
    """One replica of an agent."""

    name: str
    role: str
    slots: int
    busy: tuple[IssueRef, ...]
    """The issues that it works on now."""
    provider: str
    version: str
    joined: datetime
    left: datetime | None


class Agents(Struct, frozen=True, kw_only=True):
    """Agents by name."""

    position: int
    agents: tuple[AgentLine, ...]
