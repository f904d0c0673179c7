"""What a role's key does not let it do is refused, by name; what it lets it do goes on.

With each key of the real server, for every stream: tests/integration/test_permissions.py.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bus import Bus, Expect, NoService, NotPermitted
from bus.connection import Answer, Message
from bus.permissions import ROLES, permissions
from bus.testing.subjects import matches
from bus.topology import DURABLES, STREAMS
from schemas import Actor, AgentStatus, Draft, Heartbeat, IssueApproved, IssueRef, Stopped, envelope
from tests.contract.conftest import MakeBus
from tests.support.saying import DECIDED, NOW, decision, issue, started

ANOTHERS = "rig.fleet.cli.policy_adopted"
BEAT = Heartbeat(agent="x", role="dev-e", boot="b", status=AgentStatus.IDLE, slots_free=1, provider="sh")


@pytest.fixture
async def thief(make_bus: MakeBus) -> AsyncIterator[Bus]:
    """Says that it is the conductor, and has the key of an agent. However it was refused: its own still works."""
    bus = await make_bus(Actor.CONDUCTOR, "thief", key=Actor.DEV_E)
    yield bus
    assert b"RIG_LEASES" in await bus.connection.request("lease.dev-e.x")
    await bus.connection.check()


def refused(verb: str, subject: str) -> str:
    said = f"the key of dev-e may not {verb} {subject}: not in its permissions (bus/permissions.py)"
    return f"^{re.escape(said)}$"


async def test_who_speaks_under_anothers_name_is_told_which_permission_is_missing(thief: Bus) -> None:
    connection, said = thief.connection, refused("publish to", DECIDED)
    events = decision(1, (1, 1))
    with pytest.raises(NotPermitted, match=said):
        await thief.log.append(events[:1], expect=Expect(DECIDED, 0))
    with pytest.raises(NotPermitted, match=said):
        await thief.log.publish(Draft(about=events[0].about, data=events[0].data), "conductor:1")
    with pytest.raises(NotPermitted, match=r"publish to timer\.conductor\.set\."):
        await thief.timers.set("x", connection.now() + timedelta(hours=1), b"")
    with pytest.raises(NotPermitted, match=refused("publish to", "lease.conductor.x")):
        await thief.leases.acquire("x", ttl_seconds=60)
    with pytest.raises(NotPermitted, match=refused("publish to", "presence.conductor.x")):
        await thief.presence.beat(BEAT, ttl_seconds=60)
    with pytest.raises(NotPermitted, match=r"publish to object\.conductor\."):
        await thief.objects.put("x", b"content", content_type="text/plain")
    for subject in ("run.>", "stored.>", ">", "rig.>", "ask.local.>", "ask.Local.x"):
        with pytest.raises(NotPermitted, match=refused("subscribe to", subject.lower())):
            await connection.subscribe(subject, lambda _: None)


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_batch_with_a_refused_member_is_refused_whole_and_by_its_name(thief: Bus, place: int) -> None:
    own = [Draft(about=issue(number), data=started(number=number)) for number in (1, 2)]
    batch = [
        envelope(draft, id=f"dev-e:{index}", actor=Actor.DEV_E, source="dev-e", time=NOW)
        for index, draft in enumerate(own)
    ]
    batch.insert(place, decision(1, (1, 1))[0])
    with pytest.raises(NotPermitted, match=refused("publish to", DECIDED)):
        await thief.log.append(batch, expect=Expect(str(batch[0].subject), 0))
    assert await thief.log.last() is None
    batch.pop(place)
    assert await thief.log.append(batch, expect=Expect(str(batch[0].subject), 0)) == 1


async def test_no_key_lets_anyone_do_what_is_not_in_the_table(make_bus: MakeBus) -> None:
    """Every role on every subject that any other may use or nobody may: refused, and nothing is stored of it."""
    others = {allowed.replace("*", "x").replace(">", "x") for role in ROLES for allowed in permissions(role).publish}
    streams = ("CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT")
    consumers = ("CONSUMER.CREATE.{}.{}", "CONSUMER.DURABLE.CREATE.{}.{}", "CONSUMER.DELETE.{}.{}")
    nobodys = {
        *(f"$JS.API.STREAM.{call}.{stream.name}" for call in streams for stream in STREAMS),
        *(f"$JS.API.{call}".format(made.stream.name, made.name) for call in consumers for made in DURABLES),
        *("$JS.API.CONSUMER.CREATE.RIG", "$JS.API.STREAM.NAMES", "$JS.API.DIRECT.GET.RIG.rig.x", "stored.rig.x"),
        *("timer.conductor.fired.x", "rig.x", "x", "_INBOX.x", "$SRV.PING", "_R_.cli._INBOX.1.1"),
    }
    for role in ROLES:
        bus = await make_bus(Actor.CLI, key=role)
        allowed = permissions(role).may_publish
        tried = [each for each in others | nobodys if not any(matches(pattern, each) for pattern in allowed)]
        assert len(tried) > len(nobodys)
        told = await asyncio.gather(*(bus.connection.request(each) for each in tried), return_exceptions=True)
        assert [each for each, said in zip(tried, told, strict=True) if not isinstance(said, NotPermitted)] == []
    cli = await make_bus(Actor.CLI)
    assert await cli.log.last() is None
    assert await cli.presence.now() == ()


async def test_a_refused_message_nobody_waits_for_is_an_error_in_the_log(
    thief: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        await thief.connection.publish(ANOTHERS, b"{}")
        await thief.connection.publish("$JS.API.INFO", b"", reply="$JS.ACK.RIG.review-e.1.1.1.1.1")
        await thief.connection.check()
    words = [record.getMessage() for record in caplog.records]
    assert [re.search(r"publish to (\S+):", each)[1] for each in words] == [  # pyright: ignore[reportOptionalSubscript]
        ANOTHERS,
        "$js.ack.rig.review-e.1.1.1.1.1",
    ]


async def test_of_a_batch_the_refused_members_are_named_and_the_neighbours_stored(make_bus: MakeBus) -> None:
    """The group commit puts what is said at the same time into one batch, which is refused whole."""
    bus = await make_bus(Actor.GITHUB)
    mine = [Draft(about=IssueRef("a", "b", number), data=Stopped(by="ann")) for number in range(1, 41)]
    log = bus.log
    log.actor = Actor.LOCAL  # a defect of ours, or a lie
    theirs = Draft(about=IssueRef("a", "b", 1), data=IssueApproved(title="x", author="y"))
    lie = asyncio.ensure_future(log.publish(theirs, "local:1", timeout_seconds=60))
    await asyncio.sleep(0)
    log.actor = Actor.GITHUB
    said = [log.publish(draft, f"github:{index}", timeout_seconds=60) for index, draft in enumerate(mine)]
    positions = await asyncio.gather(*said)
    assert sorted(positions) == list(range(1, 41))
    with pytest.raises(NotPermitted, match="the key of github may not publish"):
        await lie


async def test_nobody_hears_anothers_answers_or_has_them_put_on_anothers_subject(make_bus: MakeBus) -> None:
    bus, other = await make_bus(Actor.DEV_E), await make_bus(Actor.CLI)
    heard: list[Message] = []
    for subject in ("_INBOX.>", "stored.rig.>"):
        await bus.connection.subscribe(subject, heard.append)
    heard.clear()
    await other.connection.check()
    for subject in (ANOTHERS, other.connection.inbox(), "$JS.API.STREAM.PURGE.RIG_RUNS"):
        await bus.connection.publish("$JS.API.INFO", b"", reply=subject)
    await bus.connection.check()
    answers = [message for message in heard if b"account_info_response" in message.data]
    assert len(answers) == len(heard) <= 2, "its own, to its last question and to the one in its own inbox"
    assert await other.log.last() is None
    await other.log.publish(Draft(about=IssueRef("a", "b", 1), data=Stopped(by="ann")), "cli:1")
    while not any(message.subject.startswith("stored.rig.") for message in heard):
        await bus.connection.check()


async def test_a_service_is_offered_asked_and_answered_by_who_may(make_bus: MakeBus) -> None:
    serving, asking, other = await make_bus(Actor.LOCAL), await make_bus(Actor.CLI), await make_bus(Actor.DEV_E)

    async def answer(body: bytes) -> Answer:
        return Answer(body)

    for bus in (other, asking):
        with pytest.raises(NotPermitted, match=r"subscribe to ask\.local\.x"):
            await bus.connection.offer("local", "x", "ask.local.x", answer)
    for bus in (other, serving):
        with pytest.raises(NotPermitted, match=r"publish to ask\.local\.x"):
            await bus.connection.request("ask.local.x")
    with pytest.raises(NoService, match=r"nobody answers on ask\.local\.x"):
        await asking.services.ask("local", "x", BEAT, Heartbeat)
    await serving.connection.offer("local", "x", "ask.local.x", answer)
    assert await asking.services.ask("local", "x", BEAT, Heartbeat) == BEAT


async def test_a_question_is_answered_once(make_bus: MakeBus, caplog: pytest.LogCaptureFixture) -> None:
    serving, asking = await make_bus(Actor.LOCAL), await make_bus(Actor.CLI)
    asked: asyncio.Queue[Message] = asyncio.Queue()
    answers: asyncio.Queue[Message] = asyncio.Queue()
    await serving.connection.subscribe("ask.local.x", asked.put_nowait)
    inbox = asking.connection.inbox()
    await asking.connection.subscribe(inbox, answers.put_nowait)
    for body in (b"1", b"2"):
        await asking.connection.publish("ask.local.x", body, reply=inbox)
        question = await asked.get()
        assert question.reply != inbox, "of the asker's account it learns nothing that it could listen to"
        for _ in range(2):
            await serving.connection.publish(question.reply, question.data)
        await serving.connection.check()
        told = await answers.get()
        assert (told.subject, told.data) == (inbox, body)
        assert answers.empty()
    assert caplog.text.count("the key of local may not publish to _r_.") == 2
