"""`InMemoryBus`: a server in memory that hands out buses, and what a test may do to it."""

from datetime import UTC, datetime
from typing import Final

from bus.bus import Bus
from bus.ensure import ensure
from bus.permissions import ADMIN
from bus.testing.connection import MemoryConnection
from bus.testing.faults import Faults
from bus.testing.server import MemoryServer
from bus.verify import verify
from schemas import Actor

__all__ = ["InMemoryBus"]

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)


class InMemoryBus:
    """A server of one event loop. Two runs with the same seed leave the same log, byte for byte."""

    def __init__(self, *, seed: int = 0, epoch: datetime = EPOCH) -> None:
        self.server = MemoryServer(epoch=epoch, seed=seed)

    @property
    def faults(self) -> Faults:
        """What goes wrong on the wires; nothing, until a test says so."""
        return self.server.faults

    async def connect(self, actor: Actor, source: str = "", *, key: str = "", free: bool = False) -> Bus:
        """A bus of this actor, as `Bus.connect` gives one, on a server that has its streams; raises as that does.

        `key`: of which principal it holds the key, if not of its own role. `free`: it may do everything.
        """
        admin = await MemoryConnection.connect(self.server, name="rig admin", key=ADMIN)
        await ensure(admin)
        await admin.close()
        name = source or actor.value
        connection = await MemoryConnection.connect(self.server, name=name, key=None if free else key or actor.value)
        await verify(connection)
        return Bus(connection, actor, name)

    def crash(self) -> None:
        """The server dies: connections drop, and what it had not stored is lost."""
        self.server.crash()

    def restart(self) -> None:
        """The server is back, with everything that it had acknowledged."""
        self.server.restart()
