"""Base branches as the watch sees them: one that broke has an incident, one that is well again has none. Pure."""

from datetime import datetime

from msgspec import Struct

from conductor.watch.issue import Owed
from schemas import MainChecksFailed, MainChecksPassed, Recorded


class Branch(Struct):
    """One workflow on the base branch of a repository."""

    time: datetime
    """Of its last run, by the forge's clock: what is older changes nothing."""
    red: bool
    incident: bool = False
    """Whether one is open."""
    owed: Owed | None = None
    """What an incident, or its end, must follow."""


def checked(known: Branch | None, said: Recorded, data: MainChecksFailed | MainChecksPassed) -> Branch | None:
    """What is known after a run. One that was cancelled says nothing, nor one of what was red on the parent already."""
    time, red = said.event.time, isinstance(data, MainChecksFailed)
    if known is not None and time < known.time:
        return known
    if red and not data.conclusion.red:
        return known
    inherited = data.previous_conclusion is not None and data.previous_conclusion.red
    if red and inherited and (known is None or not known.red):
        return known
    branch = known or Branch(time, red=False)
    branch.time, branch.red = time, red
    owe(branch, said, f"{data.name()} of {data.workflow}")
    return branch


def owe(branch: Branch, said: Recorded, what: str) -> None:
    """A word of the conductor, for as long as branch and incident do not agree."""
    if branch.red == branch.incident:
        branch.owed = None
    elif branch.owed is None:
        branch.owed = Owed(said.stored_at, said.position, what)
