"""Each test of this directory runs twice: on a real nats-server in real time, and in memory on virtual time."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from itertools import zip_longest
from typing import Protocol

import pytest

from bus import Bus, make_streams
from bus.client import NatsConnection
from bus.permissions import ADMIN
from bus.testing import InMemoryBus, MemoryConnection, VirtualLoop
from deploy.embedded.nats import NatsServer
from schemas import Actor
from tests.contract.mutations import MUTATIONS, VARIABLE
from tests.contract.transcript import Compare, Compared, Script, Wire
from tests.support.servers import as_root, nats_with_root

LOOPS = {"real": asyncio.new_event_loop, "memory": VirtualLoop}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Time is part of the carrier, so it is the loop that tells them apart."""
    return LOOPS


def pytest_configure() -> None:
    """For test_mutations.py: this whole run is on a server that is broken on purpose."""
    if VARIABLE in os.environ:
        MUTATIONS[os.environ[VARIABLE]]()


class Carrier(Protocol):
    """A server of either kind, for one test."""

    async def connect(self, actor: Actor, source: str, key: str, *, free: bool) -> Bus: ...
    async def crash(self) -> None: ...
    async def restart(self) -> None: ...


class Real:
    def __init__(self, server: NatsServer) -> None:
        self.server = server

    async def connect(self, actor: Actor, source: str, key: str, *, free: bool) -> Bus:
        await make_streams(self.server.url, key=self.server.key(ADMIN))
        url, held = (as_root(self.server), None) if free else (self.server.url, self.server.key(key or actor))
        return await Bus.connect(url, actor=actor, source=source, key=held)

    async def crash(self) -> None:
        await self.server.kill()

    async def restart(self) -> None:
        await self.server.start()


class Memory:
    def __init__(self) -> None:
        self.server = InMemoryBus(seed=1)

    async def connect(self, actor: Actor, source: str, key: str, *, free: bool) -> Bus:
        return await self.server.connect(actor, source, key=key, free=free)

    async def crash(self) -> None:
        self.server.crash()

    async def restart(self) -> None:
        self.server.restart()


@pytest.fixture
async def carrier(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Carrier]:
    """A server for this test alone."""
    if isinstance(asyncio.get_running_loop(), VirtualLoop):
        yield Memory()
        return
    async with nats_with_root(tmp_path_factory.mktemp("nats")) as server:
        yield Real(server)
        await server.kill()  # its data is thrown away


MakeBus = Callable[..., Awaitable[Bus]]


@pytest.fixture
async def make_bus(carrier: Carrier) -> AsyncIterator[MakeBus]:
    """Connects to the test's server as an actor, with the key of its role or another; `free`: it may do everything."""
    async with AsyncExitStack() as stack:

        async def make(actor: Actor, source: str = "", *, key: str = "", free: bool = False) -> Bus:
            bus = await carrier.connect(actor, source or actor.value, key, free=free)
            return await stack.enter_async_context(bus)

        yield make


@pytest.fixture
async def compare(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Compare]:
    """Runs a script on both servers."""
    async with nats_with_root(tmp_path_factory.mktemp("nats")) as server:
        real = await NatsConnection.connect(as_root(server), name="real")
        memory = await MemoryConnection.connect(InMemoryBus(epoch=real.now()).server, name="memory")

        async def comparing(script: Script) -> Compared:
            wires = Wire(real), Wire(memory)
            await asyncio.gather(*(script(wire) for wire in wires))
            differ = [
                f"\n  real    {wanted}\n  memory  {found}"
                for wanted, found in zip_longest(*(wire.transcript for wire in wires))
                if wanted != found
            ]
            return Compared(wires[0].transcript, "".join(differ))

        try:
            yield comparing
        finally:
            await memory.close()
            await real.close()
            await server.kill()  # its data is thrown away
