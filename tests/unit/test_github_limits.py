"""What the GitHub client decides without a socket: limits, addresses, what is kept, whose token is whose."""

from datetime import UTC, datetime
from types import SimpleNamespace

import jwt
import pytest

from bridges.github.answers import Answers, Kept
from bridges.github.errors import PROBLEMS, words
from bridges.github.limits import Limits, Priority
from bridges.github.tokens import App, AsApp, AsInstallation, Grant
from bridges.github.urls import BadAddress, Base
from tests.support.pem import RSA_KEY
from tests.support.scripted import PlayedClock

NOW = 1_800_000_000.0


def told(remaining: int, resets_in: float, *, resource: str = "core") -> dict[str, str]:
    reset = str(int(NOW + resets_in))
    return {
        "x-ratelimit-limit": "1000",
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset": reset,
        "x-ratelimit-resource": resource,
    }


def lets(limits: Limits, now: float = NOW) -> list[Priority]:
    """The calls that may go out."""
    return [priority for priority in Priority if limits.wait(priority, now) is None]


@pytest.mark.parametrize(
    ("remaining", "may"),
    [
        (251, list(Priority)),
        (250, [Priority.NORMAL, Priority.HIGH]),
        (51, [Priority.NORMAL, Priority.HIGH]),
        (50, [Priority.HIGH]),
        (1, [Priority.HIGH]),
        (0, []),
    ],
)
def test_the_less_is_left_the_more_a_call_must_matter(remaining: int, may: list[Priority]) -> None:
    limits = Limits()
    assert lets(limits) == list(Priority)
    limits.heard(told(remaining, 60), NOW)
    assert lets(limits) == may
    assert lets(limits, NOW + 61) == list(Priority)


def test_a_call_that_matters_little_never_waits() -> None:
    used_up, closed = Limits(), Limits()
    used_up.heard(told(0, 60), NOW)
    closed.hit(429, {"retry-after": "60"}, "", NOW)
    for limits in (used_up, closed):
        waits = {priority: limits.wait(priority, NOW) for priority in Priority}
        assert {priority: wait is not None and wait.left_out for priority, wait in waits.items()} == {
            Priority.LOW: True,
            Priority.NORMAL: False,
            Priority.HIGH: False,
        }


def test_other_limits_and_answers_that_come_late_tell_nothing() -> None:
    limits = Limits()
    limits.heard(told(0, 60, resource="search"), NOW)
    assert lets(limits) == list(Priority)
    limits.heard(told(900, 3_600), NOW)
    limits.heard(told(0, 30), NOW)  # of the hour before
    assert lets(limits) == list(Priority)


def test_what_github_says_by_its_clock_is_taken_by_ours() -> None:
    limits = Limits()
    ahead = {"date": datetime.fromtimestamp(NOW + 500, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")}
    limits.heard(told(0, 560) | ahead, NOW)
    wait = limits.wait(Priority.HIGH, NOW)
    assert wait is not None
    assert wait.until == NOW + 61


@pytest.mark.parametrize(
    ("status", "headers", "message", "limit"),
    [
        (403, {}, "Resource not accessible by integration", False),
        (403, {}, "Blocked for abuse of the terms", False),
        (403, {"retry-after": "1"}, "", True),
        (403, {"x-ratelimit-remaining": "0"}, "", True),
        (403, {"x-ratelimit-remaining": "10"}, "You have exceeded a secondary rate limit", True),
        (403, {}, "You have triggered an abuse detection mechanism", True),
        (429, {}, "", True),
        (404, {"retry-after": "1"}, "rate limit exceeded", False),
        (500, {"retry-after": "1"}, "rate limit exceeded", False),
    ],
)
def test_which_refusal_is_a_limit(status: int, headers: dict[str, str], message: str, limit: bool) -> None:
    assert (Limits().hit(status, headers, message, NOW) is not None) is limit


def test_limits_in_a_row_last_longer_until_a_call_goes_through() -> None:
    limits = Limits()
    waits = [limits.hit(429, {}, "", NOW + 4_000 * round_) for round_ in range(3)]
    limits.fine()
    waits.append(limits.hit(429, {}, "", NOW + 12_000))
    assert [wait and wait - NOW for wait in waits] == [61, 4_121, 8_241, 12_061]


def test_no_limit_lasts_for_ever() -> None:
    limits = Limits()
    for _ in range(100):
        limits.hit(429, {"retry-after": "1e300"}, "", NOW)
        limits.heard(told(0, 1e9), NOW)
    wait = limits.wait(Priority.HIGH, NOW)
    assert wait is not None
    assert wait.until <= NOW + 3_602


@pytest.mark.parametrize(
    "url",
    [
        "https://ghe.example/api/v3/repos/a/b",
        "https://ghe.example:443/api/v3/x?y=/../z",
        "https://GHE.example/api/v3/x",
    ],
)
def test_an_address_that_is_ours(url: str) -> None:
    assert Base("https://ghe.example/api/v3/").covers(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/api/v3/x",
        "https://ghe.example.evil.example/api/v3/x",
        "http://ghe.example/api/v3/x",
        "https://ghe.example:444/api/v3/x",
        "https://ghe.example@evil.example/api/v3/x",
        "https://me@ghe.example/api/v3/x",
        "https://ghe.example/other",
        "https://ghe.example/api/v3evil/x",
        "https://ghe.example/api/v3/../../other",
        "https://ghe.example/api/v3/%2E%2e/x",
        "https://ghe.example:port/api/v3/x",
        "https://[/api/v3/x",
        "",
    ],
)
def test_an_address_that_is_not(url: str) -> None:
    assert not Base("https://ghe.example/api/v3").covers(url)


@pytest.mark.parametrize("value", ["..", ".", "", ["a", ".."], ["a", ""], []])
def test_what_cannot_stand_in_a_path(value: str | list[str]) -> None:
    base = Base("https://api.github.com")
    with pytest.raises(BadAddress, match="name is missing, or cannot stand in a path"):
        base.address("/labels/{name}{?since}", {"name": value})
    with pytest.raises(BadAddress, match="name is missing"):
        base.address("/labels{/name*}", {})


@pytest.mark.parametrize("url", ["api.github.com", "ftp://x", "https://", "https://me:secret@x", "https://x?y"])
def test_what_is_no_api(url: str) -> None:
    with pytest.raises(BadAddress) as error:
        Base(url)
    assert "secret" not in str(error.value)


def test_what_is_kept_is_bounded_for_all_together() -> None:
    kept = Kept(entries=100, size=800)
    ann, bob = Answers(kept, "ann"), Answers(kept, "bob")
    for number in range(9):
        ann[f"/{number}"] = ('"1"', None, "x" * 88, None)  # 90 bytes each: eight of them
        assert ann["/0"] == ('"1"', None, "x" * 88, None)  # and the first is used all the time
    assert kept.size == 720
    assert list(ann) == ["/2", "/3", "/4", "/5", "/6", "/7", "/8", "/0"]
    bob["/2"] = (None, "now", [1], "/next")
    assert (bob["/2"], ann["/2"][2], len(bob)) == ((None, "now", [1], "/next"), "x" * 88, 1)
    ann["/2"] = ('"2"', None, "x" * 200, None)
    assert "/2" not in ann, "one that is huge, and what it would have taken the place of"
    del bob["/2"]
    assert (list(bob), kept.size) == ([], 630)


def test_much_is_wrong_and_the_first_of_it_is_told() -> None:
    body = b'{"message": "No", "errors": [' + b",".join(b'{"code": "invalid"}' for _ in range(100)) + b"]}"
    assert len(words(body).problems) == PROBLEMS


async def test_only_the_token_that_was_refused_is_given_up() -> None:
    tokens = iter(("one", "two", "three"))

    async def ask() -> Grant:
        return Grant(next(tokens), datetime.fromtimestamp(NOW + 3_600, UTC))

    identity = AsInstallation(ask, PlayedClock(NOW))
    assert await identity.secret() == "one"
    identity.refused("one")
    assert await identity.secret() == "two"
    identity.refused("one")  # somebody's who asked at the same time
    assert await identity.secret() == "two"


async def test_the_apps_own_proof_is_kept_for_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = PlayedClock(NOW)
    monkeypatch.setattr("gidgethub.apps.time", SimpleNamespace(time=clock.now))
    identity = AsApp(App("42", RSA_KEY), clock)

    async def issued() -> int:
        said: dict[str, int] = jwt.decode(await identity.secret(), options={"verify_signature": False})
        return said["iat"]

    first = await issued()
    clock.at += 400
    assert await issued() == first
    clock.at += 20
    assert await issued() == first + 420
    clock.at += 1
    identity.refused(await identity.secret())
    assert await issued() == first + 421
