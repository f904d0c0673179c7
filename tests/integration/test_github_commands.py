"""`rig github init`, `check` and `audit`, against a GitHub that is played."""

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bridges.github import needed, translate
from bridges.terminal.github import audit_lines
from bus import Bus
from deploy.app import app
from deploy.embedded.nats import NatsServer
from schemas import Actor, RepoRef
from schemas.queries import Audited, AuditRequest, DeliveryLog, RepositoryAudit
from tests.conftest import Connect
from tests.support.pem import RSA_KEY
from tests.support.scripted import Says, Scripted, scripted
from tests.support.servers import reaching
from tests.support.terminal import Said

WEB = RepoRef("acme", "web")
HOOK = "https://rig.example/webhooks/github"


@pytest.fixture
async def github() -> AsyncIterator[Scripted]:
    async with scripted() as server:
        yield server


@pytest.fixture
def env(tmp_path: Path, github: Scripted) -> dict[str, str]:
    return {"RIG_HOME": str(tmp_path / "home"), "RIG_GITHUB_API": github.url}


async def rig(env: dict[str, str], *arguments: str) -> Said:
    def invoke() -> Said:
        result = CliRunner().invoke(app, arguments, env={**env, "NO_COLOR": "1"}, catch_exceptions=False)
        return Said(result.exit_code, result.stdout, result.stderr)

    return await asyncio.to_thread(invoke)


def test_what_is_asked_of_github_is_what_is_read_here() -> None:
    assert {*needed.EVENTS, *needed.UNASKED} == set(translate.EVENTS)
    assert set(needed.PERMISSIONS.values()) <= set(needed.LEVELS)


class TestInit:
    async def test_a_page_hands_the_manifest_to_github(self, env: dict[str, str], tmp_path: Path) -> None:
        said = await rig(env, "github", "init", "--webhook", "https://rig.example/", "--organization", "acme")
        assert (said.code, said.err) == (0, "")
        page = tmp_path / "home" / "github" / "make-app.html"
        assert page.as_uri() in said.out
        text = page.read_text()
        assert f'action="{env["RIG_GITHUB_API"]}/organizations/acme/settings/apps/new"' in text
        (value,) = re.findall(r'name="manifest" value="([^"]*)"', text)
        asked = json.loads(html.unescape(value))
        assert asked == json.loads((page.parent / "manifest.json").read_bytes())
        assert asked["hook_attributes"] == {"url": HOOK, "active": True}
        assert asked["default_permissions"]["pull_requests"] == "write"
        assert asked["default_events"] == list(needed.EVENTS)
        assert asked["public"] is False

    async def test_a_code_is_exchanged_for_files_that_are_its_owners_alone(
        self, env: dict[str, str], github: Scripted, tmp_path: Path
    ) -> None:
        answer = {"id": 42, "slug": "rig-x", "pem": RSA_KEY, "webhook_secret": "s3cret", "client_secret": "another"}
        github.on("POST", "/app-manifests/abc123/conversions", Says(201, answer))
        address = "http://localhost:8080/made?code=abc123&state=1"
        said = await rig(env, "github", "init", "--code", address)
        assert (said.code, said.err) == (0, "")
        assert "the App rig-x (42) is made" in said.out
        place = tmp_path / "home" / "github"
        assert {path.name: path.stat().st_mode & 0o777 for path in place.iterdir()} == {
            "app-key.pem": 0o600,
            "webhook-secret": 0o600,
            "github.env": 0o600,
        }
        assert (place / "webhook-secret").read_text() == "s3cret"
        assert (place / "github.env").read_text().splitlines() == [
            "RIG_GITHUB_APP_ID=42",
            f"RIG_GITHUB_APP_KEY_FILE={place}/app-key.pem",
            f"RIG_GITHUB_WEBHOOK_SECRET_FILE={place}/webhook-secret",
            f"RIG_GITHUB_API={github.url}",
        ]
        assert not any(secret in said.out for secret in ("s3cret", "PRIVATE", "another"))
        again = await rig(env, "github", "init", "--code", address)
        assert again.code == 1
        assert "is there already, of another App" in again.err
        assert github.times("/app-manifests/abc123/conversions") == 1, "it holds once"

    @pytest.mark.parametrize(
        ("typed", "code", "said"),
        [
            ((), 2, "say with --webhook where"),
            (("--webhook", "rig.example"), 2, "is not a URL like"),
            (("--webhook", HOOK, "--name", "x" * 35), 2, "--name: 1 to 34"),
            (("--code", "http://localhost/made?error=1"), 2, "there is no code in it"),
            (("--code", "old"), 1, "GitHub does not know this code"),
        ],
    )
    async def test_what_is_wrong_is_said(
        self, env: dict[str, str], typed: tuple[str, ...], code: int, said: str
    ) -> None:
        answer = await rig(env, "github", "init", *typed)
        assert answer.code == code
        assert said in answer.err


class TestCheck:
    @pytest.fixture
    def app(self, github: Scripted, env: dict[str, str]) -> dict[str, Any]:
        """All is well; a test changes what is not."""
        env |= {"RIG_GITHUB_APP_ID": "42", "RIG_GITHUB_APP_KEY": RSA_KEY, "RIG_GITHUB_WEBHOOK_SECRET": "s3cret"}
        known = {"slug": "rig-x", "permissions": dict(needed.PERMISSIONS), "events": list(needed.EVENTS)}
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        delivered = {"guid": "a", "delivered_at": at, "event": "issues", "status_code": 202}
        answers = {
            "/app": known,
            "/app/hook/config": {"url": HOOK, "content_type": "json"},
            "/app/hook/deliveries?per_page=100": [delivered | {"id": 2}, delivered | {"id": 1, "status_code": 0}],
            f"/repos/{WEB}": {"full_name": "acme/web", "default_branch": "main"},
            f"/repos/{WEB}/installation": {"id": 7, "permissions": dict(needed.PERMISSIONS)},
            f"/repos/{WEB}/git/ref/heads/main": {"object": {"sha": "b" * 40}},
            f"/repos/{WEB}/branches/main": {
                "protection": {"required_status_checks": {"contexts": ["ci"], "checks": []}}
            },
            f"/repos/{WEB}/rules/branches/main?per_page=100": [],
            f"/repos/{WEB}/labels?per_page=100": [{"name": "agent-ready"}],
            "/rate_limit": {"resources": {"core": {"limit": 5000, "remaining": 4999, "reset": 1_900_000_000}}},
        }
        for path, body in answers.items():
            github.on("GET", path, Says(body=body))
        grant = {"token": "ghs_x", "expires_at": "2040-01-01T00:00:00Z"}
        github.on("POST", "/app/installations/7/access_tokens", Says(201, grant))
        return answers

    @pytest.mark.usefixtures("app")
    async def test_when_all_is_well_it_ends_with_0(self, env: dict[str, str]) -> None:
        said = await rig(env, "github", "check", str(WEB))
        assert (said.code, said.err) == (0, "")
        assert said.out.endswith("all is well\n")
        assert "knows the App as rig-x" in said.out
        assert "1 of the last 2 were taken" in said.out
        assert "required on main: ci" in said.out
        assert (await rig(env, "github", "check")).out.count("no rig is running here") == 1

    @pytest.mark.parametrize(
        ("path", "change", "said"),
        [
            ("/app", {"permissions": {"contents": "read"}}, "contents: write (branches, merges"),
            ("/app", {"events": ["push"]}, "not delivered: check_run"),
            ("/app/hook/config", {"url": "https://elsewhere.example"}, "it leads to https://elsewhere.example"),
            ("/app/hook/config", {"content_type": "form"}, "its content type is form"),
            (f"/repos/{WEB}", {"archived": True}, "it is archived"),
            (f"/repos/{WEB}", {"full_name": "acme/site"}, "rig repo add acme/site --github"),
            (f"/repos/{WEB}/installation", {"suspended_at": "2026-01-01T00:00:00Z"}, "suspended since"),
            (f"/repos/{WEB}/installation", {"permissions": {}}, "its owner accepts what is new"),
        ],
    )
    async def test_what_is_wrong_is_a_problem_with_what_to_do(
        self,
        env: dict[str, str],
        github: Scripted,
        app: dict[str, Any],
        *,
        path: str,
        change: dict[str, Any],
        said: str,
    ) -> None:
        github.on("GET", path, Says(body=app[path] | change))
        found = await rig(env, "github", "check", str(WEB))
        assert found.code == 1
        assert said in found.out
        report = json.loads((await rig(env, "github", "check", str(WEB), "--json")).out)
        problems = [finding for finding in report["findings"] if finding["verdict"] == "problem"]
        assert problems
        assert all(problem["mend"] for problem in problems)

    @pytest.mark.usefixtures("app")
    async def test_deliveries_that_do_not_arrive_are_a_problem(
        self, env: dict[str, str], github: Scripted, app: dict[str, Any]
    ) -> None:
        path = "/app/hook/deliveries?per_page=100"
        github.on("GET", path, Says(body=[app[path][0] | {"status_code": 502}]))
        found = await rig(env, "github", "check", str(WEB))
        assert found.code == 1
        assert "0 of the last 1 were taken; the last one (issues) was answered with 502" in found.out

    @pytest.mark.usefixtures("app")
    async def test_credentials_that_github_does_not_know_end_it(self, env: dict[str, str], github: Scripted) -> None:
        github.on("GET", "/app", Says(401, {"message": "A JSON web token could not be decoded"}))
        found = await rig(env, "github", "check", str(WEB))
        assert found.code == 1
        assert found.out.splitlines()[-1] == "1 problem"
        assert "mend RIG_GITHUB_APP_ID and RIG_GITHUB_APP_KEY" in found.out

    async def test_with_a_token_each_repositorys_webhook_is_looked_at(
        self, env: dict[str, str], github: Scripted, app: dict[str, Any]
    ) -> None:
        for name in ("RIG_GITHUB_APP_ID", "RIG_GITHUB_APP_KEY"):
            del env[name]
        env["RIG_GITHUB_TOKEN"] = "ghp_x"
        github.on("GET", "/user", Says(body={"login": "ada"}))
        hook = {"id": 1, "active": True, "events": ["*"], "config": {"url": HOOK, "content_type": "json"}}
        github.on("GET", f"/repos/{WEB}/hooks?per_page=100", Says(body=[hook]), Says(body=[]))
        listed = app["/app/hook/deliveries?per_page=100"]
        github.on("GET", f"/repos/{WEB}/hooks/1/deliveries?per_page=100", Says(body=listed))
        found = await rig(env, "github", "check", str(WEB))
        assert (found.code, found.err) == (0, "")
        assert "knows the token as ada's" in found.out
        found = await rig(env, "github", "check", str(WEB))
        assert found.code == 1
        assert "none leads to …/webhooks/github" in found.out

    async def test_without_an_account_everything_that_is_missing_is_said(self, env: dict[str, str]) -> None:
        found = await rig(env, "github", "check")
        assert (found.code, found.out) == (2, "")
        assert "RIG_GITHUB_APP_ID" in found.err
        assert "RIG_GITHUB_WEBHOOK_SECRET" in found.err


class TestAudit:
    NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def test_it_is_told_in_one_line_and_one_for_each_repository(self) -> None:
        web = RepositoryAudit(repository=WEB, log=DeliveryLog.APP, delivered=8)
        seconds = timedelta(seconds=40)
        audited = Audited(audited_at=self.NOW - seconds, log=DeliveryLog.APP, delivered=9, repositories=(web,))
        lines = list(audit_lines(audited, self.NOW))
        assert lines == ["9 delivered, 0 missing, audited 40 s ago", "  acme/web  8 delivered, 0 missing"]
        found = Audited(audited_at=self.NOW - 200 * seconds, delivered=9, missing=4, reinjected=3, trouble="Away: 502")
        lines = list(audit_lines(found, self.NOW))
        assert lines[0] == "9 delivered, 4 missing (3 put back), audited 2 h ago"
        assert lines[1] == "it did not come to its end: Away: 502"

    async def test_the_running_bridge_is_asked(self, nats: NatsServer, connect: Connect, env: dict[str, str]) -> None:
        bus: Bus = await connect(Actor.GITHUB)
        asked: list[AuditRequest] = []

        async def answer(request: AuditRequest) -> Audited:
            asked.append(request)
            lost = 0 if request.now else 1
            return Audited(audited_at=datetime.now(UTC), log=DeliveryLog.APP, delivered=3, missing=lost)

        env |= reaching(nats, Actor.CLI)
        said = await rig(env, "github", "audit")
        assert said.code == 1
        assert "`rig run github`" in said.err
        await bus.services.serve("github", "audit", AuditRequest, answer)
        said = await rig(env, "github", "audit")
        assert said.code == 1
        assert said.out.startswith("3 delivered, 1 missing (0 put back), audited ")
        said = await rig(env, "github", "audit", "--now", "--json")
        assert said.json()["missing"] == 0
        assert asked == [AuditRequest(), AuditRequest(now=True)]
