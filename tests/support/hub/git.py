"""Repositories on disk, as git has them, served over smart HTTP by `git http-backend`."""

import asyncio
import base64
import os
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

__all__ = ["GitFailed", "Repository", "backend"]

_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Hub",
    "GIT_AUTHOR_EMAIL": "hub@example.invalid",
    "GIT_COMMITTER_NAME": "Hub",
    "GIT_COMMITTER_EMAIL": "hub@example.invalid",
}


class GitFailed(AssertionError):
    """A git command failed, in a repository of a test."""


class Repository:
    """One bare repository."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def create(self) -> None:
        self.path.mkdir(parents=True)
        await self.git("init", "--quiet", "--bare", "--initial-branch=main")
        await self.git("config", "http.receivepack", "true")

    async def git(self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        """What a command says, without the last line's end. Raises GitFailed."""
        return (await self.raw(*arguments, stdin=stdin, env=env)).decode().rstrip("\n")

    async def raw(self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
        """Exactly what it says."""
        code, out, error = await self.attempt(*arguments, stdin=stdin, env=env)
        if code != 0:
            raise GitFailed(f"git {' '.join(arguments)}: {error}")
        return out

    async def attempt(
        self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, str]:
        """The exit code of a command, what it says, and what it complains of."""
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            cwd=self.path,
            env={**os.environ, **_ENVIRONMENT, **(env or {})},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await process.communicate(stdin)
        assert process.returncode is not None
        return process.returncode, out, error.decode(errors="replace")

    async def has(self, commit: str) -> bool:
        return (await self.attempt("cat-file", "-e", commit))[0] == 0

    async def branches(self) -> dict[str, str]:
        """Name → head."""
        listed = await self.git("for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads")
        return dict(line.split(" ") for line in listed.splitlines())


async def backend(request: web.Request, repository: Repository, tail: str) -> web.Response:
    """One call of git's smart HTTP, as CGI (git-http-backend(1))."""
    body = await request.read()
    process = await asyncio.create_subprocess_exec(
        "git",
        "http-backend",
        env={
            **os.environ,
            **_ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(repository.path),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": tail,
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": "",
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "hub",
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(body)
    head, _, content = out.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
    return web.Response(status=int(headers.pop("Status", "200").split()[0]), body=content, headers=headers)


def password(request: web.Request) -> str | None:
    """Of Basic authentication: at GitHub the token."""
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    return base64.b64decode(text).decode().partition(":")[2]
