"""What `ensure` makes of a server: of an empty one, of an older release's, and of one that somebody has changed.

`OLD` is what the release before leases and presence by markers made, written down as it was.
"""

from typing import Any, Final

import pytest
from msgspec import to_builtins

from bus import Bus, NoStream, TopologyDrift, Unsuitable
from bus.connection import Connection
from bus.ensure import ensure
from bus.topology import BEATS, CONDUCTOR_TIMERS, DEAD, DURABLES, LEASES, LOG, RUNS, SECOND, STREAMS, Stream
from bus.verify import differences, durable_differences, durable_info, stream_info
from deploy.embedded.nats import NatsServer
from schemas import Actor

_OLD: Final[dict[str, Any]] = {
    "storage": "file",
    "retention": "limits",
    "discard": "old",
    "num_replicas": 1,
    "duplicate_window": 120 * SECOND,
    "allow_direct": True,
}
_DAY: Final = 86_400 * SECOND
OLD: Final[tuple[dict[str, Any], ...]] = (
    _OLD
    | {
        "name": "RIG",
        "description": "the events: every fact and every decision, for ever",
        "subjects": ["rig.>"],
        "allow_atomic": True,
        "deny_delete": True,
        "deny_purge": True,
    },
    _OLD
    | {
        "name": "RIG_RUNS",
        "description": "output of agent runs",
        "subjects": ["run.>"],
        "max_age": 14 * _DAY,
        "max_bytes": 4 * 1024**3,
        "deny_delete": True,
        "deny_purge": True,
    },
    _OLD
    | {
        "name": "RIG_PRESENCE",
        "description": "the last heartbeat of each agent, expiring by itself",
        "subjects": ["presence.>"],
        "max_msgs_per_subject": 1,
        "allow_msg_ttl": True,
        "allow_rollup_hdrs": True,
        "subject_delete_marker_ttl": 60 * SECOND,
    },
    _OLD
    | {
        "name": "RIG_TIMERS_CONDUCTOR",
        "description": "deadlines of the conductor, waiting to fire",
        "subjects": ["timer.conductor.>"],
        "allow_msg_schedules": True,
        "allow_msg_ttl": True,
        "allow_rollup_hdrs": True,
    },
    _OLD
    | {
        "name": "RIG_DEAD",
        "description": "what could not be handled, with the reason",
        "subjects": ["dead.>"],
        "max_age": 90 * _DAY,
        "max_bytes": 1024**3,
    },
)
OLD_SAID: Final = {
    "rig.fleet.local.x": "RIG",
    "run.1": "RIG_RUNS",
    "presence.dev-e-1": "RIG_PRESENCE",
    "timer.conductor.set.1": "RIG_TIMERS_CONDUCTOR",
    "dead.RIG": "RIG_DEAD",
}
OLD_DURABLES: Final = (
    ("RIG", "dev-e", "rig.*.*.*.*.conductor.assigned.dev-e", 30),
    ("RIG_TIMERS_CONDUCTOR", "conductor", "timer.conductor.fired.>", 10),
)


async def call(connection: Connection, what: str, request: object = None) -> None:
    await connection.api(f"$JS.API.{what}", request)


async def wrong_now(connection: Connection) -> list[str]:
    """Everything that is not as it must be."""
    wrong: list[str] = []
    for stream in STREAMS:
        info = await stream_info(connection, stream.name)
        wrong += [f"no {stream.name}"] if info is None else map(str, differences(stream, info.config))
    for durable in DURABLES:
        info = await durable_info(connection, durable)
        wrong += [f"no {durable.name}"] if info is None else map(str, durable_differences(durable, info.config))
    return wrong


async def last_of(connection: Connection, stream: Stream) -> int:
    info = await stream_info(connection, stream.name)
    assert info is not None
    return info.state.last_seq


async def make_old(connection: Connection) -> None:
    """The streams and durables of the older release, a message in each stream."""
    for config in OLD:
        await call(connection, f"STREAM.CREATE.{config['name']}", config)
    for subject, stream in OLD_SAID.items():
        assert stream.encode() in await connection.request(subject, b"said by an older release")
    for stream, name, filter_subject, ack_wait in OLD_DURABLES:
        config: dict[str, object] = {
            "durable_name": name,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": ack_wait * SECOND,
            "max_deliver": -1,
            "filter_subject": filter_subject,
            "replay_policy": "instant",
        }
        request = {"stream_name": stream, "config": config}
        await call(connection, f"CONSUMER.DURABLE.CREATE.{stream}.{name}", request)


async def test_everything_is_made_once(root: Connection) -> None:
    changes = await ensure(root)
    assert len(changes) == len(STREAMS) + len(DURABLES)
    assert await wrong_now(root) == []
    assert await ensure(root) == [], "there is nothing left to do"


async def test_what_an_older_release_made_is_brought_in_line_and_holds_what_it_held(root: Connection) -> None:
    await make_old(root)
    changes = await ensure(root)
    assert await wrong_now(root) == []
    assert await ensure(root) == []
    assert [await last_of(root, stream) for stream in (LOG, RUNS, DEAD)] == [1, 1, 1]
    said = "\n".join(changes)
    assert "RIG: republish from None to {'src': 'rig.>', 'dest': 'stored.rig.>'}" in said
    assert "RIG_PRESENCE, a cache, was deleted to be made anew" in said
    assert "RIG_DEAD: subjects from ['dead.>'] to" in said
    assert "deny_delete from None to True" in said
    assert await last_of(root, CONDUCTOR_TIMERS) == 1, "not every cache is thrown away: only one that has to be"


MAY_CHANGE: Final[tuple[tuple[Stream, dict[str, Any]], ...]] = (
    (DEAD, {"max_bytes": 4096}),
    (RUNS, {"max_age": _DAY, "description": "somebody's notes", "duplicate_window": SECOND}),
    (LOG, {"republish": None}),
    (LOG, {"republish": {"src": "rig.fleet.>", "dest": "elsewhere.>"}}),
    (LOG, {"allow_atomic": False, "allow_batched": True}),
    (LEASES, {"max_msgs_per_subject": 7}),
    (DEAD, {"subjects": ["dead.>"]}),
)


async def test_a_field_that_may_change_is_brought_in_line(root: Connection) -> None:
    await ensure(root)
    for stream, change in MAY_CHANGE:
        await call(root, f"STREAM.UPDATE.{stream.name}", to_builtins(stream) | change)
        assert len(await wrong_now(root)) == len(change)
        (said,) = await ensure(root)
        assert all(f"{field} from " in said for field in change), said
        assert await wrong_now(root) == []


async def test_what_we_do_not_know_is_kept(root: Connection) -> None:
    theirs = {"metadata": {"owner": "ada"}, "compression": "s2", "max_bytes": 4096}
    await call(root, f"STREAM.CREATE.{DEAD.name}", to_builtins(DEAD) | theirs)
    await ensure(root)
    info = await stream_info(root, DEAD.name)
    assert info is not None
    assert info.config["compression"] == "s2"
    assert info.config["metadata"]["owner"] == "ada"  # pyright: ignore[reportIndexIssue, reportUnknownVariableType]
    assert info.config["max_bytes"] == DEAD.max_bytes


async def test_everything_that_must_not_change_is_named_at_once_and_nothing_is_changed(root: Connection) -> None:
    await call(root, "STREAM.CREATE.RIG", to_builtins(LOG) | {"storage": "memory", "subjects": ["rig.>", "more.>"]})
    await call(root, "STREAM.CREATE.RIG_RUNS", to_builtins(RUNS) | {"retention": "interest", "discard": "new"})
    await call(root, "STREAM.CREATE.RIG_DEAD", to_builtins(DEAD) | {"max_bytes": 4096, "allow_msg_ttl": True})
    with pytest.raises(TopologyDrift) as caught:
        await ensure(root)
    for named in (
        "RIG.storage is 'memory' and must be 'file'",
        "RIG.subjects is ['rig.>', 'more.>']",
        "RIG_RUNS.retention is 'interest'",
        "RIG_RUNS.discard is 'new'",
        "RIG_DEAD.allow_msg_ttl is True and must be None",
        "Nothing was changed",
    ):
        assert named in str(caught.value)
    assert "max_bytes" not in str(caught.value), "that is no reason to refuse"
    assert await stream_info(root, BEATS.name) is None
    dead = await stream_info(root, DEAD.name)
    assert dead is not None
    assert dead.config["max_bytes"] == 4096


PROMISES: Final[tuple[dict[str, Any], ...]] = (
    {"storage": "memory"},
    {"persist_mode": "async", "allow_atomic": False},
    {"deny_delete": False},
    {"deny_purge": False},
    {"sources": [{"name": "ELSEWHERE"}]},
    {"mirror": {"name": "ELSEWHERE"}, "subjects": [], "republish": None, "allow_atomic": False},
    {"allow_msg_ttl": True},
    {"allow_msg_counter": True, "allow_atomic": False},
    {"subject_transform": {"src": "rig.fleet.>", "dest": "rig.other.>"}},
    {"no_ack": True, "allow_atomic": False},
)
"""Each gives one up, by its first field."""


async def test_a_log_that_breaks_a_promise_is_refused_by_whoever_starts(root: Connection, nats: NatsServer) -> None:
    await call(root, "STREAM.CREATE.ELSEWHERE", {"name": "ELSEWHERE", "subjects": ["elsewhere.>"]})
    for change in PROMISES:
        field = next(iter(change))
        await call(root, "STREAM.CREATE.RIG", to_builtins(LOG) | change)
        if field.startswith("deny_"):  # on a stream that never held anything, that can be put right
            await root.request("rig.fleet.local.x", b"{}")
        with pytest.raises(TopologyDrift, match=rf"RIG\.{field} is .*rig up"):
            await Bus.connect(nats.url, actor=Actor.CONDUCTOR, source="conductor", key=nats.key(Actor.CONDUCTOR))
        with pytest.raises(TopologyDrift, match=rf"RIG\.{field} is "):
            await ensure(root)
        await call(root, "STREAM.DELETE.RIG")


async def test_a_stream_that_was_open_and_is_empty_is_closed(root: Connection) -> None:
    await call(root, "STREAM.CREATE.RIG", to_builtins(LOG) | {"deny_delete": False, "deny_purge": False})
    assert "RIG: deny_delete from None to True; deny_purge from None to True" in await ensure(root)


async def test_a_cache_that_cannot_be_changed_is_made_anew(root: Connection) -> None:
    await ensure(root)
    await call(root, f"STREAM.DELETE.{CONDUCTOR_TIMERS.name}")
    await call(root, "STREAM.CREATE.RIG_TIMERS_CONDUCTOR", to_builtins(CONDUCTOR_TIMERS) | {"storage": "memory"})
    changes = await ensure(root)
    assert any("RIG_TIMERS_CONDUCTOR, a cache, was deleted" in change for change in changes)
    assert any("RIG_TIMERS_CONDUCTOR.conductor was created" in change for change in changes)
    assert await wrong_now(root) == []


async def test_subjects_that_another_stream_holds_are_told_with_what_was_done(root: Connection) -> None:
    await call(root, "STREAM.CREATE.THEIRS", {"name": "THEIRS", "subjects": ["lease.>"]})
    with pytest.raises(TopologyDrift, match=r"RIG_LEASES.*subjects overlap.*changed before that: RIG was created"):
        await ensure(root)
    await call(root, "STREAM.DELETE.THEIRS")
    await ensure(root)
    assert await wrong_now(root) == []


async def test_one_server_keeps_one_replica_and_says_so(root: Connection) -> None:
    with pytest.raises(Unsuitable, match="RIG_NATS_REPLICAS"):
        await ensure(root, replicas=3)
    assert await stream_info(root, LOG.name) is None


async def test_a_role_does_not_start_on_a_server_without_the_log(nats: NatsServer) -> None:
    with pytest.raises(NoStream, match="rig up"):
        await Bus.connect(nats.url, actor=Actor.CONDUCTOR, source="conductor", key=nats.key(Actor.CONDUCTOR))
