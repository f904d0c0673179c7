"""What counts where issues live, as the watch sees it: repositories, their base branches, and who can be asked. Pure.

A base branch that broke has an incident, and one that is well again has none; until the conductor says so, it owes it.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from conductor.watch.issue import Home, Law, Owed
from schemas import (
    AgentEvent,
    AgentJoined,
    AgentSuspended,
    MainChecksFailed,
    MainChecksPassed,
    Overrides,
    Policy,
    QuotaReported,
    Recorded,
    RepoEvent,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryRemoved,
)

USED_UP: Final = 100.0
"""Percent of a quota."""


class Branch(Struct):
    """One workflow on the base branch of a repository."""

    time: datetime
    """Of its last run, by the forge's clock: what is older changes nothing."""
    red: bool
    incident: bool = False
    """Whether one is open."""
    owed: Owed | None = None
    """What an incident, or its end, must follow."""


def _checked(known: Branch | None, said: Recorded, data: MainChecksFailed | MainChecksPassed) -> Branch | None:
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
    _owe(branch, said, f"{data.name()} of {data.workflow}")
    return branch


def _owe(branch: Branch, said: Recorded, what: str) -> None:
    """A word of the conductor, for as long as branch and incident do not agree."""
    if branch.red == branch.incident:
        branch.owed = None
    elif branch.owed is None:
        branch.owed = Owed(said.stored_at, said.position, what)


class Around(Struct):
    """All that is around the issues."""

    homes: dict[RepoRef, Home] = field(default_factory=dict[RepoRef, Home])
    branches: dict[tuple[RepoRef, str], Branch] = field(default_factory=dict[tuple[RepoRef, str], Branch])
    """By workflow."""
    roles: dict[str, str] = field(default_factory=dict[str, str])
    """Of every replica that ever joined."""
    tired: dict[str, datetime] = field(default_factory=dict[str, datetime])
    """Who has used up a quota, and since when, by their own clock."""

    def law(self, policy: Policy, repository: RepoRef) -> Law:
        """What counts in a repository now."""
        home = self.homes.get(repository)
        names = home.reviewers if home is not None else ()
        return Law(policy, home, tired=any(name in names or self.roles.get(name) in names for name in self.tired))

    def owed(self) -> Iterator[tuple[RepoRef, Owed]]:
        """Incidents, and their ends, that nobody has told of."""
        for (repository, _), branch in self.branches.items():
            if branch.owed is not None:
                yield repository, branch.owed

    def repository(self, ref: RepoRef, data: RepoEvent, said: Recorded) -> None:
        match data:
            case (
                RepositoryAdded(reviewers=reviewers, overrides=overrides)
                | RepositoryConfigured(reviewers=reviewers, overrides=overrides)
            ):
                self.homes[ref] = Home(reviewers, overrides or Overrides())
            case RepositoryRemoved():
                self.homes.pop(ref, None)
            case MainChecksFailed() | MainChecksPassed():
                branch = _checked(self.branches.get((ref, data.workflow)), said, data)
                if branch is not None:
                    self.branches[ref, data.workflow] = branch
            case _:
                pass

    def incident(self, key: tuple[RepoRef, str], said: Recorded, *, begins: bool) -> None:
        """The conductor has told of one, or of its end."""
        branch = self.branches.get(key)
        if branch is not None:
            branch.incident = begins
            _owe(branch, said, f"{said.event.data.name()} of {key[1]}")

    def agent(self, name: str, data: AgentEvent, said: Recorded) -> bool:
        """Whether somebody cannot be asked from now on."""
        time = said.event.time
        match data:
            case AgentJoined(role=role):
                self.roles[name] = role
            case QuotaReported(five_hour_percent=hours, weekly_percent=week) if max(hours, week) < USED_UP:
                if name in self.tired and time > self.tired[name]:
                    del self.tired[name]
            case QuotaReported() | AgentSuspended():
                self.tired[name] = max(time, self.tired.get(name, time))
                return True
            case _:
                pass
        return False
