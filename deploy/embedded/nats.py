"""nats-server on this machine: one node with JetStream, every acknowledged message on disk, one user with a password.

The configuration is written anew at each start; what lasts is the password and JetStream's store. It does not create
streams: that is bus.topology's.
"""

import asyncio
import json
import secrets
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from deploy.embedded.binaries import nats_server
from deploy.embedded.server import Server, secret

__all__ = ["Nats", "embedded_nats"]

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
}
accounts {
  RIG {
    jetstream: enabled
    users: [{ user: rig, password: $password }]
    # Lets clients ask whether the server syncs each write; the bus refuses one that does not say.
    imports: [{ service: { account: SYS, subject: "$$SYS.REQ.SERVER.PING.JSZ" } }]
  }
  SYS { exports: [{ service: "$$SYS.REQ.SERVER.PING.JSZ", accounts: [RIG] }] }
}
system_account: SYS
""")
ANSWER_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Nats:
    """The `Program` nats-server on a directory of its own."""

    directory: Path
    server_name: str = field(default_factory=lambda: f"rig-{secrets.token_hex(4)}")
    name: str = "nats-server"
    stop_signal: signal.Signals = signal.SIGTERM
    owner: int = -1

    @property
    def pid_file(self) -> Path:
        return self.directory / "nats.pid"

    async def prepare(self, port: int) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        configuration = CONFIGURATION.substitute(
            name=self.server_name,
            port=port,
            pid_file=json.dumps(str(self.pid_file)),
            store=json.dumps(str(self.directory)),
            password=json.dumps(self._password()),
        )
        self._configuration.touch(mode=0o600)
        self._configuration.write_text(configuration)

    def argv(self, port: int) -> list[str]:
        return [str(nats_server()), "-c", str(self._configuration)]

    async def answers(self, port: int, pid: int) -> bool:
        """A client gets in, the server has the name that we gave it, and JetStream answers."""
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._ask(port)
        return False

    def url(self, port: int) -> str:
        return f"nats://rig:{self._password()}@127.0.0.1:{port}"

    @property
    def _configuration(self) -> Path:
        return self.directory / "nats.conf"

    def _password(self) -> str:
        return secret(self.directory / "password")

    async def _ask(self, port: int) -> bool:
        # The client protocol, in as few words as it takes: https://docs.nats.io/reference/reference-protocols/nats-protocol
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            if f'"server_name":"{self.server_name}"'.encode() not in await reader.readline():
                return False
            login = json.dumps({"user": "rig", "pass": self._password(), "verbose": False, "pedantic": False})
            writer.write(f"CONNECT {login}\r\nSUB answer 1\r\nPUB $JS.API.INFO answer 0\r\n\r\nPING\r\n".encode())
            while (line := await reader.readline()) and not line.startswith(b"-ERR"):
                if line.startswith(b"MSG answer "):
                    return b'"error"' not in await reader.readline()
            return False
        finally:
            writer.close()


def embedded_nats(directory: Path) -> Server:
    """A server on `directory`, its log in there too: `async with embedded_nats(directory) as server: …`."""
    return Server(Nats(directory), directory / "nats.log")
