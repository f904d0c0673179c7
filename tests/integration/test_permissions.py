"""What the server refuses: with each role's key, for every stream. And what each role can do with its key anyway.

Raw requests, as a program with a stolen key would make them. What was sent before a request was permitted or refused
before its answer, so nothing here waits for a time to pass.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg

from bus.client import NatsConnection
from bus.permissions import ADMIN, QUERY, ROLES, permissions
from bus.topology import (
    BEATS,
    DEAD,
    DURABLES,
    FIRED,
    LEASES,
    LOG,
    PRESENCE,
    RUNS,
    STREAMS,
    TIMERS,
    Stream,
)
from deploy.embedded.nats import NatsServer, embedded_nats
from schemas import Actor
from tests.support.servers import connected

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANOTHERS = "rig.fleet.cli.policy_adopted"
"""Nobody but a person's key may write this, and who writes it rules the rig."""
FENCES = (
    (Actor.LOCAL, "rig.repo.fence.fence.local.removed"),
    (Actor.DEV_E, "run.dev-e.fence"),
    (Actor.DEV_E, "presence.dev-e.fence"),
    (Actor.DEV_E, "lease.dev-e.fence"),
    (Actor.DEV_E, "object.dev-e.fence"),
    (Actor.CONDUCTOR, "timer.conductor.set.fence"),
    (Actor.CLI, "dead.retry.fence"),
    (Actor.GITHUB, "inbox.github.fence.#"),
)
"""Stored behind all that was sent to a stream before, so that what it holds can be compared. #: another each time."""
NUMBERS = itertools.count()
FUTURE = "@at 2100-01-01T00:00:00Z"


def concrete(subject: str) -> str:
    """A subject that a filter matches."""
    return subject.replace("*", "x").replace(">", "x")


def matches(subject: str, allowed: str) -> bool:
    """As the server matches."""
    tokens, wanted = subject.split("."), allowed.split(".")
    if wanted[-1] == ">":
        return len(tokens) >= len(wanted) and all(map(_same, tokens, wanted[:-1]))
    return len(tokens) == len(wanted) and all(map(_same, tokens, wanted))


def _same(token: str, wanted: str) -> bool:
    return wanted in ("*", token)


def may_publish(role: str, subject: str) -> bool:
    return any(matches(subject, allowed) for allowed in permissions(role).may_publish)


def writes(role: str, stream: Stream) -> list[str]:
    """Subjects of a stream that a role may write, one for each permission."""
    subjects = [concrete(allowed) for allowed in permissions(role).publish]
    return [subject for subject in subjects if any(matches(subject, of) for of in stream.subjects)]


@dataclass
class Holder:
    """Who holds the key of a role, and nothing else."""

    role: str
    client: Client = field(default_factory=Client)
    refused: list[str] = field(default_factory=list)

    async def hear(self, error: Exception) -> None:
        self.refused.append(str(error))

    async def refusals(self) -> list[str]:
        """What the server has refused by now, and a clean sheet."""
        await self.ask("$JS.API.INFO")
        refused, self.refused = self.refused, []
        return refused

    async def all_refused(self, *attempts: tuple[str, object]) -> bool:
        """Publishes each: is each refused, by the name of its subject?"""
        assert await self.refusals() == []
        for subject, body in attempts:
            await self.client.publish(subject, json.dumps(body).encode(), reply=self.client.new_inbox())
        wanted = [f'nats: permissions violation for publish to "{subject.lower()}"' for subject, _ in attempts]
        return await self.refusals() == wanted

    async def ask(self, subject: str, body: object = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """A request that is permitted, and its answer; an error of JetStream is an answer."""
        answer = await self.client.request(subject, json.dumps(body).encode(), timeout=60, headers=headers)
        return json.loads(answer.data) if answer.data.startswith(b"{") else {}


@dataclass
class Rig:
    server: NatsServer
    admin: NatsConnection
    holders: dict[str, Holder]

    async def subjects(self, stream: Stream) -> dict[str, int]:
        """How many messages a stream holds on each subject."""
        info = json.loads(await self.admin.api(f"$JS.API.STREAM.INFO.{stream.name}", {"subjects_filter": ">"}))
        return info["state"].get("subjects", {})

    async def stored(self) -> dict[str, dict[str, Any]]:
        """All that each stream is and holds, by its name."""
        for role, subject in FENCES:
            assert "error" not in await self.holders[role].ask(subject.replace("#", str(next(NUMBERS))))
        while not set(await self.subjects(BEATS)) <= set(await self.subjects(PRESENCE)):
            pass  # the server takes heartbeats from the one stream to the other in its own time
        found: dict[str, dict[str, Any]] = {}
        for stream in STREAMS:
            info = json.loads(await self.admin.api(f"$JS.API.STREAM.INFO.{stream.name}", {"subjects_filter": ">"}))
            made = json.loads(await self.admin.api(f"$JS.API.CONSUMER.NAMES.{stream.name}"))["consumers"]
            state = info["state"]
            found[stream.name] = {
                "config": info["config"],
                "created": info["created"],
                "subjects": {name: count for name, count in state.get("subjects", {}).items() if "fence" not in name},
                "consumers": made and sorted(made),
            }
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """One server, on which every role has already written what it may: there is something to lose."""
    async with embedded_nats(tmp_path_factory.mktemp("nats")) as server:
        await (await connected(server, Actor.CLI)).close()
        admin = await NatsConnection.connect(server.url, name="admin", key=server.key(ADMIN))
        rig = Rig(server, admin, {role: Holder(role) for role in ROLES})
        for holder in rig.holders.values():
            key = str(server.key(holder.role))
            await holder.client.connect(server.url, nkeys_seed=key, error_cb=holder.hear, allow_reconnect=False)
            for stream in STREAMS:
                for subject in writes(holder.role, stream):
                    assert (await holder.ask(subject))["stream"] == stream.name
        yield rig
        for holder in rig.holders.values():
            await holder.client.close()
        await admin.close()


every_role = pytest.mark.parametrize("role", ROLES)
every_stream = pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)


# ── the streams themselves ───────────────────────────────────────────────────


def administration(stream: Stream) -> list[tuple[str, object]]:
    """Every call that changes a stream or its consumers, or makes one."""
    name, pointed = stream.name, {"deliver_subject": ANOTHERS, "ack_policy": "none", "deliver_policy": "all"}
    durables = [durable.name for durable in DURABLES if durable.stream == stream]
    changed = {"name": name, "subjects": list(stream.subjects), "allow_rollup_hdrs": True}
    return [
        (f"$JS.API.{call}", body)
        for call, body in (
            (f"STREAM.MSG.DELETE.{name}", {"seq": 1}),
            (f"STREAM.PURGE.{name}", {}),
            (f"STREAM.PURGE.{name}", {"filter": ANOTHERS}),
            (f"STREAM.DELETE.{name}", {}),
            (f"STREAM.UPDATE.{name}", changed),
            (f"STREAM.CREATE.{name}", changed),
            ("STREAM.CREATE.MINE", {"name": "MINE", "sources": [{"name": name}]}),
            (f"STREAM.RESTORE.{name}", {"config": changed, "state": {}}),
            (f"STREAM.SNAPSHOT.{name}", {"deliver_subject": ANOTHERS}),
            (f"STREAM.LEADER.STEPDOWN.{name}", {}),
            (f"STREAM.PEER.REMOVE.{name}", {"peer": "x"}),
            (f"CONSUMER.CREATE.{name}", {"stream_name": name, "config": pointed}),
            (f"CONSUMER.CREATE.{name}.mine", {"stream_name": name, "config": {**pointed, "name": "mine"}}),
            (f"CONSUMER.CREATE.{name}.mine.>", {"stream_name": name, "config": {"name": "mine"}}),
            (f"CONSUMER.CREATE.{name}.pull", {"stream_name": name, "config": {"name": "pull", "ack_policy": "none"}}),
            (f"CONSUMER.DURABLE.CREATE.{name}.mine", {"stream_name": name, "config": {"durable_name": "mine"}}),
            *((f"CONSUMER.{call}.{name}.{each}", {}) for call in ("DELETE", "PAUSE", "UNPIN") for each in durables),
            *(
                (f"CONSUMER.DURABLE.CREATE.{name}.{each}", {"stream_name": name, "config": {"durable_name": each}})
                for each in durables
            ),
        )
    ]


@every_stream
@every_role
async def test_no_role_changes_a_stream_or_makes_a_consumer(rig: Rig, role: str, stream: Stream) -> None:
    before = await rig.stored()
    assert await rig.holders[role].all_refused(*administration(stream))
    assert await rig.stored() == before


@every_role
async def test_no_role_takes_or_acknowledges_the_work_of_another(rig: Rig, role: str) -> None:
    attempts = [
        (subject, None)
        for durable in DURABLES
        for subject in (
            f"$JS.API.CONSUMER.MSG.NEXT.{durable.stream.name}.{durable.name}",
            f"$JS.ACK.{durable.stream.name}.{durable.name}.1.1.1.1.1",
            f"$JS.ACK.x.y.{durable.stream.name}.{durable.name}.1.1.1.1.1.x",
        )
        if not may_publish(role, subject)
    ]
    own = (
        {Actor.CONDUCTOR: 1, Actor.DEV_E: 1, Actor.REVIEW_E: 2, Actor.AGENT: 1, Actor.GITHUB: 1}.get(Actor(role), 0)
        if role in set(Actor)
        else 0
    )
    assert len(attempts) == 3 * (len(DURABLES) - 2 * own), "its durables, and where the dead letters of those come back"
    assert await rig.holders[role].all_refused(*attempts)


@every_role
async def test_an_acknowledgement_of_its_own_is_no_pull_from_anothers_durable(rig: Rig, role: str) -> None:
    """`+NXT` is one; and what is a durable's name in a subject depends on how many tokens that has."""
    names = [f"{durable.stream.name}.{durable.name}" for durable in DURABLES]
    own = [name for name in names if may_publish(role, f"$JS.API.CONSUMER.MSG.NEXT.{name}")]
    others = [name for name in names if name not in own]
    attempts = [
        (f"$JS.ACK.{other}.{name}.{tail}", "+NXT") for other in others for name in own for tail in ("1.1.1", "1.1.1.1")
    ]
    assert await rig.holders[role].all_refused(*attempts)


# ── what a message may carry ─────────────────────────────────────────────────

ERASING = ({"Nats-Rollup": "all"}, {"Nats-Rollup": "sub"})
SCHEDULING = (
    {"Nats-Schedule": FUTURE, "Nats-Schedule-Target": ANOTHERS},
    {"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": ANOTHERS, "Nats-Schedule-TTL": "1s"},
    {"Nats-Schedule": FUTURE},
    {"Nats-Scheduler": "timer.conductor.set.x", "Nats-Schedule-Next": "purge"},
)
EXPIRING = ({"Nats-TTL": "1s"}, {"Nats-TTL": "never"})
FIRINGS = FIRED[Actor.CONDUCTOR]
HAVE_TTL = (BEATS, LEASES, *TIMERS.values())
"""Where a role may let its own word expire: what is true for the moment, and holds one word per subject."""


@every_stream
@every_role
async def test_no_message_erases_expires_or_schedules(rig: Rig, role: str, stream: Stream) -> None:
    if role in TIMERS and stream == TIMERS[Actor(role)]:
        pytest.skip("its own cache: see the test of that")
    before = await rig.stored()
    attempts = [*ERASING, *SCHEDULING, *(() if stream in HAVE_TTL else EXPIRING)]
    for subject in writes(role, stream):
        own = [{**headers, "Nats-Schedule-Target": subject} for headers in SCHEDULING[:2]]
        answers = [(headers, await rig.holders[role].ask(subject, headers=headers)) for headers in (*attempts, *own)]
        assert [headers for headers, answer in answers if "error" not in answer] == []
    assert await rig.stored() == before


@pytest.mark.parametrize("role", TIMERS)
async def test_the_timers_of_a_role_stay_within_their_stream(rig: Rig, role: Actor) -> None:
    """The one exception. Schedules force roll-up on, so who sets timers can erase that stream: it is a cache."""
    holder, subject = rig.holders[role], f"timer.{role}.set.x"
    before = await rig.stored()
    by_itself = {"Nats-Scheduler": subject, "Nats-Schedule-Next": "purge"}
    await holder.ask(subject, headers=SCHEDULING[-1])  # of another stream's timer: whatever is answered, see below
    attempts = (*SCHEDULING[:-1], by_itself, *EXPIRING, *ERASING)
    allowed = [headers for headers in attempts if "error" not in await holder.ask(subject, headers=headers)]
    fired = {"Nats-Schedule": FUTURE, "Nats-Schedule-Target": f"timer.{role}.fired.x"}
    assert "error" not in await holder.ask(subject, headers=fired)
    assert allowed == [*EXPIRING, *ERASING], "and no schedule for elsewhere, nor in the name of another"
    after = await rig.stored()
    own = TIMERS[role].name
    assert {name: found for name, found in after.items() if name != own} == {
        name: found for name, found in before.items() if name != own
    }
    assert after[own]["config"] == before[own]["config"]
    assert after[own]["subjects"] == {subject: 1}, "all that it held is gone, and that is all"


# ── where a role may speak and listen ────────────────────────────────────────


def foreign(role: str) -> list[str]:
    """What others may say, and what nobody may."""
    others = {concrete(subject) for other in ROLES for subject in permissions(other).may_publish}
    branches = [
        f"{branch}.{other}.x"
        for other in (*ROLES, ADMIN, "x")
        for branch in (
            "presence",
            "run",
            "lease",
            "object",
            "inbox",
            "timer",
            "rig.agent.x",
            "rig.fleet",
            "rig.issue.a.b.1",
        )
    ]
    nobodys = [
        *("stored.rig.fleet.cli.policy_adopted", "stored.presence.dev-e.x", "stored.x"),
        *("timer.conductor.fired.x", "dead.letter.x.y", "rig.x", f"rig.fleet.{role}.x", "x", "_INBOX.x", "$SRV.PING"),
        "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.RIG.dev-e",
        "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.RIG.dev-e",
        *("$JS.API.STREAM.NAMES", "$JS.API.ACCOUNT.PURGE.RIG", "$JS.API.META.LEADER.STEPDOWN", "$JS.FC.RIG.x.y"),
        *(
            "$SYS.REQ.SERVER.PING.CONNZ",
            "$SYS.ACCOUNT.RIG.CONNECT",
            "$SYS.REQ.CLAIMS.UPDATE",
            "$SYS.REQ.SERVER.x.RELOAD",
        ),
    ]
    return [subject for subject in sorted({*others, *branches, *nobodys}) if not may_publish(role, subject)]


@every_role
async def test_no_role_speaks_outside_its_branch(rig: Rig, role: str) -> None:
    before = await rig.stored()
    subjects = foreign(role)
    assert ANOTHERS in subjects or role == Actor.CLI
    assert len(subjects) > 100
    assert await rig.holders[role].all_refused(*((subject, None) for subject in subjects))
    assert await rig.stored() == before


@every_role
async def test_no_answer_is_put_on_anothers_subject(rig: Rig, role: str) -> None:
    """The server publishes an answer wherever the request says, and asks for no permission: see bus/permissions.py."""
    holder, before = rig.holders[role], await rig.stored()
    asked = [concrete(subject) for subject in permissions(role).may_publish if not subject.startswith("$JS.ACK")]
    targets = [
        *(subject for subject in (ANOTHERS, "rig.fleet.conductor.decided") if not may_publish(role, subject)),
        *("presence.x.y", "run.x.y", "lease.x.y", "object.x.y", "dead.letter.x.y", "timer.conductor.fired.y"),
        *(f"$JS.API.STREAM.PURGE.{RUNS.name}", f"$JS.API.CONSUMER.DELETE.{FIRINGS.stream.name}.{FIRINGS.name}"),
    ]
    for subject in asked:
        body = b'{"seq":1}' if ".GET." in subject else b"1" if ".NEXT." in subject else b""
        for target in targets:
            await holder.client.publish(subject, body, reply=target)
        await holder.client.publish(subject, body, reply="_R_.x.y")  # how the server itself names such an answer
    assert [refusal for refusal in await holder.refusals() if "with reply of" not in refusal] == []
    after = await rig.stored()
    for stream, found in after.items():
        own = [subject for subject in found["subjects"] if may_publish(role, subject)]
        for each in (found["subjects"], before[stream]["subjects"]):
            for subject in own:
                each.pop(subject, None)
    assert after == before


@every_role
async def test_no_role_hears_more_than_is_said_again_and_its_own_answers(rig: Rig, role: str) -> None:
    holder, heard = rig.holders[role], list[str]()

    async def hear(message: Msg) -> None:
        heard.append(message.subject)

    inbox = await holder.client.subscribe("_INBOX.>", cb=hear)
    for other in rig.holders.values():
        if other.role != role:
            assert "error" not in await other.ask(f"$JS.API.STREAM.INFO.{LOG.name}")
    assert await holder.refusals() == []
    await inbox.unsubscribe()
    assert len(heard) == 1, "the answer to its own question"
    serves = permissions(role).serves
    refused = [
        ">",
        "*.>",
        "rig.>",
        "run.>",
        "lease.>",
        "object.>",
        "inbox.>",
        "presence.>",
        "dead.>",
        "timer.>",
        "stored.>",
        "$JS.>",
    ]
    refused += ["stored.run.>", "$SYS.>", "_R_.>", *(f"ask.{name}.>" for name in ("local", "query") if name != serves)]
    for subject in refused:
        await holder.client.subscribe(subject)
    assert await holder.refusals() == [
        f'nats: permissions violation for subscription to "{subject.lower()}"' for subject in refused
    ]


# ── and yet everybody can work ───────────────────────────────────────────────


@every_role
async def test_every_role_reads_what_it_needs_and_hears_what_is_stored(rig: Rig, role: str) -> None:
    holder, may = rig.holders[role], permissions(role)
    await rig.stored()  # each stream holds something then
    heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def hear(message: Msg) -> None:
        if not heard.done():
            heard.set_result(message.subject)

    subscription = await holder.client.subscribe("stored.rig.>", cb=hear)
    await holder.ask("$JS.API.INFO")
    for stream in (LOG, PRESENCE, LEASES):
        assert "error" not in await holder.ask(f"$JS.API.STREAM.INFO.{stream.name}")
        got = await holder.client.request(f"$JS.API.DIRECT.GET.{stream.name}", b'{"last_by_subj":">"}', timeout=60)
        assert got.headers is not None
        assert got.headers["Nats-Stream"] == stream.name
        assert "error" not in await holder.ask(f"$JS.API.STREAM.MSG.GET.{stream.name}", {"last_by_subj": ">"})
    assert "error" not in await rig.holders[Actor.CLI].ask(ANOTHERS)
    assert await heard == f"stored.{ANOTHERS}"
    await subscription.unsubscribe()
    assert "sync_always" in str(await holder.ask("$SYS.REQ.SERVER.PING.JSZ", {"config": True}))
    for subject in may.publish:
        if subject.startswith("$JS.API.") and ".INFO" in subject:
            assert "error" not in json.loads((await holder.client.request(subject, timeout=60)).data)
    assert await holder.refusals() == []


async def test_an_agent_takes_its_assignments_and_acknowledges_them(rig: Rig) -> None:
    role = Actor.DEV_E
    holder = rig.holders[role]
    said = await rig.holders[Actor.CONDUCTOR].ask(f"rig.issue.a.b.1.conductor.assigned.{role}")
    waiting = await holder.client.subscribe("_INBOX.work")
    await holder.client.publish(
        f"$JS.API.CONSUMER.MSG.NEXT.RIG.{role}", b'{"batch":1000,"expires":5000000000}', "_INBOX.work"
    )
    async for message in waiting.messages:
        await message.ack_sync(timeout=60)
        if message.metadata.sequence.stream == said["seq"]:
            break
    await waiting.unsubscribe()
    assert json.loads(await rig.admin.api(f"$JS.API.CONSUMER.INFO.RIG.{role}"))["num_pending"] == 0
    assert await holder.refusals() == []


async def test_a_person_asks_the_forge_and_the_read_side(rig: Rig) -> None:
    async def respond(message: Msg) -> None:
        await message.respond(b'{"a":1}')

    for name in ("local", QUERY):
        serving = await rig.holders[name].client.subscribe(f"ask.{name}.x", cb=respond)
        await rig.holders[name].ask("$JS.API.INFO")
        assert await rig.holders[Actor.CLI].ask(f"ask.{name}.x") == {"a": 1}
        await serving.unsubscribe()


async def test_the_roles_are_the_actors_and_who_only_reads() -> None:
    assert set(ROLES) == {*(actor.value for actor in Actor), QUERY}
    assert [stream for stream in STREAMS if writes(QUERY, stream)] == []


async def test_who_projects_says_which_memories_go_buries_what_it_cannot_take_and_nothing_else() -> None:
    assert {stream.name: writes(Actor.PROJECTOR, stream) for stream in STREAMS if writes(Actor.PROJECTOR, stream)} == {
        LOG.name: ["rig.memory.x.projector.forgotten", "rig.memory.x.projector.memories_compacted"],
        DEAD.name: ["dead.letter.RIG.projector"],
    }
