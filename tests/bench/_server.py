"""What the benchmarks of the bus need of a server: a bare client of it, as anybody would connect one."""

import nats
from nats.aio.client import Client

from deploy.embedded.nats import NatsServer
from schemas import Actor
from tests.support.servers import as_root


async def bare_client(server: NatsServer, actor: Actor | None = None) -> Client:
    """The client library as it is: with the key of an actor, or as root."""
    if actor is None:
        return await nats.connect(as_root(server))
    return await nats.connect(server.url, nkeys_seed=str(server.key(actor)))
