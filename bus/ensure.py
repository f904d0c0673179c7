"""Makes the server's streams and durables what they must be: creates, upgrades what an older release made, verifies.

First everything is looked at, and if anything must not be changed, nothing is. What is changed is told, field by field.

    brought in line     limits, description, replicas, what is said again, more subjects, more that is allowed or denied
    made anew           a cache (topology.CACHES) that cannot be brought in line
    refused             whatever else differs: how a stream stores, who feeds it, what was allowed on what it holds
"""

import asyncio
import logging
from typing import Final, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bus import topology
from bus.connection import Connection
from bus.errors import ServerRefused, TopologyDrift, Unavailable, Unsuitable
from bus.topology import CACHES, ONCE_OPEN, Durable, Stream
from bus.verify import PATIENCE, Difference, Info, differences, durable_differences, durable_info, stream_info

log = logging.getLogger(__name__)

SETTLE_SECONDS: Final = 10.0
"""How long a stream may have no leader after its replicas have changed."""
_PAUSE_SECONDS: Final = 0.1
_NO_REPLICAS: Final = frozenset({10005, 10074})
"""No suitable peers; no cluster at all."""
_IN_LINE: Final = frozenset(
    {
        "description",
        "num_replicas",
        "max_age",
        "max_bytes",
        "max_msgs",
        "max_msg_size",
        "max_msgs_per_subject",
        "duplicate_window",
        "republish",
        "subject_delete_marker_ttl",
    }
)
_FOR_EVER: Final = frozenset({"allow_msg_ttl", "allow_msg_schedules", "allow_msg_counter"})
"""What the server never takes back once it is on."""


class _Stream(Struct):
    """A stream as it must be, and as it was found."""

    wanted: Stream
    info: Info | None
    wrong: list[Difference]

    @property
    def name(self) -> str:
        return self.wanted.name

    @property
    def remade(self) -> bool:
        """Whether it is deleted and made anew."""
        return self.name in CACHES and not all(self._amendable(one) for one in self.wrong)

    @property
    def refused(self) -> list[Difference]:
        return [] if self.name in CACHES else [one for one in self.wrong if not self._amendable(one)]

    def _amendable(self, one: Difference) -> bool:
        """Whether the field may be changed where it is, over what the stream holds."""
        if one.field == "subjects":
            return set(cast("list[str]", one.found or [])) <= set(cast("list[str]", one.wanted or []))
        if one.field in ("deny_delete", "deny_purge"):
            untouched = self.info is not None and self.info.state.last_seq == 0
            return one.wanted is True and (untouched or self.name in ONCE_OPEN)
        if one.field.startswith("allow_"):
            return one.wanted is True or one.field not in _FOR_EVER
        return one.field in _IN_LINE


class _Durable(Struct):
    """A durable as it must be, and what is wrong with it; None: it is not there."""

    wanted: Durable
    wrong: list[Difference] | None

    @property
    def refused(self) -> list[Difference]:
        return [one for one in self.wrong or () if one.field not in PATIENCE | {"filter_subject"}]


async def ensure(connection: Connection, *, replicas: int | None = None) -> list[str]:
    """When this returns, everything is there and as it must be. Says what it changed, a line each.

    `replicas`: how many servers keep each stream; None: as many as do, and one where there is nothing yet.
    Raises TopologyDrift with every field that must not be changed, before anything is; Unsuitable when the server
    cannot keep so many replicas. Whatever it raises says what had been changed by then.
    """
    changes: list[str] = []
    try:
        await _ensure(connection, replicas, changes)
    except (TopologyDrift, Unsuitable, Unavailable) as error:
        if not changes:
            raise
        raise type(error)(f"{error} (changed before that: {'; '.join(changes)})") from None
    return changes


async def _ensure(connection: Connection, replicas: int | None, changes: list[str]) -> None:
    streams, durables = await _look(connection, replicas)
    refused = [one for found in (*streams, *durables) for one in found.refused]
    if refused:
        raise TopologyDrift(
            f"the server has what Rig cannot work on: {'; '.join(map(str, refused))}. Nothing was changed, since no"
            " change makes that right over what is stored: save what it holds and delete it with the nats tool, or"
            " take another server or data directory; then `rig up` makes it"
        )

    def changed(what: str) -> None:
        log.info("%s", what)
        changes.append(what)

    for stream in streams:
        if stream.remade:  # first of all: another stream may be about to take over its subjects
            await _ask(connection, f"STREAM.DELETE.{stream.name}", None, stream.name)
            changed(f"{stream.name}, a cache, was deleted to be made anew: {'; '.join(map(str, stream.wrong))}")
    for stream in streams:
        if stream.info is None or stream.remade:
            await _ask(connection, f"STREAM.CREATE.{stream.name}", stream.wanted, stream.name)
            changed(f"{stream.name} was created")
        elif stream.wrong:
            what = f"{stream.name}: {'; '.join(map(_step, stream.wrong))}"
            full = msgspec.to_builtins(stream.wanted)
            config = {**stream.info.config, **{one.field: full.get(one.field) for one in stream.wrong}}
            await _ask(connection, f"STREAM.UPDATE.{stream.name}", config, what)
            changed(what)
        else:
            continue
        await _read_back(connection, stream.wanted)
    for durable in durables:
        if durable.wrong == []:
            continue
        where = f"{durable.wanted.stream.name}.{durable.wanted.name}"
        what = f"{where} was created" if durable.wrong is None else f"{where}: {'; '.join(map(_step, durable.wrong))}"
        request = {"stream_name": durable.wanted.stream.name, "config": durable.wanted.config()}
        answer = await _ask(connection, f"CONSUMER.DURABLE.CREATE.{where}", request, what)
        changed(what)
        _check(durable_differences(durable.wanted, msgspec.json.decode(answer, type=Info).config))


async def _look(connection: Connection, replicas: int | None) -> tuple[list[_Stream], list[_Durable]]:
    found = {stream.name: await stream_info(connection, stream.name) for stream in topology.STREAMS}
    if replicas is None:
        have = [info.config.get("num_replicas") for info in found.values() if info is not None]
        replicas = max((count for count in have if isinstance(count, int)), default=1)
    streams: list[_Stream] = []
    for stream in topology.STREAMS:
        wanted, info = replace(stream, num_replicas=replicas), found[stream.name]
        streams.append(_Stream(wanted, info, [] if info is None else differences(wanted, info.config)))
    gone = {stream.name for stream in streams if stream.info is None or stream.remade}
    durables: list[_Durable] = []
    for durable in topology.DURABLES:
        info = None if durable.stream.name in gone else await durable_info(connection, durable)
        durables.append(_Durable(durable, None if info is None else durable_differences(durable, info.config)))
    return streams, durables


async def _ask(connection: Connection, call: str, request: object, what: str) -> bytes:
    try:
        return await connection.api(f"$JS.API.{call}", request)
    except ServerRefused as error:
        if error.code in _NO_REPLICAS:
            raise Unsuitable(
                f"{what}: {error}. As many servers as RIG_NATS_REPLICAS says are needed, as one cluster;"
                " `rig cluster` starts three, and RIG_NATS_REPLICAS=1 does with one"
            ) from None
        raise TopologyDrift(f"{what}: {error}") from None


async def _read_back(connection: Connection, stream: Stream) -> None:
    """What the server says it has is what was asked for. With more replicas it may have no leader for a moment."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + SETTLE_SECONDS
    while True:
        try:
            info = await stream_info(connection, stream.name)
        except Unavailable:
            if clock() > deadline:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            break
    if info is None:
        raise TopologyDrift(f"{stream.name} is gone: somebody deletes streams while Rig makes them")
    _check(differences(stream, info.config))


def _check(wrong: list[Difference]) -> None:
    if wrong:
        raise TopologyDrift(f"the server took it and made something else of it: {'; '.join(map(str, wrong))}")


def _step(one: Difference) -> str:
    return f"{one.field} from {one.found!r} to {one.wanted!r}"
