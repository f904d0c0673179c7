"""Repositories over smart HTTP, for those alone who show a password; and what was shown."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.support.hub.git import Repository, backend, password


class GitHttp:
    """A server of git repositories; each password in `passwords` opens all of them."""

    def __init__(self, repositories: dict[str, Repository]) -> None:
        self.url = ""
        self.passwords: set[str] = set()
        self.shown: list[str | None] = []
        """The password of each request."""
        self._repositories = repositories

    async def answer(self, request: web.Request) -> web.Response:
        shown = password(request)
        self.shown.append(shown)
        if shown not in self.passwords:
            # Git prints what a 403 says, and so what was shown comes back.
            told = f"Not for {request.headers.get('Authorization')} {shown}\n"
            status, who = (401 if shown is None else 403), {"WWW-Authenticate": 'Basic realm="git"'}
            return web.Response(status=status, text=told, headers=who)
        name, _, tail = request.path.strip("/").partition(".git/")
        return await backend(request, self._repositories[name], f"/{tail}")


@asynccontextmanager
async def git_http(**repositories: Repository) -> AsyncGenerator[GitHttp]:
    """A server on a port of its own: `<url>/<name>.git`."""
    server = GitHttp(repositories)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()
