"""What the server has, compared field by field with what must be: for a role that starts, and for `ensure`.

Nothing is changed here. A field of which the server says nothing is false, zero or empty.
"""

from typing import Final, cast

import msgspec
from msgspec import Struct

from bus.connection import Connection
from bus.errors import NoDurable, NoStream, ServerRefused, TopologyDrift
from bus.topology import LOG, SECOND, Durable, Stream

STREAM_NOT_FOUND: Final = 10059
CONSUMER_NOT_FOUND: Final = 10014
_FOREIGN: Final = ("mirror", "no_ack", "persist_mode", "sealed", "subject_transform")
"""Fields that no stream of ours has. Besides these, whatever is allowed on a stream must be allowed by us."""
_NO_PROMISE: Final = frozenset({"description", "num_replicas"})
"""What no role relies on: `ensure` sees to it."""
PATIENCE: Final = frozenset({"ack_wait", "max_ack_pending"})
"""How patient a durable is, not what it delivers: `ensure` brings it in line, a role takes it as it is."""
_NEVER: Final = (
    "deliver_subject",
    "filter_subjects",
    "backoff",
    "headers_only",
    "inactive_threshold",
    "max_batch",
    "max_bytes",
    "max_expires",
    "mem_storage",
    "pause_until",
    "priority_policy",
    "rate_limit_bps",
)
"""Fields of a consumer that no durable of ours has: each would change what is delivered, or let it vanish."""


class Difference(Struct, frozen=True):
    """One field that is not as it must be; None stands for false, zero and empty."""

    where: str
    field: str
    found: object
    wanted: object

    def __str__(self) -> str:
        return f"{self.where}.{self.field} is {self.found!r} and must be {self.wanted!r}"


class State(Struct, frozen=True):
    """What a stream holds."""

    last_seq: int = 0


class Info(Struct):
    """Of the server's answer about a stream or a consumer, what we read."""

    config: dict[str, object]
    created: str = ""
    state: State = State()


class Found(Struct, frozen=True):
    """A durable as the server has it."""

    stream_created: str
    """When its stream was made: another time is another stream."""
    ack_wait_seconds: float


async def verify(connection: Connection, stream: Stream = LOG) -> Info:
    """The stream, refused if it is not as it must be. Raises TopologyDrift, NoStream when it does not exist yet."""
    info = await stream_info(connection, stream.name)
    if info is None:
        raise NoStream(f"the server has no stream {stream.name}; `rig up` creates it")
    wrong = [one for one in differences(stream, info.config) if one.field not in _NO_PROMISE]
    if wrong:
        raise TopologyDrift(f"{'; '.join(map(str, wrong))}: `rig up` mends it, or says why it cannot")
    return info


async def find_durable(connection: Connection, durable: Durable) -> Found:
    """The durable, for who is about to consume. Raises NoStream, NoDurable, TopologyDrift, or Unavailable."""
    stream = await stream_info(connection, durable.stream.name)
    if stream is None:
        raise NoStream(f"the server has no stream {durable.stream.name}; `rig up` creates it")
    info = await durable_info(connection, durable)
    if info is None:
        raise NoDurable(f"{durable.stream.name} has no durable consumer {durable.name}; `rig up` creates it")
    wrong = [one for one in durable_differences(durable, info.config) if one.field not in PATIENCE]
    if wrong:
        raise TopologyDrift("; ".join(map(str, wrong)))
    patience = info.config.get("ack_wait")
    return Found(stream.created, patience / SECOND if isinstance(patience, int) else durable.ack_wait_seconds)


async def stream_info(connection: Connection, name: str) -> Info | None:
    """None when there is none."""
    return await _info(connection, f"$JS.API.STREAM.INFO.{name}", STREAM_NOT_FOUND)


async def durable_info(connection: Connection, durable: Durable) -> Info | None:
    """None when there is none."""
    return await _info(connection, f"$JS.API.CONSUMER.INFO.{durable.stream.name}.{durable.name}", CONSUMER_NOT_FOUND)


def differences(wanted: Stream, config: dict[str, object]) -> list[Difference]:
    """Every field of a stream that is not as it must be."""
    have, want = _said(config), _said(msgspec.to_builtins(wanted))
    strange = [field for field in have if field not in want and (field in _FOREIGN or field.startswith("allow_"))]
    return [
        Difference(wanted.name, field, have.get(field), want.get(field))
        for field in dict.fromkeys((*wanted.__struct_fields__, *strange))
        if have.get(field) != want.get(field) and (field, have.get(field)) != ("persist_mode", "default")
    ]


def durable_differences(wanted: Durable, config: dict[str, object]) -> list[Difference]:
    """Every field of a durable that is not as it must be."""
    have, want = _said(config), _said(wanted.config())
    where = f"{wanted.stream.name}.{wanted.name}"
    return [
        Difference(where, field, have.get(field), want.get(field))
        for field in (*want, *_NEVER)
        if have.get(field) != want.get(field)
    ]


async def _info(connection: Connection, subject: str, not_found: int) -> Info | None:
    try:
        return msgspec.json.decode(await connection.api(subject), type=Info)
    except ServerRefused as error:
        if error.code in (not_found, STREAM_NOT_FOUND):
            return None
        raise


def _said(config: dict[str, object]) -> dict[str, object]:
    """What differs from nothing, in plain values: the server leaves fields out that are false, zero or empty."""
    return {key: _plain(value) for key, value in config.items() if value not in (None, False, 0, "", (), [], {})}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return _said(cast("dict[str, object]", value))
    return [_plain(item) for item in cast("list[object]", value)] if isinstance(value, list | tuple) else value
