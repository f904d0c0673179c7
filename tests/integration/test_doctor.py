"""`rig doctor`: what it finds on this machine as it is, and what it says of one that is not well."""

import json
import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import structs

from bus import Bus
from bus.client import NatsConnection
from deploy import doctor
from deploy.doctor import Finding, Report, Verdict, examine
from deploy.embedded.nats import NatsServer
from deploy.failures import ServerFailed
from deploy.home import Home, Running
from deploy.settings import Settings
from deploy.up import running_rig
from schemas import FLEET, Actor, Draft, HaltDetected, Invariant, Status, StatusRequest
from tests.conftest import Connect
from tests.support.rig import at_work_on, rig
from tests.support.servers import reaching


def about(report: Report, what: str) -> Finding:
    return next(finding for finding in report.findings if finding.what == what)


def problems(report: Report) -> dict[str, Finding]:
    return {finding.what: finding for finding in report.findings if finding.verdict is Verdict.PROBLEM}


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """An environment in which no servers are started for a look: they are given, and not there."""
    return {
        "RIG_HOME": str(tmp_path / "home"),
        "RIG_NATS_URL": "nats://rig:s3cret@127.0.0.1:1",
        "RIG_POSTGRES_URL": "postgresql://rig:s3cret@127.0.0.1:1/rig",
    }


class TestWell:
    async def test_on_a_new_machine_it_starts_the_servers_for_a_look_and_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        report = await examine({"RIG_HOME": str(tmp_path / "home"), "RIG_CODER": "command: true"})
        assert report.well, problems(report)
        assert "every acknowledged event is on disk" in about(report, "nats-server").seen
        assert about(report, "PostgreSQL").seen.endswith("started here for this look")
        assert about(report, "coder").seen == "true"
        assert os.listdir(tmp_path) == []
        assert at_work_on(tmp_path) == []

    async def test_a_running_rig_is_asked_the_whole_way_round(self, tmp_path: Path):
        async with running_rig(Home(tmp_path / "home")):
            report = await examine({"RIG_HOME": str(tmp_path / "home")})
        assert report.well, problems(report)
        assert f"process {os.getpid()}" in about(report, "rig").seen
        assert about(report, "read side").verdict is Verdict.OK
        assert about(report, "watch").seen.startswith("watch watches since ")
        assert about(report, "data directory").seen.endswith("closed to others")

    async def test_it_is_honest_about_what_passwords_are_worth_under_one_user(
        self, nowhere: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(doctor, "ANSWER_SECONDS", 0.3)
        finding = about(await examine(nowhere), "one user")
        assert finding.verdict is Verdict.NOTE
        assert "hygiene, not a boundary" in finding.seen

    async def test_it_says_whether_there_is_a_sandbox_and_whether_there_must_be(
        self, nowhere: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ):
        def seen(how: str) -> tuple[Verdict, str]:
            finding = doctor.of_sandbox(Settings.read({**nowhere, "RIG_SANDBOX": how}))
            return finding.verdict, finding.seen

        monkeypatch.setattr(doctor, "available", lambda: "/usr/bin/bwrap")
        assert seen("auto") == (Verdict.OK, "/usr/bin/bwrap keeps coders, and checks of what they wrote")
        assert seen("off")[0] is Verdict.NOTE
        monkeypatch.setattr(doctor, "available", lambda: None)
        assert [seen(how)[0] for how in ("auto", "required", "offline")] == [
            Verdict.NOTE,
            Verdict.PROBLEM,
            Verdict.PROBLEM,
        ]


class TestNotWell:
    def test_the_exit_code_says_so_and_every_problem_says_how_to_mend_it(self, tmp_path: Path):
        home = tmp_path / "home"
        home.mkdir(mode=0o755)
        done = rig(home, "doctor", "--json", RIG_SLOTS="0")
        assert done.returncode == 1
        report = json.loads(done.stdout)
        assert not report["well"]
        found = {finding["what"]: finding for finding in report["findings"] if finding["verdict"] == "problem"}
        assert set(found) == {"data directory", "settings"}
        assert all(finding["mend"] for finding in found.values())
        people = rig(home, "doctor", RIG_SLOTS="0")
        assert people.returncode == 1
        assert people.stdout.endswith("2 problems\n")
        assert "\033" not in people.stdout

    async def test_of_github_it_sees_the_settings_and_whether_webhooks_can_come_in(self, nowhere: dict[str, str]):
        with socket.create_server(("127.0.0.1", 0)) as somebody:
            port = somebody.getsockname()[1]
            account = {"RIG_GITHUB_TOKEN": "ghp_s3cret", "RIG_GITHUB_WEBHOOK_SECRET": "s3cret"}
            settings = Settings.read({**nowhere, **account, "RIG_HTTP": f"127.0.0.1:{port}"})
            github, webhooks = doctor.of_github(settings)
            assert github.seen.startswith("https://github.com with a token")
            assert webhooks.verdict is Verdict.PROBLEM
            assert f"127.0.0.1:{port} cannot be listened at" in webhooks.seen
        assert [finding.verdict for finding in doctor.of_github(settings)] == [Verdict.OK, Verdict.OK]
        assert list(doctor.of_github(Settings.read(nowhere))) == []

    async def test_servers_that_are_not_there_are_named_without_their_passwords(
        self, nowhere: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(doctor, "ANSWER_SECONDS", 0.3)
        report = await examine(nowhere)
        assert set(problems(report)) == {"nats-server", "PostgreSQL"}
        assert "nats://127.0.0.1:1" in about(report, "nats-server").seen
        assert "postgresql://127.0.0.1:1/rig" in about(report, "PostgreSQL").seen
        assert "s3cret" not in "".join(report.lines())
        assert about(report, "nats-server").mend == "start it, or mend RIG_NATS_URL"

    @pytest.mark.parametrize("path", [__file__, "/dev/null/rig"])
    async def test_a_data_directory_that_is_none_is_named(
        self, nowhere: dict[str, str], path: str, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(doctor, "ANSWER_SECONDS", 0.3)
        assert path in problems(await examine({**nowhere, "RIG_HOME": path}))["data directory"].seen

    async def test_a_new_server_is_well_and_one_with_other_streams_is_not(
        self, nowhere: dict[str, str], nats: NatsServer, root: NatsConnection, connect: Connect
    ):
        environ = {**nowhere, **reaching(nats, Actor.CLI)}
        new = about(await examine(environ), "nats-server")
        assert (new.verdict, new.mend) == (Verdict.NOTE, "`rig up` makes the streams")
        await connect(Actor.CLI)
        assert about(await examine(environ), "nats-server").verdict is Verdict.OK
        await root.api("$JS.API.STREAM.DELETE.RIG")
        await root.api("$JS.API.STREAM.CREATE.RIG", {"name": "RIG", "subjects": ["rig.>"]})
        assert "RIG.deny_purge" in problems(await examine(environ))["nats-server"].seen

    async def test_a_rig_that_nobody_watches_and_one_in_which_something_stands_still(
        self, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        async def connected(url: str, key: Path | None) -> Bus:
            return await connect(Actor.CLI)

        monkeypatch.setattr(doctor, "_connected", connected)
        running = Running("nats://127.0.0.1:1", "", os.getpid(), datetime.now(UTC))
        look = doctor._watch  # pyright: ignore[reportPrivateUsage] - one of its looks
        assert (await look(running, Home(tmp_path))).seen == "nobody watches"
        watch = await connect(Actor.WATCH)
        async with watch.leases.hold("watch", ttl_seconds=30):
            assert (await look(running, Home(tmp_path))).verdict is Verdict.OK
            evidence = ("demo/shop#1, approved at position 5: no decision follows",)
            halt = HaltDetected(
                invariant=Invariant.FACT_WITHOUT_CONSEQUENCE, evidence=evidence, since=datetime(2026, 1, 1, tzinfo=UTC)
            )
            await watch.log.publish(Draft(about=FLEET, data=halt), "halt-1")
            found = await look(running, Home(tmp_path))
        assert found.verdict is Verdict.PROBLEM
        assert found.seen == (
            "fact without consequence since 2026-01-01 00:00:00 UTC: demo/shop#1, approved at position 5"
        )

    async def test_a_read_side_that_is_not_written_or_lacks_something_says_so(
        self, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        async def connected(url: str, key: Path | None) -> Bus:
            return await connect(Actor.CLI)

        monkeypatch.setattr(doctor, "_connected", connected)
        status = Status(position=4, log_position=9, behind=5, skipped=0, issues={}, agents=0, repositories=())

        async def answer(_: StatusRequest) -> Status:
            return status

        await (await connect(Actor.CONDUCTOR, "query")).services.serve("query", "status", StatusRequest, answer)
        running = Running("nats://127.0.0.1:1", "", os.getpid(), datetime.now(UTC))
        look = doctor._read_side  # pyright: ignore[reportPrivateUsage] - one of its looks
        assert (await look(running, Home(tmp_path))).verdict is Verdict.OK
        status = structs.replace(status, left_out=2, dead_letters=3)
        found = await look(running, Home(tmp_path))
        assert (found.verdict, found.seen.splitlines()[1]) == (Verdict.NOTE, "2 events left out, 3 dead letters open")
        status = structs.replace(status, writing="PostgreSQL has no room: x")
        found = await look(running, Home(tmp_path))
        assert (found.verdict, found.seen.splitlines()[1]) == (Verdict.PROBLEM, "PostgreSQL has no room: x")

    async def test_programs_that_are_missing_are_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        def missing() -> Path:
            raise ServerFailed("nats-server", "no program")

        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr("deploy.embedded.nats.nats_server", missing)
        report = await examine({"RIG_HOME": str(tmp_path / "home")})
        assert set(problems(report)) == {"git", "nats-server"}
        assert about(report, "git").mend == "install git 2.38 or newer"

    async def test_a_git_that_is_too_old_is_named(
        self, tmp_path: Path, nowhere: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ):
        (tmp_path / "git").write_text("#!/bin/sh\necho git version 2.37.9\n")
        (tmp_path / "git").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        monkeypatch.setattr(doctor, "ANSWER_SECONDS", 0.3)
        assert "2.37.9: too old" in problems(await examine(nowhere))["git"].seen

    async def test_another_distribution_with_one_of_our_names_is_named(
        self, tmp_path: Path, nowhere: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ):
        other = tmp_path / "conductor_python-1.0.dist-info"
        other.mkdir()
        (other / "METADATA").write_text("Metadata-Version: 2.1\nName: conductor-python\nVersion: 1.0\n")
        (other / "top_level.txt").write_text("conductor\n")
        monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
        monkeypatch.setattr(doctor, "ANSWER_SECONDS", 0.3)
        assert "conductor is installed by conductor-python too" in problems(await examine(nowhere))["import names"].seen
