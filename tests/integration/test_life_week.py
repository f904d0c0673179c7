"""The first week of an agent: minds that fail in the middle, answers heard before a restart."""

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from agents.life.life import lease_of
from agents.life.mind import Occasion, Rest
from bridges.terminal import Found
from bus import Bus, DuplicateMismatch, Unavailable
from deploy.embedded.nats import NatsServer
from deploy.oneshot import do_once
from schemas import (
    Actor,
    AgentJoined,
    ChatRef,
    MessageReceived,
    MessageSent,
    Recorded,
    RestOutcome,
    everything_about,
)
from tests.conftest import Connect
from tests.support.awake import ANN, Thinking, adopt, alive, character_file, rested, say

TALK = ChatRef("terminal", "bob-1")


async def joined(bus: Bus) -> None:
    async with bus.log.follow([f"rig.agent.{ANN}.*.{AgentJoined.name()}"]) as reader:
        async for _ in reader:
            return


class Failing(Thinking):
    """Raises this once, before it has answered or after."""

    def __init__(self, error: Exception, *, after: bool) -> None:
        super().__init__()
        self._errors = [error]
        self._after = after

    async def __call__(self, occasion: Occasion) -> Rest:
        if not self._after and self._errors:
            raise self._errors.pop()
        rest = await super().__call__(occasion)
        if self._errors:
            raise self._errors.pop()
        return rest


@pytest.mark.parametrize(
    ("failing", "outcome", "answer"),
    [
        ((Unavailable("the bus is away"), False), RestOutcome.DONE, "answer 1"),
        ((DuplicateMismatch("said"), False), RestOutcome.FAILED, "I cannot answer now: DuplicateMismatch: said"),
        ((RuntimeError("no luck"), True), RestOutcome.FAILED, "answer 1"),
    ],
)
async def test_a_mind_that_fails_is_not_the_end_of_the_agent(
    connect: Connect, tmp_path: Path, failing: tuple[Exception, bool], outcome: RestOutcome, answer: str
) -> None:
    cli, agent = await connect(Actor.CLI), await connect(Actor.AGENT, f"agent/{ANN}")
    await adopt(cli)
    async with alive(agent, character_file(tmp_path), Failing(failing[0], after=failing[1])):
        await joined(agent)
        await say(cli, TALK, MessageReceived(author="bob", text="Well?", to=ANN), "m-1")
        (rest,) = await rested(agent)
        await say(cli, TALK, MessageReceived(author="bob", text="And now?", to=ANN), "m-2")
        await rested(agent, 2)
    assert rest.outcome is outcome
    sent = [
        each.event.data
        for each in await agent.log.history([everything_about(TALK)])
        if isinstance(each.event.data, MessageSent)
    ]
    assert [each.message for each in sent if each.in_reply_to == "m-1"] == [answer]


async def test_what_was_an_answer_to_a_question_is_one_after_a_restart_too(connect: Connect, tmp_path: Path) -> None:
    cli, agent = await connect(Actor.CLI), await connect(Actor.AGENT, f"agent/{ANN}")
    await adopt(cli)
    file = character_file(tmp_path)
    async with alive(agent, file, Asking(agent)):
        await joined(agent)
        await say(cli, TALK, MessageReceived(author="bob", text="Delete it.", to=ANN), "m-1")
        await say(cli, TALK, MessageReceived(author="bob", text="yes", to=ANN), "m-2")
        await rested(agent)
    after = Thinking()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(alive(agent, file, after))
        await say(cli, TALK, MessageReceived(author="bob", text="Thanks.", to=ANN), "m-3")
        async with agent.log.follow([everything_about(TALK)]) as reader:
            async for item in reader:
                said = item.event.data if isinstance(item, Recorded) else None
                if isinstance(said, MessageSent) and said.in_reply_to == "m-3":
                    break
    assert [told.message.event.id for told in after.told if told.message] == ["m-3"]


class Asking(Thinking):
    """Waits for the next message, and takes it as an answer."""

    def __init__(self, bus: Bus) -> None:
        super().__init__()
        self._bus = bus

    async def __call__(self, occasion: Occasion) -> Rest:
        async with self._bus.log.follow([everything_about(TALK)]) as reader:
            async for item in reader:
                if isinstance(item, Recorded) and item.event.id == "m-2":
                    break
        occasion.answers.append("m-2")
        return await super().__call__(occasion)


async def test_one_thing_that_another_has_done_meanwhile_is_not_waited_for_twice(
    connect: Connect, nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody was the agent when it was looked for, and somebody is when it is to run here."""
    cli, agent = await connect(Actor.CLI), await connect(Actor.AGENT, f"agent/{ANN}")
    await adopt(cli)
    settings(monkeypatch, nats, tmp_path)
    monkeypatch.setattr(cli.leases, "look", AsyncMock(return_value=None))
    file = character_file(tmp_path)
    async with alive(agent, file, Thinking()):
        await joined(agent)
        async with asyncio.timeout(60):
            done = await do_once(cli, ANN, file, "Count.", Found(nats.url, None))
    assert (done.outcome, done.detail) == (RestOutcome.DONE, "answer 1")


async def test_one_thing_is_done_here_when_who_held_the_agent_has_died(
    connect: Connect, nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli, dead = await connect(Actor.CLI), await connect(Actor.AGENT, f"agent/{ANN}")
    await adopt(cli)
    settings(monkeypatch, nats, tmp_path)
    monkeypatch.setattr("deploy.oneshot.LOOK_SECONDS", 0.1)
    mind = Thinking()
    monkeypatch.setattr("agents.life.role.GatewayMind", lambda *_: mind)
    await dead.leases.acquire(lease_of(ANN), ttl_seconds=1)  # and never renewed
    async with asyncio.timeout(60):
        done = await do_once(cli, ANN, character_file(tmp_path), "Count.", Found(nats.url, None))
    assert (done.outcome, done.detail) == (RestOutcome.DONE, "answer 1")


def settings(monkeypatch: pytest.MonkeyPatch, nats: NatsServer, directory: Path) -> None:
    """Of whoever has it done."""
    for name in [name for name in os.environ if name.startswith("RIG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RIG_HOME", str(directory / "home"))
    monkeypatch.setenv("RIG_GATEWAY_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("RIG_GATEWAY_MODEL", "m")
    monkeypatch.setattr("deploy.oneshot.key_for", lambda *_: nats.key(Actor.AGENT))
    monkeypatch.setattr("agents.life.life.STANDBY_SECONDS", 0.05)
