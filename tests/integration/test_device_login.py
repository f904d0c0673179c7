"""Logging a coder in by its device flow: a program plays it, well and badly; and Codex itself, at accounts of ours."""

import asyncio
import json
import threading
from base64 import urlsafe_b64encode
from collections.abc import AsyncGenerator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from agents.coders import device, program
from agents.coders.codex import CodexDriver, CodexOptions
from agents.coders.device import Flow, Invitation, LoginFailed, log_in
from agents.coders.driver import LoginMissing
from agents.dev_e import fitness
from machine import marks
from schemas import Invalid, LoginRequired, Recorded
from tests.support import clis
from tests.support.agents import Rig, new_rig
from tests.support.clock import HOURS, hours_pass
from tests.support.waiting import until, until_gone

URL = "https://auth.openai.com/codex/device"
TOKEN = ({"alg": "none"}, {"email": "ann@example.com", "exp": 4_000_000_000})
SAYS = f'echo {URL}; echo ABCD-EFGHI; echo $$ >> "$CODEX_HOME/flows"'
WAITS = 'while [ ! -e "$CODEX_HOME/person" ]; do sleep 0.02; done; touch "$CODEX_HOME/auth.json"'


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where an operator's login is to be."""
    for name in ("CODEX_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CODEX_HOME", str(place := tmp_path / "operator" / "codex"))
    monkeypatch.setattr(fitness, "UNFIT_SECONDS", 0.05)
    return place


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncGenerator[Rig]:
    async with new_rig(tmp_path) as rig:
        await rig.adopt()
        yield rig


def codex(place: Path, login: str) -> Path:
    """A program that is asked as Codex is; `login` is its device flow."""
    path = place / "codex"
    path.write_text(
        '#!/bin/sh\ncase "$*" in\n--version) echo codex-cli 0.169.0;;\n'
        f'"login status") test -e "$CODEX_HOME/auth.json";;\n"login --device-auth") {login};;\nesac\n'
    )
    path.chmod(0o755)
    return path


def flow_of(place: Path, login: str) -> Flow:
    flow = CodexDriver(CodexOptions(program=str(codex(place, login)))).device_flow()
    assert flow is not None
    return flow


async def required(rig: Rig, name: str) -> list[LoginRequired]:
    said = await rig.bus.log.history([f"rig.agent.{name}.dev-e.login_required"])
    return [item.event.data for item in said if isinstance(item.event.data, LoginRequired)]


async def joined_again(rig: Rig, name: str) -> None:
    """Returns when it has said a second time that it takes work."""
    times = 0
    async with rig.bus.log.follow([f"rig.agent.{name}.dev-e.joined"]) as reader:
        async for item in reader:
            times += isinstance(item, Recorded)
            if times == 2:
                return


async def test_who_is_told_where_logs_it_in_and_work_is_taken_again(rig: Rig, operator: Path) -> None:
    rig.start(f"codex: program={codex(rig.tmp_path, f'{SAYS}; {WAITS}')}")
    _, asked = await rig.until(LoginRequired)
    assert asked == LoginRequired(provider="codex", url=URL, code="ABCD-EFGHI")
    assert not rig.life.is_ready
    home = rig.tmp_path / "agents" / "dev-e-1" / ".coders" / "codex"
    assert marks.bearers(program.MARK, f"{home}:"), "were the replica killed now, the next one would end it"
    (operator / "person").touch()
    await joined_again(rig, "dev-e-1")
    assert await required(rig, "dev-e-1") == [asked], "people are told once"
    until_gone(int((operator / "flows").read_text()))


async def test_of_two_replicas_one_asks(rig: Rig, operator: Path) -> None:
    line = f"codex: program={codex(rig.tmp_path, f'{SAYS}; {WAITS}')}"
    names = ("dev-e-1", "dev-e-2")
    first = rig.start(line, name=names[0])
    await rig.until(LoginRequired, lambda event: event.url != "")
    rig.start(line, name=names[1])
    await rig.until(LoginRequired, lambda event: event.url == "")
    (operator / "person").touch()
    for name in names:
        await joined_again(rig, name)
    assert len((operator / "flows").read_text().splitlines()) == 1
    assert [len(await required(rig, name)) for name in names] == [1, 1]
    first.cancel()
    await asyncio.wait((first,))


async def test_a_login_by_other_means_takes_the_invitation_back(rig: Rig, operator: Path) -> None:
    rig.start(f"codex: program={codex(rig.tmp_path, f'{SAYS}; {WAITS}')}")
    await rig.until(LoginRequired)
    (operator / "auth.json").touch()
    await joined_again(rig, "dev-e-1")
    until_gone(int((operator / "flows").read_text()))


async def test_one_that_says_nothing_of_use_is_no_invitation(rig: Rig, operator: Path) -> None:
    rubbish = "printf 'https://example.org/x\\nABCD-EFGH\\n\\377\\0\\n'; exit 1"
    rig.start(f"codex: program={codex(rig.tmp_path, rubbish)}")
    _, asked = await rig.until(LoginRequired)
    assert asked == LoginRequired(provider="codex")


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(
    ("login", "why"),
    [
        ("echo no; exit 3", "codex ended with exit code 3: no"),
        ("kill -9 $$", "codex ended with exit code -9"),
        ("cat /dev/zero", "codex printed too much"),
    ],
)
async def test_one_that_fails_says_why(login: str, why: str, tmp_path: Path) -> None:
    invited: list[Invitation] = []
    with pytest.raises(LoginFailed, match=why):
        await log_in(flow_of(tmp_path, login), tmp_path, invited.append)
    assert invited == []


@pytest.mark.parametrize("first", ["", f"echo {URL}; echo ABCD-EFGHI; "])
async def test_one_that_hangs_is_ended(
    first: str, operator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "INVITATION_SECONDS", HOURS)
    monkeypatch.setattr(device, "FLOW_SECONDS", 2 * HOURS)
    invited: list[Invitation] = []
    hangs = f'{first}setsid sleep 3600 & touch "$CODEX_HOME/hangs"; sleep 3600'
    running = asyncio.ensure_future(log_in(flow_of(tmp_path, hangs), tmp_path, invited.append))
    await until((operator / "hangs").exists)
    await until(lambda: len(invited) == bool(first))
    hours_pass()
    hours_pass()
    with pytest.raises(LoginFailed, match="nobody has logged in" if first else "named no address and code"):
        await running
    assert marks.bearers(program.MARK, f"{tmp_path}:") == []


async def test_a_replica_that_is_stopped_takes_its_invitation_along(rig: Rig, operator: Path) -> None:
    rig.start(f"codex: program={codex(rig.tmp_path, f'{SAYS}; {WAITS}')}")
    await rig.until(LoginRequired)
    await rig.stop()
    until_gone(int((operator / "flows").read_text()))


class Accounts(BaseHTTPRequestHandler):
    """The part of OpenAI's accounts that Codex asks: its person has logged in when he is asked for."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        header, claims = (urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in TOKEN)
        token = f"{header}.{claims}.c2ln"
        answer = {
            "/api/accounts/deviceauth/usercode": {"device_auth_id": "d", "user_code": "ABCD-EFGHI", "interval": "1"},
            "/api/accounts/deviceauth/token": {
                "authorization_code": "a",
                "code_challenge": "c",
                "code_verifier": "v",
            },
            "/oauth/token": {"id_token": token, "access_token": token, "refresh_token": "r"},
        }.get(self.path)
        body = json.dumps(answer).encode()
        self.send_response(404 if answer is None else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its parent calls it
        pass


@pytest.mark.peer
async def test_codex_is_logged_in_like_that(operator: Path, tmp_path: Path) -> None:
    invited: list[Invitation] = []
    with HTTPServer(("127.0.0.1", 0), Accounts) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        issuer = f"http://127.0.0.1:{server.server_port}"
        driver = CodexDriver(CodexOptions(program=str(clis.codex()), issuer=issuer))
        with pytest.raises(LoginMissing):
            await driver.check()
        flow = driver.device_flow()
        assert flow is not None
        await log_in(flow, tmp_path, invited.append)
        server.shutdown()
    assert invited == [Invitation(f"{issuer}/codex/device", "ABCD-EFGHI")]
    assert (await driver.check()).login


@pytest.mark.parametrize("issuer", ["http://example.org", "https://", "https://a@b", "https://a/b"])
def test_accounts_are_asked_over_https(issuer: str) -> None:
    with pytest.raises(Invalid, match="write https://HOST"):
        CodexDriver(CodexOptions(issuer=issuer))


async def test_with_a_key_there_is_nothing_to_log_in(
    operator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEX_API_KEY", "sk-nobody")
    assert CodexDriver(CodexOptions(program=str(codex(tmp_path, SAYS)))).device_flow() is None
