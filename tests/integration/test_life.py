"""Agents that are characters, awake on a real log: messages, events, schedules, wakes that outlive who began them."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from agents.life.clock import Firing
from agents.life.schedule import Missed
from agents.llm.messages import Message, Speaker
from bus import Bus
from schemas import (
    FLEET,
    Actor,
    AgentJoined,
    AgentRef,
    AgentWoken,
    ChatRef,
    HaltDetected,
    Invariant,
    MessageReceived,
    MessageSent,
    Recorded,
    RestOutcome,
    WokenBy,
    everything_about,
    woken,
)
from tests.conftest import Connect
from tests.support.awake import ANN, Thinking, adopt, alive, character_file, rested, say, wakes
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.character.reload.EVERY_SECONDS", 0.05)
    monkeypatch.setattr("agents.life.life.STANDBY_SECONDS", 0.05)


TALK = ChatRef("terminal", "bob-1")
CHANNEL = ChatRef("discord", "42")


def halt(evidence: str, invariant: Invariant = Invariant.CANARY_LOST) -> HaltDetected:
    return HaltDetected(invariant=invariant, evidence=(evidence,), since=datetime(2026, 1, 1, tzinfo=UTC))


async def test_a_message_is_answered_where_it_was_said_and_remembers_what_was_said_before(
    connect: Connect, tmp_path: Path
) -> None:
    cli, agent = await connect(Actor.CLI), await connect(Actor.AGENT, f"agent/{ANN}")
    await adopt(cli)
    mind = Thinking()
    async with alive(agent, character_file(tmp_path), mind):
        await joined(agent)
        await say(cli, TALK, MessageReceived(author="bob", text="How are you?", to=ANN), "m-1")
        await say(cli, TALK, MessageReceived(author="bob", text="And you?", to="other-e"), "m-2")
        await rested(agent)
        await say(cli, TALK, MessageReceived(author="bob", text="And now?", to=ANN), "m-3")
        first, second = await rested(agent, 2)
    assert (first.outcome, first.detail, first.cost_usd) == (RestOutcome.DONE, "answer 1", 0.25)
    assert second.detail == "answer 2"
    said = [each.event for each in await agent.log.history([everything_about(TALK)])]
    sent = [(event.data, event.source) for event in said if isinstance(event.data, MessageSent)]
    assert sent == [
        (MessageSent(message="answer 1", in_reply_to="m-1"), f"agent/{ANN}"),
        (MessageSent(message="answer 2", in_reply_to="m-3"), f"agent/{ANN}"),
    ]
    assert mind.told[0].text == "bob writes:\n```\nHow are you?\n```"
    assert mind.histories[0] == ()
    before = [Message(Speaker.USER, f"bob writes:\n```\n{text}\n```") for text in ("How are you?", "And you?")]
    assert set(mind.histories[1]) == {*before, Message(Speaker.ASSISTANT, "answer 1")}


async def test_what_was_said_to_it_by_name_before_it_ever_was_there_is_answered(
    connect: Connect, tmp_path: Path
) -> None:
    """As by `rig chat` while it starts: it is held, and has not joined yet."""
    cli, agent = await connect(Actor.CLI), await connect(Actor.AGENT, f"agent/{ANN}")
    await adopt(cli)
    await say(await connect(Actor.DISCORD), CHANNEL, MessageReceived(author="bob", text="hello all"), "m-0")
    await say(cli, TALK, MessageReceived(author="bob", text="Are you there?", to=ANN), "m-1")
    await say(cli, TALK, MessageReceived(author="bob", text="And you?", to="other-e"), "m-2")
    file = character_file(tmp_path, messaging={"conversations": ["discord/*"], "mention": False})
    for again in range(2):
        async with alive(agent, file, Thinking()):
            await say(cli, AgentRef(ANN), *said_by_a_person("Now.", f"p-{again}"))
            await rested(agent, 2 + again)
    assert [(wake.by, wake.key) for wake in await wakes(agent) if wake.by is not WokenBy.PERSON] == [
        (WokenBy.MESSAGE, "m-1")
    ]
    last = await agent.log.last(f"rig.chat.terminal.*.agent.{MessageSent.name()}")
    assert isinstance(last, Recorded)
    assert isinstance(last.event.data, MessageSent)
    assert last.event.data.in_reply_to == "m-1"


async def test_of_a_channel_it_answers_what_names_it(connect: Connect, tmp_path: Path) -> None:
    discord, agent = await connect(Actor.DISCORD), await connect(Actor.AGENT, f"agent/{ANN}")
    await adopt(await connect(Actor.CLI))
    file = character_file(tmp_path, messaging={"conversations": ["discord/*"], "roles": ["dev"]})
    mind = Thinking()
    async with alive(agent, file, mind):
        await joined(agent)
        for number, (text, roles) in enumerate(
            (("hello all", ("dev",)), (f"@{ANN} no role", ()), (f"@{ANN}2 other", ("dev",)), (f"hey @{ANN}!", ("dev",)))
        ):
            await say(
                discord, CHANNEL, MessageReceived(author="bob", roles=roles, text=text, thread="t"), f"m-{number}"
            )
        await rested(agent)
    assert [told.text for told in mind.told] == [f"bob writes:\n```\nhey @{ANN}!\n```"]
    last = await agent.log.last(f"rig.chat.discord.42.agent.{MessageSent.name()}")
    assert isinstance(last, Recorded)
    assert last.event.data == MessageSent(message="answer 1", thread="t", in_reply_to="m-3")


async def test_events_wake_it_from_its_joining_on_by_what_they_say(connect: Connect, tmp_path: Path) -> None:
    watch, agent = await connect(Actor.WATCH), await connect(Actor.AGENT, f"agent/{ANN}")
    triggers = [{"event": "HaltDetected", "where": {"invariant": "canary_lost"}, "text": "Look."}]
    mind = Thinking()
    cli = await connect(Actor.CLI)
    await adopt(cli)
    await say(cli, AgentRef(ANN), *said_by_a_person("Wake up.", "p-0"))
    await say(watch, FLEET, halt("too early"), "h-0")
    async with alive(agent, character_file(tmp_path, triggers=triggers), mind):
        await joined(agent)
        await say(watch, FLEET, halt("another thing", Invariant.DEADLINE_UNHEARD), "h-1")
        await say(watch, FLEET, halt("this ``` one"), "h-2")
        await rested(agent, 2)
    told = next(each for each in mind.told if each.text != "Wake up.")
    assert told.text.startswith(
        "Look.\n\nThis has happened:\n````\nrig.fleet.halt_detected.v1 about fleet, at position"
    )
    assert "this ``` one" in told.text
    assert [(wake.by, wake.key) for wake in await wakes(agent)] == [
        (WokenBy.PERSON, "p-0"),
        (WokenBy.EVENT, "h-2"),
    ]


async def test_a_wake_outlives_who_began_it_and_is_done_once(connect: Connect, tmp_path: Path) -> None:
    cli = await connect(Actor.CLI)
    one, two = await connect(Actor.AGENT, f"agent/{ANN}"), await connect(Actor.AGENT, f"agent/{ANN}")
    await adopt(cli)
    file = character_file(tmp_path)
    begun = asyncio.Event()

    async def hang(_: object) -> str:
        begun.set()
        await asyncio.Event().wait()
        return ""

    first, second = Thinking(hang), Thinking()
    async with AsyncExitStack() as stack:
        async with alive(one, file, first):
            await say(cli, AgentRef(ANN), *said_by_a_person("Count the issues.", "p-1"))
            await begun.wait()
            standing_by = await stack.enter_async_context(alive(two, file, second))
            await until(lambda: standing_by.is_ready)
            assert not second.told, "one holds it, and it alone works"
        (rest,) = await rested(two)
    assert rest.outcome is RestOutcome.DONE
    assert [told.text for told in second.told] == ["Count the issues."]
    assert len(await wakes(two)) == 1


async def test_what_fails_is_said_and_comes_to_rest(connect: Connect, tmp_path: Path) -> None:
    cli, agent = await connect(Actor.CLI), await connect(Actor.AGENT, f"agent/{ANN}")
    await adopt(cli)

    async def fail(_: object) -> str:
        raise RuntimeError("no luck")

    async with alive(agent, character_file(tmp_path), Thinking(fail)):
        await joined(agent)
        await say(cli, TALK, MessageReceived(author="bob", text="Well?", to=ANN), "m-1")
        (rest,) = await rested(agent)
    assert (rest.outcome, rest.detail) == (RestOutcome.FAILED, "RuntimeError: no luck")
    last = await agent.log.last(f"rig.chat.terminal.*.agent.{MessageSent.name()}")
    assert isinstance(last, Recorded)
    assert last.event.data == MessageSent(message="I cannot answer now: RuntimeError: no luck", in_reply_to="m-1")


async def test_a_timer_is_heard_by_any_process_and_makes_one_wake(connect: Connect, tmp_path: Path) -> None:
    """For an agent that neither of them is: whoever hears it says what was due."""
    cli = await connect(Actor.CLI)
    one, two = await connect(Actor.AGENT, f"agent/{ANN}"), await connect(Actor.AGENT, f"agent/{ANN}")
    await adopt(cli)
    file = character_file(tmp_path, cron=[{"name": "soon", "cron": "0 0 1 1 *", "text": "Now."}])
    mind = Thinking()
    async with alive(one, file, mind), alive(two, file, mind):
        now = datetime.now(UTC)
        for name in (ANN, "bob-e"):
            firing = Firing(agent=name, schedule="soon", due=datetime(now.year, 1, 1, tzinfo=UTC), missed=Missed.ONCE)
            await one.timers.set(f"test:{name}", now + timedelta(milliseconds=300), msgspec.json.encode(firing))
        (rest,) = await rested(one)
        async with one.log.follow([everything_about(AgentRef("bob-e"))]) as reader:
            async for item in reader:
                if isinstance(item, Recorded) and isinstance(item.event.data, AgentWoken):
                    break
    assert rest.outcome is RestOutcome.DONE
    assert [told.text.partition("\n")[0] for told in mind.told] == ["Now."]
    assert len(await wakes(one)) == 1


async def test_a_changed_character_wakes_for_other_things(connect: Connect, tmp_path: Path) -> None:
    watch, agent = await connect(Actor.WATCH), await connect(Actor.AGENT, f"agent/{ANN}")
    await adopt(await connect(Actor.CLI))
    file = character_file(tmp_path)
    mind = Thinking()
    async with alive(agent, file, mind) as life:
        await joined(agent)
        file.write_text("{")
        await until(lambda: life.checks.get("character") is not None and not life.checks["character"].ok)
        await say(watch, FLEET, halt("while it is wrong"), "h-1")
        character_file(tmp_path, triggers=[{"event": "HaltDetected", "text": "Look."}])
        (rest,) = await rested(agent)
        assert life.checks["character"].ok
    assert rest.outcome is RestOutcome.DONE
    assert [wake.key for wake in await wakes(agent)] == ["h-1"]


def said_by_a_person(text: str, key: str) -> tuple[AgentWoken, str]:
    return woken(ANN, WokenBy.PERSON, key, text=text)


async def joined(bus: Bus) -> None:
    async with bus.log.follow([f"rig.agent.{ANN}.*.{AgentJoined.name()}"]) as reader:
        async for _ in reader:
            return
