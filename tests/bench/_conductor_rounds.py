"""One round of the conductor while very much is queued: how long it takes, and how the work grows with the queue."""

import math
import time
from statistics import mean
from typing import Final

from conductor.decide import moment
from conductor.shell import compose
from machine import garbage
from tests.bench._conductor_cast import Cast
from tests.bench._conductor_world import World
from tests.bench._decision import percentile
from tests.bench._report import Row
from tests.support.effort import effort

QUEUED: Final = 100_000
REPLICAS: Final = 1_000
ROUNDS: Final = 3_000
FEW: Final = 1_000
COUNTED: Final = 300
"""Rounds whose work is counted, which is slow."""


def measure() -> list[Row]:
    """Rounds whose work is counted, with few issues queued and with many; then rounds in the usual way."""
    of_few = work(busy(FEW, REPLICAS)[0])
    many, full = busy(QUEUED, REPLICAS)
    of_many = work(many)
    garbage.settle()  # as every role does once it is up
    taken: list[float] = []
    for number in range(ROUNDS):
        meanwhile(many, number)
        taken.append(timed_round(many))
    return [
        Row("round_p50_ms", percentile(taken, 50), "ms"),
        Row("round_p99_ms", percentile(taken, 99), "ms", bar=5.0),
        Row("round_max_ms", max(taken), "ms"),
        Row("full_round_p50_ms", percentile(full, 50), "ms"),
        Row("work_growth", of_many / of_few, "×", bar=math.log(QUEUED) / math.log(FEW)),
        Row("work_per_round", of_many, ""),
        Row("issues_queued", len(many.world.state.issues) - many.done - len(many.world.state.working), ""),
    ]


def busy(queued: int, replicas: int) -> tuple[Cast, list[float]]:
    """Every replica is at work and so many issues more wait; with the milliseconds of each round until then."""
    world = World(replicas=replicas)
    cast = Cast(world)
    world.approve(queued + replicas)
    taken: list[float] = []
    said = -1
    while said != world.state.position:
        said = world.state.position
        taken.append(timed_round(cast))
    return cast, taken


def meanwhile(cast: Cast, number: int) -> None:
    """What happens between two rounds: a few words of whoever is at work, and of people."""
    for _ in range(cast.world.random.choice((1, 1, 2, 4))):
        cast.speak()
    if number % 4 == 0:
        cast.world.approve()
    if number % 5 == 0:
        cast.deadline_passes(cast.world.random.choice(cast.world.approved))


def timed_round(cast: Cast) -> float:
    """Decides and composes the batch, and lands it; the milliseconds of the first two."""
    world = cast.world
    began = time.perf_counter()
    drafts = world.decide()
    batch = compose(drafts, world.state, moment(world.state, world.now), "conductor") if drafts else []
    taken = (time.perf_counter() - began) * 1_000
    for event in batch:
        world.append(event)
    cast.hear(drafts)
    return taken


def work(cast: Cast) -> float:
    """Lines per round on average: those of decide, and of folding what came between and what was decided."""
    lines: list[int] = []
    for number in range(COUNTED):
        with effort() as counted:
            meanwhile(cast, number)
            timed_round(cast)
        lines.append(counted.lines)
    return mean(lines)
