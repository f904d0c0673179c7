"""PostgreSQL on this machine: a cluster in a directory of its own, one superuser with a password, pgvector at hand.

It listens on 127.0.0.1 alone and not on a Unix socket, whose path may be no longer than a hundred characters or so. It
creates no tables and no extensions: migrations are the conductor's.
"""

import asyncio
import os
import pwd
import shutil
import signal
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.binaries import postgres_programs
from deploy.embedded.server import ENVIRONMENT, Server, bound, secret
from deploy.failures import ServerFailed
from machine.process import Limits, run

__all__ = ["Postgres", "embedded_postgres"]

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "on",
    # One machine, few clients: nothing for replication, no workers that would wait for ever, little memory.
    "shared_buffers": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "io_method": "sync",
}
INITDB_LIMITS = Limits(wall_seconds=120, output_bytes=1024 * 1024)
PROTOCOL_3 = 3 << 16


@dataclass(frozen=True, slots=True)
class Postgres:
    """The `Program` postgres on a directory of its own."""

    directory: Path
    name: str = "PostgreSQL"
    stop_signal: signal.Signals = signal.SIGINT  # "fast": ends sessions, writes a checkpoint

    @property
    def pid_file(self) -> Path:
        return self._cluster / "postmaster.pid"

    @property
    def owner(self) -> int:
        """PostgreSQL refuses to be root. The cluster is then nobody's, in a directory that is root's alone."""
        if os.geteuid() != 0:
            return -1
        there = self._cluster.stat().st_uid if self._cluster.exists() else 0
        return there or pwd.getpwnam("nobody").pw_uid

    async def prepare(self, port: int) -> None:
        if self._cluster.exists():
            return
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made beside its place and moved there whole: a start that was killed half-way leaves no half a cluster.
        draft = self.directory / "cluster.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if self.owner >= 0:
            os.chown(draft, self.owner, -1)
        self._password()
        outcome = await run(
            bound(self._initdb(draft), signal.SIGKILL, self.owner),
            cwd=self.directory,
            env=ENVIRONMENT,
            limits=INITDB_LIMITS,
        )
        if not outcome.ok:
            raise ServerFailed(self.name, f"initdb ended with {outcome.exit_code}", outcome.excerpt(4096))
        draft.rename(self._cluster)
        _sync(self.directory)  # else a power cut could bring back the name that the next start throws away

    def argv(self, port: int) -> list[str]:
        settings = [f"--{key}={value}" for key, value in SETTINGS.items()]
        return [str(postgres_programs() / "postgres"), "-D", str(self._cluster), f"--port={port}", *settings]

    async def answers(self, port: int, pid: int) -> bool:
        """It says in its pid file that it is ready (as pg_ctl reads it), and asks a client for a password."""
        with suppress(FileNotFoundError):
            status = self.pid_file.read_text().split("\n")
            if status[0] == str(pid) and status[7:] and status[7].strip() == "ready":
                with suppress(OSError, asyncio.IncompleteReadError):
                    return await _asks_for_password(port)
        return False

    def url(self, port: int) -> str:
        return f"postgresql://rig:{self._password()}@127.0.0.1:{port}/postgres"

    @property
    def _cluster(self) -> Path:
        return self.directory / "cluster"

    def _password(self) -> str:
        return secret(self.directory / "password")

    def _initdb(self, cluster: Path) -> list[str]:
        return [
            str(postgres_programs() / "initdb"),
            f"--pgdata={cluster}",
            "--username=rig",
            "--auth=scram-sha-256",
            f"--pwfile={self.directory / 'password'}",
            "--encoding=UTF8",
            "--locale=C",
            # Unicode's own rules for letters and their case, the same on every machine; order by code point.
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
        ]


def embedded_postgres(directory: Path) -> Server:
    """A server on `directory`, its log in there too: `async with embedded_postgres(directory) as server: …`."""
    return Server(Postgres(directory), directory / "postgres.log")


async def _asks_for_password(port: int) -> bool:
    # https://www.postgresql.org/docs/18/protocol-message-formats.html: StartupMessage, answered by AuthenticationSASL
    parameters = b"user\0rig\0database\0postgres\0\0"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(struct.pack("!ii", len(parameters) + 8, PROTOCOL_3) + parameters)
        return await reader.readexactly(1) == b"R"
    finally:
        writer.close()


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
