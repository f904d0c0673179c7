"""What the benchmarks of the bus need of a server: a bare client of it, as anybody would connect one."""

import nats
from nats.aio.client import Client

from deploy.embedded.nats import NatsServer
from tests.support.servers import as_root


async def bare_client(server: NatsServer) -> Client:
    """The client library as it is."""
    return await nats.connect(as_root(server))
