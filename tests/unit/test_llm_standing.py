"""How long a model in trouble is left alone, by passed-in time."""

from datetime import UTC, datetime, timedelta

from agents.llm.errors import Failure
from agents.llm.messages import ErrorKind
from agents.llm.standing import TROUBLES, Standing

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
ONE = "a/one"
BUSY = Failure(ErrorKind.OVERLOADED, "busy")


def open_for(standing: Standing, now: datetime) -> timedelta | None:
    rest = standing.resting(ONE, now)
    return None if rest is None else rest.until - now


def test_a_circuit_stays_open_twice_as_long_each_time_up_to_ten_minutes() -> None:
    standing, now, found = Standing(), NOW, list[float]()
    for _ in range(TROUBLES - 1):
        standing.failed(ONE, BUSY, now)
        assert open_for(standing, now) is None
    for _ in range(7):
        standing.failed(ONE, BUSY, now)
        rest = open_for(standing, now)
        assert rest is not None
        found.append(rest.total_seconds())
        now += rest
        assert open_for(standing, now) is None, "this call tries it"
        assert open_for(standing, now) == rest, "and nobody else"
    assert found == [30, 60, 120, 240, 480, 600, 600]


def test_an_answer_forgets_the_troubles() -> None:
    standing = Standing()
    for _ in range(TROUBLES - 1):
        standing.failed(ONE, BUSY, NOW)
    standing.answered(ONE)
    standing.failed(ONE, BUSY, NOW)
    assert open_for(standing, NOW) is None
