"""The servers of tools that one agent uses, over all its wakes.

A program takes seconds to start, and holds what it has learnt: it is started when a wake first wants it, serves those
that come after, and several at once. It ends with the agent, or at the first wake that wants it otherwise than its
character said before. A server at a URL is nobody's to keep, and may forget a session that is not used: each wake
connects to it by itself.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

import msgspec

from agents.tools.config import Egress, McpServer
from agents.tools.mcp import Server
from agents.tools.secrets import Secrets

__all__ = ["Servers"]


class Servers:
    """Of one agent."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._programs: dict[bytes, Server] = {}
        """By their name and all that their character says of them."""
        self._users = Counter[bytes]()
        self._wanted: frozenset[bytes] = frozenset()
        """By who came last."""

    @classmethod
    @asynccontextmanager
    async def opened(cls, secrets: Secrets) -> AsyncGenerator[Self]:
        """They run until the block ends."""
        servers = cls(secrets)
        try:
            yield servers
        finally:
            await asyncio.gather(*(program.stopped() for program in servers._programs.values()))

    @asynccontextmanager
    async def of(self, configs: Mapping[str, McpServer], egress: Egress) -> AsyncGenerator[tuple[Server, ...]]:
        """What a character names, for one wake; one that does not start is without tools, and that is logged."""
        found: list[Server] = []
        async with AsyncExitStack() as stack:
            wanted: list[bytes] = []
            for name, config in configs.items():
                server = Server(name, config, egress, self._secrets)
                if config.command is not None:
                    key = msgspec.json.encode((name, config))
                    server = self._programs.setdefault(key, server)
                    wanted.append(key)
                else:
                    stack.push_async_callback(server.stopped)
                found.append(server)
            self._wanted = frozenset(wanted)
            self._users.update(wanted)
            try:
                await self._without_the_unwanted()
                await asyncio.gather(*(server.started() for server in found))
                yield tuple(found)
            finally:
                self._users.subtract(wanted)
                await self._without_the_unwanted()

    async def _without_the_unwanted(self) -> None:
        old = [key for key in self._programs if key not in self._wanted and not self._users[key]]
        await asyncio.gather(*(self._programs.pop(key).stopped() for key in old))
