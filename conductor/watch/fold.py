"""All that the watch knows: the fold of the log, who gives signs of life, how far the read side is. Pure.

A restarted watch folds the log and stands where it stood: what it has said itself is in there. What it cannot know is
how long it was away, and whoever did not look may not say that nothing happened: every wait is counted from when this
watch began to look, at the earliest (`watching`).
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct, field

from conductor.watch.around import Around
from conductor.watch.issue import Issue, Owed, Rest
from conductor.watch.issues import at_home, dropped, hear, nobody_asked, reviewers_changed, unexplained
from schemas import (
    Actor,
    AgentBack,
    AgentEvent,
    AgentJoined,
    AgentLeft,
    AgentRef,
    AgentSilent,
    BudgetRaised,
    CanaryIssued,
    CanaryReturned,
    DeadlineKind,
    DeadlineSet,
    Decided,
    Envelope,
    FleetDeadlineKind,
    FleetDeadlinePassed,
    FleetDeadlineSet,
    FleetEvent,
    GateReason,
    HaltCleared,
    HaltDetected,
    IncidentClosed,
    IncidentOpened,
    Invariant,
    IssueApproved,
    IssueAssigned,
    IssueDone,
    IssueRef,
    IssueWithdrawn,
    Paused,
    Policy,
    PolicyAdopted,
    Recorded,
    RepoEvent,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryRemoved,
    Resumed,
    Reverted,
    WaitingReason,
    WorkStarted,
)

AWAY: Final = timedelta(seconds=30)
"""Whoever has not looked for so long (the machine slept, the server was away) begins to look anew."""
_INERT: Final = Policy()
"""While none was adopted."""


class Replica(Struct):
    """An agent that has joined and not left."""

    boot: str
    alive: datetime
    """Its last sign of life in the log."""
    silent: datetime | None = None
    """Since when, if it was said to be."""


class Presence(Struct, frozen=True):
    """What presence told of an agent last."""

    there: bool
    at: datetime
    """Its last heartbeat."""


class Mark(Struct, frozen=True):
    """Where and when something was said."""

    position: int
    at: datetime


class Halt(Struct):
    """A halt that was said and is not over."""

    since: datetime
    said: datetime
    """When it was said last."""
    keys: set[str]
    """Of its evidence: see `key`."""


class ReadSide(Struct):
    """How the read side keeps up: whether it has reached what the log held when it was asked before."""

    target: int = 0
    since: datetime | None = None
    """When the log was at the target; None: it was not asked yet."""
    well: bool = False
    detail: str = "it was not asked yet"


class Fold(Struct):
    """The whole fold at `position`."""

    position: int = 0
    policy: Policy | None = None
    policy_at: datetime | None = None
    watching: datetime | None = None
    """Since when this watch has looked without a break; None: it does not."""
    looked: datetime | None = None

    issues: dict[IssueRef, Issue] = field(default_factory=dict[IssueRef, Issue])
    """All that were approved and are not done."""
    done: dict[IssueRef, Mark] = field(default_factory=dict[IssueRef, Mark])
    reverted: set[IssueRef] = field(default_factory=set[IssueRef])
    """Done, and taken out again: who depends on it may wait."""
    configured: dict[RepoRef, int] = field(default_factory=dict[RepoRef, int])
    """The repositories under the rig, and since which position."""
    around: Around = field(default_factory=Around)
    """What counts where issues live: repositories, their base branches, whose quota is used up."""
    heard: set[str] = field(default_factory=set[str])
    """Ids of what others said of repositories and of the rig."""
    pauses: set[str] = field(default_factory=set[str])
    paused: int = 0
    """The position at which they changed last."""
    through: int = 0
    """What the conductor had read when it spoke last."""
    deadlines: dict[tuple[FleetDeadlineKind, str], datetime] = field(
        default_factory=dict[tuple[FleetDeadlineKind, str], datetime]
    )
    """Of the fleet, by kind and key. Those of agents are void as soon as an agent is well, and nobody says so."""
    changed: dict[str, int] = field(default_factory=dict[str, int])
    """Where what a deadline of the fleet follows from was said last: one that was decided before that may be void."""
    agents: dict[str, Replica] = field(default_factory=dict[str, Replica])
    presence: dict[str, Presence] = field(default_factory=dict[str, Presence])
    read_side: ReadSide = field(default_factory=ReadSide)
    undelivered: dict[str, tuple[datetime, int]] = field(default_factory=dict[str, tuple[datetime, int]])
    """By role that takes in deliveries from outside: since when one waits for its outcome, and how many do."""

    halts: dict[Invariant, Halt] = field(default_factory=dict[Invariant, Halt])
    canaries: dict[IssueRef, datetime] = field(default_factory=dict[IssueRef, datetime])
    """Those that are under way, and since when."""
    last_canary: tuple[int, datetime] | None = None
    said: dict[str, int] = field(default_factory=dict[str, int])
    """By subject, where a watch has spoken last."""

    # ── what the log says ────────────────────────────────────────────────────

    def apply(self, said: Recorded) -> None:
        """Folds the next event."""
        if said.position <= self.position:
            return
        self.position = said.position
        event = said.event
        if event.actor == Actor.WATCH:
            self.said[event.on] = said.position
        match event.about, event.data:
            case IssueRef() as ref, _:
                self._issue(ref, said)
            case RepoRef() as ref, RepoEvent() as data if self._new(event):
                self._repository(ref, data, said)
            case AgentRef(name), AgentEvent() as data:
                self._agent(name, data, said)
            case _, FleetEvent() as data if event.actor in (Actor.CONDUCTOR, Actor.WATCH) or self._new(event):
                self._fleet(data, said)
            case _:
                pass

    def _new(self, event: Envelope) -> bool:
        """What is delivered once more is nothing new."""
        new = event.id not in self.heard
        self.heard.add(event.id)
        return new

    def _issue(self, ref: IssueRef, said: Recorded) -> None:
        data = said.event.data
        if ref in self.done:
            if isinstance(data, Reverted):
                self.reverted.add(ref)
            if not isinstance(data, IssueAssigned | DeadlineSet):
                return
            del self.done[ref]  # it was taken out again, and is to be done again
            self.issues[ref] = Issue(ref, rest=None)
        issue = self.issues.get(ref)
        if issue is None:
            if not isinstance(data, IssueApproved):
                return  # a word about an issue that nobody approved
            issue = self.issues[ref] = Issue(ref)
        hear(issue, said, self.around.law(self.policy or _INERT, ref.repository))
        match data:
            case IssueDone():
                del self.issues[ref]
                self.done[ref] = Mark(said.position, said.stored_at)
                self.reverted.discard(ref)
            case DeadlineSet(kind=DeadlineKind.WAITING) if self._untrue(issue):
                unexplained(issue, said.stored_at)
            case IssueWithdrawn() if issue.rest is Rest.WITHDRAWN:
                self.canaries.pop(ref, None)  # somebody looks after it
            case WorkStarted(agent=agent) if agent in self.agents:
                self.agents[agent].alive = said.stored_at
            case _:
                pass

    def owed(self) -> Iterator[tuple[IssueRef | RepoRef, Owed]]:
        """Every decision that is owed, and of what."""
        for issue in self.issues.values():
            if issue.owed is not None:
                yield issue.ref, issue.owed
        yield from self.around.owed()

    def _repository(self, ref: RepoRef, data: RepoEvent, said: Recorded) -> None:
        self.around.repository(ref, data, said)
        match data:
            case RepositoryAdded():
                for issue in self._of(ref):
                    reviewers_changed(issue)
            case RepositoryConfigured():
                self.configured[ref] = said.position
                for issue in self._of(ref):
                    at_home(issue, said)
            case RepositoryRemoved():
                self.configured.pop(ref, None)
            case _:
                pass

    def _of(self, repository: RepoRef) -> Iterator[Issue]:
        return (issue for issue in self.issues.values() if issue.ref.repository == repository)

    def _untrue(self, issue: Issue) -> bool:
        """Whether the conductor has looked again, and lets an explanation stand of which it knows that it is over."""
        if issue.waiting is None:
            return False
        over = [self.done[ref].position for ref in issue.waiting.waits_for if ref in self.done.keys() - self.reverted]
        scopes = {"all", f"repository:{issue.ref.repository}"}
        if WaitingReason.PAUSED in issue.waiting.reasons and not any(
            scope in scopes or scope.startswith("role:") for scope in self.pauses
        ):
            over.append(self.paused)
        if WaitingReason.REPOSITORY in issue.waiting.reasons and issue.ref.repository in self.configured:
            over.append(self.configured[issue.ref.repository])
        return any(position <= self.through for position in over)

    def _agent(self, name: str, data: AgentEvent, said: Recorded) -> None:
        known = self.agents.get(name)
        if self.around.agent(name, data, said):
            for issue in self.issues.values():
                nobody_asked(issue)
        match data:
            case AgentJoined(boot=boot):
                self.agents[name] = Replica(boot, said.stored_at, known.silent if known is not None else None)
            case AgentLeft(boot=boot) if known is not None and known.boot == boot:
                del self.agents[name]
            case AgentSilent(since=since) if known is not None:
                known.silent = since
            case AgentBack() if known is not None:
                known.silent = None
            case _:
                if known is not None and said.event.actor not in (Actor.CONDUCTOR, Actor.WATCH):
                    known.alive = said.stored_at

    def _fleet(self, data: FleetEvent, said: Recorded) -> None:
        at = said.stored_at
        match data:
            case PolicyAdopted(policy=policy):
                self.policy, self.policy_at = policy, at
                self._change(FleetDeadlineKind.SCHEDULE, [key for _, key in self.deadlines], said.position)
            case BudgetRaised(scope=scope):
                self._change(FleetDeadlineKind.BUDGET, [scope], said.position)
                for issue in self.issues.values():
                    if scope == f"issue:{issue.ref}":
                        dropped(issue, GateReason.BUDGET, said)
            case IncidentOpened(repository=repository, workflow=workflow):
                self.around.incident((repository, workflow), said, begins=True)
            case IncidentClosed(fingerprint=fingerprint, repository=repository, workflow=workflow):
                self._change(FleetDeadlineKind.INCIDENT, [fingerprint], said.position)
                self.around.incident((repository, workflow), said, begins=False)
            case FleetDeadlineSet(kind=kind) if self.changed.get(kind, 0) <= self.through:
                self.deadlines[kind, data.key] = data.at
            case FleetDeadlinePassed(kind=kind) if self.deadlines.get((kind, data.key)) == data.at:
                del self.deadlines[kind, data.key]
            case Decided(through=through):
                self.through = through
            case Paused(scope=scope):
                self.pauses.add(scope)
                self.paused = said.position
            case Resumed(scope=scope):
                self.pauses.discard(scope)
                self.paused = said.position
            case HaltDetected(invariant=invariant, evidence=evidence, since=since):
                halt = self.halts.setdefault(invariant, Halt(since, at, set()))
                halt.said = at
                halt.keys.update(map(key, evidence))
            case HaltCleared(invariant=invariant):
                self.halts.pop(invariant, None)
            case CanaryIssued(issue=issue):
                self.canaries[issue] = at
                self.last_canary = said.position, at
            case CanaryReturned(issue=issue):
                came = self.canaries.get(issue)
                self.canaries = {ref: since for ref, since in self.canaries.items() if came is None or since > came}
            case _:
                pass

    def _change(self, kind: FleetDeadlineKind, keys: Iterable[str], position: int) -> None:
        """Whether these deadlines still hold after that is for the conductor to say."""
        self.changed[kind] = position
        for each in list(keys):
            self.deadlines.pop((kind, each), None)

    # ── what the watch sees beside the log ───────────────────────────────────

    def look(self, now: datetime) -> None:
        """The watch sees everything at this moment."""
        if self.watching is None or self.looked is None or abs(now - self.looked) > AWAY:
            self.watching = now
        self.looked = now

    def blind(self) -> None:
        """The watch does not see everything: the server was away, or there is more to read."""
        self.watching = self.looked = None

    def seen(self, agent: str, now: datetime) -> None:
        """A heartbeat came."""
        self.presence[agent] = Presence(there=True, at=now)

    def gone(self, agent: str) -> None:
        """The time of its last heartbeat is over."""
        known = self.presence.get(agent)
        if known is not None:
            self.presence[agent] = Presence(there=False, at=known.at)

    def read_to(self, position: int, now: datetime) -> None:
        """The read side says how far it is."""
        side = self.read_side
        if position < side.target:
            side.well, side.detail = False, f"it is at position {position} of the log, not yet at {side.target}"
        else:
            self.read_side = ReadSide(self.position, now, well=True)

    def waits_outside(self, role: str, since: datetime | None, count: int) -> None:
        """What the role has taken in and not translated; None: nothing."""
        if since is None:
            self.undelivered.pop(role, None)
        else:
            self.undelivered[role] = since, count

    def not_read(self, why: str, now: datetime) -> None:
        """The read side does not answer, or cannot."""
        side = self.read_side
        side.well, side.detail, side.since = False, why, side.since or now


def key(evidence: str) -> str:
    """What a line of evidence is about. What follows may be said in other words another time."""
    return evidence.rpartition(": ")[0]
