"""The server in memory against the real one, question by question: what is read, and what is handed over."""

# ruff: noqa: ASYNC110 - what is waited for is a fact on a server, and no event tells

import asyncio
import json

import pytest

from bus.topology import LOG, SECOND
from tests.contract.transcript import Compare, Wire

pytestmark = pytest.mark.asyncio(loop_factories=["real"])  # both servers at once, in real time


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

    assert not (await compare(script)).differ


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
        await wire.many(pull, {"batch": 2, "expires": 3_600 * SECOND, "idle_heartbeat": SECOND // 5}, "100")
        await wire.ask(f"{api}.DELETE.RIG.d")  # and with it, that pull
        await wire.ask(f"{api}.DURABLE.CREATE.RIG.d", {"stream_name": "RIG", "config": config})
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
        config |= {"durable_name": "w", "filter_subject": "rig.b.>", "ack_wait": SECOND}
        await wire.ask(f"{api}.DURABLE.CREATE.RIG.w", {"stream_name": "RIG", "config": config})
        await wire.many(f"{api}.MSG.NEXT.RIG.w", {"batch": 2, "expires": 9 * SECOND}, 2)  # it comes again
        await wire.ask("$JS.ACK.RIG.w.1.7.1.0.0", "+ACK")  # late, and from the first delivery
        await wire.many(f"{api}.MSG.NEXT.RIG.w", {"batch": 2, "expires": SECOND // 2})
        config |= {"durable_name": "m", "max_deliver": 2, "ack_wait": SECOND // 4}
        advisories = await wire.hear("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>")
        await wire.ask(f"{api}.DURABLE.CREATE.RIG.m", {"stream_name": "RIG", "config": config})
        await wire.many(f"{api}.MSG.NEXT.RIG.m", {"batch": 5, "expires": 3_600 * SECOND}, 2)
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
        reader |= {"filter_subjects": ["rig.a.1", "rig.b.*"], "mem_storage": True, "inactive_threshold": SECOND}
        await wire.ask(f"{api}.CREATE.RIG.r", {"stream_name": "RIG", "config": reader})
        await wire.many(f"{api}.MSG.NEXT.RIG.r", {"batch": 9, "expires": SECOND // 10})
        while b'"error"' not in await wire.connection.request(f"{api}.INFO.RIG.r"):
            await asyncio.sleep(0.05)  # nobody asks for it any more, so it ends
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

    assert not (await compare(script)).differ
