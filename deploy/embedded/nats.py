"""nats-server on this machine: alone or one of a cluster, every acknowledged message on disk, a key for each role.

The configuration is written anew at each start; what lasts are the keys and JetStream's store. It does not create
streams: that is bus.topology's.
"""

import asyncio
import base64
import json
import secrets
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import msgspec

from bus.permissions import ADMIN
from deploy.embedded.binaries import nats_server
from deploy.embedded.server import Server
from deploy.failures import KeysRefused, ServerFailed
from deploy.keys import key_file, make_keys, public_key, signed

__all__ = ["Nats", "NatsServer", "Routes", "embedded_nats"]

CONFIGURATION = Template("""\
# Written by rig at every start: changes made here are lost.
server_name: $name
listen: "127.0.0.1:$port"
pid_file: $pid_file
max_payload: 1MB
jetstream {
  store_dir: $store
  # An acknowledged event is on disk. The default syncs every two minutes.
  sync_interval: always
  # Everything of Rig's is kept in files. The limit on files is no limit: by default it is three quarters of what is
  # free at the start, however much the log has grown already. A full disk is refused by the disk.
  max_memory_store: 64MB
  max_file_store: 1TB
  # The batches under way on a stream, of all keys together: 50 and ten seconds, if nobody says otherwise. A key that
  # opened them and committed none would keep everybody else from storing any.
  limits { batch { max_inflight_per_stream: 5000, max_inflight_total: 10000, timeout: 2s } }
}
$cluster
$accounts""")
# A password, since whoever is one of the servers is above all keys.
CLUSTER = Template("""\
cluster {
  name: rig
  listen: "127.0.0.1:$port"
  no_advertise: true
  authorization { user: route, password: $password }
  routes: $routes
}""")


class _Greeting(msgspec.Struct):
    """Of what the server says first."""

    server_name: str
    nonce: str


@dataclass(frozen=True, slots=True)
class Routes:
    """How one node of a cluster finds the others."""

    port: int
    """Where it hears them."""
    others: tuple[int, ...]
    password: str


@dataclass(frozen=True, slots=True)
class Nats:
    """The `Program` nats-server on a directory of its own."""

    directory: Path
    keys: Path
    server_name: str = field(default_factory=lambda: f"rig-{secrets.token_hex(4)}")
    name: str = "nats-server"
    stop_signal: signal.Signals = signal.SIGTERM
    owner: int = -1
    routes: Routes | None = None
    """None: it stands alone."""

    @property
    def pid_file(self) -> Path:
        return self.directory / "nats.pid"

    async def prepare(self, port: int) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            accounts = make_keys(self.keys).read_text()
        except KeysRefused as refused:
            raise ServerFailed(self.name, str(refused)) from None
        configuration = CONFIGURATION.substitute(
            name=self.server_name,
            port=port,
            pid_file=json.dumps(str(self.pid_file)),
            store=json.dumps(str(self.directory)),
            cluster="" if self.routes is None else _cluster(self.routes),
            accounts=accounts,
        )
        self.configuration.touch(mode=0o600)
        self.configuration.write_text(configuration)

    def argv(self, port: int) -> list[str]:
        return [str(nats_server()), "-c", str(self.configuration)]

    async def answers(self, port: int, pid: int) -> bool:
        """A client gets in, the server has the name that we gave it, and JetStream answers."""
        with suppress(OSError, asyncio.IncompleteReadError, msgspec.DecodeError):
            return await self._ask(port)
        return False

    def url(self, port: int) -> str:
        return f"nats://127.0.0.1:{port}"

    @property
    def configuration(self) -> Path:
        return self.directory / "nats.conf"

    async def _ask(self, port: int) -> bool:
        # The client protocol, in as few words as it takes: https://docs.nats.io/reference/reference-protocols/nats-protocol
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            _, _, info = (await reader.readline()).partition(b" ")
            greeting = msgspec.json.decode(info, type=_Greeting)
            if greeting.server_name != self.server_name:
                return False
            key = key_file(self.keys, ADMIN)
            signature = base64.b64encode(signed(key, greeting.nonce)).decode()
            login = json.dumps({"nkey": public_key(key), "sig": signature, "verbose": False, "pedantic": False})
            ask = "SUB _INBOX.a 1\r\nPUB $JS.API.INFO _INBOX.a 0\r\n\r\nPING\r\n"
            writer.write(f"CONNECT {login}\r\n{ask}".encode())
            while (line := await reader.readline()) and not line.startswith(b"-ERR"):
                if line.startswith(b"MSG _INBOX.a "):
                    return b'"error"' not in await reader.readline()
            return False
        finally:
            writer.close()


def _cluster(routes: Routes) -> str:
    urls = [f"nats-route://route:{routes.password}@127.0.0.1:{port}" for port in routes.others]
    return CLUSTER.substitute(port=routes.port, password=json.dumps(routes.password), routes=json.dumps(urls))


class NatsServer(Server):
    """A `Server` that knows the keys to it."""

    def __init__(self, program: Nats, log: Path) -> None:
        super().__init__(program, log)
        self._keys = program.keys

    def key(self, principal: str) -> Path:
        """The file of a principal's key."""
        return key_file(self._keys, principal)


def embedded_nats(directory: Path) -> NatsServer:
    """A server on `directory`, keys and log in there too: `async with embedded_nats(directory) as server: …`."""
    return NatsServer(Nats(directory, directory / "keys"), directory / "nats.log")
