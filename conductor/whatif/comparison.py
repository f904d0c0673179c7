"""Two states of one log, and each recorded round decided on both: what is compared, the package's docstring says."""

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from heapq import heappop, heappush
from typing import Final, TypeAlias

from msgspec.structs import replace

from conductor.decide import ROUND_MAX, RULES, decide
from conductor.decide.money import SETTLED_MAX
from conductor.evolve import evolve
from conductor.replay import draft_of
from conductor.state import State
from conductor.timers import Owner, live, owner_of
from conductor.whatif.found import Count, Difference, Length, WhatIf, Word
from conductor.whatif.things import Deadline, Thing, plain, thing
from schemas import (
    FLEET,
    Actor,
    Decided,
    Draft,
    Envelope,
    Event,
    IssueAssigned,
    IssueRef,
    MilestoneCompleted,
    Policy,
    PolicyAdopted,
    TierChanged,
    envelope,
    summary,
)

Said: TypeAlias = Sequence[tuple[int, Envelope]]
"""Recorded decisions, with their positions."""
_FULL: Final = ROUND_MAX - SETTLED_MAX - 10
"""Decisions of a round behind which there may have been more to say: what one side alone says is not compared then."""


class Comparison:
    """One comparison as it goes on. Of the log it holds what is not folded yet, and no more."""

    def __init__(self, policy: Policy, since: int = 0) -> None:
        self._policy, self._since = policy, since
        self._is, self._would = State(), State()
        self._unfolded: deque[tuple[int, Envelope | None]] = deque()
        self._batch: tuple[int, Decided] | None = None  # whose end was not heard yet
        self._found = WhatIf(policy=policy.digest())
        self._ended: dict[Thing, Difference] = {}
        self._instead: dict[int, Envelope] = {}  # by position: a deadline as it would have been set
        self._timers: list[tuple[datetime, int, Owner, Envelope]] = []  # a heap: of those, when, where, whose, as it is

    def hear(self, position: int, event: Envelope | None) -> None:
        """The next of the log; None: a position that cannot be read."""
        self._unfolded.append((position, event))
        if self._batch is None and event is not None and isinstance(event.data, Decided):
            self._batch = position, event.data
        if self._batch is not None and position >= self._batch[0] + self._batch[1].count:
            (at, decided), self._batch = self._batch, None
            self._round(at, decided)

    def found(self) -> WhatIf:
        """What came out so far."""
        ended = sorted(self._ended.values(), key=lambda each: each.position)
        own = [each for each in ended if each.rests_on is None]
        return replace(
            self._found,
            same_before=own[0].position if own else None,
            differences=own,
            resting=[each for each in ended if each.rests_on is not None],
            left_out=self._found.left_out + sum(each.left_out for each in ended),
        )

    # ── rounds ───────────────────────────────────────────────────────────────

    def _round(self, at: int, decided: Decided) -> None:
        now, found = decided.now, self._found
        self._fold_to(decided.through, now)
        if at < self._since:
            return
        if decided.rules != RULES:
            found.other_rules += 1
            return
        if self._is.policy is not None and self._would.policy != self._policy:
            self._adopt(now)  # one from before `since` was in force
        self._overdue(now, at)
        batch = [
            (place, event) for place, event in self._unfolded if at < place <= at + decided.count and event is not None
        ]
        policy = self._is.policy
        again = decide(self._is, now, policy) if policy is not None else []
        if again != [draft_of(event) for _, event in batch] or decided.policy != self._is.policy_hash:
            found.not_reproduced.append(at)
            return
        found.rounds += 1
        self._compare(at, now, batch, decide(self._would, now, self._policy))

    def _compare(self, at: int, now: datetime, batch: Said, would: Sequence[Draft]) -> None:
        said: dict[Thing, list[tuple[int, Envelope]]] = {}
        other: dict[Thing, list[Event]] = {}
        for place, event in batch:
            said.setdefault(thing(event.about, event.data), []).append((place, event))
        for draft in would:
            other.setdefault(thing(draft.about, draft.data), []).append(draft.data)
        full = max(len(batch), len(would)) > _FULL
        for what in {**said, **other}:
            recorded, instead = said.get(what, []), other.get(what, [])
            if what in self._ended:
                self._ended[what].left_out += len(recorded)
            elif full and not (recorded and instead):
                self._found.left_out += len(recorded)
            elif (done := self._rests_on(what, recorded)) is not None:
                end = Difference(position=at, time=now, about=str(what), rests_on=str(done), left_out=len(recorded))
                self._ended[what] = end
            else:
                self._each(what, at, now, recorded, instead)

    def _each(self, what: Thing, at: int, now: datetime, recorded: Said, instead: Sequence[Event]) -> None:
        events = [event.data for _, event in recorded]
        for event in events:
            self._found.decisions.setdefault(event.name(), Count()).recorded += 1
        for event in instead:
            self._found.decisions.setdefault(event.name(), Count()).would += 1
        if [*map(plain, events)] != [*map(plain, instead)]:
            self._end(what, at, now, events, instead)
            return
        for (place, event), other in zip(recorded, instead, strict=True):
            if isinstance(event.data, Deadline) and isinstance(other, Deadline) and event.data.at != other.at:
                self._loosen(place, now, event, event.data, other)

    def _rests_on(self, what: Thing, recorded: Said) -> IssueRef | None:
        """An issue that had to be done before this could be said, and whose comparison has ended."""
        done: tuple[IssueRef, ...] = ()
        for _, event in recorded:
            match event.data:
                case IssueAssigned() if isinstance(what, IssueRef):
                    done += self._is.issues[what].depends_on
                case TierChanged(evidence=issues) | MilestoneCompleted(issues=issues):
                    done += issues
                case _:
                    pass
        return next((ref for ref in done if ref in self._ended), None)

    def _end(self, what: Thing, at: int, time: datetime, recorded: Iterable[Event], would: Iterable[Event]) -> None:
        self._ended[what] = Difference(
            position=at, time=time, about=str(what), recorded=_words(recorded), would=_words(would)
        )

    # ── deadlines of another length ──────────────────────────────────────────

    def _loosen(self, place: int, now: datetime, event: Envelope, recorded: Deadline, would: Deadline) -> None:
        self._instead[place] = replace(event, data=would)
        owner = owner_of(event)
        if owner is not None:
            heappush(self._timers, (would.at, place, owner, event))
        first = Length(place, (recorded.at - now).total_seconds(), (would.at - now).total_seconds())
        self._found.lengths.setdefault(recorded.kind, first).count += 1

    def _overdue(self, time: datetime, before: int) -> None:
        """By this time, which is before that position, these timers would have fired."""
        while self._timers and self._timers[0][0] <= time:
            at, _, owner, event = heappop(self._timers)
            timer, what = live(self._would, owner), thing(event.about, event.data)
            if timer is not None and timer.id == event.id and what not in self._ended:
                self._end(what, before, at, [event.data], [timer.passed().data])

    # ── folding ──────────────────────────────────────────────────────────────

    def _fold_to(self, through: int, now: datetime) -> None:
        while self._unfolded and self._unfolded[0][0] <= through:
            position, event = self._unfolded.popleft()
            if event is not None:
                self._overdue(min(event.time, now), position)  # whoever spoke: his clock may be ahead
            evolve(self._is, event, position)
            instead = self._instead.pop(position, event)
            if instead is not None and isinstance(instead.data, PolicyAdopted) and position >= self._since:
                instead = replace(instead, data=self._adopted())
            evolve(self._would, instead, position)

    def _adopt(self, now: datetime) -> None:
        draft = Draft(about=FLEET, data=self._adopted())
        said = envelope(draft, id="whatif", actor=Actor.CLI, source="whatif", time=now)
        self._would.position -= 1  # it is folded where the log holds something else
        evolve(self._would, said, self._would.position + 1)

    def _adopted(self) -> PolicyAdopted:
        return PolicyAdopted(policy=self._policy, hash=self._found.policy, by="whatif")


def _words(events: Iterable[Event]) -> tuple[Word, ...]:
    return tuple(Word(event.name(), summary(event)) for event in events)
