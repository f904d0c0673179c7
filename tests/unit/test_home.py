"""The data directory: where it is, that one process at a time holds it, and how others find the running rig."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.failures import HomeInUse
from deploy.home import Home, Running

HOLDER = """
import asyncio, subprocess, sys
from pathlib import Path
from deploy.home import Home
async def hold():
    async with Home(Path(sys.argv[1])).lock() as descriptor:
        if "with-a-role" in sys.argv:
            role = subprocess.Popen([sys.executable, "-c", "input()"], stdin=0, stdout=2, pass_fds=[descriptor])
        print("held", flush=True)
        sys.stdin.read()
asyncio.run(hold())
"""


def running(pid: int = 7) -> Running:
    return Running(
        nats_url="nats://rig:secret@127.0.0.1:4222",
        postgres_url="postgresql://rig:secret@127.0.0.1:5432/postgres",
        pid=pid,
        since=datetime(2026, 11, 1, 12, 0, tzinfo=UTC),
    )


def holder(path: Path, *more: str) -> subprocess.Popen[bytes]:
    """Another process that has locked `path`, until its standard input ends."""
    argv = [sys.executable, "-c", HOLDER, str(path), *more]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


async def locked(path: Path) -> None:
    """Takes the directory, and lets go of it."""
    async with Home(path).lock():
        pass


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestWhere:
    def test_rig_home_comes_first(self) -> None:
        assert Home.find({"RIG_HOME": "/srv/rig", "XDG_DATA_HOME": "/data"}) == Home(Path("/srv/rig"))

    def test_then_the_xdg_data_directory(self) -> None:
        assert Home.find({"XDG_DATA_HOME": "/data"}) == Home(Path("/data/rig"))

    @pytest.mark.parametrize("data", [{}, {"XDG_DATA_HOME": ""}, {"XDG_DATA_HOME": "relative/is/ignored"}])
    def test_then_the_default(self, data: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/home/ada")
        assert Home.find(data) == Home(Path("/home/ada/.local/share/rig"))

    def test_it_is_closed_to_other_users(self, tmp_path: Path) -> None:
        home = Home(tmp_path / "deep" / "rig")
        home.create()
        assert {mode(home.path), mode(home.nats), mode(home.postgres), mode(home.logs)} == {0o700}
        assert home.agents.is_dir()
        assert home.forge.is_dir()


class TestLock:
    async def test_a_second_holder_is_told_who_the_first_is(self, tmp_path: Path) -> None:
        with holder(tmp_path) as first:
            with pytest.raises(HomeInUse) as refused:
                async with Home(tmp_path).lock():
                    pass
            assert refused.value.pid == first.pid
            assert "deploy.home" in refused.value.command  # its command line
            assert f"{tmp_path} is in use by process {first.pid} (" in str(refused.value)
            first.kill()

    async def test_it_is_free_again_when_the_holder_is_killed(self, tmp_path: Path) -> None:
        with holder(tmp_path) as first:
            first.kill()
        async with Home(tmp_path).lock():
            assert Home(tmp_path).held()
        assert not Home(tmp_path).held()

    async def test_a_start_waits_for_the_roles_of_a_holder_that_was_killed(self, tmp_path: Path) -> None:
        with holder(tmp_path, "with-a-role") as first:
            first.send_signal(signal.SIGKILL)
            first.wait()
            assert Home(tmp_path).held()  # by the role alone, which ends with its standard input
            assert first.stdin is not None
            locking = asyncio.create_task(locked(tmp_path))
            await asyncio.sleep(0)
            assert not locking.done()  # and the event loop, which is to hear a Ctrl-C, is free meanwhile
            first.stdin.close()
            await locking

    @pytest.mark.parametrize("damage", ["", "rubbish", "\udcff 1"])
    async def test_a_lock_that_does_not_say_whose_it_is_is_waited_for_and_then_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
    ) -> None:
        monkeypatch.setattr("deploy.home.PATIENCE_SECONDS", 0.1)
        with holder(tmp_path) as first:
            (tmp_path / "lock").write_bytes(os.fsencode(damage))
            with pytest.raises(HomeInUse, match="is in use by process"):
                await locked(tmp_path)
            first.kill()


class TestRunning:
    async def test_others_find_the_running_rig(self, tmp_path: Path) -> None:
        home = Home(tmp_path)
        async with home.lock():
            home.announce(running())
            assert home.running() == running()
            assert mode(tmp_path / "rig.json") == 0o600
            home.withdraw()
            assert home.running() is None

    async def test_what_a_killed_rig_left_is_not_believed(self, tmp_path: Path) -> None:
        home = Home(tmp_path)
        async with home.lock():
            home.announce(running())
        assert (tmp_path / "rig.json").exists()
        assert home.running() is None

    def test_a_directory_that_never_was_has_no_rig(self, tmp_path: Path) -> None:
        assert Home(tmp_path / "nowhere").running() is None

    @pytest.mark.parametrize("path", [__file__, "/dev/null/rig"])
    def test_nor_has_what_is_no_directory(self, path: str) -> None:
        assert Home(Path(path)).running() is None
        assert not Home(Path(path)).held()

    async def test_nor_one_whose_announcement_cannot_be_read(self, tmp_path: Path) -> None:
        async with Home(tmp_path).lock():
            (tmp_path / "rig.json").write_text("{")
            assert Home(tmp_path).running() is None
