"""Fixtures that many tests share: real servers, each test with one of its own, and buses connected to it."""

import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress

import pytest

from bus import Bus
from bus.client import NatsConnection
from deploy.embedded.nats import NatsServer
from schemas import Actor
from tests.support import peers
from tests.support.servers import as_root, connected, nats_with_root

FULL = os.environ.get("RIG_FULL") == "1"
Connect = Callable[..., Awaitable[Bus]]
_WHOLE_RIG = ("e2e", "chaos")


def pytest_configure() -> None:
    """What the tests start must not inherit that some signals are ignored, as they are under `nohup` and in what a
    script starts with `&`. Handled by doing nothing they still do not end the run, and are not inherited."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long counts run under RIG_FULL=1 alone (.ci/full). What runs a whole rig may take three minutes."""
    for item in items:
        if item.path.parent.name in _WHOLE_RIG and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(180))
        if item.get_closest_marker("full") is not None and not FULL:
            item.add_marker(pytest.mark.skip(reason="a long count: set RIG_FULL=1"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Peers are installed before any test's time begins to run; what cannot be installed the tests say themselves."""
    if any(item.get_closest_marker("peer") for item in session.items) and not session.config.option.collectonly:
        with suppress(pytest.skip.Exception, pytest.fail.Exception):
            peers.packages()


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
async def nats(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsServer]:
    """A real nats-server with JetStream and every write synced, for this test alone."""
    async with nats_with_root(tmp_path_factory.mktemp("nats")) as server:
        yield server
        await server.kill()  # its data is thrown away: no need to wait until it has ended in order


@pytest.fixture
async def root(nats: NatsServer) -> AsyncIterator[NatsConnection]:
    """May do to the streams what no key of the rig may: for faults that a test plays."""
    connection = await NatsConnection.connect(as_root(nats), name="root")
    yield connection
    await connection.close()


@pytest.fixture
async def connect_freely(nats: NatsServer) -> AsyncIterator[Connect]:
    """As `connect`, with every permission: for the bus's own machinery, on subjects and durables that no role has."""
    async with AsyncExitStack() as stack:

        async def connecting(actor: Actor, source: str = "") -> Bus:
            return await stack.enter_async_context(await connected(nats, actor, source, free=True))

        yield connecting


@pytest.fixture
async def connect(nats: NatsServer) -> AsyncIterator[Connect]:
    """Connects to the test's server, with its streams, as an actor, or as the role that a source names."""
    async with AsyncExitStack() as stack:

        async def connecting(actor: Actor, source: str = "") -> Bus:
            return await stack.enter_async_context(await connected(nats, actor, source))

        yield connecting
