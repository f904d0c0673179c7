"""The server in memory against the real one, question by question: the same requests, the same answers."""

# ruff: noqa: ASYNC110 - what is waited for is a fact on a server, and no event tells

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from itertools import zip_longest
from random import Random
from typing import Any

import pytest

from bus.client import NatsConnection
from bus.connection import Connection, Message
from bus.errors import Unavailable
from bus.stored import last
from bus.testing import InMemoryBus, MemoryConnection
from bus.testing.consumer import ConsumerConfig
from bus.testing.stream import Config
from bus.topology import BEATS, CONDUCTOR_TIMERS, LEASES, LOG, PRESENCE, SECOND, Stream
from tests.support.servers import as_root, nats_with_root

pytestmark = pytest.mark.asyncio(loop_factories=["real"])  # both servers at once, in real time

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
            message = await self.connection.request_message(subject, data, headers=named or None, timeout_seconds=2.0)
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
        """Waits for so many messages, or for a status, and writes them down."""

        def enough() -> bool:
            if isinstance(until, int):
                return len(found) >= until
            return any((m.headers or {}).get("Status") in until.split("|") for m in found)

        async with asyncio.timeout(5):
            while not enough():
                await asyncio.sleep(0.01)
        self.transcript += [f"heard {shown(message, self.connection)}" for message in found]
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


@pytest.fixture
async def compare(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Callable[[Script], Awaitable[list[str]]]]:
    """Runs a script on both servers and demands equal transcripts."""
    async with nats_with_root(tmp_path_factory.mktemp("nats")) as server:
        real = await NatsConnection.connect(as_root(server), name="real")
        memory = await MemoryConnection.connect(InMemoryBus(epoch=real.now()).server, name="memory")

        async def comparing(script: Script) -> list[str]:
            wires = Wire(real), Wire(memory)
            await asyncio.gather(*(script(wire) for wire in wires))
            differ = [
                f"\n  real    {wanted}\n  memory  {found}"
                for wanted, found in zip_longest(*(wire.transcript for wire in wires))
                if wanted != found
            ]
            assert not differ, "".join(differ)
            return wires[0].transcript

        try:
            yield comparing
        finally:
            await memory.close()
            await real.close()
            await server.kill()  # its data is thrown away


Compare = Callable[[Script], Awaitable[list[str]]]
A = {"name": "A", "subjects": ["a.>"]}


async def test_streams(compare: Compare) -> None:
    async def script(wire: Wire) -> None:
        api = "$JS.API.STREAM"
        await wire.ask(f"{api}.INFO.NOPE")
        await wire.ask(f"{api}.CREATE.A", A)
        await wire.ask(f"{api}.CREATE.A", A)
        await wire.ask(f"{api}.CREATE.A", {**A, "max_age": 3600 * SECOND})
        await wire.ask(f"{api}.CREATE.B", {"name": "B", "subjects": ["a.b"]})
        await wire.ask(f"{api}.CREATE.B", {"name": "B", "subjects": ["a.*"]})
        await wire.ask(f"{api}.CREATE.B", {"name": "C", "subjects": ["c"]})
        await wire.ask(f"{api}.CREATE.B", b"{nonsense")
        await wire.ask(f"{api}.CREATE.B", {"name": "B", "subjects": ["b"], "num_replicas": 3})
        for stream in (LOG, BEATS, PRESENCE, CONDUCTOR_TIMERS, LEASES):
            await wire.create(stream)
            await wire.ask(f"{api}.INFO.{stream.name}")
        forced = {"name": "F", "subjects": ["f.>"], "allow_msg_schedules": True, "allow_msg_ttl": True}
        await wire.ask(f"{api}.CREATE.F", {**forced, "deny_purge": True})
        await wire.ask(f"{api}.CREATE.F", forced)
        marked = {"name": "M", "subjects": ["m.>"], "allow_msg_ttl": True, "subject_delete_marker_ttl": SECOND}
        await wire.ask(f"{api}.CREATE.M", {**marked, "deny_purge": True})
        await wire.ask(f"{api}.CREATE.M", marked)
        for number in range(6):
            await wire.ask(f"a.{number % 3}", str(number))
        await wire.ask(f"{api}.UPDATE.A", {**A, "subjects": ["a.>", "b"], "max_age": 3600 * SECOND})
        await wire.ask(f"{api}.UPDATE.A", {**A, "storage": "memory"})
        await wire.ask(f"{api}.UPDATE.NOPE", {"name": "NOPE", "subjects": ["n"]})
        await wire.ask("b", "on the new subject")
        for name in ("RIG", "A"):
            await wire.ask(f"{api}.MSG.DELETE.{name}", {"seq": 2})
            await wire.ask(f"{api}.MSG.DELETE.{name}", {"seq": 99})
        await wire.ask(f"{api}.INFO.A", {"deleted_details": True})
        await wire.ask(f"{api}.INFO.A", {"subjects_filter": "a.*"})
        for get in ({"seq": 2}, {"seq": 3}, {"last_by_subj": "a.>"}, {"last_by_subj": "q"}, {"next_by_subj": "a.2"}):
            await wire.ask(f"{api}.MSG.GET.A", get)
        await wire.ask(f"{api}.PURGE.RIG")
        await wire.ask(f"{api}.PURGE.A", {"filter": "a.0"})
        await wire.ask(f"{api}.PURGE.A", {"seq": 4})
        await wire.ask(f"{api}.PURGE.A", {"keep": 1})
        await wire.ask(f"{api}.PURGE.A")
        await wire.ask(f"{api}.INFO.A")
        await wire.ask("a.x", "after the purge")
        await wire.ask(f"{api}.DELETE.A")
        await wire.ask(f"{api}.DELETE.A")
        await wire.ask("a.x", "nobody is there")

    await compare(script)


async def test_publishing(compare: Compare) -> None:
    async def script(wire: Wire) -> None:
        await wire.create(A)
        expected, watched = "Nats-Expected-Last-Subject-Sequence", "Nats-Expected-Last-Subject-Sequence-Subject"
        await wire.ask("a.x", "1")
        await wire.ask("a.x", "2", Nats_Msg_Id="i")
        await wire.ask("a.y", "other words", Nats_Msg_Id="i")
        for position in (0, 2, "x"):
            await wire.ask("a.x", "3", **{expected: position})
        await wire.ask("a.x", "3", **{expected: 1, "Nats-Msg-Id": "i"})
        await wire.ask("a.x", "3", **{expected: 3, "Nats-Msg-Id": "i"})
        await wire.ask("a.z", "3", **{expected: 3, watched: "a.x"})
        await wire.ask("a.z", "3", **{expected: 4, watched: "a.>"})
        await wire.ask("a.z", "3", **{expected: 1, watched: "b.x"})
        await wire.ask("a.z", "3", **{watched: "a.x"})
        for name, value in {
            "Nats-Expected-Last-Sequence": "1",
            "Nats-Expected-Stream": "X",
            "Nats-Expected-Last-Msg-Id": "i",
            "Nats-Rollup": "all",
            "Nats-TTL": "1s",
            "Nats-Schedule": "@at 2026-01-01T00:00:00Z",
            "Nats-Batch-Id": "x",
        }.items():
            await wire.ask("a.z", "3", **{name: value})
            await wire.ask("a.z", "3", **{name: value, "Nats-Msg-Id": "i"})
        await wire.ask("a.*", "a literal star")
        await wire.ask("a.x", "header", X_Own="  é \n y ")
        await wire.ask("$JS.API.STREAM.MSG.GET.A", {"last_by_subj": "a.x"})
        await wire.ask("nobody", "3")
        await wire.create(
            {"name": "N", "subjects": ["n.*"], "discard": "new", "max_msgs": 3, "max_msg_size": 20}
            | {"max_msgs_per_subject": 1, "discard_new_per_subject": True}
        )
        for subject in "abbcd":
            await wire.ask(f"n.{subject}", "1", Nats_Msg_Id=subject)
        await wire.ask("n.e", "1" * 30)
        await wire.create({"name": "O", "subjects": ["o.*"], "max_msgs": 3, "max_msgs_per_subject": 2})
        for subject in "aaabcca":
            await wire.ask(f"o.{subject}", "1")
        await wire.ask("$JS.API.STREAM.INFO.O", {"deleted_details": True, "subjects_filter": ">"})

    await compare(script)


async def test_atomic_batches(compare: Compare) -> None:
    async def script(wire: Wire) -> None:
        await wire.create(LOG)
        stored = await wire.hear("stored.>")
        advisories = await wire.hear("$JS.EVENT.ADVISORY.STREAM.>")
        expected, watched = "Nats-Expected-Last-Subject-Sequence", "Nats-Expected-Last-Subject-Sequence-Subject"

        async def batch(name: str, *items: tuple[str, dict[str, Any]], commit: str = "1") -> None:
            for number, (subject, headers) in enumerate(items, start=1):
                last = {"Nats-Batch-Commit": commit} if number == len(items) and commit else {}
                await wire.ask(
                    f"rig.{subject}", str(number), Nats_Batch_Id=name, Nats_Batch_Sequence=number, **headers, **last
                )

        await batch("plain", ("a", {}), ("b", {}), ("c", {}))
        await batch("twice one id", ("a", {"Nats-Msg-Id": "1"}), ("b", {"Nats-Msg-Id": "1"}))
        await batch("ids", ("a", {"Nats-Msg-Id": "1"}), ("b", {"Nats-Msg-Id": "2"}))
        await batch("an id that landed", ("a", {"Nats-Msg-Id": "3"}), ("b", {"Nats-Msg-Id": "2"}))
        await batch("alone and landed", ("a", {"Nats-Msg-Id": "1"}))
        await batch("stale", ("a", {expected: 1}), ("b", {}))
        await batch("stale and landed", ("a", {expected: 1, "Nats-Msg-Id": "1"}), ("b", {}))
        await batch("holds", ("a", {expected: 4}), ("a", {}))
        await batch("twice expected", ("a", {expected: 7}), ("a", {expected: 7}))
        await batch("expected after writing", ("a", {}), ("a", {expected: 7}))
        await batch("two that hold", ("q", {expected: 0}), ("r", {expected: 0}))
        await batch("of another subject", ("q", {}), ("r", {expected: 0, watched: "rig.z"}))
        await batch("twice of another", ("q", {expected: 0, watched: "rig.z"}), ("r", {expected: 0, watched: "rig.z"}))
        await batch("position", ("q", {"Nats-Expected-Last-Sequence": 1}), ("r", {}))
        await batch("position later", ("q", {}), ("r", {"Nats-Expected-Last-Sequence": 1}))
        await batch("rolls up", ("a", {"Nats-Rollup": "all"}), ("b", {}))
        await batch("expires", ("a", {"Nats-TTL": "1s"}), ("b", {}))
        await batch("other stream", ("a", {"Nats-Expected-Stream": "X"}), ("b", {}))
        await batch("x" * 65, ("a", {}))
        await batch("alone", ("a", {}))
        await batch("odd commit", ("a", {}), ("b", {}), commit="x")
        await batch("end of batch", ("a", {}), ("b", {}), commit="eob")
        for name, numbers in {"gap": (1, 3, 4), "no first": (2, 3), "again": (1, 2, 1, 2), "odd": (0, "x", "")}.items():
            for number in numbers:
                await wire.ask("rig.a", "", Nats_Batch_Id=name, Nats_Batch_Sequence=number)
        await wire.ask("rig.a", "", Nats_Batch_Id="no number")
        await wire.ask("rig.a", "", Nats_Batch_Id="long", Nats_Batch_Sequence=1)
        for number in range(2, 1_001):
            headers = {"Nats-Batch-Id": "long", "Nats-Batch-Sequence": str(number)}
            await wire.connection.publish("rig.a", b"", headers=headers)
        await wire.ask("rig.a", "", Nats_Batch_Id="long", Nats_Batch_Sequence=1_001, Nats_Batch_Commit=1)
        for number in range(52):
            await wire.ask("rig.a", "", Nats_Batch_Id=f"open {number}", Nats_Batch_Sequence=1)
        await wire.ask("$JS.API.STREAM.INFO.RIG")
        await wire.heard(stored, 1)
        await wire.heard(advisories, 1)

    transcript = await compare(script)
    assert sum("heard stored" in line for line in transcript) > 10, "what is stored is said again"


async def test_what_a_batch_forbids_depends_on_no_order(compare: Compare) -> None:
    """Random publishing, one seed: single messages and batches with any mix of ids and expectations."""

    async def script(wire: Wire) -> None:
        await wire.create(LOG)
        random = Random(7)  # noqa: S311 - a test's, not a secret's

        def headers() -> dict[str, Any]:
            given: dict[str, Any] = {}
            if random.random() < 0.5:
                given["Nats-Msg-Id"] = random.randrange(40)
            if random.random() < 0.3:
                given["Nats-Expected-Last-Subject-Sequence"] = random.choice([0, 0, random.randrange(80)])
                if random.random() < 0.5:
                    given["Nats-Expected-Last-Subject-Sequence-Subject"] = f"rig.{random.choice('abcdz>')}"
            if random.random() < 0.05:
                given[random.choice(["Nats-Rollup", "Nats-TTL", "Nats-Expected-Stream"])] = "1s"
            return given

        for number in range(120):
            size = random.choice([0, 1, 2, 3, 5])
            if not size:
                await wire.ask(f"rig.{random.choice('abcd')}", "", **headers())
            for index in range(1, size + 1):
                commit = {"Nats-Batch-Commit": 1} if index == size else {}
                subject, batch = f"rig.{random.choice('abcd')}", {"Nats-Batch-Id": number, "Nats-Batch-Sequence": index}
                await wire.ask(subject, str(index), **batch, **commit, **headers())
        await wire.many("$JS.API.DIRECT.GET.RIG", {"seq": 1, "batch": 1_000})

    await compare(script)


async def test_direct_get(compare: Compare) -> None:
    async def script(wire: Wire) -> None:
        await wire.create(LOG)
        direct = "$JS.API.DIRECT.GET.RIG"
        for number in range(1, 7):
            await wire.ask(f"rig.{'abc'[number % 3]}", f"body{number}", Nats_Msg_Id=f"i{number}")
        third = await wire.ask(direct, {"seq": 3})
        assert third is not None
        stored = (third.headers or {})["Nats-Time-Stamp"]
        for get in (
            {"seq": 99},
            {"last_by_subj": "rig.>"},
            {"last_by_subj": "rig.a"},
            {"last_by_subj": "x"},
            {"seq": 2, "next_by_subj": "rig.b"},
            {"next_by_subj": "rig.b"},
            {"seq": 6, "next_by_subj": "rig.b"},
            {},
            {"seq": 1, "last_by_subj": "rig.a"},
            {"start_time": "2020-01-01T00:00:00Z"},
        ):
            await wire.ask(direct, get)
        await wire.ask(direct, b"{x")
        await wire.ask(f"{direct}.rig.a")
        await wire.ask(f"{direct}.rig.>")
        await wire.ask("$JS.API.DIRECT.GET.NOPE", {"seq": 1})
        for get in (
            {"seq": 1, "batch": 2},
            {"seq": 1, "batch": 10},
            {"batch": 10},
            {"seq": 7, "batch": 10},
            {"seq": 1, "batch": 2, "next_by_subj": "rig.a"},
            {"seq": 2, "batch": 10, "next_by_subj": "rig.*"},
            {"seq": 1, "batch": 10, "next_by_subj": "q.*"},
            {"seq": 1, "batch": 10, "max_bytes": 1},
            {"seq": 1, "batch": 10, "max_bytes": 60},
            {"seq": 1, "batch": 10, "max_bytes": 82},
            {"seq": 1, "batch": 10, "max_bytes": 83},
            {"seq": 1, "batch": 10, "max_bytes": 10_000},
            {"start_time": "2020-01-01T00:00:00Z", "batch": 2},
            {"start_time": "2040-01-01T00:00:00Z", "batch": 2},
            {"multi_last": ["rig.a", "rig.b"]},
            {"multi_last": ["rig.>"], "batch": 2},
            {"multi_last": ["q"]},
            {"multi_last": ["rig.>"], "up_to_seq": 3},
            {"last_by_subj": "rig.a", "batch": 3},
        ):
            await wire.many(direct, get)
        wire.transcript.append("by time")
        inbox = await wire.hear("answers")
        for more in ({}, {"next_by_subj": "rig.b"}, {"seq": 3}):
            body = json.dumps({"start_time": stored, "batch": 2, **more}).encode()
            await wire.connection.publish(direct, body, reply="answers")
        await wire.heard(inbox, 3 + 3 + 1 if len(inbox) else "408")

    await compare(script)


async def test_what_expires_and_what_is_scheduled(compare: Compare) -> None:
    async def script(wire: Wire) -> None:
        for stream in (BEATS, PRESENCE, LEASES, CONDUCTOR_TIMERS):
            await wire.create(stream)
        stored = await wire.hear("stored.>")
        for ttl in ("0", "x", "-1s", "500ms", "0s", "2d", "never", "1", "1.5s", "1m", "1h30m"):
            await wire.ask("lease.any", ttl, Nats_TTL=ttl)
        await wire.ask("lease.mine", "", Nats_TTL="1s", **{"Nats-Expected-Last-Subject-Sequence": 0})
        await wire.ask("lease.mine", "", Nats_TTL="1s", **{"Nats-Expected-Last-Subject-Sequence": 0})
        await wire.ask("presence.agent", "here", Nats_TTL="1s")
        await wire.heard(stored, 2)  # the heartbeat, and the marker of its end
        async with asyncio.timeout(20):
            while await last(wire.connection, LEASES, "lease.mine") is not None:
                await asyncio.sleep(0.05)
        await wire.ask("$JS.API.DIRECT.GET.RIG_PRESENCE", {"last_by_subj": "presence.agent"})
        await wire.ask("lease.mine", "", Nats_TTL="1s", **{"Nats-Expected-Last-Subject-Sequence": 0})
        await wire.ask("$JS.API.STREAM.INFO.RIG_BEATS")
        await wire.ask("presence.agent", "", Nats_Rollup="all")

        def at(seconds: float) -> str:
            when: datetime = wire.connection.now() + timedelta(seconds=seconds)
            return f"@at {when.isoformat(timespec='milliseconds').replace('+00:00', 'Z')}"

        timer = "timer.conductor"
        fired = {"Nats-Schedule-Target": f"{timer}.fired.d"}
        for headers in (
            {"Nats-Schedule": at(9), "Nats-Schedule-Target": "rig.x"},
            {"Nats-Schedule": "@at nonsense", **fired},
            {"Nats-Schedule": "nonsense", **fired},
            {"Nats-Schedule": at(9)},
            {"Nats-Schedule": at(9), "Nats-Schedule-Target": f"{timer}.set.d"},
            {"Nats-Schedule": at(9), "Nats-Schedule-Target": f"{timer}.>"},
            {"Nats-Schedule": at(9), **fired, "Nats-Schedule-TTL": "x"},
        ):
            wire.transcript.append(str(sorted(headers)))
            await wire.ask(f"{timer}.set.d", "refused", **headers)
        for key, seconds, more in (("a", 0.5, {"Nats-Schedule-TTL": "24h"}), ("b", 9, {}), ("b", 1, {"X-Own": "1"})):
            target = {"Nats-Schedule-Target": f"{timer}.fired.{key}"}
            await wire.ask(f"{timer}.set.{key}", key, **{"Nats-Schedule": at(seconds)}, **target, **more)
        await wire.ask(f"{timer}.set.c", "", **{"Nats-Schedule": at(1), "Nats-Schedule-Target": f"{timer}.fired.c"})
        await wire.ask("$JS.API.STREAM.PURGE.RIG_TIMERS_CONDUCTOR", {"filter": f"{timer}.set.c"})
        await wire.many("$JS.API.DIRECT.GET.RIG_TIMERS_CONDUCTOR", {"seq": 1, "batch": 9})
        async with asyncio.timeout(20):
            while await last(wire.connection, CONDUCTOR_TIMERS, f"{timer}.fired.b") is None:
                await asyncio.sleep(0.05)
        await wire.many("$JS.API.DIRECT.GET.RIG_TIMERS_CONDUCTOR", {"seq": 1, "batch": 9})
        forged = {"Nats-Scheduler": f"{timer}.set.e", "Nats-Schedule-Next": "purge"}
        await wire.ask(f"{timer}.set.e", "", **{"Nats-Schedule": at(9), "Nats-Schedule-Target": f"{timer}.fired.e"})
        await wire.ask(f"{timer}.fired.e", "", **forged)
        await wire.ask(f"{timer}.set.f", "", Nats_Rollup="all")
        await wire.many("$JS.API.DIRECT.GET.RIG_TIMERS_CONDUCTOR", {"seq": 1, "batch": 9})

    await compare(script)


async def test_consumers(compare: Compare) -> None:
    async def script(wire: Wire) -> None:
        await wire.create(LOG)
        api, pull = "$JS.API.CONSUMER", "$JS.API.CONSUMER.MSG.NEXT.RIG.d"
        config = {"durable_name": "d", "ack_policy": "explicit", "ack_wait": 30 * SECOND, "filter_subject": "rig.a.>"}
        for change in ({}, {}, {"ack_wait": 20 * SECOND}, {"deliver_policy": "new"}, {}):
            await wire.ask(f"{api}.DURABLE.CREATE.RIG.d", {"stream_name": "RIG", "config": {**config, **change}})
        await wire.ask(f"{api}.DURABLE.CREATE.RIG.e", {"stream_name": "RIG", "config": config})
        await wire.ask(f"{api}.DURABLE.CREATE.NOPE.d", {"stream_name": "NOPE", "config": config})
        await wire.ask(f"{api}.INFO.RIG.nope")
        await wire.ask(f"{api}.INFO.NOPE.nope")
        await wire.ask(f"{api}.NAMES.RIG")
        await wire.ask(f"{api}.MSG.NEXT.RIG.nope", {"batch": 1})
        await wire.many(pull, {"batch": 2, "no_wait": True})
        await wire.many(pull, {"batch": 2, "expires": SECOND // 10})
        await wire.many(pull, {"batch": 2, "expires": SECOND // 2, "idle_heartbeat": SECOND // 5})
        await wire.many(pull, {"batch": 2, "expires": SECOND, "idle_heartbeat": SECOND}, "400")
        for number in range(6):
            await wire.ask(f"rig.a.{number % 2}", f"body{number}", X_Own=number)
        await wire.ask("rig.b.1", "another's")
        await wire.many(pull, {"batch": 2, "no_wait": True}, 2)
        await wire.many(pull, {"batch": 9, "no_wait": True})
        await wire.ask(f"{api}.INFO.RIG.d")
        for number, said in enumerate(["+ACK", "+ACK", '-NAK {"delay": 200000000}', "-NAK", "+TERM why", "+WPI"], 1):
            await wire.ask(f"$JS.ACK.RIG.d.1.{max(1, number - 1)}.{number}.0.0", said)
        await wire.ask("$JS.ACK.RIG.nope.1.1.1.0.0", "+ACK")
        await wire.many(pull, {"batch": 2, "expires": 3 * SECOND}, 2)  # what was given back: 3 at once, 2 soon after
        await wire.ask("$JS.ACK.RIG.d.1.2.9.0.0", "+ACK")
        await wire.ask("$JS.ACK.RIG.d.1.3.9.0.0", "")
        await wire.ask(f"{api}.INFO.RIG.d")
        config |= {"durable_name": "w", "filter_subject": "rig.b.>", "ack_wait": SECOND // 3}
        await wire.ask(f"{api}.DURABLE.CREATE.RIG.w", {"stream_name": "RIG", "config": config})
        await wire.many(f"{api}.MSG.NEXT.RIG.w", {"batch": 2, "expires": 9 * SECOND}, 2)  # it comes again
        await wire.ask("$JS.ACK.RIG.w.1.7.1.0.0", "+ACK")  # late, and from the first delivery
        await wire.many(f"{api}.MSG.NEXT.RIG.w", {"batch": 2, "expires": SECOND // 2})
        config |= {"durable_name": "m", "max_deliver": 2, "ack_wait": SECOND // 4}
        advisories = await wire.hear("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>")
        await wire.ask(f"{api}.DURABLE.CREATE.RIG.m", {"stream_name": "RIG", "config": config})
        await wire.many(f"{api}.MSG.NEXT.RIG.m", {"batch": 5, "expires": 7 * SECOND // 10})
        await wire.heard(advisories, 1)
        await wire.ask(f"{api}.INFO.RIG.m")
        inbox = await wire.hear("waits")
        await wire.connection.publish(pull, b'{"batch":2}', reply="waits")
        while b'"num_waiting":1' not in await wire.connection.api(f"{api}.INFO.RIG.d"):
            pass  # the server takes pulls and calls from two queues
        await wire.ask(f"{api}.DELETE.RIG.d")
        await wire.heard(inbox, 1)
        await wire.ask(f"{api}.DELETE.RIG.d")
        reader = {"name": "r", "deliver_policy": "by_start_sequence", "opt_start_seq": 3, "ack_policy": "none"}
        reader |= {"filter_subjects": ["rig.a.1", "rig.b.*"], "mem_storage": True, "inactive_threshold": SECOND // 3}
        await wire.ask(f"{api}.CREATE.RIG.r", {"stream_name": "RIG", "config": reader})
        await wire.many(f"{api}.MSG.NEXT.RIG.r", {"batch": 9, "expires": SECOND // 10})
        async with asyncio.timeout(20):  # nobody asks for it any more, so it ends
            while b'"error"' not in await wire.connection.request(f"{api}.INFO.RIG.r"):
                await asyncio.sleep(0.05)
        await wire.ask(f"{api}.INFO.RIG.r")
        one = {"name": "o", "ack_policy": "explicit", "filter_subject": "rig.a.0", "max_ack_pending": 1}
        await wire.ask(f"{api}.CREATE.RIG.o.rig.a.0", {"stream_name": "RIG", "config": one})
        await wire.many(f"{api}.MSG.NEXT.RIG.o", {"batch": 9, "expires": SECOND // 10})
        for policy in ("last", "new"):
            newest = {"name": policy, "ack_policy": "explicit", "deliver_policy": policy, "filter_subject": "rig.a.*"}
            await wire.ask(f"{api}.CREATE.RIG.{policy}", {"stream_name": "RIG", "config": newest})
            await wire.many(f"{api}.MSG.NEXT.RIG.{policy}", {"batch": 9, "expires": SECOND // 10})
        await wire.ask(
            f"{api}.CREATE.RIG.x", {"stream_name": "RIG", "config": {**reader, "name": "x", "opt_start_seq": 0}}
        )

    await compare(script)
