"""Who asks GitHub: an App's installation, whose tokens end. A scripted server, real sockets, played time."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bridges.github.errors import (
    ApiError,
    NotFound,
    Unauthorized,
)
from bridges.github.tokens import App, BadCredential, Token
from tests.support.labels import BUG, GONE, LABEL, LABELS, SECRET, WEB, Opening, budget, bug, made
from tests.support.pem import EC_KEY, RSA_KEY
from tests.support.scripted import Asked, Breaks, PlayedClock, Says, Scripted


def token(value: str, hours: float = 1) -> Says:
    """A token of an installation that ends by the played clock."""
    ends = datetime.fromtimestamp(PlayedClock().at, UTC) + timedelta(hours=hours)
    return Says(201, {"token": value, "expires_at": ends.isoformat().replace("+00:00", "Z")})


def installed(server: Scripted, *tokens: str, hours: float = 1) -> None:
    """The App is installed on WEB; its tokens are these, one after another."""
    server.on("GET", "/repos/acme/web/installation", Says(body={"id": 77}))
    server.on("POST", "/app/installations/77/access_tokens", *(token(each, hours) for each in tokens))


class TestAsAnApp:
    async def test_who_asks_is_the_installation_and_the_app_for_itself(self, server: Scripted, opened: Opening) -> None:
        installed(server, "ghs_1")
        server.on("GET", LABEL, BUG)
        server.on("GET", "/app", Says(body={"slug": "my-rig"}))
        github = await opened(App("42", RSA_KEY))
        await asyncio.gather(*(bug(github) for _ in range(5)))
        assert await github.self_login() == "my-rig[bot]"
        assert server.secrets(LABEL) == ["ghs_1"] * 5
        assert server.times("/app/installations/77/access_tokens") == 1
        public = load_pem_private_key(RSA_KEY.encode(), None).public_key()
        said = jwt.decode(server.secrets("/app")[0], public, algorithms=["RS256"])
        assert said["iss"] == "42"
        assert said["exp"] - said["iat"] <= 600

    async def test_a_token_is_taken_anew_before_it_ends(
        self, server: Scripted, opened: Opening, clock: PlayedClock
    ) -> None:
        installed(server, "ghs_1", "ghs_2")
        server.on("GET", LABEL, BUG)
        github = await opened(App("42", RSA_KEY))
        await bug(github)
        clock.at += 3_600 - 299
        await bug(github)
        assert server.secrets(LABEL) == ["ghs_1", "ghs_2"]

    async def test_a_token_that_ended_mid_run_is_replaced_once(self, server: Scripted, opened: Opening) -> None:
        installed(server, "ghs_1", "ghs_2")

        def knows_the_second_only(asked: Asked) -> Says:
            return BUG if asked.secret == "ghs_2" else Says(401, {"message": "Bad credentials"})

        server.on("GET", LABEL, knows_the_second_only)
        server.on("POST", LABELS, knows_the_second_only)
        github = await opened(App("42", RSA_KEY))
        assert await asyncio.gather(*(bug(github) for _ in range(3)), made(github)) == ["bug"] * 4
        assert server.times("/app/installations/77/access_tokens") == 2

    async def test_credentials_that_are_refused_are_refused(self, server: Scripted, opened: Opening) -> None:
        installed(server, "ghs_1", "ghs_2")
        server.on("GET", LABEL, Says(401, {"message": "Bad credentials"}))
        with pytest.raises(Unauthorized):
            await bug(await opened(App("42", RSA_KEY)))
        with pytest.raises(Unauthorized):
            await bug(await opened())
        assert server.secrets(LABEL) == ["ghs_1", "ghs_2", SECRET]

    async def test_where_the_app_is_not_installed(self, opened: Opening) -> None:
        with pytest.raises(NotFound, match="/repos/acme/web/installation"):
            await bug(await opened(App("42", RSA_KEY)))

    async def test_installed_anew_it_is_another_installation(self, server: Scripted, opened: Opening) -> None:
        installed(server, "ghs_1")
        server.on("GET", LABEL, BUG)
        server.on("POST", "/app/installations/77/access_tokens", GONE)
        server.on("GET", "/repos/acme/web/installation", Says(body={"id": 77}), Says(body={"id": 78}))
        server.on("POST", "/app/installations/78/access_tokens", token("ghs_78"))
        assert await bug(await opened(App("42", RSA_KEY))) == "bug"
        assert server.secrets(LABEL) == ["ghs_78"]

    async def test_a_token_for_one_repository_alone(self, server: Scripted, opened: Opening) -> None:
        installed(server, "ghs_git")
        grant = await (await opened(App("42", RSA_KEY))).grant(WEB, {"contents": "write"})
        assert grant is not None
        assert grant.token == "ghs_git"
        assert json.loads(server.asked[-1].body) == {"repositories": ["web"], "permissions": {"contents": "write"}}
        assert await (await opened()).grant(WEB, {"contents": "write"}) is None

    async def test_limits_are_counted_for_each_installation(self, server: Scripted, opened: Opening) -> None:
        installed(server, "ghs_1")
        server.on("GET", "/app", Says(body={"slug": "my-rig"}, headers=budget(0, seconds=3_000)))
        server.on("GET", LABEL, BUG)
        github = await opened(App("42", RSA_KEY))
        assert await bug(github) == "bug"
        await github.self_login()
        assert await bug(github) == "bug"

    async def test_a_key_that_is_none(self, opened: Opening) -> None:
        for credential in (App("42", "no key"), App("42", EC_KEY), Token("two\nlines"), Token("")):
            with pytest.raises(BadCredential):
                await opened(credential)


async def test_no_secret_shows(server: Scripted, opened: Opening, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    installed(server, "ghs_secret")
    server.on("GET", LABEL, Says(401, {"message": "Bad credentials"}), Says(429, {}, {"Retry-After": "1"}), Breaks())
    for credential in (Token(SECRET), App("42", RSA_KEY)):
        with pytest.raises(ApiError) as error:
            await bug(await opened(credential))
        shown = f"{error.value!r} {error.value} {vars(error.value)} {credential!r} {credential} {caplog.text}"
        assert not any(secret in shown for secret in (SECRET, "ghs_secret", RSA_KEY, "BEGIN RSA"))
    assert isinstance(error.value.__context__, httpx.HTTPError | None)
    assert error.value.__suppress_context__
