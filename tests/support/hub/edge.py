"""What stands in front of emulate: one address for GitHub's API, its webhooks and its git.

Calls are passed through. What GitHub does and emulate does not is added (see additions and mirror), and instants are
whole seconds; nothing else is changed. Unknown tokens are refused, which emulate takes for its first user's.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from tests.support.hub.deliveries import Deliveries, whole_seconds
from tests.support.hub.emulate import APP, SLUG
from tests.support.hub.faults import Faults

__all__ = ["WEBHOOKS", "Answer", "Edge"]

WEBHOOKS = "/_hub/webhooks"
_HOP = {"connection", "content-encoding", "content-length", "host", "keep-alive", "transfer-encoding"}


class Answer:
    """What emulate answered."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        return json.loads(self.body)

    def response(self) -> web.Response:
        return web.Response(
            status=self.status,
            body=self.body,
            headers={name: value for name, value in self.headers.items() if name.lower() not in _HOP},
        )


def _passed_on(request: web.Request) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name.lower() not in _HOP - {"host"}}


def refused(status: int, message: str) -> web.Response:
    """As GitHub refuses."""
    return web.json_response({"message": message, "documentation_url": "", "status": str(status)}, status=status)


class Edge:
    """One edge: its application, and calls to the emulate behind it."""

    def __init__(
        self,
        deliveries: Deliveries,
        faults: Faults,
        *,
        repositories: Sequence[str],
        root_token: str,
        tokens: Mapping[str, str],
    ) -> None:
        self.deliveries = deliveries
        self.faults = faults
        self.repositories = tuple(repositories)
        self.emulate = ""
        self.url = ""
        self.ahead = timedelta()
        """How far its clock is from the real one."""
        self.root_token = root_token
        self.tokens = dict(tokens)
        """Token → login; an installation's: what it was asked for at."""
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def listening(self, more: list[web.RouteDef]) -> AsyncGenerator[str]:
        """Serves, `more` first; yields the address."""
        app = web.Application(middlewares=[self._faulty], client_max_size=64 << 20)
        app.add_routes([web.post(WEBHOOKS, self._webhook), *more, web.route("*", "/{path:.*}", self.passed)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        async with aiohttp.ClientSession(auto_decompress=True) as self._session:
            await runner.setup()
            try:
                site = web.TCPSite(runner, "127.0.0.1", 0)
                await site.start()
                assert site._server is not None
                port = site._server.sockets[0].getsockname()[1]
                self.url = f"http://127.0.0.1:{port}"
                forwarding = asyncio.create_task(self.deliveries.forward())
                try:
                    yield self.url
                finally:
                    forwarding.cancel()
                    with suppress(asyncio.CancelledError):
                        await forwarding
            finally:
                await runner.cleanup()

    # ── calls ────────────────────────────────────────────────────────────────

    async def passed(self, request: web.Request) -> web.Response:
        """Passes a call on as it is."""
        answer = await self.perform(request)
        if answer.ok and request.path.endswith("/access_tokens"):
            self.tokens[answer.json()["token"]] = f"installation {request.path.split('/')[3]}"
        return answer.response()

    async def perform(self, request: web.Request) -> Answer:
        """What emulate answers to a call."""
        return await self.perform_at(request, request.raw_path)

    async def perform_at(self, request: web.Request, path: str) -> Answer:
        """What it answers to the same, asked elsewhere."""
        return await self._send(request.method, path, _passed_on(request), await request.read())

    async def perform_with(self, request: web.Request, body: bytes) -> Answer:
        """What it answers to the same in other words."""
        return await self._send(request.method, request.raw_path, _passed_on(request), body)

    async def call(self, method: str, path: str, body: object = None, *, authorization: str | None = None) -> Answer:
        """A call of the edge's own: as who owns everything, or with another's authorization."""
        headers = {"Authorization": authorization or f"Bearer {self.root_token}", "Host": self.url.rpartition("/")[2]}
        return await self._send(method, path, headers, b"" if body is None else json.dumps(body).encode())

    async def set(self, collection: str, where: Mapping[str, object], new: Mapping[str, object]) -> None:
        """Changes what emulate remembers."""
        answer = await self.call("POST", "/_emulate/set", {"collection": collection, "where": where, "set": new})
        assert answer.ok, answer.body

    async def set_clock(self, ahead: timedelta) -> None:
        self.ahead = ahead
        answer = await self.call("POST", "/_emulate/clock", {"seconds": ahead.total_seconds()})
        assert answer.ok, answer.body

    def now(self) -> str:
        """As GitHub writes instants."""
        return f"{datetime.now(UTC) + self.ahead:%Y-%m-%dT%H:%M:%SZ}"

    async def _send(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        assert self._session is not None
        async with self._session.request(
            method, URL(self.emulate + path, encoded=True), headers=headers, data=body or None
        ) as answer:
            return Answer(answer.status, dict(answer.headers), whole_seconds(await answer.read()))

    async def sender(self, request: web.Request) -> Any:
        """Who calls, as webhooks name them."""
        return await self.who_has(request.headers.get("Authorization", "").rpartition(" ")[2])

    async def who_has(self, token: str) -> Any:
        """Whose token it is."""
        login = self.tokens.get(token, "ghost")
        if login.startswith("installation "):
            return {"login": f"{SLUG}[bot]", "id": APP, "type": "Bot"}
        return (await self.call("GET", f"/users/{login}")).json()

    # ── who calls, and what a test plays ─────────────────────────────────────

    @web.middleware
    async def _faulty(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path == WEBHOOKS or ".git/" in request.path:
            return await handler(request)
        fault = self.faults.take(request.method, request.path_qs)
        if fault is not None and fault.instead is not None:
            return fault.instead()
        token = request.headers.get("Authorization", "").rpartition(" ")[2]
        if token and not token.startswith("eyJ") and token not in self.tokens:
            return refused(401, "Bad credentials")
        response = await handler(request)
        if fault is not None and fault.then is not None:
            await asyncio.to_thread(fault.then)
            if fault.silent and request.transport is not None:
                request.transport.abort()
        return response

    async def _webhook(self, request: web.Request) -> web.Response:
        body = await request.read()
        assert request.headers["X-Hub-Signature-256"] == self.deliveries.signature(body), "emulate signs what it sends"
        await self.deliveries.take(request.headers["X-GitHub-Event"], whole_seconds(body))
        return web.Response(status=202)

    async def happened(self, event: str, repository: str, sender: Any, more: Mapping[str, object]) -> None:
        """A webhook of the edge's own, about what emulate does not do."""
        about = (await self.call("GET", f"/repos/{repository}")).json()
        installation = (await self.call("GET", f"/repos/{repository}/installation")).json()
        payload = {**more, "repository": about, "sender": sender, "installation": {"id": installation["id"]}}
        await self.deliveries.take(event, json.dumps(payload).encode())
