"""A watch on a story's log: it looks every ten seconds of the story's time, and says what it finds in the log."""

from collections.abc import Sequence
from datetime import datetime

from conductor.evolve import evolve
from conductor.watch.check import check
from conductor.watch.fold import Fold
from schemas import (
    Actor,
    Decided,
    Draft,
    Envelope,
    Event,
    HaltCleared,
    HaltDetected,
    Invariant,
    Recorded,
    decode,
    encode,
)
from tests.support.story import Story

STEP_SECONDS = 10


class Deaf(Story):
    """A conductor that drops what it is deaf to, and goes on with everything else."""

    deaf: str | None = None
    """An event's name."""

    def append(self, event: Envelope) -> Envelope:
        event = decode(encode(event))
        self.log.append(event)
        evolve(self.state, None if event.data.name() == self.deaf else event, len(self.log))
        return event


class Watched:
    """One watch. Its read side keeps up until a test says otherwise."""

    def __init__(self, story: Story, *, keeps_up: bool = True) -> None:
        self.story = story
        self.fold = Fold()
        self.keeps_up = keeps_up
        self.goes_on = False
        """Whether the conductor decides before every look, and its timers fire."""
        self.look()

    @property
    def now(self) -> datetime:
        return self.story.now

    def look(self) -> list[Event]:
        """Reads on, looks once, and says what is to be said; that."""
        if self.goes_on:
            self._go_on()
        self.read()
        self.fold.look(self.now)
        if self.keeps_up:
            self.fold.read_to(self.fold.position, self.now)
        found = self.found()
        for draft in found:
            self.story.say(Actor.WATCH, draft.about, draft.data)
        return [draft.data for draft in found]

    def wait(self, seconds: float) -> list[Event]:
        """Looks on for so long; everything that it says meanwhile."""
        said = self.look()
        while seconds > 0:
            self.story.later(min(seconds, STEP_SECONDS))
            seconds -= STEP_SECONDS
            said += self.look()
        return said

    def _go_on(self) -> None:
        self.story.rounds()
        for ref, issue in self.story.state.issues.items():
            if issue.deadline is not None and not issue.deadline.passed and issue.deadline.at <= self.now:
                self.story.deadline_passes(ref)
        self.story.rounds()

    def read(self) -> None:
        for position, event in enumerate(self.story.log[self.fold.position :], start=self.fold.position + 1):
            self.fold.apply(Recorded(position, event.time, event))

    def found(self) -> list[Draft]:
        policy = self.fold.policy
        assert policy is not None
        return check(self.fold, self.now, policy)


def alive(story: Story | None = None) -> tuple[Story, Watched]:
    """A story with one agent that is there, and a watch on it."""
    story = story or Story()
    watch = Watched(story)
    watch.fold.seen("dev-e-1", story.now)
    return story, watch


def halts(said: list[Event]) -> dict[Invariant, tuple[str, ...]]:
    """The evidence of each halt."""
    return {event.invariant: event.evidence for event in said if isinstance(event, HaltDetected)}


def cleared(said: list[Event]) -> set[Invariant]:
    return {event.invariant for event in said if isinstance(event, HaltCleared)}


def alarms(log: Sequence[Recorded]) -> list[str]:
    """What a watch says of a log on which all went well: what no round has answered that was made on it, and halts."""
    fold, through, end, found = Fold(), 0, 0, list[str]()
    for item in log:
        fold.apply(item)
        data = item.event.data
        if isinstance(data, HaltDetected):
            found += data.evidence
        if isinstance(data, Decided):
            through, end = data.through, item.position + data.count
        if item.position == end:
            found += [f"{of}, {each.what} at {each.position}" for of, each in fold.owed() if each.position <= through]
    return found
