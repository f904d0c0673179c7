"""What reading the log costs the conductor beyond decoding it: the fold, over whole lives of some 2 000 issues.

The two ways take turns over one recorded log. Before each, what is remembered of subjects is forgotten: a conductor
that starts reads each for the first time, and so that is how decoding is measured. Of each stretch of the log the
fastest turn counts, by the processor's clock: neither way waits for anything, and what else the machine does in
between is no part of either.
"""

import gc
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from bus.stored import Stored
from conductor.evolve import evolve
from conductor.state import State
from schemas import IssueState, Recorded
from tests.bench._conductor_cast import Cast
from tests.bench._conductor_world import World
from tests.bench._report import Row

ISSUES: Final = 2_200
REPLICAS: Final = 60
EVENTS_MIN: Final = 50_000
TURNS: Final = 7
STRETCH: Final = 100


def measure() -> list[Row]:
    log = recorded_log()
    alone, both = fastest(log, forget_subjects)
    known_alone, known_both = fastest(log, lambda: None)
    return [
        Row("fold_vs_decode", alone / both, "×", bar=0.5, at_least=True),
        Row("fold_vs_decode_of_known_subjects", known_alone / known_both, "×"),
        Row("fold_us", (both - alone) / len(log) * 1e6, "µs"),
        Row("decode_us", alone / len(log) * 1e6, "µs"),
        Row("fold_events", len(log), ""),
    ]


def recorded_log() -> Sequence[Stored]:
    """Everything that is said until every issue that can be is done."""
    world = World(replicas=REPLICAS, record=True)
    cast = Cast(world)
    world.approve(ISSUES // 10)
    busy, rounds = True, 0
    while busy or len(world.approved) < ISSUES:
        rounds += 1
        drafts = world.decide()
        world.land(drafts)
        cast.hear(drafts)
        spoke = [cast.speak() for _ in range(world.random.choice((1, 1, 1, 2, 3)))]
        if rounds % 8 == 0 and len(world.approved) < ISSUES:
            world.approve()
        if rounds % 20 == 0:
            cast.deadline_passes(world.random.choice(world.approved))
        busy = bool(drafts) or any(spoke)
    done = sum(issue.state is IssueState.DONE for issue in world.state.issues.values())
    assert world.log is not None
    assert len(world.log) >= EVENTS_MIN, len(world.log)
    assert done > 0.9 * ISSUES, done
    return world.log


def fastest(log: Sequence[Stored], before: Callable[[], None]) -> tuple[float, float]:
    """Seconds of decoding alone, and of decoding and folding."""
    turns: list[tuple[list[float], list[float]]] = []
    for _ in range(TURNS):
        before()
        alone = turn(log, decode)
        before()
        turns.append((alone, turn(log, decode_and_fold)))
    return sum(map(min, zip(*(one for one, _ in turns), strict=True))), sum(
        map(min, zip(*(other for _, other in turns), strict=True))
    )


def turn(log: Sequence[Stored], way: Callable[[Sequence[Stored], State], None]) -> list[float]:
    """Seconds of each stretch."""
    gc.collect()
    state, taken = State(), []
    for first in range(0, len(log), STRETCH):
        stretch = log[first : first + STRETCH]
        began = time.process_time()
        way(stretch, state)
        taken.append(time.process_time() - began)
    return taken


def decode(log: Sequence[Stored], _: State) -> None:
    for stored in log:
        stored.decoded()


def decode_and_fold(log: Sequence[Stored], state: State) -> None:
    for stored in log:
        item = stored.decoded()
        assert isinstance(item, Recorded)
        evolve(state, item.event, item.position)


def forget_subjects() -> None:
    """Every cache of the schemas' modules."""
    for name, module in list(sys.modules.items()):
        if name.startswith("schemas."):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
