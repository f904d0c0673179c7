"""A log as a list of what was said, for tests of pure folds: positions, times and ids by themselves."""

from datetime import UTC, datetime, timedelta

from schemas import FLEET, Actor, AgentEvent, AgentRef, Draft, Event, FleetEvent, IssueRef, Recorded, Ref, RepoEvent
from schemas import envelope as envelope_
from schemas.actors import MAY_SAY

ISSUE = IssueRef("demo", "shop", 1)
BEGAN = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Told:
    """Everybody's words, in order; each a minute after the one before."""

    def __init__(self, issue: IssueRef = ISSUE) -> None:
        self.issue = issue
        self.log: list[Recorded] = []

    def say(
        self, data: Event, *, about: Ref | None = None, actor: Actor | None = None, cause: object = None
    ) -> Recorded:
        """Says it as whoever may; `cause` is the event that led to it, or an id."""
        position = len(self.log) + 1
        who = actor or next(actor for actor in Actor if type(data) in MAY_SAY[actor])
        led = cause.event.id if isinstance(cause, Recorded) else cause
        draft = Draft(about=about or self._about(data), data=data, cause=led)
        event = envelope_(draft, id=f"id-{position}", actor=who, source="test", time=self.time(position))
        self.log.append(Recorded(position, event.time, event))
        return self.log[-1]

    def time(self, position: int) -> datetime:
        return BEGAN + timedelta(minutes=position)

    def _about(self, data: Event) -> Ref:
        match data:
            case FleetEvent():
                return FLEET
            case RepoEvent():
                return self.issue.repository
            case AgentEvent():
                return AgentRef("dev-e-1")
            case _:
                return self.issue
