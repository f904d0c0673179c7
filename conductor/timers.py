"""Deadlines as timers: what is mirrored into the timer stream, and what a firing says. Pure.

The timer stream is a cache of the live deadlines, one timer for each thing that has one; the fold says which live.
"""

from datetime import datetime
from typing import TypeAlias

from msgspec import Struct

from conductor.state import State
from schemas import (
    FLEET,
    AgentDeadlineKind,
    AgentDeadlinePassed,
    AgentDeadlineSet,
    AgentRef,
    DeadlineKind,
    DeadlinePassed,
    DeadlineSet,
    Draft,
    Envelope,
    FleetDeadlineKind,
    FleetDeadlinePassed,
    FleetDeadlineSet,
    IssueRef,
)

Owner: TypeAlias = IssueRef | tuple[str, AgentDeadlineKind] | tuple[FleetDeadlineKind, str]
"""What has at most one live deadline: an issue, a replica for each kind, the rig for each kind and key."""


class Timer(Struct, frozen=True, omit_defaults=True):
    """What a deadline's timer carries."""

    kind: str
    at: datetime
    id: str
    """Of what set it."""
    issue: IssueRef | None = None
    agent: str | None = None
    """Neither: the rig's."""
    key: str = ""
    position: int = 0
    """Where the log stood when it was mirrored: whoever has read as far knows whether it still lives."""

    @property
    def owner(self) -> Owner:
        """Raises ValueError when the kind is none of the owner's."""
        if self.issue is not None:
            return self.issue
        if self.agent is not None:
            return self.agent, AgentDeadlineKind(self.kind)
        return FleetDeadlineKind(self.kind), self.key

    @property
    def name(self) -> str:
        """Under which it is kept: setting it again replaces it."""
        if self.issue is not None:
            return str(self.issue)
        return f"{self.agent or 'fleet'}:{self.kind}:{self.key}"

    def passed(self) -> Draft:
        """What its firing says. Raises ValueError when the kind is none of the owner's."""
        if self.issue is not None:
            said = DeadlinePassed(kind=DeadlineKind(self.kind), at=self.at)
            return Draft(about=self.issue, data=said, cause=self.id)
        if self.agent is not None:
            of_agent = AgentDeadlinePassed(kind=AgentDeadlineKind(self.kind), at=self.at)
            return Draft(about=AgentRef(self.agent), data=of_agent, cause=self.id)
        of_fleet = FleetDeadlinePassed(kind=FleetDeadlineKind(self.kind), key=self.key, at=self.at)
        return Draft(about=FLEET, data=of_fleet, cause=self.id)


def owner_of(event: Envelope) -> Owner | None:
    """Whose deadline the event sets; None: it sets none."""
    match event.about, event.data:
        case IssueRef() as ref, DeadlineSet():
            return ref
        case AgentRef(name), AgentDeadlineSet(kind=kind):
            return name, kind
        case _, FleetDeadlineSet(kind=kind, key=key):
            return kind, key
        case _:
            return None


def live(state: State, owner: Owner) -> Timer | None:
    """The owner's live deadline, as its timer; None: it has none, or it has passed."""
    if isinstance(owner, IssueRef):
        issue = state.issues.get(owner)
        due = issue.deadline if issue is not None else None
        if due is None or due.passed:
            return None
        return Timer(due.kind, due.at, due.id, issue=owner, position=state.position)
    first, second = owner
    if isinstance(first, FleetDeadlineKind):
        of_fleet = state.deadlines.get((first, second))
        if of_fleet is None or of_fleet.passed:
            return None
        return Timer(first, of_fleet.at, of_fleet.id, key=second, position=state.position)
    agent = state.agents.get(first)
    of_agent = agent.deadlines.get(AgentDeadlineKind(second)) if agent is not None else None
    if of_agent is None or of_agent.passed:
        return None
    return Timer(second, of_agent.at, of_agent.id, agent=first, position=state.position)
