"""Events about an agent's replica. Heartbeats are not among them: they live in presence."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from schemas.event import AgentEvent
from schemas.fields import Run
from schemas.refs import Name


class AgentJoined(AgentEvent, frozen=True, kw_only=True):
    """A replica is up and takes work. Its name is stable: joining again replaces what it said before."""

    boot: Run
    role: Name
    capabilities: tuple[str, ...] = ()
    provider: str
    models: tuple[str, ...] = ()
    slots: Annotated[int, Meta(ge=0)]
    version: str


class AgentCapacityChanged(AgentEvent, frozen=True, kw_only=True):
    """The replica takes more or less work at once from now on."""

    boot: Run
    slots: Annotated[int, Meta(ge=0)]
    degraded: tuple[str, ...] = ()


class LeaveReason(StrEnum):
    """Why a replica went."""

    STOPPED = "stopped"
    FAILED = "failed"


class AgentLeft(AgentEvent, frozen=True, kw_only=True):
    """The replica takes no more work."""

    boot: Run
    reason: LeaveReason
