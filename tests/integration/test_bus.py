"""The bus against a real server: what is promised of publishing, reading, working, timers and services."""

import asyncio

import pytest
from msgspec import Struct

from bus import (
    Conflict,
    DuplicateMismatch,
    Expect,
    NoService,
    Refused,
    ServerRefused,
    Skipped,
    Unavailable,
)
from bus.client import NatsConnection
from bus.connection import raise_refusal
from deploy.embedded.nats import NatsServer
from schemas import (
    Actor,
    NotAllowed,
    Recorded,
)
from tests.conftest import Connect
from tests.support.saying import DECIDED, approved, decision
from tests.support.servers import as_root

# ── publishing ───────────────────────────────────────────────────────────────


async def test_the_same_id_is_stored_once_and_answers_with_the_first_position(connect: Connect) -> None:
    bus = await connect(Actor.LOCAL)
    assert await bus.log.publish(approved(), "local:1") == 1
    assert await bus.log.publish(approved(), "local:1") == 1
    assert len(await bus.log.history(["rig.>"])) == 1


async def test_an_id_that_says_something_else_is_an_alarm(connect: Connect) -> None:
    bus = await connect(Actor.LOCAL)
    await bus.log.publish(approved(), "local:1")
    with pytest.raises(DuplicateMismatch, match="local:1"):
        await bus.log.publish(approved(title="Something else"), "local:1")


async def test_a_subject_that_must_be_new_is_compared_and_set(connect: Connect) -> None:
    bus = await connect(Actor.LOCAL)
    await bus.log.publish(approved(), "local:1", new_subject=True)
    assert await bus.log.publish(approved(), "local:1", new_subject=True) == 1, "a retry is no conflict"
    with pytest.raises(Conflict):
        await bus.log.publish(approved(), "local:2", new_subject=True)


async def test_an_actor_says_only_what_the_table_lets_it(connect: Connect) -> None:
    bus = await connect(Actor.DEV_E)
    with pytest.raises(NotAllowed, match="dev-e may not say IssueApproved; local, github, discord, slack, cli may"):
        await bus.log.publish(approved(), "dev-e:1")
    assert await bus.log.last() is None


async def test_a_batch_is_all_or_nothing_and_of_two_one_wins(connect: Connect) -> None:
    bus = await connect(Actor.LOCAL)
    await bus.log.publish(approved(), "local:1")
    one, two = await connect(Actor.CONDUCTOR, "conductor/1"), await connect(Actor.CONDUCTOR, "conductor/2")
    tries = await asyncio.gather(
        one.log.append(decision(1, (7, 1)), expect=Expect(DECIDED, 0)),
        two.log.append(decision(1, (7, 1)), expect=Expect(DECIDED, 0)),
        return_exceptions=True,
    )
    assert sorted(isinstance(result, ServerRefused) for result in tries) == [False, True]
    with pytest.raises(Conflict):
        await one.log.append(decision(2, (7, 1)), expect=Expect(DECIDED, 0))
    assert [item.position for item in await bus.log.history(["rig.>"])] == [1, 2, 3]


async def test_nobody_can_purge_or_delete_or_roll_up_the_log(connect: Connect, root: NatsConnection) -> None:
    bus = await connect(Actor.LOCAL)
    await bus.log.publish(approved(), "local:1")
    with pytest.raises(ServerRefused):
        await root.api("$JS.API.STREAM.PURGE.RIG")
    with pytest.raises(ServerRefused):
        await root.api("$JS.API.STREAM.MSG.DELETE.RIG", {"seq": 1})
    answer = await root.request("rig.fleet.local.x", b"{}", headers={"Nats-Rollup": "all"})
    with pytest.raises(ServerRefused, match="rollup"):
        raise_refusal("rolling up", answer)
    assert isinstance(await bus.log.at(1), Recorded)


async def test_publishing_waits_for_a_server_that_restarts(connect: Connect, nats: NatsServer) -> None:
    bus = await connect(Actor.LOCAL)
    await nats.kill()
    saying = asyncio.create_task(bus.log.publish(approved(), "local:1"))
    await nats.start()
    assert await saying == 1


async def test_publishing_gives_up_at_its_deadline_and_says_so(connect: Connect, nats: NatsServer) -> None:
    bus = await connect(Actor.LOCAL)
    await nats.stop()
    with pytest.raises(Unavailable, match=r"rig\.issue\.acme\.web%2Ejs"):
        await bus.log.publish(approved(), "local:1", timeout_seconds=0.1)


# ── reading ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("rig.fleet.local.noise", b"not json"),
        ("rig.fleet.local.noise", b'{"x":' + b"[" * 2_000 + b"]" * 2_000 + b"}"),
        ("rig.issue.acme%20corp.web.1.local.approved", b"{}"),
        ("rig.nonsense", b"{}"),
    ],
)
async def test_what_is_no_event_is_skipped_with_its_reason(
    connect: Connect, root: NatsConnection, subject: str, body: bytes
) -> None:
    bus = await connect(Actor.LOCAL)
    await root.request(subject, body)
    item = await bus.log.at(1)
    assert isinstance(item, Skipped)
    assert item.reason
    assert await bus.log.history(["rig.>"]) == []


# ── timers, services ─────────────────────────────────────────────────────────


class Number(Struct):
    value: int


async def test_a_service_answers_refuses_and_is_missed(connect: Connect) -> None:
    serving, asking = await connect(Actor.CONDUCTOR, "query"), await connect(Actor.CLI)

    async def double(asked: Number) -> Number:
        if asked.value < 0:
            raise Refused("negative numbers are not doubled here")
        return Number(asked.value * 2)

    await serving.services.serve("query", "double", Number, double)
    assert await asking.services.ask("query", "double", Number(21), Number) == Number(42)
    with pytest.raises(Refused, match="negative numbers"):
        await asking.services.ask("query", "double", Number(-1), Number)
    with pytest.raises(NoService, match="local"):
        await asking.services.ask("local", "double", Number(1), Number)


# ── the server and its streams ───────────────────────────────────────────────


async def test_a_wrong_password_is_said_at_once(nats: NatsServer) -> None:
    url = nats.url.replace("://", "://rig:wrong@")
    with pytest.raises(Unavailable, match="refuses the login"):
        await NatsConnection.connect(url, name="test", timeout_seconds=3_600)


async def test_no_server_is_said_without_the_password(nats: NatsServer) -> None:
    url = as_root(nats)
    await nats.stop()
    with pytest.raises(Unavailable) as caught:
        await NatsConnection.connect(url, name="test", timeout_seconds=0.3)
    assert "for-tests" not in str(caught.value)
