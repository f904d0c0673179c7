"""What travels in memory: a subject, a body, headers, and where an answer goes."""

from collections.abc import Mapping
from typing import TypeAlias, TypeVar

import msgspec
from msgspec import Struct

__all__ = ["Json", "Packet", "encoded", "json", "read"]

Json: TypeAlias = dict[str, object]
Asked = TypeVar("Asked", bound=Struct)


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


def read(packet: Packet, kind: type[Asked]) -> Asked:
    """A JSON body as this; an empty one asks for nothing in particular."""
    return msgspec.json.decode(packet.data or b"{}", type=kind)
