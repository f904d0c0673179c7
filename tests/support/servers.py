"""A nats-server as `embedded_nats` makes it, and a door to it that no rig has: for tests that play a fault."""

from pathlib import Path

from bus import Bus, make_streams
from bus.permissions import ADMIN, ROLES
from deploy.embedded.cluster import Cluster
from deploy.embedded.nats import Nats, NatsServer
from schemas import Actor

_USERS = "    users: [\n"
_ROOT = '      {"user": "root", "password": "for-tests"}\n'


class NatsWithRoot(Nats):
    """Knows one user more, who may do anything in the account of the streams."""

    async def prepare(self, port: int) -> None:
        await super().prepare(port)
        text = self.configuration.read_text()
        self.configuration.write_text(text.replace(_USERS, _USERS + _ROOT, 1))


def nats_with_root(directory: Path) -> NatsServer:
    """As `embedded_nats`."""
    return NatsServer(NatsWithRoot(directory, directory / "keys"), directory / "nats.log")


async def connected(server: NatsServer, actor: Actor, source: str = "", *, free: bool = False) -> Bus:
    """A bus on a server that has its streams, as an actor, or as the role that a source names.

    `free`: as root, and so without the permissions of that role.
    """
    await make_streams(server.url, key=server.key(ADMIN))
    url, key = (as_root(server), None) if free else (server.url, server.key(source if source in ROLES else actor))
    return await Bus.connect(url, actor=actor, source=source or actor.value, key=key)


def reaching(server: NatsServer, principal: str) -> dict[str, str]:
    """What the environment of a process says about the server."""
    return {"RIG_NATS_URL": server.url, "RIG_NATS_KEY": str(server.key(principal))}


def as_root(server: NatsServer | Cluster) -> str:
    """The URL for root."""
    return server.url.replace("nats://", "nats://root:for-tests@")
