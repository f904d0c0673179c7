"""GitHub's REST API as it really is: limits, outages, tokens that end. A scripted server, real sockets, played time."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Struct

from bridges.github.api import GitHub, Priority
from bridges.github.errors import (
    ApiError,
    Away,
    Conflict,
    Forbidden,
    NotFound,
    RateLimited,
    Shed,
    Unauthorized,
    Unexpected,
    Unprocessable,
)
from bridges.github.pace import Pace
from bridges.github.payloads import Label
from bridges.github.tokens import App, BadCredential, Credential, Token
from bridges.github.urls import BadAddress
from schemas import RepoRef
from tests.support.clock import HOURS, hours_pass
from tests.support.pem import EC_KEY, RSA_KEY
from tests.support.scripted import Asked, Breaks, Drips, Hangs, PlayedClock, Says, Scripted, scripted

WEB = RepoRef("acme", "web")
LABEL, LABELS = "/repos/acme/web/labels/bug", "/repos/acme/web/labels"
ONE, GONE = "/repos/{owner}/{repo}/labels/{name}", Says(404, {"message": "Not Found"})
BUG = Says(body={"name": "bug"})
PATIENT = Pace(silence_seconds=HOURS, answer_seconds=HOURS, connect_seconds=HOURS, seed=7)
SECRET = "ghp_verysecret"
PLAIN = Token(SECRET)

Opening = Callable[..., Awaitable[GitHub]]


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    async with scripted() as github:
        yield github


@pytest.fixture
def clock() -> PlayedClock:
    return PlayedClock()


@pytest.fixture
async def opened(server: Scripted, clock: PlayedClock) -> AsyncIterator[Opening]:
    async with AsyncExitStack() as stack:

        async def opening(credential: Credential = PLAIN, pace: Pace = PATIENT) -> GitHub:
            return await stack.enter_async_context(GitHub.opened(server.url, credential, pace=pace, clock=clock))

        yield opening


async def bug(github: GitHub, priority: Priority = Priority.NORMAL) -> str:
    return (await github.get(ONE, Label, repository=WEB, name="bug", priority=priority)).name


async def made(github: GitHub) -> str:
    body = {"name": "bug"}
    return (await github.post("/repos/{owner}/{repo}/labels", body, Label, repository=WEB)).name


def budget(remaining: int, *, seconds: int = 60, limit: int = 5_000) -> dict[str, str]:
    """What an answer says of the primary limit, by the server's clock."""
    reset = str(int(time.time()) + seconds)
    return {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(remaining), "X-RateLimit-Reset": reset}


class TestLimits:
    async def test_a_used_up_limit_is_waited_for_until_it_resets(
        self, server: Scripted, opened: Opening, clock: PlayedClock
    ) -> None:
        server.on("GET", LABEL, Says(403, {"message": "API rate limit exceeded"}, budget(0)), BUG)
        assert await bug(await opened()) == "bug"
        assert 55 < sum(clock.slept) < 65
        assert server.times(LABEL) == 2

    async def test_nothing_is_asked_while_the_limit_is_used_up(self, server: Scripted, opened: Opening) -> None:
        server.on("GET", LABEL, Says(body={"name": "bug"}, headers=budget(0, seconds=3_000)))
        github = await opened()
        await bug(github)
        with pytest.raises(RateLimited) as limited:  # longer than one call may take: whoever asks waits
            await bug(github, Priority.HIGH)
        assert not isinstance(limited.value, Shed)
        assert server.times(LABEL) == 1

    async def test_what_matters_less_is_left_out_first(
        self, server: Scripted, opened: Opening, clock: PlayedClock
    ) -> None:
        server.on("GET", LABEL, Says(body={"name": "bug"}, headers=budget(1_000, seconds=600)))
        github = await opened()
        await bug(github)
        with pytest.raises(Shed) as shed:
            await bug(github, Priority.LOW)
        assert shed.value.until - datetime.fromtimestamp(clock.at, UTC) < timedelta(seconds=610)
        server.on("GET", LABEL, Says(body={"name": "bug"}, headers=budget(100, seconds=600)))
        await bug(github)
        with pytest.raises(Shed):
            await bug(github)
        await bug(github, Priority.HIGH)
        assert server.times(LABEL) == 3
        assert clock.slept == []
        clock.at += 700
        await bug(github, Priority.LOW)

    async def test_a_secondary_limit_says_how_long(self, server: Scripted, opened: Opening, clock: PlayedClock) -> None:
        server.on("GET", LABEL, Says(429, {"message": "slow down"}, {"Retry-After": "30"}), BUG)
        assert await bug(await opened()) == "bug"
        assert 30 <= sum(clock.slept) < 35

    async def test_a_secondary_limit_that_does_not_say_lasts_a_minute_and_then_two(
        self, server: Scripted, opened: Opening, clock: PlayedClock
    ) -> None:
        limit = Says(403, {"message": "You have exceeded a secondary rate limit."}, budget(4_000))
        server.on("GET", LABEL, limit, limit, BUG, limit, BUG)
        github = await opened(pace=Pace(total_seconds=600))
        assert [await bug(github), await bug(github)] == ["bug", "bug"]
        assert [int(waited - 61) for waited in clock.slept] == [0, 60, 0]

    async def test_a_write_that_was_limited_was_not_done_and_is_done_once(
        self, server: Scripted, opened: Opening
    ) -> None:
        server.on("POST", LABELS, Says(403, {"message": "abuse detection"}, {"Retry-After": "5"}), BUG)
        assert await made(await opened()) == "bug"
        assert server.times(LABELS) == 2

    async def test_while_one_is_limited_nobody_asks(self, server: Scripted, opened: Opening) -> None:
        server.on("GET", LABEL, Says(429, {}, {"Retry-After": "500"}))
        github = await opened()
        asked = await asyncio.gather(*(bug(github) for _ in range(30)), return_exceptions=True)
        assert all(isinstance(each, RateLimited) for each in asked)
        assert server.times(LABEL) <= PATIENT.concurrent

    async def test_a_limit_for_ever_is_given_up(self, server: Scripted, opened: Opening) -> None:
        server.on("GET", LABEL, Says(429, {}, {"Retry-After": "0"}))
        with pytest.raises(RateLimited):
            await bug(await opened())
        assert server.times(LABEL) < 20

    async def test_writes_have_a_pace(self, server: Scripted, opened: Opening, clock: PlayedClock) -> None:
        server.on("POST", LABELS, BUG)
        github = await opened()
        await asyncio.gather(*(made(github) for _ in range(25)))
        assert sum(clock.slept) == pytest.approx(5)
        assert server.times(LABELS) == 25


class TestAway:
    async def test_what_fails_is_asked_again_after_longer_and_longer(
        self, server: Scripted, opened: Opening, clock: PlayedClock
    ) -> None:
        server.on("GET", LABEL, Says(502, b"<html>Bad Gateway"), Breaks(), Says(500, {}), BUG)
        assert await bug(await opened()) == "bug"
        assert [0.25 <= clock.slept[0] <= 0.5, 0.5 <= clock.slept[1] <= 1, 1 <= clock.slept[2] <= 2] == [True] * 3

    async def test_an_outage_ends_the_call(self, server: Scripted, opened: Opening) -> None:
        server.on("GET", LABEL, Says(503, {"message": "no server is available"}))
        with pytest.raises(Away, match="503 no server is available"):
            await bug(await opened())
        assert server.times(LABEL) == PATIENT.tries

    async def test_it_says_when_it_is_back(self, server: Scripted, opened: Opening, clock: PlayedClock) -> None:
        server.on("GET", LABEL, Says(503, {}, {"Retry-After": "17"}), BUG)
        assert await bug(await opened()) == "bug"
        assert clock.slept == [17]

    @pytest.mark.parametrize("answer", [Says(500, {}), Says(408, {}), Breaks(), Says(200, b"<html>")])
    async def test_a_write_of_which_nobody_knows_is_not_repeated(
        self, server: Scripted, opened: Opening, answer: Says | Breaks
    ) -> None:
        server.on("POST", LABELS, answer)
        with pytest.raises(Away) as away:
            await made(await opened())
        assert not away.value.sure
        assert server.times(LABELS) == 1

    async def test_what_may_be_done_twice_is(self, server: Scripted, opened: Opening) -> None:
        github = await opened()
        for method, call in (("PUT", github.put), ("PATCH", github.patch)):
            server.on(method, LABEL, Breaks(), BUG)
            assert (await call(ONE, {}, Label, repository=WEB, name="bug")).name == "bug"
        server.on("DELETE", LABEL, Says(500, {}), Says(204))
        await github.delete(ONE, repository=WEB, name="bug")
        assert server.times(LABEL) == 6

    async def test_where_nobody_listens_nothing_was_done(self, clock: PlayedClock) -> None:
        async with scripted() as gone:
            pass
        async with GitHub.opened(gone.url, Token(SECRET), pace=PATIENT, clock=clock) as github:
            with pytest.raises(Away) as away:
                await made(github)
        assert away.value.sure
        assert len(clock.slept) == PATIENT.tries - 1

    @pytest.mark.parametrize("never", [Hangs(), Drips()])
    async def test_an_answer_that_never_ends_is_asked_for_again(
        self, server: Scripted, opened: Opening, never: Hangs | Drips
    ) -> None:
        server.on("GET", LABEL, never, BUG)
        asking = asyncio.create_task(bug(await opened()))
        await server.hanging.wait()
        hours_pass()
        assert await asking == "bug"

    async def test_a_call_takes_no_longer_than_it_may(
        self, server: Scripted, opened: Opening, clock: PlayedClock
    ) -> None:
        server.on("GET", LABEL, Says(500, {}))
        with pytest.raises(Away):
            await bug(await opened(pace=Pace(tries=1_000, total_seconds=60)))
        assert sum(clock.slept) <= 60


def installed(server: Scripted, *tokens: str, hours: float = 1) -> None:
    """The App is installed on WEB; its tokens are these, one after another."""

    def token(value: str) -> Says:
        ends = datetime.fromtimestamp(PlayedClock().at, UTC) + timedelta(hours=hours)
        return Says(201, {"token": value, "expires_at": ends.isoformat().replace("+00:00", "Z")})

    server.on("GET", "/repos/acme/web/installation", Says(body={"id": 77}))
    server.on("POST", "/app/installations/77/access_tokens", *(token(each) for each in tokens))


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
        server.on("POST", "/app/installations/78/access_tokens", Says(201, token("ghs_78")))
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


def token(value: str) -> dict[str, str]:
    ends = datetime.fromtimestamp(PlayedClock().at, UTC) + timedelta(hours=1)
    return {"token": value, "expires_at": ends.isoformat()}


class Big(Struct):
    number: int


class TestAnswers:
    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, Unprocessable),
            (401, Unauthorized),
            (403, Forbidden),
            (404, NotFound),
            (405, Conflict),
            (409, Conflict),
            (410, NotFound),
            (203, Unexpected),
            (304, Unexpected),
            (305, Unexpected),
            (418, Unexpected),
            (422, Unprocessable),
            (499, Unexpected),
        ],
    )
    async def test_each_refusal_has_its_class(
        self, server: Scripted, opened: Opening, status: int, error: type[ApiError]
    ) -> None:
        server.on("POST", LABELS, Says(status, {"message": "No."}))
        with pytest.raises(error, match=f"POST .*{LABELS}: {status} ") as refused:
            await made(await opened())
        assert refused.value.status == status
        assert server.times(LABELS) == 1

    async def test_github_says_what_is_wrong_within_bounds(self, server: Scripted, opened: Opening) -> None:
        problem = {"resource": "Label", "field": "name", "code": "already_exists"}
        body = {"message": "Validation\nFailed " + "x" * 10_000, "errors": [problem, "plain words", 7] * 50}
        server.on("POST", LABELS, Says(422, body))
        with pytest.raises(Unprocessable) as refused:
            await made(await opened())
        assert refused.value.has("already_exists")
        assert not refused.value.has("missing")
        assert "plain words" in str(refused.value)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 2_000

    @pytest.mark.parametrize(
        "body", [b"", b"null", b"[1]", b"\xff\xfe", b'{"message": 7, "errors": {}}', b"[" * 100_000]
    )
    async def test_a_refusal_may_be_anything(self, server: Scripted, opened: Opening, body: bytes) -> None:
        server.on("GET", LABEL, Says(404, body))
        with pytest.raises(NotFound, match="no reason given"):
            await bug(await opened())

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"\xff", b"<html>", b"[" * 100_000, b'{"name": "\\ud800"}', b'{"name": "' + b"x" * 50],
    )
    async def test_no_json_is_as_good_as_no_answer(self, server: Scripted, opened: Opening, body: bytes) -> None:
        server.on("GET", LABEL, Says(200, body), BUG)
        if body:
            assert await bug(await opened()) == "bug"
        else:
            with pytest.raises(Unexpected, match="not what it documents"):
                await bug(await opened())

    @pytest.mark.parametrize("kind", ["text/html", "application/json; charset=none", "", "multipart/;;;"])
    async def test_nor_does_it_matter_what_it_calls_itself(self, server: Scripted, opened: Opening, kind: str) -> None:
        server.on("GET", LABEL, Says(200, {"name": "bug"}, {"Content-Type": kind}))
        with pytest.raises(ApiError):
            await bug(await opened())

    async def test_another_shape_is_said_to_be_one(self, server: Scripted, opened: Opening) -> None:
        server.on("GET", LABEL, Says(body={"name": 7}))
        with pytest.raises(Unexpected, match=r"Expected `str`, got `int` - at `\$.name`"):
            await bug(await opened())
        assert server.times(LABEL) == 1

    async def test_an_answer_is_read_up_to_a_bound(self, server: Scripted, opened: Opening) -> None:
        server.on("GET", LABEL, Drips())
        with pytest.raises(Unexpected, match="more than 20 bytes"):
            await bug(await opened(pace=Pace(answer_bytes=20)))

    async def test_limits_that_are_no_numbers_are_none(self, server: Scripted, opened: Opening) -> None:
        odd = {"X-RateLimit-Limit": "many", "X-RateLimit-Remaining": "-1", "X-RateLimit-Reset": "inf", "Date": "today"}
        server.on("GET", LABEL, Says(body={"name": "bug"}, headers=odd))
        github = await opened()
        assert [await bug(github), await bug(github)] == ["bug", "bug"]

    async def test_what_has_not_changed_is_not_sent_again(self, server: Scripted, opened: Opening) -> None:
        def unless_known(asked: Asked) -> Says:
            known = asked.headers.get("If-None-Match") == '"v1"'
            return Says(304) if known else Says(body={"name": "bug"}, headers={"ETag": '"v1"'})

        server.on("GET", LABEL, unless_known)
        github = await opened()
        assert [await bug(github), await bug(github)] == ["bug", "bug"]
        assert [asked.headers.get("If-None-Match") for asked in server.asked] == [None, '"v1"']

    async def test_what_is_kept_of_answers_is_bounded(self, server: Scripted, opened: Opening) -> None:
        for name in ("a", "b", "c"):
            server.on("GET", f"{LABELS}/{name}", Says(body={"name": name}, headers={"ETag": '"v1"'}))
        github = await opened(pace=Pace(cached_answers=2))
        for name in ("a", "b", "c", "c", "a"):
            await github.get(ONE, Label, repository=WEB, name=name)
        assert ["If-None-Match" in asked.headers for asked in server.asked] == [False, False, False, True, False]


class TestPlaces:
    async def test_a_renamed_repository_is_followed(self, server: Scripted, opened: Opening) -> None:
        server.on("GET", LABEL, Says(301, {}, {"Location": f"{server.url}/repositories/1/labels/bug"}))
        server.on("GET", "/repositories/1/labels/bug", BUG)
        server.on("POST", LABELS, Says(307, {}, {"Location": "/repositories/1/labels"}))
        server.on("POST", "/repositories/1/labels", BUG)
        github = await opened()
        assert [await bug(github), await made(github)] == ["bug", "bug"]
        assert json.loads(server.asked[-1].body) == {"name": "bug"}

    async def test_our_token_goes_nowhere_else(self, server: Scripted, opened: Opening) -> None:
        async with scripted() as other:
            other.on("GET", "/steal", BUG)
            server.on("GET", LABEL, Says(301, {}, {"Location": f"{other.url}/steal"}))
            server.on(
                "GET", f"{LABELS}?per_page=100", Says(body=[], headers={"Link": f'<{other.url}/steal>; rel="next"'})
            )
            github = await opened()
            with pytest.raises(Unexpected, match="our credentials stay here"):
                await bug(github)
            with pytest.raises(Unexpected, match="our credentials stay here"):
                [label async for label in github.pages(LABELS, Label)]
            assert other.asked == []

    @pytest.mark.parametrize("place", ["http://[", "ftp://x/", "//evil.example/", "/\u0000", ""])
    async def test_a_place_that_is_none(self, server: Scripted, opened: Opening, place: str) -> None:
        server.on("GET", LABEL, Says(301, {}, {"Location": place.replace("\0", "%00")}))
        with pytest.raises(ApiError):
            await bug(await opened())

    async def test_round_and_round(self, server: Scripted, opened: Opening) -> None:
        server.on("GET", LABEL, Says(302, {}, {"Location": LABEL}))
        with pytest.raises(Unexpected, match="moved more than"):
            await bug(await opened())

    async def test_what_others_wrote_stays_one_part_of_a_path(self, server: Scripted, opened: Opening) -> None:
        server.on("DELETE", "/repos/acme/web/labels/a%2F..%2F%3Fb%23%C3%A9", Says(204))
        server.on("GET", "/repos/acme/web/git/ref/heads/rig/12-a%20b", BUG)
        github = await opened()
        await github.delete(ONE, repository=WEB, name="a/../?b#é")
        ref = "/repos/{owner}/{repo}/git/ref/heads{/branch*}"
        await github.get(ref, Label, repository=WEB, branch=["rig", "12-a b"])
        for name in ("..", ".", ""):
            with pytest.raises(BadAddress):
                await github.delete(ONE, repository=WEB, name=name)
        with pytest.raises(BadAddress):
            await github.get(ref, Label, repository=WEB, branch=["rig", "..", "x"])
        with pytest.raises(BadAddress):
            await github.get("https://elsewhere.example/{name}", Label, name="x")
        assert len(server.asked) == 2

    async def test_enterprise_lives_below_a_path(self, server: Scripted, clock: PlayedClock) -> None:
        server.on("GET", "/api/v3/repos/acme/web/labels/bug", BUG)
        async with GitHub.opened(f"{server.url}/api/v3", Token(SECRET), clock=clock) as github:
            assert await bug(github) == "bug"

    async def test_a_listing_has_pages(self, server: Scripted, opened: Opening) -> None:
        def page(*names: str, more: str = "") -> Says:
            headers = {"Link": f'<{server.url}{more}>; rel="next", <{server.url}/x>; rel="last"'} if more else {}
            return Says(body={"total_count": 3, "labels": [{"name": name} for name in names]}, headers=headers)

        server.on("GET", f"{LABELS}?state=all&per_page=100", page("a", "b", more=f"{LABELS}?page=2"))
        server.on("GET", f"{LABELS}?page=2", page("c"))
        github = await opened()
        path = "/repos/{owner}/{repo}/labels{?state,since}"
        labels = github.pages(path, Label, repository=WEB, items="labels", state="all")
        assert [label.name async for label in labels] == ["a", "b", "c"]

    async def test_a_listing_that_goes_round_ends(self, server: Scripted, opened: Opening) -> None:
        again = {"Link": f'<{server.url}{LABELS}?per_page=100>; rel="next"'}
        server.on("GET", f"{LABELS}?per_page=100", Says(body=[{"name": "a"}], headers=again))
        labels = (await opened()).pages(LABELS, Label)
        assert (await anext(labels)).name == "a"
        with pytest.raises(Unexpected, match="does not end"):
            await anext(labels)

    async def test_what_a_person_may_do(self, server: Scripted, opened: Opening) -> None:
        path = "/repos/acme/web/collaborators/{}/permission"
        server.on("GET", path.format("ann"), Says(body={"permission": "write", "role_name": "maintain"}))
        server.on("GET", path.format("bob"), Says(body={"permission": "write", "role_name": "our-own-role"}))
        github = await opened()
        assert [await github.permission(WEB, who) for who in ("ann", "bob", "eve")] == ["maintain", "write", "none"]


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
