"""GitHub as one identity sees it: gidgethub's client over an httpx connection, one exchange at a time.

It sends, reads a bounded answer, minds what the answer says of limits, follows GitHub's word that something has moved,
and turns what is no success into an ApiError. When to send, and whether to try again, is api's business.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import httpx
import msgspec
from gidgethub import HTTPException, abc, sansio
from msgspec import Struct

from bridges.github.answers import Answers, Kept
from bridges.github.errors import ApiError, Away, RateLimited, Unexpected, refusal, words
from bridges.github.limits import Limits
from bridges.github.pace import Clock, Pace
from bridges.github.tokens import Identity
from bridges.github.urls import Base

AGENT: Final = "rig"
VERSION: Final = "2022-11-28"
_MOVES: Final = 3
"""How often in a row something may have moved."""
_ACCEPT: Final = sansio.accept_format()
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Asked(Struct, frozen=True):
    """One call, ready to be sent any number of times."""

    method: str
    url: str
    body: object = b""
    """b"": none."""

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


class Page(Struct, frozen=True):
    """What was answered, as JSON; and where it goes on, for a listing."""

    said: object
    more: str | None


class Account(abc.GitHubAPI):
    """One identity's exchanges with GitHub."""

    def __init__(
        self, identity: Identity, client: httpx.AsyncClient, base: Base, *, kept: Kept, pace: Pace, clock: Clock
    ) -> None:
        self.identity = identity
        self.limits = Limits()
        self._client = client
        self._base = base
        self._pace = pace
        self._clock = clock
        super().__init__(AGENT, cache=Answers(kept, identity), base_url=base.url)

    async def send(self, asked: Asked, secret: str) -> Page:
        """One exchange. Raises ApiError."""
        try:
            said, more, _ = await self._make_request(
                asked.method,
                asked.url,
                None,
                asked.body if asked.body == b"" else msgspec.to_builtins(asked.body),
                _ACCEPT,
                jwt=secret if self.identity.app else None,
                oauth_token=None if self.identity.app else secret,
                extra_headers={"x-github-api-version": VERSION},
            )
        except (ValueError, LookupError, RecursionError):  # a proxy's page, half an answer, a charset of no kind
            raise Away(str(asked), "GitHub's answer is no JSON", sure=False) from None
        except HTTPException as error:
            raise Unexpected(str(asked), "an answer of no kind", status=int(error.status_code)) from None
        return Page(said, more)

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, Mapping[str, str], bytes]:
        for _ in range(_MOVES + 1):
            asked = f"{method} {url}"
            if not self._base.covers(url):
                raise Unexpected(asked, "GitHub says to go elsewhere; our credentials stay here")
            status, answered, said = await self._exchange(method, url, headers, body)
            now = self._clock.now()
            self.limits.heard(answered, now)
            if status in (301, 302, 307, 308) and "location" in answered:
                url = _joined(url, answered["location"])
                continue
            if status < 300 or status == 304:
                self.limits.fine()
                if "json" in answered.get("content-type", "") and said:
                    msgspec.json.decode(said)  # half a character, NaN: gidgethub takes it, and nobody could pass it on
                return status, answered, said
            raise self._error(asked, status, answered, said)
        raise Unexpected(f"{method} {url}", f"moved more than {_MOVES} times")

    def _error(self, asked: str, status: int, headers: Mapping[str, str], said: bytes) -> ApiError:
        message = words(said).message
        until = self.limits.hit(status, headers, message, self._clock.now())
        if until is not None:
            return RateLimited(asked, message or "a limit", until=datetime.fromtimestamp(until, UTC), status=status)
        if status >= 500 or status == 408:
            return Away(asked, message or "GitHub is not well", sure=False, status=status, pause=_pause(headers))
        return refusal(asked, status, said)

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """The status, the headers that count here, and the body."""
        asked, most = f"{method} {url}", self._pace.answer_bytes
        try:
            async with (
                asyncio.timeout(self._pace.answer_seconds),
                self._client.stream(method, url, headers=dict(headers), content=body) as response,
            ):
                said = bytearray()
                async for piece in response.aiter_bytes():
                    said += piece
                    if len(said) > most:
                        raise Unexpected(asked, f"the answer has more than {most} bytes", status=response.status_code)
                return response.status_code, _known(response.headers), bytes(said)
        except _NOT_SENT as error:
            raise Away(asked, f"GitHub cannot be reached ({type(error).__name__})", sure=True) from None
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise Away(asked, f"no whole answer came ({type(error).__name__})", sure=False) from None

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


_HEADERS: Final = ("etag", "last-modified", "link", "location", "date", "retry-after", "content-type")
_LIMIT_HEADERS: Final = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-resource")


def _known(headers: httpx.Headers) -> dict[str, str]:
    """Those that mean something here; a limit that is no number is none, for gidgethub would stumble over it."""
    known = {name: headers[name] for name in (*_HEADERS, *_LIMIT_HEADERS) if name in headers}
    if not all(known.get(name, "0").isdecimal() for name in _LIMIT_HEADERS[:3]):
        known = {name: value for name, value in known.items() if name not in _LIMIT_HEADERS}
    return known


def _joined(url: str, location: str) -> str:
    """Where a move leads; a place that is none is none of ours."""
    try:
        return str(httpx.URL(url).join(location))
    except (httpx.InvalidURL, ValueError):
        return ""


def _pause(headers: Mapping[str, str]) -> float | None:
    asked = headers.get("retry-after", "")
    return float(asked) if asked.isdecimal() else None
