"""The streams as data, and `ensure`, which makes the server's streams equal to it or says which field is not.

The log has neither timers nor TTL: switching schedules on forces roll-up and purge on with them, and then a key that
may only write its own subjects could erase it. With them off, and delete and purge denied, the server refuses.
"""

from typing import Final, cast

import msgspec
from msgspec import Struct

from bus.connection import Connection
from bus.errors import NoDurable, NoStream, ServerRefused, TopologyDrift
from schemas import Actor, assignments_of

DAY: Final = 86_400_000_000_000
"""Nanoseconds, JetStream's unit of time."""
SECOND: Final = 1_000_000_000

STREAM_NOT_FOUND: Final = 10059
CONSUMER_NOT_FOUND: Final = 10014


class Republish(Struct, frozen=True):
    """What the server says again to plain subscribers, once it is stored, with its place in the stream."""

    src: str
    dest: str


class Source(Struct, frozen=True):
    """A stream whose messages the server copies into another."""

    name: str


class Stream(Struct, frozen=True, kw_only=True):
    """A stream's full configuration, in the server's own field names and units (nanoseconds, bytes)."""

    name: str
    description: str
    subjects: tuple[str, ...] = ()
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
    republish: Republish | None = None
    sources: tuple[Source, ...] | None = None


STORED: Final = "stored"
"""First token of the subjects on which the server says again what it has stored; no key may publish there."""

LOG: Final = Stream(
    name="RIG",
    description="the events: every fact and every decision, for ever",
    subjects=("rig.>",),
    allow_atomic=True,
    deny_delete=True,
    deny_purge=True,
    republish=Republish("rig.>", f"{STORED}.rig.>"),
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
BEATS: Final = Stream(
    name="RIG_BEATS",
    description="the last heartbeat of each agent, as it is said",
    subjects=("presence.>",),
    max_msgs_per_subject=1,
    allow_msg_ttl=True,
    deny_delete=True,
    deny_purge=True,
)
PRESENCE: Final = Stream(
    # Delete markers force roll-up on, and roll-up erases: so nobody writes here but the server, from RIG_BEATS.
    name="RIG_PRESENCE",
    description="the last heartbeat of each agent, expiring by itself, with a marker when it has",
    sources=(Source(BEATS.name),),
    max_msgs_per_subject=1,
    allow_msg_ttl=True,
    allow_rollup_hdrs=True,
    subject_delete_marker_ttl=60 * SECOND,
    deny_delete=True,
    republish=Republish("presence.>", f"{STORED}.presence.>"),
)
CONDUCTOR_TIMERS: Final = Stream(
    name="RIG_TIMERS_CONDUCTOR",
    description="deadlines of the conductor, waiting to fire",
    subjects=("timer.conductor.>",),
    allow_msg_schedules=True,
    allow_msg_ttl=True,
    allow_rollup_hdrs=True,  # the server switches it on with schedules
)
LEASES: Final = Stream(
    name="RIG_LEASES",
    description="who holds what, for how long: the last word per lease, expiring by itself",
    subjects=("lease.>",),
    max_msgs_per_subject=1,
    allow_msg_ttl=True,
    deny_delete=True,
    deny_purge=True,
)
OBJECTS: Final = Stream(
    name="RIG_OBJECTS",
    description="archives of sessions, in chunks",
    subjects=("object.>",),
    allow_atomic=True,
    max_age=30 * DAY,
    max_bytes=8 * 1024**3,
    deny_delete=True,
    deny_purge=True,
)
DEAD: Final = Stream(
    name="RIG_DEAD",
    description="what could not be handled, with the reason",
    subjects=(
        "dead.>",
        # What consumers that count deliveries themselves give up; the server says so and nothing else does.
        "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.*.*",
        "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.*.*",
    ),
    max_age=90 * DAY,
    max_bytes=1024**3,
    deny_delete=True,
    deny_purge=True,
)
STREAMS: Final = (LOG, RUNS, BEATS, PRESENCE, CONDUCTOR_TIMERS, LEASES, OBJECTS, DEAD)


class Durable(Struct, frozen=True, kw_only=True):
    """A durable consumer: replicas of one role share it. It begins at the first message ever stored."""

    stream: Stream
    name: str
    filter: str
    ack_wait_seconds: float = 30.0
    """How long a message may go without a sign of life before another replica gets it."""
    max_ack_pending: int = 10_000
    """What all replicas together may hold; the server's own default starves the third that prefetches."""

    @property
    def retries(self) -> "Durable":
        """Where its dead letters come back; a consumer of this durable takes from that one too."""
        return Durable(
            stream=DEAD,
            name=f"{self.stream.name}-{self.name}",
            filter=f"dead.retry.{self.stream.name}.{self.name}",
            ack_wait_seconds=self.ack_wait_seconds,
        )

    def config(self) -> dict[str, object]:
        """Its full configuration, in the server's words and units."""
        return {
            "durable_name": self.name,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": int(self.ack_wait_seconds * SECOND),
            "max_deliver": -1,
            "max_ack_pending": self.max_ack_pending,
            "filter_subject": self.filter,
            "replay_policy": "instant",
        }


AGENTS: Final = (Actor.DEV_E, Actor.REVIEW_E)
"""The roles that take assignments."""
FIRED: Final = Durable(stream=CONDUCTOR_TIMERS, name="conductor", filter="timer.conductor.fired.>", ack_wait_seconds=10)
WORK: Final = {role: Durable(stream=LOG, name=role.value, filter=assignments_of(role)) for role in AGENTS}
DURABLES: Final = tuple(made for durable in (FIRED, *WORK.values()) for made in (durable, durable.retries))
"""Created by `ensure` alone: who may create a consumer may point it anywhere."""
_PATIENCE: Final = frozenset({"ack_wait", "max_ack_pending"})
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


class _Info(Struct):
    config: dict[str, object]
    created: str = ""


class Found(Struct, frozen=True):
    """A durable as the server has it."""

    stream_created: str
    """When its stream was made: another time is another stream."""
    ack_wait_seconds: float


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
    if not problems:
        for durable in DURABLES:
            problems += await _ensure_durable(connection, durable)
    if problems:
        raise TopologyDrift("the server's streams differ from what Rig needs: " + "; ".join(problems))


async def _ensure_durable(connection: Connection, durable: Durable) -> list[str]:
    """Creates it, or brings its patience and its filter in line; whatever else differs is told."""
    where = f"{durable.stream.name}.{durable.name}"
    try:
        answer = await connection.api(f"$JS.API.CONSUMER.INFO.{where}")
    except ServerRefused as error:
        if error.code != CONSUMER_NOT_FOUND:
            raise
        wanting = {"all of it"}
    else:
        wanting = _differing(durable, msgspec.json.decode(answer, type=_Info).config).keys()
        if not wanting <= _PATIENCE | {"filter_subject"}:
            return _told(durable, msgspec.json.decode(answer, type=_Info).config)
    if not wanting:
        return []
    request = {"stream_name": durable.stream.name, "config": durable.config()}
    answer = await connection.api(f"$JS.API.CONSUMER.DURABLE.CREATE.{where}", request)
    return _told(durable, msgspec.json.decode(answer, type=_Info).config)


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


async def find_durable(connection: Connection, durable: Durable) -> Found:
    """The durable, for who is about to consume. Raises NoStream, NoDurable, TopologyDrift, or Unavailable."""
    stream = durable.stream.name
    try:
        made = msgspec.json.decode(await connection.api(f"$JS.API.STREAM.INFO.{stream}"), type=_Info).created
        answer = await connection.api(f"$JS.API.CONSUMER.INFO.{stream}.{durable.name}")
    except ServerRefused as error:
        if error.code == STREAM_NOT_FOUND:
            raise NoStream(f"the server has no stream {stream}; `rig up` creates it") from None
        if error.code == CONSUMER_NOT_FOUND:
            raise NoDurable(f"{stream} has no durable consumer {durable.name}; `rig up` creates it") from None
        raise
    found = msgspec.json.decode(answer, type=_Info).config
    problems = _told(durable, found, besides=_PATIENCE)
    if problems:
        raise TopologyDrift("; ".join(problems))
    patience = found.get("ack_wait")
    return Found(made, patience / SECOND if isinstance(patience, int) else durable.ack_wait_seconds)


def _differing(durable: Durable, found: dict[str, object]) -> dict[str, object]:
    """What must be, of each field that differs."""
    want, have = _said(durable.config()), _said(found)
    return {field: want.get(field) for field in (*want, *_NEVER) if have.get(field) != want.get(field)}


def _told(durable: Durable, found: dict[str, object], *, besides: frozenset[str] = frozenset()) -> list[str]:
    where = f"{durable.stream.name}.{durable.name}"
    return [
        f"{where}.{field} is {found.get(field)!r} and must be {wanted!r}"
        for field, wanted in _differing(durable, found).items()
        if field not in besides
    ]


def _differences(wanted: Stream, found: dict[str, object]) -> list[str]:
    have, want = _said(found), _said(msgspec.to_builtins(wanted))
    problems = [
        f"{wanted.name}.{field} is {have.get(field)!r} and must be {want.get(field)!r}"
        for field in wanted.__struct_fields__
        if have.get(field) != want.get(field)
    ]
    if found.get("persist_mode", "") not in ("", "default"):
        problems.append(f"{wanted.name}.persist_mode is {found['persist_mode']!r}, which gives up durability")
    return problems


def _said(config: dict[str, object]) -> dict[str, object]:
    """What differs from nothing, in plain values: the server leaves fields out that are false, zero or empty."""
    return {key: _plain(value) for key, value in config.items() if value not in (None, False, 0, "", (), [])}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return _said(cast("dict[str, object]", value))
    return [_plain(item) for item in cast("list[object]", value)] if isinstance(value, list | tuple) else value
