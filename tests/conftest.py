"""Fixtures that many tests share: real servers, each test with one of its own, and buses connected to it."""

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest

from bus import Bus
from deploy.embedded.nats import embedded_nats
from deploy.embedded.server import Server
from schemas import Actor

FULL = os.environ.get("RIG_FULL") == "1"
Connect = Callable[..., Awaitable[Bus]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long counts run under RIG_FULL=1 alone (.ci/full)."""
    for item in items:
        if item.get_closest_marker("full") is not None and not FULL:
            item.add_marker(pytest.mark.skip(reason="a long count: set RIG_FULL=1"))


@pytest.fixture(autouse=True)
def logging_stays_as_it_was() -> Iterator[None]:
    """A role that runs in a test sets up logging to a standard error that is closed when the test is over."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    for handler in [handler for handler in root.handlers if type(handler) is logging.StreamHandler]:
        root.removeHandler(handler)


@pytest.fixture
async def nats(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """A real nats-server with JetStream and every write synced, for this test alone."""
    async with embedded_nats(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
async def connect(nats: Server) -> AsyncIterator[Connect]:
    """Connects to the test's server as an actor; the first connection creates the streams."""
    async with AsyncExitStack() as stack:

        async def connecting(actor: Actor, source: str = "") -> Bus:
            bus = await Bus.connect(nats.url, actor=actor, source=source or actor.value, create=True)
            return await stack.enter_async_context(bus)

        yield connecting
