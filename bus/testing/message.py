"""What travels in memory: a subject, a body, headers, and where an answer goes."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

__all__ = ["Packet", "encoded", "json"]


class Packet(Struct):
    """One message on a wire; a `bus.connection.Message`."""

    subject: str
    data: bytes = b""
    reply: str = ""
    headers: dict[str, str] | None = None


def encoded(headers: Mapping[str, str] | None) -> dict[str, str] | None:
    """Headers as they come out of the wire: each one line, without the space around it."""
    if not headers:
        return None
    return {name.strip(): " ".join(value.strip().splitlines()) for name, value in headers.items()}


def json(value: object) -> bytes:
    """A JSON body."""
    return msgspec.json.encode(value)
