"""A log that several conductors share, and what everybody else knows of it. Time is what the world says it is.

Each conductor has a state and a place in the log of its own: it reads as far as it likes, decides on what it has read,
and loses when another was first. The log is the only thing that they share.
"""

from datetime import UTC, datetime, timedelta

from msgspec import Struct, field

from conductor.decide import decide, may_decide, moment
from conductor.evolve import evolve
from conductor.replay import Replayed, replay
from conductor.shell import compose
from conductor.state import State
from conductor.timers import Timer, live, owner_of
from schemas import (
    Actor,
    Decided,
    Draft,
    Envelope,
    Event,
    IssueApproved,
    IssueAssigned,
    IssueRef,
    Merged,
    MergeRequested,
    Ownership,
    Ref,
    ReviewRequested,
    WorkPushed,
    decode,
    encode,
    envelope,
    event_id,
)

START = datetime(2026, 1, 1, 9, 0, tzinfo=UTC)
ROUNDS_MAX = 8
"""After so many rounds without a new word from outside, a conductor has nothing more to say."""


class Reader:
    """A conductor: what it has read, and how far."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.state = State()

    @property
    def behind(self) -> int:
        return len(self.world.log) - self.state.position

    def read(self, count: int | None = None) -> None:
        """The next events; all there are, if nobody says how many."""
        begin = self.state.position
        for position, event in enumerate(self.world.log[begin : None if count is None else begin + count], begin + 1):
            self.hear(event, position)

    def hear(self, event: Envelope, position: int) -> None:
        evolve(self.state, event, position)

    def decide(self) -> list[Draft]:
        """One round on what it has read. Returns what landed: nothing if it may not decide, has nothing to say, or
        another was first."""
        policy = self.state.policy
        if policy is None or not may_decide(self.state):
            return []
        now = moment(self.state, self.world.now)
        drafts = decide(self.state, now, policy)
        if not drafts or self.state.decided != self.world.decided:
            return []
        self.world.land(compose(drafts, self.state, now, "conductor"), self.state.position)
        return drafts


class Unrepeated(Reader):
    """Reads the same log as if nothing had been delivered twice."""

    def hear(self, event: Envelope, position: int) -> None:
        evolve(self.state, None if position in self.world.copies else event, position)


class Case(Struct):
    """What everybody but the conductor knows of an issue: the fold of agents and forges."""

    ownership: Ownership = field(default_factory=Ownership)
    assigned: IssueAssigned | None = None
    head: str | None = None
    """The owner's last push."""
    asked: MergeRequested | None = None
    reviewer: str | None = None
    """Who was asked last."""
    merged: str | None = None


class World:
    """The log, and everybody's words in it."""

    def __init__(self, conductors: int = 2) -> None:
        self.now = START
        self.log: list[Envelope] = []
        self.copies: set[int] = set()
        """Positions of what is there a second time."""
        self.decided = 0
        """Position of the last Decided: what the next batch is compared with."""
        self.batches: list[tuple[int, int]] = []
        """Of every batch: the position it was decided on, and that of its Decided."""
        self.timers: list[Timer] = []
        """Every deadline ever set, as the timer stream would hold it."""
        self.fired: set[str] = set()
        self.cases: dict[IssueRef, Case] = {}
        self.known: dict[int, bool] = {}
        self.whole, self.unrepeated = Reader(self), Unrepeated(self)
        self.readers = [Reader(self) for _ in range(conductors)]

    # ── the log ──────────────────────────────────────────────────────────────

    def say(self, actor: str, about: Ref, data: Event, *, age: float = 0, id: str | None = None) -> None:  # noqa: A002 - CloudEvents' name
        """Somebody's word, `age` seconds old by its own clock."""
        known_as = id or f"{actor}:{len(self.log) + 1}"
        time = self.now - timedelta(seconds=age)
        self._append(envelope(Draft(about=about, data=data), id=known_as, actor=actor, source=actor, time=time))

    def land(self, batch: list[Envelope], through: int) -> None:
        """An atomic batch, whose writer knew the last Decided."""
        self.decided = len(self.log) + 1
        self.batches.append((through, self.decided))
        for event in batch:
            self._append(event)

    def again(self, position: int) -> None:
        """Delivered a second time. Not a Decided, which its compare-and-set keeps out; nor what was said of an issue
        before anybody had approved it, which was not heard the first time."""
        if self.known[position] and not isinstance(self.log[position - 1].data, Decided):
            self.copies.add(len(self.log) + 1)
            self._append(self.log[position - 1])

    def _append(self, event: Envelope) -> None:
        event = decode(encode(event))
        self.log.append(event)
        position, about = len(self.log), event.about
        if isinstance(event.data, IssueApproved) and isinstance(about, IssueRef):
            self.cases.setdefault(about, Case())
        self.known[position] = not isinstance(about, IssueRef) or about in self.cases
        if isinstance(about, IssueRef) and about in self.cases:
            _follow(self.cases[about], event.data)
        self.whole.read()
        self.unrepeated.read()
        owner = owner_of(event)
        timer = live(self.whole.state, owner) if owner is not None else None
        if timer is not None and timer.id == event.id:
            self.timers.append(timer)

    # ── time ─────────────────────────────────────────────────────────────────

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def fire(self, timer: Timer) -> None:
        """Its id makes a second firing a copy of the first."""
        known_as = event_id(Actor.CONDUCTOR, "passed", timer.id)
        if known_as in self.fired:
            self.copies.add(len(self.log) + 1)
        self.fired.add(known_as)
        draft = timer.passed()
        self.say(Actor.CONDUCTOR, draft.about, draft.data, id=known_as)

    def live_timers(self) -> list[Timer]:
        """What the timer stream holds, soonest first."""
        state = self.whole.state
        owners = [*state.issues, *state.deadlines]
        owners += [(name, kind) for name, agent in state.agents.items() for kind in agent.deadlines]
        found = [timer for timer in (live(state, owner) for owner in owners) if timer is not None]
        return sorted(found, key=lambda timer: (timer.at, timer.name))

    # ── conductors ───────────────────────────────────────────────────────────

    def rounds(self) -> int:
        """Rounds until nothing more is said."""
        for count in range(ROUNDS_MAX):
            if not self.whole.decide():
                return count
        raise AssertionError(f"still talking after {ROUNDS_MAX} rounds: {self.log[self.decided - 1 :]}")

    def begins_anew(self, number: int) -> None:
        """A conductor dies; another begins with nothing in its place."""
        self.readers[number] = Reader(self)

    def replayed(self) -> Replayed:
        return replay(list(enumerate(self.log, start=1)))


def _follow(case: Case, data: Event) -> None:
    took_effect = case.ownership.apply(data)
    match data:
        case IssueAssigned() if took_effect:
            case.assigned = data
        case WorkPushed(head_sha=head) if took_effect:
            case.head = head
        case MergeRequested():
            case.asked = data
        case ReviewRequested(reviewer=reviewer):
            case.reviewer = reviewer
        case Merged(merge_sha=merged):
            case.merged = merged
        case _:
            pass
