"""What holds of the rig as a whole, folded from what was said of it: pauses, halts, incidents, budgets. Pure."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct, field

from schemas import (
    FLEET,
    BudgetExceeded,
    BudgetRaised,
    Event,
    HaltCleared,
    HaltDetected,
    IncidentClosed,
    IncidentEscalated,
    IncidentOpened,
    Paused,
    Policy,
    PolicyAdopted,
    Recorded,
    Resumed,
    branch,
)

PAUSES: Final = (Paused, Resumed)
OF_NOTE: Final[tuple[type[Event], ...]] = (
    *PAUSES,
    PolicyAdopted,
    HaltDetected,
    HaltCleared,
    IncidentOpened,
    IncidentEscalated,
    IncidentClosed,
    BudgetExceeded,
    BudgetRaised,
)


class Fleet(Struct):
    """What holds now; each with the event that said so."""

    policy: Recorded | None = None
    paused: dict[str, Recorded] = field(default_factory=dict[str, Recorded])
    """By scope."""
    halts: dict[str, Recorded] = field(default_factory=dict[str, Recorded])
    """By invariant."""
    incidents: dict[str, Recorded] = field(default_factory=dict[str, Recorded])
    """By fingerprint."""
    exceeded: dict[str, Recorded] = field(default_factory=dict[str, Recorded])
    """By scope: since it was last raised."""
    raised: dict[str, Recorded] = field(default_factory=dict[str, Recorded])
    """By scope; each says itself until when."""
    switched: dict[str, Recorded] = field(default_factory=dict[str, Recorded])
    """By scope: the last word, of either kind, about whether it is paused."""

    @property
    def policy_data(self) -> Policy | None:
        """The policy in force."""
        data = self.policy.event.data if self.policy is not None else None
        return data.policy if isinstance(data, PolicyAdopted) else None


def fleet(history: Iterable[Recorded]) -> Fleet:
    """What holds after these events, in order. Others' events are skipped."""
    found = Fleet()
    for said in history:
        _apply(found, said)
    return found


def filters(events: Iterable[type[Event]] = OF_NOTE) -> list[str]:
    """Where such events are said, by whomever; never the whole branch: one event in three is a `Decided`."""
    return [f"{branch(FLEET)}.*.{event.name()}" for event in events]


def _apply(it: Fleet, said: Recorded) -> None:
    match said.event.data:
        case PolicyAdopted():
            it.policy = said
        case Paused(scope=scope):
            it.paused[scope] = it.switched[scope] = said
        case Resumed(scope=scope):
            it.paused.pop(scope, None)
            it.switched[scope] = said
        case HaltDetected(invariant=invariant):
            it.halts[invariant] = said
        case HaltCleared(invariant=invariant):
            it.halts.pop(invariant, None)
        case IncidentOpened(fingerprint=fingerprint) | IncidentEscalated(fingerprint=fingerprint):
            it.incidents[fingerprint] = said
        case IncidentClosed(fingerprint=fingerprint):
            it.incidents.pop(fingerprint, None)
        case BudgetExceeded(scope=scope):
            it.exceeded[scope] = said
        case BudgetRaised(scope=scope):
            it.raised[scope] = said
            it.exceeded.pop(scope, None)
        case _:
            pass
