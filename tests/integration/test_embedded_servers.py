"""nats-server and PostgreSQL on this machine: usable, durable, closed to others, and never left behind."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import nats
import pytest
from nats.aio.client import Client

from bus import Bus, make_streams
from bus.permissions import ADMIN
from deploy.embedded import server as server_module
from deploy.embedded.binaries import nats_server
from deploy.embedded.nats import Nats, NatsServer, embedded_nats
from deploy.embedded.postgres import embedded_postgres
from deploy.embedded.server import Server
from deploy.embedded.servers import servers
from deploy.failures import ServerFailed
from deploy.home import Home
from machine import sessions
from schemas import FLEET, Actor, Draft, Policy, PolicyAdopted
from tests.support.rig import at_work_on
from tests.support.servers import as_root, nats_with_root
from tests.support.waiting import until_gone

ADOPTED = PolicyAdopted(policy=Policy(), hash=Policy().digest(), by="ada")
STARTER = """
import asyncio, sys
from pathlib import Path
from deploy.embedded.servers import servers
from deploy.home import Home

async def main():
    async with servers(Home(Path(sys.argv[1]))) as both:
        print(both.nats.pid, both.postgres.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def killed_starter(directory: Path) -> list[int]:
    """Another process started both servers on `directory` and got SIGKILL; the servers' process ids."""
    argv = [sys.executable, "-c", STARTER, str(directory)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        pids = [int(pid) for pid in starter.stdout.readline().split()]
        assert all(sessions.command_line(pid) for pid in pids)
        starter.kill()
    return pids


@contextmanager
def unowned_nats(directory: Path) -> Generator[subprocess.Popen[bytes]]:
    """A nats-server that does not die with its starter, as on a system that cannot promise that."""
    with subprocess.Popen([nats_server(), "-c", directory / "nats.conf"], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while b"Server is ready" not in process.stderr.readline():
            pass
        yield process


class Slow(Nats):
    """Is ready, and takes its time to say so."""

    async def answers(self, port: int, pid: int) -> bool:
        await asyncio.sleep(0.1)
        return await super().answers(port, pid)


@contextmanager
def bystander() -> Generator[subprocess.Popen[bytes]]:
    """A program that has nothing to do with us, of the user that PostgreSQL runs as."""
    with subprocess.Popen(["sleep", "60"], user="nobody" if os.geteuid() == 0 else None) as process:
        try:
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def client(url: str, key: Path | None = None) -> AsyncGenerator[Client]:
    seed = None if key is None else str(key)
    connection = await nats.connect(url, nkeys_seed=seed, allow_reconnect=False)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def database(url: str) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def store(url: str, text: str) -> None:
    async with client(url) as connection:
        stream = connection.jetstream()
        await stream.add_stream(name="KEPT", subjects=["kept.>"])
        await stream.publish("kept.text", text.encode())


async def stored(url: str) -> list[str]:
    async with client(url) as connection:
        stream = connection.jetstream()
        count = (await stream.stream_info("KEPT")).state.messages
        return [((await stream.get_msg("KEPT", seq=n + 1)).data or b"").decode() for n in range(count)]


class TestNats:
    async def test_what_is_stored_is_there_after_a_stop_and_after_a_crash_at_the_same_address(self, tmp_path: Path):
        async with nats_with_root(tmp_path) as server:
            address, first = server.url, server.pid
            await store(as_root(server), "before the stop")
            await server.stop()
            await server.start()
            await store(as_root(server), "before the crash")
            await server.kill()
            await server.start()
            assert server.url == address
            assert server.pid != first
            assert await stored(as_root(server)) == ["before the stop", "before the crash"]

    async def test_another_start_elsewhere_goes_on_with_the_same_store_and_keys(self, tmp_path: Path):
        async with nats_with_root(tmp_path) as server:
            seed = server.key(Actor.CLI).read_bytes()
            await store(as_root(server), "kept")
        async with nats_with_root(tmp_path) as server:
            assert server.key(Actor.CLI).read_bytes() == seed
            assert await stored(as_root(server)) == ["kept"]

    async def test_it_says_that_it_syncs_every_write(self, tmp_path: Path):
        async with embedded_nats(tmp_path) as server, client(server.url, server.key(Actor.CLI)) as connection:
            answer = await connection.request("$SYS.REQ.SERVER.PING.JSZ", b'{"config":true}')
            assert b'"sync_always":true' in answer.data

    async def test_nobody_gets_in_without_a_key(self, tmp_path: Path):
        async with embedded_nats(tmp_path) as server:
            assert server.key(Actor.CLI).stat().st_mode & 0o077 == 0
            assert server.key(Actor.CLI).parent.stat().st_mode & 0o077 == 0
            assert (tmp_path / "nats.conf").stat().st_mode & 0o077 == 0
            for login in (b"{}", b'{"user":"rig","pass":"guessed"}', b'{"nkey":"guessed","sig":"guessed"}'):
                reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
                await reader.readline()
                writer.write(b"CONNECT " + login + b"\r\nPING\r\n")
                assert b"Authorization Violation" in await reader.readline()
                writer.close()

    async def test_a_port_that_was_taken_in_the_meantime_is_given_up_for_another(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            taken = other.getsockname()[1]
            free = server_module.free_port()
            offers = iter([taken, free])
            monkeypatch.setattr(server_module, "free_port", lambda: next(offers))
            async with embedded_nats(tmp_path) as server:
                assert server.url.endswith(f":{free}")

    async def test_one_whose_answers_take_long_is_given_longer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(server_module, "ANSWER_SECONDS", 0.01)
        async with NatsServer(Slow(tmp_path, tmp_path / "keys"), tmp_path / "nats.log") as server:
            assert server.pid

    async def test_one_that_cannot_start_is_named_with_the_end_of_its_log(self, tmp_path: Path):
        (tmp_path / "jetstream").write_text("not a directory")
        with pytest.raises(ServerFailed, match=r"(?s)nats-server: it ends .* log:.*storage directory is not a dir"):
            await embedded_nats(tmp_path).start()
        assert at_work_on(tmp_path) == []

    async def test_what_an_earlier_start_left_running_is_ended_first(self, tmp_path: Path):
        async with embedded_nats(tmp_path):
            pass
        with unowned_nats(tmp_path) as leftover:
            async with embedded_nats(tmp_path) as server:
                assert leftover.wait() == 0
                assert (tmp_path / "nats.pid").read_text() == str(server.pid)


class TestPostgres:
    @pytest.fixture(scope="class")
    @staticmethod
    def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("postgres")

    @pytest.fixture
    async def server(self, directory: Path) -> AsyncGenerator[Server]:
        async with embedded_postgres(directory) as server:
            yield server

    async def test_it_has_vectors_and_unicode_and_keeps_its_promises(self, server: Server):
        async with database(server.url) as connection:
            await connection.execute("CREATE EXTENSION vector")
            assert await connection.fetchval("SELECT '[1,2]'::vector <-> '[1,4]'::vector") == 2
            assert await connection.fetchval("SELECT lower('ÄØŻ')") == "äøż"
            assert await connection.fetchval("SHOW fsync") == "on"
            assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"

    async def test_rows_survive_a_stop_and_a_crash_at_the_same_address(self, server: Server):
        address = server.url
        async with database(address) as connection:
            await connection.execute("CREATE TABLE kept AS SELECT 'before the stop' AS text")
        await server.stop()
        await server.start()
        async with database(address) as connection:
            await connection.execute("INSERT INTO kept VALUES ('before the crash')")
        await server.kill()
        await server.start()
        assert server.url == address
        async with database(address) as connection:
            rows = await connection.fetch("SELECT text FROM kept ORDER BY text")
            assert [row["text"] for row in rows] == ["before the crash", "before the stop"]

    async def test_nobody_gets_in_without_the_password(self, server: Server, directory: Path):
        assert (directory / "password").stat().st_mode & 0o077 == 0
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.url.replace(server.url.split("@")[0], "postgresql://rig:guessed"))

    async def test_a_pid_file_whose_number_is_another_program_now_is_not_in_the_way(self, directory: Path):
        pid_file = directory / "cluster" / "postmaster.pid"
        async with embedded_postgres(directory):
            content = pid_file.read_text()
        with bystander() as other:
            pid_file.write_text(
                "\n".join([str(other.pid), *content.split("\n")[1:]])
            )  # as after a crash of the machine
            async with embedded_postgres(directory) as server, database(server.url) as connection:
                assert await connection.fetchval("SELECT 1") == 1
            assert other.poll() is None

    async def test_a_cluster_that_was_only_half_made_is_made_again(self, tmp_path: Path):
        (tmp_path / "cluster.new" / "base").mkdir(parents=True)
        async with embedded_postgres(tmp_path) as server, database(server.url) as connection:
            assert await connection.fetchval("SELECT 1") == 1
        assert not (tmp_path / "cluster.new").exists()

    async def test_one_that_cannot_start_is_named_with_the_end_of_its_log(self, tmp_path: Path):
        (tmp_path / "cluster").mkdir(mode=0o700)
        with pytest.raises(ServerFailed, match=r"(?s)PostgreSQL: it ends .* log:.*postgresql\.conf"):
            await embedded_postgres(tmp_path).start()
        assert at_work_on(tmp_path) == []


class TestBoth:
    async def test_servers_that_are_given_are_not_started(self, tmp_path: Path):
        given = {"nats_url": "nats://there:4222", "postgres_url": "postgresql://there/rig"}
        async with servers(Home(tmp_path), **given) as both:
            assert (both.nats_url, both.postgres_url) == ("nats://there:4222", "postgresql://there/rig")
            assert at_work_on(tmp_path) == []

    async def test_they_are_gone_when_the_block_ends_however_it_ends(self, tmp_path: Path):
        async def rig() -> None:
            async with servers(Home(tmp_path)):
                # By name: what PostgreSQL has just forked has its command line for a moment.
                programs = {Path(line.split()[0]).name for line in at_work_on(tmp_path)}
                assert programs == {"nats-server", "postgres"}
                raise RuntimeError("the rig fails")

        with pytest.raises(RuntimeError, match="the rig fails"):
            await rig()
        assert at_work_on(tmp_path) == []

    async def test_when_one_fails_the_other_does_not_stay(self, tmp_path: Path):
        home = Home(tmp_path)
        home.create()
        (home.nats / "jetstream").write_text("not a directory")
        with pytest.raises(ServerFailed, match="nats-server"):
            async with servers(home):
                pytest.fail("started without nats")
        assert at_work_on(tmp_path) == []

    async def test_a_killed_starter_leaves_no_server_and_the_next_start_has_the_data(self, tmp_path: Path):
        home = Home(tmp_path)
        async with servers(home) as both:
            await make_streams(both.nats_url, key=both.key(ADMIN))
            bus = await Bus.connect(both.nats_url, actor=Actor.CLI, source="cli", key=both.key(Actor.CLI))
            async with bus:
                said = await bus.log.publish(Draft(about=FLEET, data=ADOPTED), "kept")
        until_gone(*killed_starter(tmp_path))
        async with servers(home) as both:
            bus = await Bus.connect(both.nats_url, actor=Actor.CLI, source="cli", key=both.key(Actor.CLI))
            async with bus:
                assert await bus.log.at(said) is not None

    async def test_a_start_on_the_heels_of_a_killed_one_works(self, tmp_path: Path):
        killed_starter(tmp_path)
        async with servers(Home(tmp_path)) as both, database(both.postgres_url) as connection:
            assert await connection.fetchval("SELECT 1") == 1

    async def test_a_ctrl_c_at_the_terminal_does_not_reach_them(self, tmp_path: Path):
        async with embedded_nats(tmp_path) as server:
            assert os.getpgid(server.pid) != os.getpgid(0)
