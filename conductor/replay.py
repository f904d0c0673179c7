"""Replay: every decision ever recorded, made again from the log and compared.

The log is folded to each `through`, decided again under the policy in force and the recorded `now`, and what comes out
is compared with the batch that stands there, as decoded values and with causes, trace context aside.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from msgspec import Struct

from bus import Skipped
from conductor.decide import RULES, decide
from conductor.evolve import evolve
from conductor.state import State
from schemas import Decided, Draft, Envelope, Recorded


class Difference(Struct, frozen=True):
    """A recorded round that does not come out again."""

    position: int
    """Of its Decided."""
    recorded: tuple[Draft, ...]
    decided: tuple[Draft, ...]


class Replayed(Struct, frozen=True):
    """What a replay found."""

    rounds: int
    """Rounds compared."""
    other_rules: int
    """Rounds of other rules, which are not compared."""
    differences: tuple[Difference, ...]


def replay(history: Sequence[tuple[int, Envelope | None]]) -> Replayed:
    """The whole log in order, from its first position (None: a position that cannot be read) → what came out."""
    events = dict(history)
    state = State()
    rounds = other = 0
    differences: list[Difference] = []
    unfolded = deque(history)
    for position, event in history:
        if event is None or not isinstance(event.data, Decided):
            continue
        if event.data.rules != RULES:
            other += 1
            continue
        _fold_to(state, unfolded, event.data.through)
        rounds += 1
        batch = (events.get(position + index) for index in range(1, event.data.count + 1))
        recorded = tuple(draft_of(decision) for decision in batch if decision is not None)
        again = tuple(decide(state, event.data.now, state.policy)) if state.policy is not None else ()
        if recorded != again or event.data.policy != state.policy_hash:
            differences.append(Difference(position, recorded, again))
    return Replayed(rounds, other, tuple(differences))


def history_of(items: Iterable[Recorded | Skipped]) -> list[tuple[int, Envelope | None]]:
    """What a reader gives → what `replay` takes."""
    return [(item.position, item.event if isinstance(item, Recorded) else None) for item in items]


def _fold_to(state: State, unfolded: deque[tuple[int, Envelope | None]], through: int) -> None:
    while unfolded and unfolded[0][0] <= through:
        position, event = unfolded.popleft()
        evolve(state, event, position)


def draft_of(event: Envelope) -> Draft:
    """What was said, as it is decided: trace context aside."""
    return Draft(about=event.about, data=event.data, cause=event.causationid, correlation=event.correlationid)
