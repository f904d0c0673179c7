"""The servers of a rig on one machine, together: what nobody gave an address for is started, and stopped at the end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from deploy.embedded.nats import Nats
from deploy.embedded.postgres import Postgres
from deploy.embedded.server import Server
from deploy.home import Home

__all__ = ["Servers", "servers"]


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers are, and handles on those that are ours (on one that was given, a handle does nothing)."""

    nats_url: str
    postgres_url: str
    nats: Server
    postgres: Server


@asynccontextmanager
async def servers(
    home: Home, *, nats_url: str | None = None, postgres_url: str | None = None
) -> AsyncGenerator[Servers]:
    """Start what is not given, both at once, in a `home` whose lock the caller holds. Raises ServerFailed."""
    home.create()
    nats = Server(Nats(home.nats), home.logs / "nats.log")
    postgres = Server(Postgres(home.postgres), home.logs / "postgres.log")
    ours = [server for server, given in ((postgres, postgres_url), (nats, nats_url)) if given is None]
    try:
        try:
            async with asyncio.TaskGroup() as starting:
                for server in ours:
                    starting.create_task(server.start())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        yield Servers(
            nats_url=nats.url if nats_url is None else nats_url,
            postgres_url=postgres.url if postgres_url is None else postgres_url,
            nats=nats,
            postgres=postgres,
        )
    finally:
        await asyncio.gather(*(server.stop() for server in ours))
