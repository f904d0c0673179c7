"""Ways to die, for tests: a role's process, and a whole PostgreSQL at once, with what it had not written yet."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg

from deploy.embedded.server import Server
from tests.support.readside import database

_NAMES = ("PATH", "HOME", "LANG", "PYTHONPATH")
_GATE = """
create table public.gate ();
create function public.pass() returns trigger language plpgsql as
    'begin lock table public.gate in row exclusive mode; return null; end';
create constraint trigger gate after update on rig.projection deferrable initially deferred
    for each row execute function public.pass();
"""
_WRITERS = """
select pid from pg_stat_activity where backend_type in ('walwriter', 'background writer', 'checkpointer')
"""
_SLEEPS = "select wait_event ~ '(Main|Hibernate)$' from pg_stat_activity where pid = $1"
_CAUGHT = """
select case when bool_or(relation = $1::regclass) then count(distinct pid) else 0 end
from pg_locks join pg_stat_activity using (pid) where not granted and application_name = 'rig projector'
"""
GATE = "public.gate"
"""Who commits a position passes it last of all: see `make_gate`."""


class RoleProcess:
    """A role, as the supervisor starts one, again and again."""

    def __init__(self, name: str, log: Path, **env: str) -> None:
        self._argv = [sys.executable, "-P", "-m", "deploy.roles", name]
        self._env = {**{name: os.environ[name] for name in _NAMES if name in os.environ}, **env}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """Returns when it is gone. It must not have ended by itself before."""
        assert self._process is not None
        assert self._process.poll() is None, f"it ended by itself: {self.said()}"
        self._process.kill()
        self._process.wait()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def said(self) -> str:
        """Its log."""
        return self._log.read_text()

    def __enter__(self) -> "RoleProcess":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


# ── PostgreSQL ───────────────────────────────────────────────────────────────


async def crash(server: Server) -> None:
    """Ends all of a PostgreSQL's processes at one moment, as when its machine dies: none of them writes a word more."""
    os.kill(server.pid, signal.SIGSTOP)  # so that it starts none anew
    for child in _children(server.pid):
        os.kill(child, signal.SIGKILL)
    await server.kill()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def stall(url: str) -> None:
    """From now on nothing reaches the disk by itself: a crash takes back what no transaction waited for.

    Who writes in the background is stopped where it sleeps: there it holds no lock that others need.
    """
    async with database(url) as db:
        for (pid,) in await db.fetch(_WRITERS):
            os.kill(pid, signal.SIGSTOP)
            while not await db.fetchval(_SLEEPS, pid):
                os.kill(pid, signal.SIGCONT)
                await asyncio.sleep(0.002)
                os.kill(pid, signal.SIGSTOP)


async def make_gate(url: str) -> None:
    """A lock that every projector takes when it is committing, and has nothing to say any more."""
    async with database(url) as db:
        await db.execute(_GATE)


async def until_there(url: str, count: int) -> None:
    """Returns when so many projectors have sessions."""
    async with database(url) as db:
        await _until(db, count, "select count(*) from pg_stat_activity where application_name = 'rig projector'")


async def _until(db: Any, count: int, sql: str, *arguments: object) -> None:
    while await db.fetchval(sql, *arguments) < count:  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.002)


class Trap:
    """Holds up who writes to one table, in the middle of a transaction, until the end of the block."""

    def __init__(self, url: str, table: str) -> None:
        self._url = url
        self._table = table
        self._connections: list[Any] = []

    async def caught(self, count: int = 1) -> None:
        """Returns when so many stand there, or wait for one who does."""
        await _until(self._connections[1], count, _CAUGHT, self._table)

    async def __aenter__(self) -> "Trap":
        self._connections = [await asyncpg.connect(self._url) for _ in range(2)]
        await self._connections[0].execute(f"begin; lock table {self._table} in share mode")
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._connections:
            connection.terminate()  # the server may be gone
