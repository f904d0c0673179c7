"""Three nats-servers on this machine as one cluster: for development, and for tests of what a cluster promises.

One machine is one failure: this shows how Rig behaves on a cluster, and keeps nothing safer. Each node has a directory,
1 to 3, in which its name and what it keeps last; ports are found anew at every start.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bus import Unavailable, Unsuitable, make_streams
from bus.permissions import ADMIN
from deploy.embedded.nats import Nats, NatsServer, Routes
from deploy.embedded.server import Server, free_port, secret
from deploy.failures import ServerFailed

__all__ = ["NODES", "Cluster", "embedded_cluster"]

NODES = 3
SETTLE_SECONDS = 30.0
"""How long the nodes may take to know of each other."""
PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that is up; each node by its name, as the cluster knows it."""

    nodes: dict[str, NatsServer]

    @property
    def url(self) -> str:
        """All of them, for RIG_NATS_URL: clients go on with another when theirs is gone."""
        return ",".join(server.url for server in self.nodes.values())

    def key(self, principal: str) -> Path:
        """The file of a principal's key: the same on every node."""
        return next(iter(self.nodes.values())).key(principal)


@asynccontextmanager
async def embedded_cluster(
    directory: Path, keys: Path, logs: Path, *, program: type[Nats] = Nats
) -> AsyncGenerator[Cluster]:
    """Starts the nodes, with a leader among them and the streams in as many replicas. Raises ServerFailed, BusError.

    The caller answers for it that nobody else uses the directory.
    """
    cluster = Cluster(_nodes(directory, keys, logs, program))
    try:
        await _start(list(cluster.nodes.values()))
        await _make_streams(cluster)
        yield cluster
    finally:
        for server in cluster.nodes.values():
            await server.stop()


def _nodes(directory: Path, keys: Path, logs: Path, program: type[Nats]) -> dict[str, NatsServer]:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    password = secret(directory / "route-password")
    ports = [free_port() for _ in range(NODES)]
    nodes: dict[str, NatsServer] = {}
    for number, port in enumerate(ports, start=1):
        name = f"rig-{number}"  # the same ever after: by it the others know what it has stored
        routes = Routes(port, tuple(other for other in ports if other != port), password)
        node = program(directory / str(number), keys, server_name=name, name=name, routes=routes)
        nodes[name] = NatsServer(node, logs / f"nats-{number}.log")
    return nodes


async def _start(servers: Sequence[Server]) -> None:
    """All at once: none of them is ready before it has found another. Raises ServerFailed."""
    try:
        async with asyncio.TaskGroup() as starting:
            for server in servers:
                starting.create_task(server.start())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _make_streams(cluster: Cluster) -> None:
    """Until the leader knows of every node, it has nowhere to put the replicas: that passes."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        try:
            await make_streams(cluster.url, key=cluster.key(ADMIN), replicas=NODES)
            return
        except (Unavailable, Unsuitable) as error:
            if time.monotonic() > deadline:
                raise ServerFailed("the cluster", str(error)) from None
            await asyncio.sleep(PAUSE_SECONDS)
