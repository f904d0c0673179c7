"""What the benchmarks of the bus need of a server: a bare client of it, as anybody would connect one."""

import nats
from nats.aio.client import Client

from deploy.embedded.server import Server


async def bare_client(server: Server) -> Client:
    """The client library as it is."""
    return await nats.connect(server.url)
