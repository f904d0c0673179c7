"""Questions to a server, and what came back: to hold the server in memory against the real one."""

# ruff: noqa: ASYNC110 - what is waited for is a fact on a server, and no event tells

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import groupby
from typing import Any, NamedTuple

from bus.connection import Connection, Message
from bus.errors import Unavailable
from bus.testing.consumer import ConsumerConfig
from bus.testing.stream import Config
from bus.topology import Stream

VARIES = {"created", "ts", "time", "first_ts", "last_ts", "id", "timestamp", "last_active", "metadata", "cluster"}
UNTOLD = {
    "total",
    "offset",
    "limit",
    "sources",
    "ack_floor",
    "num_redelivered",
}  # said by the real server, read by nobody
KNOWN = {*Config.__struct_fields__, *ConsumerConfig.__struct_fields__, "type", "error", "stream", "seq"}


class Wire:
    """Asks, and writes down what was asked and what came back, without what differs from run to run."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.transcript: list[str] = []

    async def ask(self, subject: str, body: Any = b"", **headers: Any) -> Message | None:
        data = (
            body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        )
        named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
        note = f"{subject} {data.decode()[:200]} {named if 'Nats-Schedule' not in named else ''}"
        try:
            message = await self.connection.request_message(subject, data, headers=named or None, timeout_seconds=60)
        except Unavailable as error:
            self.transcript.append(f"{note} → {error}")
            return None
        self.transcript.append(f"{note} → {shown(message, self.connection)}")
        return message

    async def hear(self, subject: str) -> list[Message]:
        """What is said on a subject from now on; `heard` writes it down."""
        found: list[Message] = []
        await self.connection.subscribe(subject, found.append)
        await self.connection.check()
        return found

    async def heard(self, found: list[Message], until: int | str) -> list[Message]:
        """Waits for so many messages, or for a status, and writes them down; heartbeats one behind the other once."""

        def enough() -> bool:
            if isinstance(until, int):
                return len(found) >= until
            return any((m.headers or {}).get("Status") in until.split("|") for m in found)

        while not enough():
            await asyncio.sleep(0.01)
        for beats, messages in groupby(found, lambda message: (message.headers or {}).get("Status") == "100"):
            lines = [f"heard {shown(message, self.connection)}" for message in messages]
            self.transcript += lines[:1] if beats else lines  # how many beats come depends on the machine
        return found

    async def many(self, subject: str, body: dict[str, Any], until: int | str = "204|404|408") -> list[Message]:
        """One request, many answers."""
        self.transcript.append(f"{subject} {json.dumps(body)[:200]}")
        inbox = self.connection.inbox()
        found = await self.hear(inbox)
        await self.connection.publish(subject, json.dumps(body).encode(), reply=inbox)
        return await self.heard(found, until)

    async def create(self, stream: Stream | dict[str, Any]) -> None:
        name = stream.name if isinstance(stream, Stream) else stream["name"]
        await self.connection.api(f"$JS.API.STREAM.CREATE.{name}", stream)


def shown(message: Message, connection: Connection) -> str:
    headers = {getattr(name, "value", name): value for name, value in (message.headers or {}).items()}
    for name in ("Nats-Time-Stamp", "Nats-Stream-Source", "Nats-Schedule"):
        if name in headers:
            headers[name] = "…"
    if headers.get("Status") in ("400", "503"):
        headers = {"Status": headers["Status"]}
    reply = message.reply.split(".")
    if len(reply) == 9:
        reply[7] = "…"
    subject = "inbox" if message.subject.startswith("_INBOX") else message.subject
    try:
        body = json.loads(message.data) if message.data.startswith(b"{") else message.data.decode()
    except ValueError:
        body = message.data.decode()
    if isinstance(body, dict) and body.get("error", {}).get("err_code") == 10025:
        body["error"]["description"] = "invalid JSON"
    return f"{subject} {'.'.join(reply)} {sorted(headers.items())} {plain(body)}"


def plain(value: Any, *, config: bool = False) -> Any:
    """Without what varies, and without what is nothing: the real server leaves some of that out and some not."""
    if not isinstance(value, dict):
        return [plain(item) for item in value] if isinstance(value, list) else value
    return {
        key: plain(item, config=key == "config")
        for key, item in sorted(value.items())
        if key not in VARIES | UNTOLD
        and item not in (None, False, 0, "", [], -1, {})
        and (not config or (key in KNOWN and item not in ("limits", "old", "file")))
    }


Script = Callable[[Wire], Awaitable[None]]


class Compared(NamedTuple):
    """What a script heard."""

    transcript: list[str]
    """From the real server."""
    differ: str
    """Where the other server answered otherwise."""


Compare = Callable[[Script], Awaitable[Compared]]
