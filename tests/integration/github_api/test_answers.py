"""What GitHub answers, and where: refusals, bounds, redirects, pages. A scripted server, real sockets, played time."""

import json

import pytest
from msgspec import Struct

from bridges.github.api import GitHub
from bridges.github.errors import (
    ApiError,
    Conflict,
    Forbidden,
    NotFound,
    Unauthorized,
    Unexpected,
    Unprocessable,
)
from bridges.github.pace import Pace
from bridges.github.payloads import Label
from bridges.github.tokens import Token
from bridges.github.urls import BadAddress
from tests.support.labels import BUG, LABEL, LABELS, ONE, SECRET, WEB, Opening, bug, made
from tests.support.scripted import Asked, Drips, PlayedClock, Says, Scripted, scripted


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
