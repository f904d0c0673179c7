"""`rig up` as a user runs it: ready, stopped, started again, in use, and with a server that dies."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from machine import sessions
from tests.support.rig import at_work_on, rig, up
from tests.support.shop import new_repository


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def log_of(home: Path) -> list[dict[str, Any]]:
    """The events of a running rig, as `rig tail` shows them."""
    done = rig(home, "tail", "--since", "1", "--no-follow", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["event"] for line in done.stdout.splitlines()]


class TestUp:
    def test_ready_stopped_and_started_again_it_goes_on_with_the_same_log_and_state(self, home: Path):
        path = new_repository(home.parent / "shop", {"total.txt": "1\n"})
        policy = home.parent / "policy.toml"
        policy.write_text("attempts_max = 7\n")
        with up(home, "--policy", str(policy)) as first:
            ready = first.until("ready")
            assert ready["nats_url"].startswith("nats://127.0.0.1:")
            assert (ready["data"], ready["logs"], ready["agents"]) == (str(home), str(home / "logs"), [])
            assert rig(home, "repo", "add", str(path), "--check", "true").returncode == 0
            assert rig(home, "issue", "add", "shop", "--title", "Count").stdout.startswith("local/shop#1")
            before = log_of(home)
            assert first.stop() == 0
        assert [said["state"] for said in first.said][-1] == "stopped"
        assert len(first.processes()) == 5  # conductor, local, projector, query, watch
        assert not any(sessions.command_line(pid) for pid in first.processes())
        assert at_work_on(home) == []

        with up(home, "--policy", str(policy)) as second:
            second.until("ready")
            after = log_of(home)
            assert after[: len(before)] == before
            adopted = [event["data"]["policy"] for event in after if event["type"] == "rig.fleet.policy_adopted.v1"]
            assert [policy["attempts_max"] for policy in adopted] == [7], "where it differs, and only then"
            issue = json.loads(rig(home, "issue", "local/shop#1", "--json").stdout)
            assert (issue["state"], issue["title"]) == ("queued", "Count")
            assert second.stop(signal.SIGINT) == 0

    def test_for_people_it_says_in_one_line_that_it_is_ready_and_where_things_are(self, home: Path):
        with up(home, json=False) as running:
            assert running.process.stdout is not None
            line = running.process.stdout.readline()
            running.process.terminate()
            rest, errors = running.process.communicate()
        assert line.startswith("ready after ")
        assert " · nats nats://127.0.0.1:" in line
        assert " · postgres postgresql://127.0.0.1:" in line
        assert f" · data {home} · logs {home / 'logs'} · agents none" in line
        assert (home / "postgres" / "password").read_text() not in line
        assert rest == ""
        assert "nobody writes code, since no coder was given" in errors
        assert errors.endswith("stopped\n")

    def test_stopped_while_it_starts_it_leaves_nothing(self, home: Path):
        with up(home) as running:
            running.until("started", "conductor")
            assert running.stop() == 0
        assert not any(sessions.command_line(pid) for pid in running.processes())
        assert at_work_on(home) == []

    @pytest.mark.full
    def test_killed_it_leaves_nothing_and_the_next_start_goes_on(self, home: Path):
        with up(home) as running:
            running.until("ready")
            running.stop(signal.SIGKILL)
        with up(home) as again:
            again.until("ready")
            assert not any(sessions.command_line(pid) for pid in running.processes())

    @pytest.mark.full
    def test_with_a_role_and_both_servers_stuck_it_still_stops_in_time(self, home: Path):
        with up(home) as running:
            running.until("ready")
            conductor = next(said["pid"] for said in running.said if said.get("role") == "conductor")
            servers = [home / "nats" / "nats.pid", home / "postgres" / "cluster" / "postmaster.pid"]
            for pid in (conductor, *(int(file.read_text().split()[0]) for file in servers)):
                os.kill(pid, signal.SIGSTOP)
            assert running.stop() == 0
        assert at_work_on(home) == []
        assert not any(sessions.command_line(pid) for pid in running.processes())

    @pytest.mark.full
    def test_whoever_reads_what_it_says_may_leave(self, home: Path):
        path = new_repository(home.parent / "shop", {"total.txt": "1\n"})
        with up(home) as running:
            running.until("ready")
            running.hang_up()
            local = next(said["pid"] for said in running.said if said.get("role") == "local")
            os.kill(local, signal.SIGKILL)
            added = rig(home, "repo", "add", str(path), "--check", "true")
            assert added.returncode == 0, added.stderr  # by the forge, which is there again
            running.process.terminate()
            assert running.process.wait() == 0

    def test_it_outlives_a_second_one_and_a_server_that_dies_and_ends_with_its_terminal(self, home: Path):
        with up(home) as running:
            running.until("ready")
            roles = running.processes()
            second = rig(home, "up")
            assert second.returncode == 1
            assert second.stderr.startswith(f"rig: {home} is in use by process {running.process.pid} (")
            os.kill(int((home / "nats" / "nats.pid").read_text()), signal.SIGKILL)
            assert running.until("crashed", "nats-server")["code"] == -signal.SIGKILL
            running.until("ready", "nats-server")
            assert rig(home, "status").returncode == 0
            assert running.stop(signal.SIGHUP) == 0
        assert running.processes() == roles
        assert running.said[-1]["state"] == "stopped"
        assert not (home / "rig.json").exists()


class TestWhatItIsGiven:
    def test_what_is_wrong_is_said_at_once_and_nothing_is_started(self, home: Path):
        policy = home.parent / "policy.toml"
        policy.write_text("attempts_max = 0\npatience = 1\n")
        refused = rig(home, "up", "--policy", str(policy))
        assert refused.returncode == 2
        assert "attempts_max: " in refused.stderr
        assert "patience: " in refused.stderr
        refused = rig(home, "up", "--coder", "nobody", "--slots", "0", RIG_NATS_URL="nowhere")
        assert refused.returncode == 2
        assert all(name in refused.stderr for name in ("--coder: ", "--slots: ", "RIG_NATS_URL: "))
        assert not home.exists()

    def test_a_role_that_cannot_run_with_it_ends_the_rig_loudly(self, home: Path):
        database = "postgresql://127.0.0.1:1/rig?sslmode=sometimes"
        failed = rig(home, "up", RIG_POSTGRES_URL=database)
        assert failed.returncode == 1
        assert "cannot run with what it was given (exit code 2)" in failed.stderr
        assert "Traceback" not in failed.stderr
        assert at_work_on(home) == []
