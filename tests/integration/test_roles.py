"""One role as a process: told everything by the environment, and truthful about its connection."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bus import Bus, Unavailable, make_streams
from bus.client import NatsConnection
from bus.permissions import ADMIN
from deploy import roles, up
from deploy.embedded.binaries import nats_server
from deploy.embedded.nats import NatsServer
from deploy.home import Home
from deploy.keys import key_file, make_keys
from deploy.roles import Role
from schemas import Actor, Policy
from tests.conftest import Connect
from tests.support.servers import reaching

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("RIG_")}


@contextmanager
def role(name: str, **env: str) -> Generator[subprocess.Popen[str]]:
    """A role, its log on a pipe."""
    argv = [sys.executable, "-P", "-m", "deploy.roles", name]
    process = subprocess.Popen(argv, env={**CLEAN, **env}, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


def ended(name: str, **env: str) -> tuple[int, str]:
    """The exit code of a role that ends by itself, and its log."""
    with role(name, **env) as process:
        assert process.stderr is not None
        log = process.stderr.read()
        return process.wait(), log


def line_with(process: subprocess.Popen[str], text: str) -> str:
    """Reads the log up to a line; the test's time limit is the bound."""
    assert process.stderr is not None
    return next(line for line in process.stderr if text in line)


def answer(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def ready(url: str) -> None:
    """Returns when the role says so; the test's time limit is the bound."""
    while answer(url)[0] != 200:
        time.sleep(0.02)


class TestConfiguration:
    def test_everything_that_is_missing_or_wrong_is_said_at_once(self):
        code, log = ended("dev-e", RIG_SLOTS="none")
        assert code == 2
        assert [line.split(": ")[1].split()[0] for line in log.splitlines()] == [
            "RIG_SLOTS",
            "RIG_NATS_URL",
            "RIG_CODER",
        ]
        assert ended("projector")[1].count("is not set") == 2

    @pytest.mark.parametrize("arguments", [[], ["developer"], ["local", "query"]])
    def test_an_unknown_role_is_answered_with_those_there_are(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ):
        assert roles.main(arguments) == 2
        assert "conductor|projector|query|local|github|watch|dev-e" in capsys.readouterr().err

    @pytest.mark.parametrize("name", ["local", "dev-e"])
    def test_without_a_git_that_will_do_it_says_so_and_is_not_ready(self, name: str, tmp_path: Path):
        (tmp_path / "git").write_text("#!/bin/sh\necho git version 2.37.9\n")
        (tmp_path / "git").chmod(0o755)
        env = {"RIG_NATS_URL": "nats://127.0.0.1:1", "RIG_CODER": "command:/bin/sh", "PATH": str(tmp_path)}
        code, log = ended(name, **env)
        assert code == 2
        assert log.endswith("git version 2.37.9: too old; install git 2.38 or newer\n")

    async def test_two_replicas_of_one_name_do_not_both_run(self, nats: NatsServer, connect: Connect, tmp_path: Path):
        bus = await connect(Actor.CLI)
        await up.adopt(bus, Policy())
        env = {**reaching(nats, "dev-e"), "RIG_HOME": str(tmp_path), "RIG_CODER": "command:true"}
        with role("dev-e", **env) as first:
            async with bus.log.follow(["rig.agent.dev-e-1.>"]) as reader:
                await reader.next()
            code, log = await asyncio.to_thread(ended, "dev-e", **env)
            assert code == 2
            assert "give each replica a name of its own" in log
            first.terminate()
            assert await asyncio.to_thread(first.wait) == 0


class TestConnection:
    def test_a_server_that_is_not_there_is_waited_for_and_then_named_in_one_line(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ):
        monkeypatch.setattr(roles, "CONNECT_SECONDS", 0.3)
        assert roles.run(Role.CONDUCTOR, {"RIG_NATS_URL": "nats://rig:s3cret@127.0.0.1:1"}) == 1
        said = capsys.readouterr().err
        assert "ERROR deploy.roles: no NATS server" in said
        assert "nats://127.0.0.1:1" in said
        assert "Traceback" not in said
        assert "s3cret" not in said

    async def test_a_log_that_is_not_there_yet_is_a_failure_that_a_later_start_may_not_find(self, nats: NatsServer):
        code, log = await asyncio.to_thread(ended, "conductor", **reaching(nats, "conductor"))
        assert code == 1
        assert "`rig up` creates it" in log
        assert "Traceback" not in log

    def test_asked_to_stop_while_it_waits_for_the_server_it_stops(self):
        with role("conductor", RIG_NATS_URL="nats://127.0.0.1:1") as process:
            line_with(process, "Connect call failed")
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 0

    async def test_readiness_follows_the_connection(self, nats: NatsServer, connect: Connect):
        await up.adopt(await connect(Actor.CLI), Policy())
        with role("conductor", **reaching(nats, "conductor"), RIG_HEALTH="127.0.0.1:0") as process:
            line = await asyncio.to_thread(line_with, process, "health at")
            url = re.findall(r"http://\S+/readyz", line)[0]
            await asyncio.to_thread(ready, url)
            await nats.kill()
            await asyncio.to_thread(line_with, process, "nats: lost: ")
            code, body = await asyncio.to_thread(answer, url)
            assert (code, '"nats": {"ok": false' in body) == (503, True)
            await nats.start()
            await asyncio.to_thread(line_with, process, "nats: back")
            assert (await asyncio.to_thread(answer, url))[0] == 200
            process.terminate()
            assert await asyncio.to_thread(process.wait) == 0

    async def test_a_log_that_is_not_the_one_that_was_read_ends_it_for_good(
        self, nats: NatsServer, root: NatsConnection, connect: Connect
    ):
        await up.adopt(await connect(Actor.CLI), Policy())
        with role("conductor", **reaching(nats, "conductor"), RIG_HEALTH="127.0.0.1:0") as process:
            line = await asyncio.to_thread(line_with, process, "health at")
            await asyncio.to_thread(ready, re.findall(r"http://\S+/readyz", line)[0])
            await root.api("$JS.API.STREAM.DELETE.RIG")
            await up.adopt(await connect(Actor.CLI), Policy(heartbeat_seconds=7))
            assert "`rig up` says more" in await asyncio.to_thread(line_with, process, "RIG was recreated")
            assert await asyncio.to_thread(process.wait) == 2


class TestRig:
    async def test_a_server_that_was_given_and_is_not_there_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(up, "CONNECT_SECONDS", 0.3)
        given = {"nats_url": "nats://rig:s3cret@127.0.0.1:1", "postgres_url": "postgresql://127.0.0.1:1/rig"}
        with pytest.raises(Unavailable, match=r"no NATS server .*nats://127\.0\.0\.1:1"):
            async with up.running_rig(Home(tmp_path), **given):
                pass
        assert not Home(tmp_path).held()


async def test_the_configuration_for_docker_makes_a_server_that_will_do(tmp_path: Path):
    """deploy/nats/nats.conf, with the server from the wheel instead of the image's, elsewhere on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    keys = tmp_path / "keys"
    make_keys(keys)
    text = (Path(roles.__file__).parent / "nats" / "nats.conf").read_text()
    assert ("0.0.0.0:4222" in text, '"/data"' in text) == (True, True)
    configuration = keys / "nats.conf"
    configuration.write_text(text.replace("0.0.0.0:4222", f"127.0.0.1:{port}").replace("/data", str(tmp_path)))
    argv = [str(nats_server()), "--config", str(configuration)]
    server = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.DEVNULL)
    try:
        url = f"nats://127.0.0.1:{port}"
        await make_streams(url, key=key_file(keys, ADMIN))
        async with await Bus.connect(url, actor=Actor.CLI, source="test", key=key_file(keys, Actor.CLI)) as bus:
            await up.adopt(bus, Policy())
            assert await bus.log.last() is not None
    finally:
        server.terminate()
        await server.wait()
