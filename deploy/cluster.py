"""`rig cluster`: three nats-servers as one cluster on this machine, kept up until somebody ends it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from deploy.embedded.cluster import Cluster, embedded_cluster
from deploy.guard import ServerReport, guard
from deploy.home import Home
from deploy.logs import keep_bounded
from deploy.screen import Screen

__all__ = ["run_cluster", "running_cluster"]


async def run_cluster(home: Home, screen: Screen) -> None:
    """Until it is cancelled. Raises HomeInUse, ServerFailed, BusError."""
    began = time.monotonic()
    async with running_cluster(home, screen.news) as cluster:
        screen.cluster_ready(cluster, home, time.monotonic() - began)
        await asyncio.Event().wait()


@asynccontextmanager
async def running_cluster(
    home: Home, report: Callable[[ServerReport], None] = lambda _: None
) -> AsyncGenerator[Cluster]:
    """A cluster on a home, beside the rig that may run there; a node that dies is started again."""
    async with home.lock(home.cluster.name):
        logs = home.cluster / "logs"
        logs.mkdir(mode=0o700, exist_ok=True)
        async with embedded_cluster(home.cluster, home.keys, logs) as cluster:
            guards = [asyncio.create_task(guard(name, server, report)) for name, server in cluster.nodes.items()]
            guards.append(asyncio.create_task(keep_bounded(logs)))
            try:
                yield cluster
            finally:
                for task in guards:
                    task.cancel()
                await asyncio.gather(*guards, return_exceptions=True)
