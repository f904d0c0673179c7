"""The streams as data, and `ensure`, which makes the server's streams equal to it or says which field is not.

The log has neither timers nor TTL: switching schedules on forces roll-up and purge on with them, and then a key that
may only write its own subjects could erase it. With them off, and delete and purge denied, the server refuses.
"""

from typing import Final

import msgspec
from msgspec import Struct

from bus.connection import Connection
from bus.errors import NoStream, ServerRefused, TopologyDrift

DAY: Final = 86_400_000_000_000
"""Nanoseconds, JetStream's unit of time."""
SECOND: Final = 1_000_000_000

STREAM_NOT_FOUND: Final = 10059


class Stream(Struct, frozen=True, kw_only=True):
    """A stream's full configuration, in the server's own field names and units (nanoseconds, bytes)."""

    name: str
    description: str
    subjects: tuple[str, ...]
    storage: str = "file"
    retention: str = "limits"
    discard: str = "old"
    num_replicas: int = 1
    max_age: int = 0
    max_bytes: int = -1
    max_msgs: int = -1
    max_msg_size: int = -1
    max_msgs_per_subject: int = -1
    duplicate_window: int = 120 * SECOND
    allow_direct: bool = True
    allow_atomic: bool = False
    allow_rollup_hdrs: bool = False
    allow_msg_ttl: bool = False
    allow_msg_schedules: bool = False
    subject_delete_marker_ttl: int = 0
    deny_delete: bool = False
    deny_purge: bool = False


LOG: Final = Stream(
    name="RIG",
    description="the events: every fact and every decision, for ever",
    subjects=("rig.>",),
    allow_atomic=True,
    deny_delete=True,
    deny_purge=True,
)
RUNS: Final = Stream(
    name="RIG_RUNS",
    description="output of agent runs",
    subjects=("run.>",),
    max_age=14 * DAY,
    max_bytes=4 * 1024**3,
    deny_delete=True,
    deny_purge=True,
)
PRESENCE: Final = Stream(
    name="RIG_PRESENCE",
    description="the last heartbeat of each agent, expiring by itself",
    subjects=("presence.>",),
    max_msgs_per_subject=1,
    allow_msg_ttl=True,
    allow_rollup_hdrs=True,  # the server switches it on with delete markers
    subject_delete_marker_ttl=60 * SECOND,
)
CONDUCTOR_TIMERS: Final = Stream(
    name="RIG_TIMERS_CONDUCTOR",
    description="deadlines of the conductor, waiting to fire",
    subjects=("timer.conductor.>",),
    allow_msg_schedules=True,
    allow_msg_ttl=True,
    allow_rollup_hdrs=True,  # the server switches it on with schedules
)
DEAD: Final = Stream(
    name="RIG_DEAD",
    description="what could not be handled, with the reason",
    subjects=("dead.>",),
    max_age=90 * DAY,
    max_bytes=1024**3,
)
STREAMS: Final = (LOG, RUNS, PRESENCE, CONDUCTOR_TIMERS, DEAD)


class _Info(Struct):
    config: dict[str, object]


async def ensure(connection: Connection) -> None:
    """Creates what is missing and verifies the rest, field by field.

    Raises TopologyDrift naming every field that differs: a stream is never changed behind its owner's back.
    """
    problems: list[str] = []
    for stream in STREAMS:
        try:
            answer = await connection.api(f"$JS.API.STREAM.INFO.{stream.name}")
        except ServerRefused as error:
            if error.code != STREAM_NOT_FOUND:
                raise
            answer = await connection.api(f"$JS.API.STREAM.CREATE.{stream.name}", stream)
        problems += _differences(stream, msgspec.json.decode(answer, type=_Info).config)
    if problems:
        raise TopologyDrift("the server's streams differ from what Rig needs: " + "; ".join(problems))


async def verify(connection: Connection, stream: Stream = LOG) -> None:
    """Refuses a stream that is not as it must be. Raises TopologyDrift, NoStream when it does not exist yet."""
    try:
        answer = await connection.api(f"$JS.API.STREAM.INFO.{stream.name}")
    except ServerRefused as error:
        if error.code != STREAM_NOT_FOUND:
            raise
        raise NoStream(f"the server has no stream {stream.name}; `rig up` creates it") from None
    problems = _differences(stream, msgspec.json.decode(answer, type=_Info).config)
    if problems:
        raise TopologyDrift("; ".join(problems))


def _differences(wanted: Stream, found: dict[str, object]) -> list[str]:
    problems: list[str] = []
    for field, want in msgspec.to_builtins(wanted).items():
        have = found.get(field, _absent(want))
        if _plain(have) != _plain(want):
            problems.append(f"{wanted.name}.{field} is {have!r} and must be {want!r}")
    if found.get("persist_mode", "") not in ("", "default"):
        problems.append(f"{wanted.name}.persist_mode is {found['persist_mode']!r}, which gives up durability")
    return problems


def _plain(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _absent(want: object) -> object:
    """What a field that the server leaves out stands for."""
    if isinstance(want, bool):
        return False
    return 0 if isinstance(want, int) else ""
