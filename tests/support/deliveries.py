"""Deliveries as GitHub makes them: bodies, signatures, headers; and a way to send them that can also send rubbish."""

import asyncio
import hmac
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from msgspec import Struct, json

SECRET = b"a secret between GitHub and us"


class Answer(Struct, frozen=True):
    """0 when the connection ended without one."""

    status: int
    headers: dict[str, str]
    body: bytes


def delivery_id() -> str:
    """A new one."""
    return str(uuid.uuid4())


def signature(body: bytes, secret: bytes = SECRET) -> str:
    """As `X-Hub-Signature-256` says it."""
    return f"sha256={hmac.digest(secret, body, 'sha256').hex()}"


def headers_of(body: bytes, delivery: str, *, event: str = "issues", secret: bytes = SECRET) -> dict[str, str]:
    """What GitHub says with a body."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/044aadd",
        "X-GitHub-Delivery": delivery,
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": "292430182",
        "X-Hub-Signature-256": signature(body, secret),
    }


async def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str | None],
    *,
    method: str = "POST",
    path: str | None = None,
    chunks: Sequence[bytes] | None = None,
    length: int | None = None,
) -> Answer:
    """One request over a connection of its own. `chunks`: chunked, these; `length`: what Content-Length says."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        said = {name: value for name, value in headers.items() if value is not None}
        framing = {"Transfer-Encoding": "chunked"} if chunks is not None else {"Content-Length": length or len(body)}
        lines = [f"{method} {path or parts.path} HTTP/1.1", f"Host: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in {**said, **framing}.items()]
        sending = asyncio.create_task(_send(writer, "\r\n".join([*lines, "", ""]).encode("latin-1"), body, chunks))
        answer = await _answer(reader)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        return answer
    finally:
        writer.close()


async def _send(writer: asyncio.StreamWriter, head: bytes, body: bytes, chunks: Sequence[bytes] | None) -> None:
    with suppress(ConnectionError):
        writer.write(head)
        if chunks is None:
            writer.write(body)
            await writer.drain()
            return
        for chunk in chunks:
            writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            await writer.drain()
        writer.write(b"0\r\n\r\n")


async def _answer(reader: asyncio.StreamReader) -> Answer:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        body = await reader.readexactly(int(headers["content-length"]))
    except (asyncio.IncompleteReadError, ConnectionError):
        return Answer(0, {}, b"")
    return Answer(int(head[0].split()[1]), headers, body)


def redelivered(answer: Answer) -> bool:
    """Whether the answer says that it was stored before."""
    return json.decode(answer.body)["stored"] is False
