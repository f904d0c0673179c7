"""What GitHub says that it delivered: the log of an App's webhook, or of the webhooks of single repositories.

It keeps three days, newest first. A delivery that is made again is another entry with the same guid. What was answered
to it is written down, too, and not believed here: who answered need not have been us.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from bridges.github.api import GitHub, Priority
from bridges.github.errors import Forbidden, NotFound, Unauthorized
from bridges.github.receive import EVENT, KEPT, PATH
from schemas import RepoRef
from schemas.queries import DeliveryLog

__all__ = ["Entry", "Hook", "Log", "Unreadable", "entries", "hooks", "log_of_app", "logs_of_hooks", "whole"]

ENTRIES_MAX: Final = 50_000
"""Of one log, at one reading."""


class Entry(Struct, frozen=True, kw_only=True):
    """One delivery, as it is listed."""

    id: int
    guid: str
    delivered_at: datetime
    repository_id: int | None = None
    status_code: int = 0
    event: str = ""


class _Request(Struct, frozen=True):
    headers: dict[str, str] | None = None
    payload: dict[str, object] | None = None


class _Whole(Struct, frozen=True):
    request: _Request


class _Config(Struct, frozen=True):
    url: str = ""
    content_type: str = ""


class Hook(Struct, frozen=True):
    """A webhook of a repository."""

    id: int
    active: bool = True
    events: tuple[str, ...] = ()
    config: _Config = _Config()

    @property
    def ours(self) -> bool:
        """Whether it leads to a bridge."""
        return urlsplit(self.config.url).path.rstrip("/").endswith(PATH)


class Log(Struct, frozen=True):
    """Where one log is read."""

    kind: DeliveryLog
    path: str
    repository: RepoRef | None = None
    """Whose it is; None: it is the App's, of all repositories."""
    hook: int = 0

    @classmethod
    def of_hook(cls, repository: RepoRef, hook: Hook) -> "Log":
        """Of one webhook of a repository."""
        return cls(DeliveryLog.HOOKS, "/repos/{owner}/{repo}/hooks/{hook}/deliveries", repository, hook.id)


class Unreadable(Exception):
    """There is no such log, or none for us to see; the message says why."""


def log_of_app() -> Log:
    """The App's."""
    return Log(DeliveryLog.APP, "/app/hook/deliveries")


async def logs_of_hooks(github: GitHub, repository: RepoRef) -> list[Log]:
    """Of those webhooks of a repository that lead to a bridge. Raises Unreadable, ApiError."""
    try:
        ours = [hook for hook in await hooks(github, repository) if hook.ours]
    except (NotFound, Forbidden) as error:
        raise Unreadable(f"its webhooks are not for us to see: {error}") from None
    if not ours:
        raise Unreadable(f"none of its webhooks leads to …{PATH}")
    return [Log.of_hook(repository, hook) for hook in ours]


async def hooks(github: GitHub, repository: RepoRef) -> list[Hook]:
    """All webhooks of a repository. Raises ApiError."""
    found = github.pages("/repos/{owner}/{repo}/hooks", Hook, repository=repository, priority=Priority.LOW)
    return [hook async for hook in found]


async def entries(github: GitHub, log: Log, since: datetime) -> AsyncGenerator[Entry]:
    """What was delivered since then, newest first. Raises Unreadable, ApiError."""
    count = 0
    listed = github.pages(log.path, Entry, repository=log.repository, priority=Priority.LOW, hook=log.hook)
    try:
        async with aclosing(listed):
            async for entry in listed:
                if entry.delivered_at < since:
                    return
                count += 1
                if count > ENTRIES_MAX:
                    raise Unreadable(f"more than {ENTRIES_MAX} deliveries since {since:%F %T} UTC")
                yield entry
    except (NotFound, Forbidden, Unauthorized) as error:
        raise Unreadable(f"the log of deliveries is not for us to see: {error}") from None


async def whole(github: GitHub, log: Log, entry: Entry) -> tuple[dict[str, str], bytes]:
    """The headers, as the inbox keeps them, and the body; its bytes may be others, since the log tells what they mean.

    Raises ApiError; Unreadable where they are not kept.
    """
    path, low = f"{log.path}/{{id}}", Priority.LOW
    found = await github.get(path, _Whole, repository=log.repository, priority=low, hook=log.hook, id=entry.id)
    said = {name.lower(): value for name, value in (found.request.headers or {}).items()}
    headers = {name: said[name.lower()] for name in KEPT if name.lower() in said}
    if found.request.payload is None or EVENT not in headers:
        raise Unreadable(f"GitHub has not kept what it delivered as {entry.guid}")
    return headers, msgspec.json.encode(found.request.payload)
