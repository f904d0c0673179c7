"""The work of a round grows no faster than the logarithm of how much is queued: counted, so it is the same anywhere."""

import math

from conductor.state import State
from tests.bench._conductor_rounds import busy, work
from tests.support.effort import effort

FEW, MANY, REPLICAS = 500, 8_000, 50


def test_the_work_of_a_round_hardly_grows_with_the_queue() -> None:
    few, many = (work(busy(queued, REPLICAS)[0]) for queued in (FEW, MANY))
    assert 0 < many <= few * math.log(MANY) / math.log(FEW)


def test_work_on_everything_that_is_queued_would_be_noticed() -> None:
    """Each step of a walk over all issues counts."""

    def look(state: State) -> int:
        with effort() as counted:
            for issue in state.issues.values():
                list(state.unmet(issue))
        return counted.lines

    few, many = (look(busy(queued, REPLICAS)[0].world.state) for queued in (FEW, MANY))
    assert many > 10 * few
