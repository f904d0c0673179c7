"""A TCP proxy in front of a nats-server that loses acknowledgements: stored, confirmed, and never heard of.

It reads the client protocol from the server's side, frame by frame, and leaves out acknowledgements of publishing as
its dice say. Everything else passes. When the server is away, so is the proxy: clients are cut off and come again.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from random import Random
from urllib.parse import urlsplit, urlunsplit

ACKNOWLEDGEMENT = re.compile(rb'\{"stream":"RIG(?:_INBOX)?", ?"seq":')


class Proxy:
    """`url` is the server's, through the proxy."""

    def __init__(self, server_url: str, *, lose: float, seed: int) -> None:
        self._server = urlsplit(server_url)
        self._lose = lose
        self._random = Random(seed)  # noqa: S311 - dice, no secret
        self.url = ""
        self.shut = False
        """While it is, clients are turned away at once."""
        self.lost = 0
        """Acknowledgements that were swallowed."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection."""
        to_server: asyncio.StreamWriter | None = None
        passing: set[asyncio.Task[None]] = set()
        try:
            if self.shut:
                return
            from_server, to_server = await asyncio.open_connection(self._server.hostname, self._server.port)
            passing.add(asyncio.create_task(_pass_on(reader, to_server)))
            passing.add(asyncio.create_task(self._pass_back(from_server, writer)))
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in passing:
                task.cancel()
            await asyncio.gather(*passing, return_exceptions=True)
            for end in (to_server, writer):
                if end is not None:
                    end.close()

    async def _pass_back(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while line := await server.readline():
            frame = line
            if line.startswith((b"MSG ", b"HMSG ")):
                frame += await server.readexactly(int(line.split()[-1]) + 2)
                if ACKNOWLEDGEMENT.search(frame) and self._random.random() < self._lose:
                    self.lost += 1
                    continue
            client.write(frame)
            await client.drain()


async def _pass_on(client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
    while data := await client.read(65_536):
        server.write(data)
        await server.drain()


@asynccontextmanager
async def losing_proxy(server_url: str, *, lose: float, seed: int) -> AsyncGenerator[Proxy]:
    """A proxy that loses this share of the acknowledgements, from 0 to 1."""
    proxy = Proxy(server_url, lose=lose, seed=seed)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def serving() -> None:
            with suppress(OSError, asyncio.IncompleteReadError):
                await proxy.serve(reader, writer)

        task = asyncio.create_task(serving())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 20)
    port = listener.sockets[0].getsockname()[1]
    user, _, _ = urlsplit(server_url).netloc.rpartition("@")
    where = f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}"
    proxy.url = urlunsplit(urlsplit(server_url)._replace(netloc=where))
    try:
        yield proxy
    finally:
        listener.close()
        while tasks:
            await asyncio.sleep(0)  # one that has not begun yet would leave its connection open
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()
