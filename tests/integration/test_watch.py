"""The watch on a real server, with the key of its role; and on what it watches: real processes, a real PostgreSQL.

Its patience is short here. That somebody is late, on a machine that has much to do, makes it speak sooner than it
should; what is waited for is that it speaks.
"""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from bus import Bus
from conductor.query import run_query
from conductor.watch import run_watch
from deploy.embedded.nats import NatsServer
from machine.lifecycle import Lifecycle
from schemas import (
    FLEET,
    Actor,
    AddIssue,
    AgentJoined,
    AgentLeft,
    AgentRef,
    AgentSilent,
    AgentStatus,
    CanaryIssued,
    Draft,
    Event,
    HaltCleared,
    HaltDetected,
    Heartbeat,
    Invariant,
    IssueAdded,
    IssueApproved,
    IssueRef,
    Policy,
    PolicyAdopted,
    Recorded,
)
from schemas.policy import WatchPolicy
from tests.conftest import Connect
from tests.support.readside import projecting, reached
from tests.support.saying import approved
from tests.support.servers import reaching

SHORT = Policy(
    heartbeat_seconds=0.3,
    waiting_seconds=0.1,
    watch=WatchPolicy(silent_seconds=0.3, issue_seconds=0.3, decision_seconds=0.3, projection_seconds=0.5),
)


async def adopt(bus: Bus, policy: Policy) -> None:
    adopted = PolicyAdopted(policy=policy, hash=policy.digest(), by="ada")
    await bus.log.publish(Draft(about=FLEET, data=adopted), "policy")


@asynccontextmanager
async def watching(bus: Bus) -> AsyncIterator[Lifecycle]:
    life = Lifecycle()
    life.running = True
    work = asyncio.create_task(run_watch(bus, life))
    try:
        yield life
    finally:
        life.stop.set()
        await work


async def until(bus: Bus, *wanted: object) -> list[Event]:
    """Reads the log until each of these was said: an event's type, or the invariant of a halt."""
    missing, said = set(wanted), list[Event]()
    async with bus.log.follow() as reader:
        while missing:
            item = (await reader.next()).decoded()
            assert isinstance(item, Recorded)
            said.append(item.event.data)
            missing.discard(type(item.event.data))
            if isinstance(item.event.data, HaltDetected):
                missing.discard(item.event.data.invariant)
    return said


async def test_with_its_key_it_can_see_ask_and_say_all_that_it_must(connect: Connect) -> None:
    """No conductor decides, an agent shows life once, nobody serves the read side, nobody translates deliveries."""
    person, forge, agent = await connect(Actor.CLI), await connect(Actor.LOCAL), await connect(Actor.DEV_E)
    await (await connect(Actor.GITHUB)).inbox.store("d-1", {}, b"{}")

    async def add(asked: AddIssue) -> IssueAdded:
        issue = IssueRef("demo", "shop", 1)
        said = IssueApproved(title=asked.title, author=asked.author, body=asked.body)
        return IssueAdded(issue=issue, position=await forge.log.publish(Draft(about=issue, data=said), asked.request))

    await forge.services.serve("local", "add_issue", AddIssue, add)
    await adopt(person, replace(SHORT, watch=replace(SHORT.watch, canary_repository="demo/shop")))
    joined = AgentJoined(boot="b1", role="dev-e", provider="none", slots=1, version="0")
    await agent.log.publish(Draft(about=AgentRef("dev-e-1"), data=joined), "joined")
    beat = Heartbeat(agent="dev-e-1", role="dev-e", boot="b1", status=AgentStatus.IDLE, slots_free=1, provider="none")
    async with watching(await connect(Actor.WATCH)) as life:
        await agent.presence.beat(beat, ttl_seconds=1)
        await until(
            person,
            AgentSilent,
            CanaryIssued,
            Invariant.DELIVERY_UNANSWERED,
            Invariant.FACT_WITHOUT_CONSEQUENCE,
            Invariant.ISSUE_UNANSWERED,
            Invariant.PROJECTION_BEHIND,
        )
        held = await person.leases.look("watch", role=Actor.WATCH)
        assert held is not None
        assert held.holder == "watch"
        assert life.is_ready


async def test_a_projector_that_stands_still(connect: Connect, postgres_url: str) -> None:
    person = await connect(Actor.CLI)
    await adopt(person, SHORT)
    desk = Lifecycle()
    answering = asyncio.create_task(run_query(await connect(Actor.CONDUCTOR, "query"), desk, postgres_url))
    projector = await connect(Actor.PROJECTOR)
    async with watching(await connect(Actor.WATCH)):
        async with projecting(projector, postgres_url):
            await reached(postgres_url, 1)
            await last_word(person, HaltCleared, None)
        await person.log.publish(approved(), "approved")
        await last_word(person, HaltDetected)
        async with projecting(projector, postgres_url):
            await last_word(person, HaltCleared)
    desk.stop.set()
    await answering
    assert (await words(person))[-2:] == [HaltDetected, HaltCleared]


async def last_word(bus: Bus, *kinds: type[Event] | None) -> None:
    """Waits until the last word about the read side is one of these; None: there is none."""
    while True:
        if [None, *await words(bus)][-1] in kinds:
            return
        await asyncio.sleep(0.05)


async def words(bus: Bus) -> list[type[Event]]:
    """What the watch has said about the read side so far."""
    said = [item.event.data for item in await bus.log.history(["rig.fleet.watch.>"])]
    return [
        type(word)
        for word in said
        if isinstance(word, HaltDetected | HaltCleared) and word.invariant is Invariant.PROJECTION_BEHIND
    ]


async def test_an_agent_that_is_killed_says_no_word_and_the_watch_does(
    connect: Connect, nats: NatsServer, tmp_path: Path
) -> None:
    person = await connect(Actor.CLI)
    await adopt(person, SHORT)
    env = {**os.environ, **reaching(nats, "dev-e"), "RIG_HOME": str(tmp_path), "RIG_CODER": "command:true"}
    argv = [sys.executable, "-P", "-m", "deploy.roles", "dev-e"]
    async with watching(await connect(Actor.WATCH)):
        agent = await asyncio.create_subprocess_exec(*argv, env=env, stdin=DEVNULL, stderr=DEVNULL)
        try:
            await until(person, AgentJoined)
        finally:
            agent.kill()
            await agent.wait()
        said = await until(person, AgentSilent)
    assert not any(isinstance(event, AgentLeft) for event in said)
