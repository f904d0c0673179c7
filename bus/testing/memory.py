"""`InMemoryBus`: a server in memory that hands out buses, and what a test may do to it."""

from datetime import UTC, datetime
from typing import Final

from bus.bus import Bus
from bus.ensure import ensure
from bus.testing.connection import MemoryConnection
from bus.testing.faults import Faults
from bus.testing.server import Grants, MemoryServer
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

    async def connect(
        self, actor: Actor, source: str = "", *, create: bool = True, grants: Grants | None = None
    ) -> Bus:
        """A bus of this actor, as `Bus.connect` gives one; and it raises as that does. Without `grants` it may all."""
        name = source or actor.value
        connection = await MemoryConnection.connect(self.server, name=name, grants=grants)
        await (ensure(connection) if create else verify(connection))
        return Bus(connection, actor, name)

    def crash(self) -> None:
        """The server dies: connections drop, and what it had not stored is lost."""
        self.server.crash()

    def restart(self) -> None:
        """The server is back, with everything that it had acknowledged."""
        self.server.restart()
