"""What is compared by itself, and what of a decision makes a difference."""

from datetime import UTC, datetime
from typing import Final, TypeAlias

from msgspec.structs import replace

from schemas import (
    AgentDeadlineSet,
    BudgetExceeded,
    DeadlineSet,
    Event,
    FleetDeadlineSet,
    GateTriggered,
    IncidentClosed,
    IncidentEscalated,
    IncidentOpened,
    MilestoneCompleted,
    Ref,
    ScheduleFired,
    TierChanged,
)

Thing: TypeAlias = Ref | str
"""An issue, a replica; of the rig as a whole a part of it, by name."""
Deadline: TypeAlias = DeadlineSet | AgentDeadlineSet | FleetDeadlineSet
_NO_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)


def thing(about: Ref, event: Event) -> Thing:
    """What a decision is about."""
    match event:
        case FleetDeadlineSet(kind=kind, key=key):
            return f"{kind} {key}".rstrip()
        case ScheduleFired(schedule=name):
            return f"schedule {name}"
        case IncidentOpened() | IncidentEscalated() | IncidentClosed():
            return f"incident {event.fingerprint}"
        case BudgetExceeded(scope=scope):
            return f"budget {scope}"
        case MilestoneCompleted(milestone=name):
            return f"milestone {name}"
        case TierChanged(role=role, kind=kind):
            return f"trust in {role} with {kind}"
        case _:
            return about


def plain(event: Event) -> Event:
    """The decision without what makes no difference by itself: a deadline's time, the words of a gate."""
    match event:
        case DeadlineSet() | AgentDeadlineSet() | FleetDeadlineSet():
            return replace(event, at=_NO_TIME)
        case GateTriggered():
            return replace(event, detail="")
        case _:
            return event
