"""Fixtures of the tests of durable consuming: a server on which everything is allowed, with a durable of their own."""

import pytest

from bus import Bus
from bus.dead import DeadLetters
from schemas import Actor
from tests.conftest import Connect
from tests.support.jobs import JOBS, make


@pytest.fixture
def connect(connect_freely: Connect) -> Connect:
    """These tests use subjects, and make durables, that no role has."""
    return connect_freely


@pytest.fixture
async def bus(connect: Connect) -> Bus:
    bus = await connect(Actor.CLI)
    await make(bus)
    return bus


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a consumer waits for by the clock comes soon: what it does then is tested, not when."""
    monkeypatch.setattr("bus.holding._AGAIN_SECONDS", 0.2)
    monkeypatch.setattr("bus.outcomes._BACKOFF", (0.05,))
    monkeypatch.setattr("bus.pulls.PULL_SECONDS", 0.4)
    monkeypatch.setattr("bus.pulls._LOST_SECONDS", 0.6)


@pytest.fixture
def dead(bus: Bus) -> DeadLetters:
    """The dead letters, for people; retries of the tests' own durable are taken."""
    return DeadLetters(bus.connection, [JOBS])
