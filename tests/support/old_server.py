"""A server that says it is of some version: as much of the client protocol as a look at it takes.

https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager


@asynccontextmanager
async def server_of(version: str, answers: Mapping[str, object], *, max_payload: int = 1 << 20) -> AsyncGenerator[str]:
    """Its URL. It answers requests on the subjects of `answers`, and is silent on all others."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {
            "server_id": "OLD",
            "server_name": "old",
            "version": version,
            "headers": True,
            "max_payload": max_payload,
        }
        writer.write(f"INFO {json.dumps(info)}\r\n".encode())
        listening: dict[str, str] = {}
        while words := (await reader.readline()).decode().split():
            if words[0] == "PING":
                writer.write(b"PONG\r\n")
            elif words[0] == "SUB":
                listening[words[1].removesuffix("*")] = words[-1]
            elif words[0] == "PUB":
                await reader.readexactly(int(words[-1]) + 2)
                if words[1] in answers:
                    body = json.dumps(answers[words[1]])
                    inbox = next(inbox for inbox in listening if words[2].startswith(inbox))
                    writer.write(f"MSG {words[2]} {listening[inbox]} {len(body)}\r\n{body}\r\n".encode())
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"nats://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        await listener.wait_closed()
