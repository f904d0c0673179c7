"""The loop through the real gateway, against a scripted endpoint: a character's whole way from what it is told to what
it answers, with tools together, memory before and after, limits, money and cancelling."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec

from agents.llm.config import LlmConfig
from agents.llm.endpoint import Waits
from agents.llm.gateway import Gateway
from agents.llm.messages import Message, Speaker
from agents.llm.standing import Standing
from agents.loop.limits import Limit, Limits
from agents.loop.loop import converse
from agents.loop.setting import said_by, setting
from agents.remember import learn, recall, reflect, told
from agents.tools.tool import Arguments
from bus import Bus
from schemas import Actor, MemoryRead, MemoryUsed, MemoryWritten
from tests.support.models import USAGE_USD, ModelServer, TestClock, TestPurse, call, gateways, hangs, served
from tests.support.models import says as answers
from tests.support.readside import answering, projecting, reached
from tests.support.talking import AnyTool, says

Connect = Callable[..., Awaitable[Bus]]

HOURS = 10_000.0
PATIENT = Waits(connect_seconds=HOURS, silence_seconds=HOURS, answer_seconds=HOURS)
NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
SYSTEM = Message(Speaker.SYSTEM, setting("conductor-e", now=NOW, channel="terminal, ann", about="You know the rig."))


class Rig:
    """A gateway with one model, and what was asked of it."""

    def __init__(self, server: ModelServer, gateway: Gateway, purse: TestPurse) -> None:
        self.server = server
        self.gateway = gateway
        self.purse = purse


@asynccontextmanager
async def rig(*script: object, usd: float = 1_000.0) -> AsyncGenerator[Rig]:
    async with served() as server:
        server.does["one"] = list(script)  # type: ignore[arg-type]
        purse = TestPurse(usd)
        found = gateways(server.url, "a/one", embedding=None)
        config = LlmConfig(routes={}, patience_seconds=3_600)
        async with Gateway.opened(
            found, config, purse, standing=Standing(), waits=PATIENT, clock=TestClock()
        ) as gateway:
            yield Rig(server, gateway, purse)
        assert not purse.open


async def test_tools_run_together_and_their_answers_go_back_in_order() -> None:
    together = asyncio.Barrier(2)

    async def meets(arguments: Arguments) -> object:
        await together.wait()
        return f"{arguments['team']}: fine"

    tools = (AnyTool("look", meets), says("write", "written", safe=False))
    calls = [
        call("look", '{"team": "red"}', "call-1"),
        call("look", '{"team": "blue"}', "call-2"),
        call("write", "{}", "call-3"),
    ]
    heard: list[str] = []
    async with rig(answers("Let me see.", calls=calls, reason="tool_calls"), answers("All is well.")) as r:
        turned = await converse(
            r.gateway, tools, [SYSTEM], said_by("ann", "How are they?"), limits=Limits(), on_text=heard.append
        )
        assert turned.answer == "All is well."
        assert turned.cost_usd == 2 * USAGE_USD
        first, second = (asked.body for asked in r.server.asked)
    assert first["messages"][0] == {"role": "system", "content": SYSTEM.text}
    assert "You are conductor-e." in SYSTEM.text
    assert "It is Saturday, 2026-01-31 12:00 UTC. What you answer is read here: terminal, ann." in SYSTEM.text
    assert first["messages"][1] == {"role": "user", "content": "ann writes:\n```\nHow are they?\n```"}
    assert [tool["function"]["name"] for tool in first["tools"]] == ["look", "write"]
    assert [(one["role"], one.get("tool_call_id"), one["content"]) for one in second["messages"][3:]] == [
        ("tool", "call-1", "```\nred: fine\n```"),
        ("tool", "call-2", "```\nblue: fine\n```"),
        ("tool", "call-3", "```\nwritten\n```"),
    ]
    last = len(heard) - heard[::-1].index("")
    assert "".join(heard[last:]) == "All is well."


async def test_a_limit_ends_in_a_last_turn_without_tools() -> None:
    number = iter(range(100))
    looks = [answers("", calls=[call("look", f'{{"n": {n}}}')], reason="tool_calls") for n in range(3)]

    async def look(_: Arguments) -> object:
        return next(number)

    async with rig(*looks, answers("I have not found it.")) as r:
        turned = await converse(
            r.gateway, (AnyTool("look", look),), [SYSTEM], "Find it", limits=Limits(cost_usd=2.5 * USAGE_USD)
        )
        assert turned.limited is Limit.MONEY
        assert turned.answer == "I have not found it.\n\n(Stopped: it has spent what it may.)"
        last = r.server.asked[-1].body
    assert len(r.server.asked) == 4
    assert "tools" not in last
    assert {message["role"] for message in last["messages"]} == {"system", "user", "assistant"}


async def test_money_that_the_rig_has_not_ends_it_honestly() -> None:
    async with rig(answers("Never."), usd=0.0) as r:
        turned = await converse(r.gateway, (), [SYSTEM], "Hello", limits=Limits())
        assert r.server.asked == []
    assert turned.limited is Limit.MONEY
    assert turned.answer == "(Stopped: it has spent what it may. There is no answer.)"


async def test_cancelling_hangs_up() -> None:
    reached_model, cancel = asyncio.Event(), asyncio.Event()
    async with rig(hangs(reached_model)) as r:
        talk = asyncio.ensure_future(converse(r.gateway, (), [SYSTEM], "Hello", limits=Limits(), cancel=cancel))
        await reached_model.wait()
        cancel.set()
        turned = await talk
        assert turned.cancelled
        await r.server.gone.wait()


async def test_what_one_conversation_learned_the_next_is_told(connect: Connect, postgres_url: str) -> None:
    agent, serving = await connect(Actor.AGENT, "agent/conductor-e"), await connect(Actor.CONDUCTOR, "query")
    projector = await connect(Actor.PROJECTOR)
    lesson = {"title": "Deploys happen on Tuesdays", "text": "Ask Ann first.", "kind": "fact", "importance": 4}
    learned = msgspec.json.encode({"lessons": [lesson], "used": []}).decode()
    used = msgspec.json.encode({"lessons": [], "used": [1]}).decode()
    script = (answers("On Tuesdays."), answers(learned), answers("Tuesday, ask Ann."), answers(used))
    async with rig(*script) as r, projecting(projector, postgres_url), answering(serving, postgres_url):
        for key in ("run-1", "run-2"):
            found = await recall(agent, scopes=("rig",), query="When do deploys happen?", key=key)
            system = Message(Speaker.SYSTEM, "\n\n".join((SYSTEM.text, told(found))))
            turned = await converse(r.gateway, (), [system], "When do deploys happen?", limits=Limits())
            what = await reflect(r.gateway, turned.answer, found)
            await learn(agent, what, found, scope="rig", key=key)
            last = await agent.log.last()
            assert last is not None
            await reached(postgres_url, last.position)
        second = r.server.asked[2].body["messages"][0]["content"]
    assert "1. fact, written" in second
    assert "```\nDeploys happen on Tuesdays\nAsk Ann first.\n```" in second
    said = [type(each.event.data) for each in await agent.log.history(["rig.memory.>"])]
    assert [kind for kind in said if kind is not MemoryRead] == [MemoryWritten, MemoryUsed]
