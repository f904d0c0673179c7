"""The bus without a server, for tests: the same promises, on virtual time, with faults on demand.

    from bus.testing import InMemoryBus, run

    async def main() -> None:
        server = InMemoryBus(seed=1)
        bus = await server.connect(Actor.CONDUCTOR)
        ...

    run(main())                                     # minutes of timers in milliseconds

Equal to the real bus by construction: everything above bus/connection.py is the same code on both carriers, and one
contract suite (tests/contract) runs on both.
"""

from bus.testing.clock import VirtualLoop, run
from bus.testing.connection import MemoryConnection
from bus.testing.faults import Faults
from bus.testing.memory import InMemoryBus
from bus.testing.server import MemoryServer

__all__ = ["Faults", "InMemoryBus", "MemoryConnection", "MemoryServer", "VirtualLoop", "run"]
