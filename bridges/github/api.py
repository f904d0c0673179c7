"""GitHub's REST API, typed: a call is a path and a type, an answer is that type or an ApiError (see errors).

    async with GitHub.opened("https://api.github.com", App("42", pem)) as github:
        pull = await github.get("/repos/{owner}/{repo}/pulls/{number}", PullRequest, repository=web, number=7)

A path is a template (see urls); whatever stands in its braces is given by name, owner and repo by the repository. That
says, too, who asks: the App's installation there; without a repository the App itself. A plain token asks for all.

What surely was not done is tried again, and so is what may be done twice: all but POST. Else the caller looks first
(`Away`, not `sure`). Limits are waited for, as long as a call may take; what matters less is left out first (`Shed`).
Writes go one after another. All bounds are in pace.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import httpx
import msgspec
from msgspec import Struct

from bridges.github.account import Account, Asked, Page
from bridges.github.answers import Kept
from bridges.github.calls import Calls
from bridges.github.errors import NotFound, NotInstalled, Unexpected
from bridges.github.limits import Priority
from bridges.github.pace import Clock, Pace, WallClock
from bridges.github.payloads import Installation, User
from bridges.github.tokens import App, AsApp, AsInstallation, Credential, Grant, Narrowed, Plain, Token
from bridges.github.urls import Base, Value
from schemas import RepoRef

__all__ = ["GitHub", "Priority"]

T = TypeVar("T")

DEFAULT_API: Final = "https://api.github.com"
PAGE: Final = 100
"""Items of a page: the most that GitHub gives."""
_INSTALLATIONS: Final = 10_000
"""Repositories of which it is known who asks there; beyond that they are looked up anew."""
_ROLES: Final = frozenset({"admin", "maintain", "write", "triage", "read"})


class _Permission(Struct, frozen=True):
    permission: str
    role_name: str = ""


class _App(Struct, frozen=True):
    slug: str


class GitHub:
    """GitHub, for one process. Make one with `opened`. Every call raises ApiError."""

    def __init__(self, client: httpx.AsyncClient, base: Base, credential: Credential, pace: Pace, clock: Clock) -> None:
        self._client = client
        self._base = base
        self._credential = credential
        self._pace = pace
        self._clock = clock
        self._kept = Kept(entries=pace.cached_answers, size=pace.cached_bytes)
        self._calls = Calls(pace, clock)
        identity = Plain(credential) if isinstance(credential, Token) else AsApp(credential, clock)
        self._own = self._account(identity)
        """Of the token, or of the App itself."""
        self._installed: dict[int, Account] = {}
        self._where: dict[RepoRef, int] = {}

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, api: str, credential: Credential, *, pace: Pace | None = None, clock: Clock | None = None
    ) -> AsyncGenerator["GitHub"]:
        """A client for GitHub's API at an address. Raises BadAddress, BadCredential."""
        pace = pace or Pace()
        timeout = httpx.Timeout(pace.silence_seconds, connect=pace.connect_seconds, pool=pace.total_seconds)
        limits = httpx.Limits(max_connections=2 * pace.concurrent, keepalive_expiry=30)
        async with httpx.AsyncClient(timeout=timeout, limits=limits, follow_redirects=False) as client:
            yield cls(client, Base(api), credential, pace, clock or WallClock())

    @property
    def app(self) -> bool:
        """Whether we are an App."""
        return isinstance(self._credential, App)

    async def get(
        self,
        path: str,
        kind: type[T],
        *,
        repository: RepoRef | None = None,
        priority: Priority = Priority.NORMAL,
        **values: Value,
    ) -> T:
        """One object."""
        asked = Asked("GET", self._address(path, repository, values))
        return _typed(asked, (await self._answer(asked, repository, priority)).said, kind)

    async def pages(
        self,
        path: str,
        kind: type[T],
        *,
        repository: RepoRef | None = None,
        priority: Priority = Priority.NORMAL,
        items: str | None = None,
        **values: Value,
    ) -> AsyncGenerator[T]:
        """A whole listing, item by item; `items` is where they stand when a page is an object (`check_runs`)."""
        url: str | None = _sized(self._address(path, repository, values))
        seen: set[str] = set()
        while url is not None:
            asked = Asked("GET", url)
            if url in seen or len(seen) >= self._pace.pages:
                raise Unexpected(str(asked), f"the listing does not end: {len(seen)} pages, and this one again")
            seen.add(url)
            page = await self._answer(asked, repository, priority)
            for item in _listed(asked, page.said, items):
                yield _typed(asked, item, kind)
            url = page.more

    async def post(
        self,
        path: str,
        body: object,
        kind: type[T],
        *,
        repository: RepoRef | None = None,
        priority: Priority = Priority.NORMAL,
        **values: Value,
    ) -> T:
        """Makes something; a body is a Struct or a dict, and None for none."""
        return await self._write("POST", path, body, kind, repository=repository, priority=priority, values=values)

    async def put(
        self,
        path: str,
        body: object,
        kind: type[T],
        *,
        repository: RepoRef | None = None,
        priority: Priority = Priority.NORMAL,
        **values: Value,
    ) -> T:
        """Puts something there; where nothing is answered, the type is None's."""
        return await self._write("PUT", path, body, kind, repository=repository, priority=priority, values=values)

    async def patch(
        self,
        path: str,
        body: object,
        kind: type[T],
        *,
        repository: RepoRef | None = None,
        priority: Priority = Priority.NORMAL,
        **values: Value,
    ) -> T:
        """Sets fields of something: GitHub's PATCH never adds to what is there, so twice is once."""
        return await self._write("PATCH", path, body, kind, repository=repository, priority=priority, values=values)

    async def delete(
        self,
        path: str,
        body: object = None,
        *,
        repository: RepoRef | None = None,
        priority: Priority = Priority.NORMAL,
        **values: Value,
    ) -> None:
        """Takes something away. One that may have been done before raises NotFound or Unprocessable."""
        await self._write("DELETE", path, body, object, repository=repository, priority=priority, values=values)

    async def permission(self, repository: RepoRef, login: str, *, priority: Priority = Priority.NORMAL) -> str:
        """What a person may do: admin, maintain, write, triage, read, none."""
        path = "/repos/{owner}/{repo}/collaborators/{login}/permission"
        try:
            found = await self.get(path, _Permission, repository=repository, priority=priority, login=login)
        except NotFound:
            return "none"
        return found.role_name if found.role_name in _ROLES else found.permission

    async def self_login(self) -> str:
        """Whom GitHub names as the author of what we do."""
        if self.app:
            return f"{(await self.get('/app', _App)).slug}[bot]"
        return (await self.get("/user", User)).login

    async def grant(self, repository: RepoRef, permissions: Mapping[str, str]) -> Grant | None:
        """A token of its own, limited to one repository and to these permissions; None: we have a plain token."""
        if not self.app:
            return None
        narrowed = Narrowed((repository.repo,), permissions)
        try:
            return await self._granted(await self._installation(repository), narrowed)
        except NotInstalled:
            if self._where.pop(repository, None) is None:
                raise
            # What was known by heart does not hold any more: it may have been installed anew.
            return await self._granted(await self._installation(repository), narrowed)

    async def _write(
        self,
        method: str,
        path: str,
        body: object,
        kind: type[T],
        *,
        repository: RepoRef | None,
        priority: Priority,
        values: dict[str, Value],
    ) -> T:
        asked = Asked(method, self._address(path, repository, values), b"" if body is None else body)
        page = await self._answer(asked, repository, priority, again=method != "POST")
        return _typed(asked, page.said, kind)

    async def _answer(
        self, asked: Asked, repository: RepoRef | None, priority: Priority, *, again: bool = True
    ) -> Page:
        """As whoever asks in a repository."""
        if repository is None or not self.app:
            return await self._calls.done(self._own, asked, priority, again=again)
        try:
            return await self._calls.done(await self._at(repository), asked, priority, again=again)
        except NotInstalled:
            if self._where.pop(repository, None) is None:
                raise
            # What was known by heart does not hold any more: it may have been installed anew.
            return await self._calls.done(await self._at(repository), asked, priority, again=again)

    async def _at(self, repository: RepoRef) -> Account:
        installation = await self._installation(repository)
        if (account := self._installed.get(installation)) is None:
            identity = AsInstallation(lambda: self._granted(installation, Narrowed()), self._clock)
            account = self._installed[installation] = self._account(identity)
        return account

    async def _installation(self, repository: RepoRef) -> int:
        """Raises NotFound where the App is not installed."""
        if (known := self._where.get(repository)) is not None:
            return known
        asked = Asked("GET", self._address("/repos/{owner}/{repo}/installation", repository, {}))
        try:
            page = await self._calls.done(self._own, asked, Priority.HIGH)
        except NotFound as error:
            raise NotInstalled(str(asked), f"the App is not installed in {repository}", status=error.status) from None
        while len(self._where) >= _INSTALLATIONS:
            self._where.pop(next(iter(self._where)))
        found = self._where[repository] = _typed(asked, page.said, Installation).id
        return found

    async def _granted(self, installation: int, narrowed: Narrowed) -> Grant:
        path = "/app/installations/{installation}/access_tokens"
        asked = Asked("POST", self._address(path, None, {"installation": installation}), narrowed)
        try:  # one token more does no harm, so this is asked again as a reading is
            page = await self._calls.done(self._own, asked, Priority.HIGH)
        except NotFound as error:
            raise NotInstalled(str(asked), "that installation is gone", status=error.status) from None
        return _typed(asked, page.said, Grant)

    def _account(self, identity: Plain | AsApp | AsInstallation) -> Account:
        return Account(identity, self._client, self._base, kept=self._kept, pace=self._pace, clock=self._clock)

    def _address(self, path: str, repository: RepoRef | None, values: dict[str, Value]) -> str:
        where = {} if repository is None else {"owner": repository.owner, "repo": repository.repo}
        return self._base.address(path, {**where, **values})


def _typed(asked: Asked, said: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(said, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Unexpected(str(asked), f"GitHub's answer is not what it documents: {error}") from None


def _listed(asked: Asked, said: object, items: str | None) -> list[object]:
    if items is None:
        return _typed(asked, said, list[object])
    page = _typed(asked, said, dict[str, object])
    return _typed(asked, page.get(items), list[object])


def _sized(url: str) -> str:
    return url if "per_page=" in url else f"{url}{'&' if '?' in url else '?'}per_page={PAGE}"
