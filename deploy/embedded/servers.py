"""The servers of a rig on one machine, together: what nobody gave an address for is started, and stopped at the end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deploy.embedded.nats import Nats, NatsServer
from deploy.embedded.postgres import Postgres
from deploy.embedded.server import Server
from deploy.home import Home
from deploy.keys import key_file

__all__ = ["Servers", "key_for", "servers"]


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers are, and handles on those that are ours (on one that was given, a handle does nothing)."""

    nats_url: str
    postgres_url: str
    nats: Server
    postgres: Server
    home: Home

    def key(self, principal: str) -> Path | None:
        """The key with which a principal connects to NATS: see `key_for`."""
        return key_for(self.home, self.nats_url, principal)


def key_for(home: Home, nats_url: str, principal: str) -> Path | None:
    """The file of a principal's key in this home; None where the URL holds a login, and where there is no key."""
    path = key_file(home.keys, principal)
    return path if urlsplit(nats_url).username is None and path.exists() else None


@asynccontextmanager
async def servers(
    home: Home, *, nats_url: str | None = None, postgres_url: str | None = None
) -> AsyncGenerator[Servers]:
    """Start what is not given, both at once, in a `home` whose lock the caller holds. Raises ServerFailed."""
    home.create()
    nats = NatsServer(Nats(home.nats, home.keys), home.logs / "nats.log")
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
            home=home,
        )
    finally:
        await asyncio.gather(*(server.stop() for server in ours))
