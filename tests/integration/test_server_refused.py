"""A server that would quietly drop a promise is refused when one connects, with its version, the reason and what to do.

Old versions are played (see tests/support/old_server.py): what they answer is in the documentation of their API. The
rest are real servers with other settings. Streams that break a promise: see test_topology.py.
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bridges.terminal import show
from bridges.terminal.fleet import fleet
from bus import Bus, Unavailable, Unsuitable
from bus.client import NatsConnection
from bus.suitable import DURABILITY_SUBJECT
from deploy.doctor import Verdict, examine
from deploy.embedded.nats import Nats, NatsServer
from deploy.home import Home
from deploy.screen import Screen
from deploy.up import running_rig
from schemas import Actor, Status, StatusRequest
from tests.support.clock import pass_time
from tests.support.old_server import server_of

INFO = "$JS.API.INFO"
DURABLE = {"data": {"config": {"sync_always": True}}}
LOSSY = {"data": {"config": {"sync_always": False, "sync_interval": 120_000_000_000}}}


def level(number: int | None) -> dict[str, Any]:
    """What $JS.API.INFO says; before 2.11 its `api` has no level."""
    api = {"total": 7, "errors": 0} | ({} if number is None else {"level": number})
    return {"type": "io.nats.jetstream.api.v1.account_info_response", "memory": 0, "storage": 0, "api": api}


async def refusal(url: str, key: Path | None = None) -> str:
    with pytest.raises(Unsuitable) as caught:
        await NatsConnection.connect(url, name="test", key=key)
    return str(caught.value)


@pytest.mark.parametrize(
    ("version", "api_level"), [("2.9.25", None), ("2.10.29", None), ("2.11.4", 1), ("2.12.1", 2), ("2.14.0-dev", 3)]
)
async def test_an_old_server_is_refused_also_where_loss_is_allowed(
    version: str, api_level: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server_of(version, {INFO: level(api_level), DURABILITY_SUBJECT: DURABLE}) as url:
        said = await refusal(url)
        assert said.startswith(f"nats-server {version.removesuffix('-dev')} is too old")
        assert f"level {api_level or 0}, and Rig needs 4" in said
        assert "atomic batches" in said
        assert "Upgrade it to 2.14 or newer" in said
        monkeypatch.setenv("RIG_ALLOW_LOSSY", "1")
        assert await refusal(url) == said


async def test_a_server_that_takes_smaller_messages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIG_ALLOW_LOSSY", "1")
    async with server_of("2.14.0", {INFO: level(4), DURABILITY_SUBJECT: DURABLE}, max_payload=65_536) as url:
        said = await refusal(url)
        assert "takes messages of 65536 bytes, and Rig writes up to 1048576" in said
        assert "Set `max_payload: 1MB` or more" in said


async def test_what_a_suitable_server_answers_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIG_ALLOW_LOSSY", "1")
    async with server_of("2.14.0", {INFO: level(4), DURABILITY_SUBJECT: DURABLE}) as url:
        connection = await NatsConnection.connect(url, name="test")
        assert connection.lossy is None, "allowed, and not so"
        await connection.close()


@pytest.mark.parametrize(
    ("jsz", "reason", "mend"),
    [
        (LOSSY, "does not sync each write to disk", "sync_interval: always"),
        ({}, "does not say whether it syncs", DURABILITY_SUBJECT),
        ({"error": {"code": 503}}, "does not say whether it syncs", DURABILITY_SUBJECT),
    ],
)
async def test_a_server_without_proof_of_durability_is_refused(jsz: object, reason: str, mend: str) -> None:
    async with server_of("2.15.1", {INFO: level(5), DURABILITY_SUBJECT: jsz}) as url:
        said = await refusal(url)
        assert said.startswith(f"nats-server 2.15.1 {reason}")
        assert mend in said
        assert "RIG_ALLOW_LOSSY=1" in said


class Electing(dict[str, object]):
    """What a cluster answers: at first that it has no leader, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__({INFO: level(5), DURABILITY_SUBJECT: DURABLE})
        self.left = times

    def __getitem__(self, subject: str) -> object:
        if self.left:
            self.left -= 1
            return {"error": {"code": 503, "err_code": 10008, "description": "JetStream temporarily unavailable"}}
        return super().__getitem__(subject)


class NeverElecting(Electing):
    """It has been an hour when it is asked for the second time."""

    def __getitem__(self, subject: str) -> object:
        if self.left < 1_000:
            pass_time(3_600)
        return super().__getitem__(subject)


async def test_a_cluster_without_a_leader_is_waited_for() -> None:
    answers = Electing(2)
    async with server_of("2.15.1", answers) as url:
        connection = await NatsConnection.connect(url, name="test")
        await connection.close()
    assert answers.left == 0, "asked again until it had one"


async def test_one_that_gets_no_leader_in_time_is_away_not_unsuitable() -> None:
    async with server_of("2.15.1", NeverElecting(1_000)) as url:
        with pytest.raises(Unavailable, match="temporarily unavailable"):
            await NatsConnection.connect(url, name="test", timeout_seconds=3_600)


# ── real servers ─────────────────────────────────────────────────────────────


class Altered(Nats):
    """A server with one line of its configuration changed."""

    line = change = ""

    async def prepare(self, port: int) -> None:
        await super().prepare(port)
        (file,) = self.directory.glob("*.conf")
        before = file.read_text()
        assert self.line in before
        file.write_text(before.replace(self.line, self.change))


class Lossy(Altered):
    """With the default sync_interval of two minutes."""

    line = "sync_interval: always"


class Silent(Altered):
    """Whose account may not ask how it syncs."""

    line, change = "PING.JSZ", "PING.VARZ"


class AccountOff(Altered):
    """With JetStream, and not for our account."""

    line, change = "jetstream: enabled", "jetstream: disabled"

    async def answers(self, port: int, pid: int) -> bool:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        return False


@pytest.mark.parametrize(
    ("program", "reason"),
    [(Lossy, "does not sync each write"), (Silent, "does not say whether it syncs"), (AccountOff, "JetStream is off")],
)
async def test_a_real_server_with_other_settings_is_refused(
    program: type[Altered], reason: str, tmp_path: Path
) -> None:
    async with NatsServer(program(tmp_path, tmp_path / "keys"), tmp_path / "nats.log") as server:
        assert reason in await refusal(server.url, server.key(Actor.CLI))


async def test_a_server_that_may_lose_events_is_accepted_on_request_and_every_status_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RIG_ALLOW_LOSSY", "1")
    loses = "does not sync each write to disk: it may lose acknowledged events"
    async with (
        NatsServer(Lossy(tmp_path / "nats", Home(tmp_path / "rig").keys), tmp_path / "nats.log") as server,
        running_rig(Home(tmp_path / "rig"), nats_url=server.url) as rig,
        await Bus.connect(server.url, actor=Actor.CLI, source="test", key=server.key(Actor.CLI)) as bus,
    ):
        assert loses in (bus.connection.lossy or "")
        for as_json in (False, True):
            Screen(as_json=as_json).ready(rig, "scripted")
            assert loses in "".join(capsys.readouterr())
        status = await bus.services.ask("query", "status", StatusRequest(), Status)
        assert loses in (status.lossy or "")
        assert any(loses in line for line in show.status(status, fleet([])))
        report = await examine({**os.environ, "RIG_NATS_URL": server.url, "RIG_HOME": str(tmp_path / "rig")})
        (said,) = [finding for finding in report.findings if finding.what == "nats-server"]
        assert said.verdict is Verdict.PROBLEM
        assert loses in said.seen
