"""The supervisor with real processes: readiness, restarts, and that nothing stays behind, whoever dies how."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy import logs
from deploy import supervisor as supervisor_module
from deploy.embedded import server
from deploy.failures import RoleFailed
from deploy.supervisor import Crashed, Failed, Ready, Report, Restarting, RoleSpec, Started, Stopped, Supervisor
from machine import lifecycle, sessions
from tests.support.waiting import until, until_gone

PRELUDE = """
import asyncio, os, signal, subprocess, sys, time
from pathlib import Path
from machine import lifecycle

def coder():
    '''As an agent starts its coder: a process group of its own in the role's session.'''
    return subprocess.Popen(["sleep", "60"], process_group=0).pid

async def ready_until_stopped(life):
    life.ready()
    await life.stop.wait()
"""
WELL = "sys.exit(lifecycle.run(ready_until_stopped, health_address=None))"
READY_SECONDS = 20.0

OWNER = """
import asyncio, sys
from pathlib import Path
from deploy.supervisor import RoleSpec, Supervisor

async def main():
    role = RoleSpec("role", [sys.executable, "-c", sys.argv[2]], {})
    async with Supervisor([role], Path(sys.argv[1])) as supervisor:
        await supervisor.wait_ready(20)
        print(supervisor.pid("role"), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def role(body: str, name: str = "role") -> RoleSpec:
    """A role of Python statements."""
    return RoleSpec(name, [sys.executable, "-c", PRELUDE + textwrap.dedent(body)], {"MARK": "given"})


class Listener:
    """What the supervisor reports, and waiting for it."""

    def __init__(self) -> None:
        self.heard: list[Report] = []
        self._news = asyncio.Event()

    def __call__(self, report: Report) -> None:
        self.heard.append(report)
        self._news.set()

    async def until(self, meets: Callable[[Report], bool]) -> None:
        """Wait for a report from now on that meets the condition."""
        seen = len(self.heard)
        while not any(meets(report) for report in self.heard[seen:]):
            self._news.clear()
            await self._news.wait()

    @property
    def kinds(self) -> list[type]:
        return [type(report) for report in self.heard]


@pytest.fixture
def listener() -> Listener:
    return Listener()


class TestStart:
    async def test_roles_are_ready_when_they_say_so(self, tmp_path: Path, listener: Listener):
        roles = [role(WELL, "conductor"), role(WELL, "dev-e-1")]
        async with Supervisor(roles, tmp_path, report=listener) as supervisor:
            await supervisor.wait_ready(READY_SECONDS)
            assert {report.role for report in listener.heard if isinstance(report, Ready)} == {"conductor", "dev-e-1"}
            assert supervisor.pid("conductor") != supervisor.pid("dev-e-1")
        assert supervisor.pid("conductor") is None
        assert listener.kinds[-2:] == [Stopped, Stopped]

    async def test_one_that_only_runs_is_not_ready(self, tmp_path: Path, listener: Listener):
        async with Supervisor(
            [role("print('here', flush=True); time.sleep(60)")], tmp_path, report=listener
        ) as supervisor:
            await listener.until(lambda report: isinstance(report, Started))
            with pytest.raises(RoleFailed, match="role: not ready after"):
                await supervisor.wait_ready(0.1)
            assert Ready not in listener.kinds

    async def test_what_it_prints_is_in_its_log_and_its_environment_is_what_was_given(self, tmp_path: Path):
        body = "print(os.environ['MARK'], 'PATH' in os.environ, flush=True); print('error', file=sys.stderr)"
        async with Supervisor([role(f"{body}; {WELL}")], tmp_path) as supervisor:
            await supervisor.wait_ready(READY_SECONDS)
        assert (tmp_path / "role.log").read_text() == "given False\nerror\n"

    async def test_a_log_that_has_grown_large_is_put_aside_at_a_start(self, tmp_path: Path):
        (tmp_path / "role.log").write_bytes(b"x" * (8 * 1024 * 1024 + 1))
        async with Supervisor([role(f"print('new', flush=True); {WELL}")], tmp_path) as supervisor:
            await supervisor.wait_ready(READY_SECONDS)
        assert (tmp_path / "role.log").read_text() == "new\n"
        assert (tmp_path / "role.log.1").stat().st_size > 8 * 1024 * 1024

    async def test_a_log_that_grows_large_while_its_program_runs_is_put_aside_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(logs, "LIMIT_BYTES", 100)
        monkeypatch.setattr(logs, "LOOK_SECONDS", 0.01)
        again = "signal.signal(signal.SIGUSR1, lambda *_: print('new', flush=True))"
        body = f"print('x' * 200, flush=True); {again}; {WELL}"
        async with Supervisor([role(body)], tmp_path) as supervisor:
            await supervisor.wait_ready(READY_SECONDS)
            bounding = asyncio.create_task(logs.keep_bounded(tmp_path))
            await until(lambda: (tmp_path / "role.log").stat().st_size == 0)
            assert (tmp_path / "role.log.1").read_text() == "x" * 200 + "\n"
            pid = supervisor.pid("role")
            assert pid is not None
            os.kill(pid, signal.SIGUSR1)
            await until(lambda: (tmp_path / "role.log").read_text() == "new\n")
            assert logs.tail(tmp_path / "role.log", since=150) == "new"
            bounding.cancel()

    async def test_a_descriptor_that_is_to_stay_open_is_open_in_the_role(self, tmp_path: Path):
        with (tmp_path / "lock").open("w") as lock:
            body = f"os.write({lock.fileno()}, b'mine'); {WELL}"
            async with Supervisor([role(body)], tmp_path, keep_open=[lock.fileno()]) as supervisor:
                await supervisor.wait_ready(READY_SECONDS)
        assert (tmp_path / "lock").read_text() == "mine"


class TestCrash:
    async def test_a_killed_role_is_started_again_and_ready_again(self, tmp_path: Path, listener: Listener):
        async with Supervisor([role(WELL)], tmp_path, report=listener) as supervisor:
            await supervisor.wait_ready(READY_SECONDS)
            first = supervisor.pid("role")
            assert first is not None
            os.kill(first, signal.SIGKILL)
            await listener.until(lambda report: isinstance(report, Crashed))
            await supervisor.wait_ready(READY_SECONDS)
            assert supervisor.pid("role") not in (None, first)
        assert listener.kinds == [Started, Ready, Crashed, Restarting, Started, Ready, Stopped]
        assert listener.heard[2:4] == [Crashed("role", -signal.SIGKILL), Restarting("role", 0.2)]

    async def test_what_it_had_started_does_not_work_on_beside_its_replacement(
        self, tmp_path: Path, listener: Listener
    ):
        body = f"print(coder(), flush=True); {WELL}"
        orphans: list[bool] = []

        def report(heard: Report) -> None:
            if isinstance(heard, Started) and len(listener.heard) > 1:
                orphans.append(sessions.command_line(coder) is not None)
            listener(heard)

        async with Supervisor([role(body)], tmp_path, report=report) as supervisor:
            await supervisor.wait_ready(READY_SECONDS)
            coder = int((tmp_path / "role.log").read_text())
            pid = supervisor.pid("role")
            assert pid is not None
            assert sessions.members(pid) == [pid, coder]
            os.kill(pid, signal.SIGKILL)
            await listener.until(lambda heard: isinstance(heard, Ready))
        assert orphans == [False]

    async def test_ending_unasked_is_a_crash_even_with_code_0(self, tmp_path: Path, listener: Listener):
        async with Supervisor([role("pass")], tmp_path, report=listener):
            await listener.until(lambda report: isinstance(report, Restarting) and report.in_seconds > 0.2)
        assert Crashed("role", 0) in listener.heard
        pauses = [report.in_seconds for report in listener.heard if isinstance(report, Restarting)]
        assert pauses[:2] == [0.2, 0.4]

    async def test_one_that_says_that_it_is_misconfigured_stays_down_and_is_loud(
        self, tmp_path: Path, listener: Listener
    ):
        body = "print('RIG_NATS_URL is not set', flush=True); sys.exit(2)"
        roles = [role(WELL, "well"), role(body, "ill")]
        async with Supervisor(roles, tmp_path, report=listener) as supervisor:
            with pytest.raises(RoleFailed, match=r"(?s)ill: cannot run .*\(exit code 2\).* log:.*RIG_NATS_URL is not"):
                await supervisor.wait_ready(READY_SECONDS)
            with pytest.raises(RoleFailed):
                await supervisor.wait()
        assert [report.role for report in listener.heard if isinstance(report, Failed)] == ["ill"]
        assert not any(isinstance(report, Restarting) for report in listener.heard)

    async def test_one_that_cannot_even_be_started_fails_by_name(self, tmp_path: Path):
        async with Supervisor([RoleSpec("ghost", ["/nowhere/rig"], {})], tmp_path) as supervisor:
            with pytest.raises(RoleFailed, match=r"ghost: cannot be started: .*/nowhere/rig"):
                await supervisor.wait_ready(READY_SECONDS)


class TestStop:
    async def test_a_role_is_asked_and_may_finish_what_it_does(self, tmp_path: Path):
        async with Supervisor(
            [role(f"{WELL.replace('sys.exit', 'code = ')}; print('put down')")], tmp_path
        ) as supervisor:
            await supervisor.wait_ready(READY_SECONDS)
            waiting = asyncio.create_task(supervisor.wait())
        await waiting  # returns: nothing has failed
        assert (tmp_path / "role.log").read_text() == "put down\n"

    async def test_one_that_ignores_it_is_killed_after_a_while_with_all_that_it_started(
        self, tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(supervisor_module, "STOP_SECONDS", 0.2)
        deaf = """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(coder(), flush=True)
        lifecycle.Lifecycle(os.environ["NOTIFY_SOCKET"]).ready()
        time.sleep(60)
        """
        async with Supervisor([role(deaf)], tmp_path, report=listener) as supervisor:
            await supervisor.wait_ready(READY_SECONDS)
            pid = supervisor.pid("role")
            assert pid is not None
        assert sessions.members(pid) == []
        assert sessions.command_line(int((tmp_path / "role.log").read_text())) is None
        assert listener.kinds[-1] is Stopped

    def test_a_role_that_is_stuck_and_then_a_server_that_is_are_ended_within_ten_seconds(self):
        assert lifecycle.GRACE_SECONDS + lifecycle.CANCEL_SECONDS < supervisor_module.STOP_SECONDS
        assert supervisor_module.STOP_SECONDS + server.STOP_SECONDS <= 8

    async def test_one_that_waits_for_its_next_start_is_not_started_any_more(self, tmp_path: Path, listener: Listener):
        async with Supervisor([role("sys.exit(1)")], tmp_path, report=listener):
            await listener.until(lambda report: isinstance(report, Restarting))
        assert listener.kinds == [Started, Crashed, Restarting, Stopped]

    async def test_it_leaves_no_file_but_the_logs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        async with Supervisor([role(WELL)], tmp_path / "logs") as supervisor:
            await supervisor.wait_ready(READY_SECONDS)
        assert os.listdir(tmp_path) == ["logs"]

    def test_a_killed_supervisor_leaves_no_role_nor_what_it_had_started(self, tmp_path: Path):
        argv = [sys.executable, "-c", OWNER, str(tmp_path), f"{PRELUDE}print(coder(), flush=True); {WELL}"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as owner:
            assert owner.stdout is not None
            pid = int(owner.stdout.readline())
            owner.kill()
        until_gone(pid)
        until_gone(int((tmp_path / "role.log").read_text()))
