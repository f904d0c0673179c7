"""The wakes of one agent, folded from the log: what it was woken for, and what of that is still open. Pure.

A wake is known by its run, which follows from what it is for (schemas.woken): whoever says it, and however often, it is
one. A wake without its rest is open work, whoever began it.
"""

from datetime import datetime

from msgspec import Struct

from schemas import AgentRested, AgentScheduled, AgentWoken, Recorded, Scheduled, WokenBy

__all__ = ["Wake", "Wakes"]


class Wake(Struct, frozen=True, kw_only=True):
    """One thing that an agent was woken for."""

    run: str
    by: WokenBy
    key: str
    due: datetime | None
    text: str
    id: str
    """Of the event that said it first."""
    position: int
    said: datetime
    """When it was stored."""


class Wakes:
    """The fold."""

    def __init__(self) -> None:
        self._open: dict[str, Wake] = {}
        self._known: set[str] = set()
        self.rested: set[str] = set()
        """Runs that are over."""
        self.last_due: dict[str, datetime] = {}
        """By the schedule's name: the last due time that it was woken for."""
        self.since: dict[Scheduled, datetime] = {}
        """Its schedules, as the log has them, and when each began: nobody has missed what was due before that."""
        self.scheduled = ""
        """Id of the event that says so."""
        self._position = 0

    @property
    def open(self) -> tuple[Wake, ...]:
        """What is not rested, in the order of the log."""
        return tuple(self._open.values())

    def knows(self, run: str) -> bool:
        """Whether that was woken for, rested or not."""
        return run in self._known

    def apply(self, recorded: Recorded) -> None:
        """Folds the next event about the agent. Read again, one that was folded changes nothing."""
        if recorded.position <= self._position:
            return
        self._position = recorded.position
        match recorded.event.data:
            case AgentWoken(run=run, by=by, key=key, due=due, text=text):
                if by is WokenBy.SCHEDULE and due is not None:
                    self.last_due[key] = max(due, self.last_due.get(key, due))
                if run in self._known or run in self.rested:
                    return
                self._known.add(run)
                self._open[run] = Wake(
                    run=run,
                    by=by,
                    key=key,
                    due=due,
                    text=text,
                    id=recorded.event.id,
                    position=recorded.position,
                    said=recorded.stored_at,
                )
            case AgentScheduled(schedules=schedules):
                self.since = {each: self.since.get(each, recorded.stored_at) for each in schedules}
                self.scheduled = recorded.event.id
            case AgentRested(run=run):
                self.rested.add(run)
                self._open.pop(run, None)
            case _:
                pass
