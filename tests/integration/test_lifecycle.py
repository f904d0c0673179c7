"""Being a long-running process, seen from outside: signals, the supervisor's pipe, exit codes, readiness, health."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import aiohttp
import pytest

from machine import health, sessions
from machine.lifecycle import Lifecycle, Misconfigured

ROLE = """
import asyncio, logging, os, signal, subprocess, sys, time
from machine import lifecycle

logging.basicConfig(level=logging.INFO)
PATIENCE

def say(*words):
    print(*words, flush=True)

async def main(life):
    say("up")
    MAIN

sys.exit(lifecycle.run(main, health_address=os.environ.get("RIG_HEALTH")))
"""
OBEDIENT = "await life.stop.wait(); say('down')"
PATIENT = "lifecycle.GRACE_SECONDS = lifecycle.CANCEL_SECONDS = 60"
CANCELS = "lifecycle.GRACE_SECONDS, lifecycle.CANCEL_SECONDS = 0.1, 60"
KILLS = "lifecycle.GRACE_SECONDS = lifecycle.CANCEL_SECONDS = lifecycle.KILL_SECONDS = 0.1"
"""For who ends in no time; who has all the time that he needs on a slow machine is waited for."""


@contextmanager
def role(main: str, patience: str = PATIENT, **env: str) -> Generator[subprocess.Popen[str]]:
    """A role whose main function does `main`, a few statements, after it has said "up"."""
    process = subprocess.Popen(
        [sys.executable, "-c", ROLE.replace("MAIN", main).replace("PATIENCE", patience)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **env},
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def logged(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.read()


def get(where: str, path: str) -> tuple[int, object]:
    with closing(HTTPConnection(where)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.load(answer)


def end_input(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None


class TestStopping:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_a_signal_asks_it_to_stop(self, number: signal.Signals):
        with role(OBEDIENT) as process:
            assert said(process) == "up"
            process.send_signal(number)
            assert said(process) == "down"
            assert process.wait() == 0

    def test_under_nohup_the_end_of_the_terminal_does_not(self):
        hung_up = """
    signal.raise_signal(signal.SIGHUP)
    for _ in range(10):
        await asyncio.sleep(0)
    say(life.stop.is_set())
    """
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does, for the role to inherit
        try:
            with role(hung_up) as process:
                assert (said(process), said(process)) == ("up", "False")
        finally:
            signal.signal(signal.SIGHUP, before)
        with role(hung_up) as process:
            assert (said(process), said(process)) == ("up", "True")

    def test_under_a_supervisor_the_end_of_its_input_does_too(self):
        with role(OBEDIENT, RIG_SUPERVISED="1") as process:
            assert said(process) == "up"
            end_input(process)
            assert said(process) == "down"
            assert process.wait() == 0

    def test_without_one_its_input_is_its_own_business(self):
        with role("say('read', repr(sys.stdin.read())); " + OBEDIENT) as process:
            assert said(process) == "up"
            end_input(process)
            assert said(process) == "read ''"
            process.terminate()
            assert said(process) == "down"

    def test_one_that_does_not_stop_in_time_is_cancelled(self):
        with role("await asyncio.Event().wait()", CANCELS) as process:
            assert said(process) == "up"
            process.terminate()
            assert process.wait() == 1
            assert "did not stop within 0.1 s; cancelled" in logged(process)

    def test_one_that_defies_that_too_is_killed(self):
        stubborn = """
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            say("no")
        """
        with role(stubborn, KILLS) as process:
            assert said(process) == "up"
            process.terminate()
            assert process.wait() == 1
            assert "does not end when cancelled either; killed" in logged(process)

    def test_with_its_supervisor_dead_not_even_a_stuck_event_loop_lives_on_nor_what_it_started(self):
        stuck = "say(subprocess.Popen(['sleep', '60'], process_group=0).pid); time.sleep(60)"
        with role(stuck, KILLS, RIG_SUPERVISED="1") as process:
            assert said(process) == "up"
            child = int(said(process))
            assert sessions.members(process.pid) == [process.pid, child]
            end_input(process)
            assert process.wait() == 1
            while sessions.command_line(child):  # killed; gone as soon as the kernel has torn it down
                pass


class TestExitCode:
    def test_0_when_the_work_is_done(self):
        with role("return") as process:
            assert process.wait() == 0

    def test_1_when_it_failed_with_the_traceback_logged(self):
        with role("raise ValueError('broken')") as process:
            assert process.wait() == 1
            assert re.search(
                r"ERROR:machine.lifecycle:failed\nTraceback .*\nValueError: broken", logged(process), re.DOTALL
            )

    def test_1_when_it_failed_while_it_was_cancelled(self):
        bad_end = "\n    try: await asyncio.Event().wait()\n    finally: raise ValueError('broken')"
        with role(bad_end, CANCELS) as process:
            assert said(process) == "up"
            process.terminate()
            assert process.wait() == 1
            assert "ValueError: broken" in logged(process)

    def test_2_when_no_restart_would_help_with_the_reason_alone(self):
        with role("raise lifecycle.Misconfigured('RIG_NATS_URL is not set')") as process:
            assert process.wait() == 2
            assert logged(process) == "ERROR:machine.lifecycle:RIG_NATS_URL is not set\n"


class TestReady:
    @pytest.mark.parametrize(
        "abstract", [False, pytest.param(True, marks=pytest.mark.skipif("sys.platform != 'linux'"))]
    )
    def test_it_is_said_once_to_whoever_asked_for_it(self, tmp_path: Path, abstract: bool):
        name = f"rig-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.bind(f"\0{name}" if abstract else name)
            with role("life.ready(); life.ready()", NOTIFY_SOCKET=f"@{name}" if abstract else name) as process:
                assert process.wait() == 0
            channel.setblocking(False)
            assert channel.recv(100) == b"READY=1"
            with pytest.raises(BlockingIOError):
                channel.recv(100)

    def test_programs_that_it_starts_cannot_speak_for_it(self):
        leak = "say([name for name in os.environ if name in ('NOTIFY_SOCKET', 'RIG_SUPERVISED')])"
        with role(leak, NOTIFY_SOCKET="/nowhere", RIG_SUPERVISED="1") as process:
            assert (said(process), said(process)) == ("up", "[]")


class TestHealth:
    async def test_readiness_follows_the_facts(self):
        life = Lifecycle()
        life.running = True
        async with health.serve(life, "127.0.0.1:0") as where, aiohttp.ClientSession() as session:

            async def readyz() -> tuple[int, object]:
                async with session.get(f"{where}/readyz") as answer:
                    return answer.status, await answer.json()

            assert await readyz() == (503, {"ready": False, "checks": {}})
            life.check("nats", ok=True)
            life.ready()
            assert await readyz() == (200, {"ready": True, "checks": {"nats": {"ok": True, "detail": ""}}})
            life.check("postgres", ok=False, detail="connection refused")
            assert await readyz() == (
                503,
                {
                    "ready": False,
                    "checks": {
                        "nats": {"ok": True, "detail": ""},
                        "postgres": {"ok": False, "detail": "connection refused"},
                    },
                },
            )
            life.check("postgres", ok=True)
            assert (await readyz())[0] == 200
            life.stop.set()
            assert (await readyz())[0] == 503

    async def test_liveness_is_that_of_the_main_function(self):
        life = Lifecycle()
        life.running = True
        async with health.serve(life, "127.0.0.1:0") as where, aiohttp.ClientSession() as session:
            life.stop.set()
            async with session.get(f"{where}/livez") as answer:
                assert answer.status == 200  # stopping, and alive
            life.running = False
            async with session.get(f"{where}/livez") as answer:
                assert answer.status == 503

    def test_a_role_serves_it_where_it_says(self):
        with role("life.check('nats', False, 'gone'); " + OBEDIENT, RIG_HEALTH="127.0.0.1:0") as process:
            assert said(process) == "up"
            assert process.stderr is not None
            line = process.stderr.readline()
            where = re.search(r"http://(127.0.0.1:\d+)/livez", line)
            assert where, line
            assert get(where[1], "/livez") == (200, {"live": True})
            lost = {"nats": {"ok": False, "detail": "gone"}}
            assert get(where[1], "/readyz") == (503, {"ready": False, "checks": lost})
            process.terminate()
            assert process.wait() == 0

    @pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid"])
    def test_a_role_that_cannot_listen_there_says_why(self, host: str):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"{host}:{taken.getsockname()[1]}"
            with role(OBEDIENT, RIG_HEALTH=address) as process:
                assert process.wait() == 2
                log = logged(process)
        assert f"health address '{address}': cannot listen there: " in log
        assert "Traceback" not in log

    def test_a_role_that_can_never_serve_it_says_so(self):
        with role(OBEDIENT, RIG_HEALTH="8080") as process:
            assert process.wait() == 2
            assert "health address '8080': write host:port" in logged(process)

    @pytest.mark.parametrize("address", ["", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536"])
    async def test_an_address_that_is_none_is_refused(self, address: str):
        with pytest.raises(Misconfigured, match="write host:port"):
            async with health.serve(Lifecycle(), address):
                pass


def test_what_a_role_has_imported_is_not_looked_at_for_garbage_again_and_again():
    with role("import gc; say(gc.get_freeze_count() > 10_000, gc.get_threshold()[0])") as process:
        assert [said(process), said(process)] == ["up", "True 10000"]
