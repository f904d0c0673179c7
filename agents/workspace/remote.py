"""Where git fetches a repository from and pushes it to, and what lets it in there.

What lets it in is asked for before each fetch and each push, and given to that one command by its environment: it is on
no command line, in no file, not in the environment of anything else, and least of all of a coder. The URL of a remote
behind a login, and what was sent to it, are left out of whatever is told of a failure.
"""

import base64
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from schemas.queries import GitCredential

__all__ = ["Access", "Remote", "WorkspaceFailed"]

_URL = re.compile(r"https?://[^\s'\"]+")


class WorkspaceFailed(Exception):
    """A repository could not be read, checked out or written: the machine's failure, not the work's."""


Access: TypeAlias = Callable[[], Awaitable[GitCredential]]
"""Asks for what lets git in. Raises WorkspaceFailed."""


class Remote:
    """One repository's remote, for one checkout of it. Without `access` git gets there by itself, if at all."""

    def __init__(self, url: str, access: Access | None = None) -> None:
        self.url = url
        self._access = access
        self._secrets: set[str] = set()

    async def settings(self) -> Mapping[str, str]:
        """Git's configuration for one command. Raises WorkspaceFailed."""
        if self._access is None:
            return {}
        login = await self._access()
        basic = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
        self._secrets |= {login.password, basic}
        return {f"http.{login.url}.extraHeader": f"Authorization: Basic {basic}"}

    def told(self, text: str) -> str:
        """What may be told of a failure: of a path all of it, of a URL nothing that it may hold."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return _URL.sub("the remote", text) if _URL.match(self.url) else text
