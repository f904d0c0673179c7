"""A GitHub that answers as a test says, over real sockets: for what a real one does not do when it is asked to.

Each path has a script of answers, the last one again and again. What was asked is kept, in order.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def secret(self) -> str:
        return self.headers.get("Authorization", "").partition(" ")[2]


@dataclass(frozen=True)
class Says:
    """An answer."""

    status: int = 200
    body: object = None
    """As JSON; bytes as they are."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class Hangs:
    """Nothing comes, as long as the client waits; `Scripted.hanging` tells when it has begun to."""


class Breaks:
    """Half an answer, then the connection is reset."""


class Drips:
    """An answer whose end never comes, byte by byte."""


Answer = Says | Hangs | Breaks | Drips | Callable[[Asked], Says]


class Scripted:
    """The server's script and what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.hanging = asyncio.Event()
        self.over = asyncio.Event()
        self._scripts: defaultdict[tuple[str, str], list[Answer]] = defaultdict(list)

    def on(self, method: str, path: str, *answers: Answer) -> None:
        """What a path (with its query) answers from here on."""
        self._scripts[method, path] = list(answers)

    def secrets(self, path: str) -> list[str]:
        """With which tokens a path was asked."""
        return [asked.secret for asked in self.asked if asked.path == path]

    def times(self, path: str) -> int:
        """How often a path was asked."""
        return len(self.secrets(path))

    async def answer(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(request.method, request.raw_path, dict(request.headers), await request.read())
        self.asked.append(asked)
        script = self._scripts[asked.method, asked.path]
        if not script:
            return web.json_response({"message": "Not Found"}, status=404)
        said = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(said, Hangs):
            self.hanging.set()
            await self.over.wait()
            return web.Response(status=500)
        if isinstance(said, Breaks | Drips):
            self.hanging.set()
            return await self._unfinished(request, drips=isinstance(said, Drips))
        return _whole(said(asked) if callable(said) else said)

    async def _unfinished(self, request: web.Request, *, drips: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000000"})
        await response.prepare(request)
        await response.write(b'{"number":')
        while drips and not self.over.is_set():
            await response.write(b" ")
            await asyncio.sleep(0.01)
        assert request.transport is not None
        request.transport.abort()
        return response


def _whole(said: Says) -> web.Response:
    raw = said.body if isinstance(said.body, bytes) else b"" if said.body is None else json.dumps(said.body).encode()
    headers = {"Content-Type": "application/json; charset=utf-8", **said.headers}
    return web.Response(status=said.status, body=raw, headers=headers)


@asynccontextmanager
async def scripted() -> AsyncGenerator[Scripted]:
    """One that listens on a port of its own."""
    github = Scripted()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", github.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        github.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield github
    finally:
        github.over.set()
        await runner.cleanup()


class PlayedClock:
    """A clock that stands still, but for those who sleep by it: they wake at once, so much later."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.at = now
        self.slept: list[float] = []

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += max(seconds, 0.0)
        await asyncio.sleep(0)
