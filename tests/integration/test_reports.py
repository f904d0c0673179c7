"""What an agent finds unasked reaches people: in the conversation that it reports to, and by a command."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.app import app
from deploy.embedded.nats import NatsServer
from schemas import (
    FLEET,
    Actor,
    AgentJoined,
    AgentRef,
    AgentRested,
    ChatRef,
    HaltDetected,
    Invariant,
    MessageSent,
    RestOutcome,
    WokenBy,
    event_id,
    everything_about,
    woken,
)
from tests.conftest import Connect
from tests.support.awake import ANN, Thinking, adopt, alive, character_file, rested, say, until_joined
from tests.support.servers import reaching

OPS = ChatRef("discord", "ops")
HALT = HaltDetected(invariant=Invariant.CANARY_LOST, evidence=("x",), since=datetime(2026, 1, 1, tzinfo=UTC))
REPORTS = {"triggers": [{"event": "HaltDetected", "text": "Look."}], "messaging": {"reports": "discord/ops"}}


async def test_it_says_what_it_found_where_it_reports(connect: Connect, tmp_path: Path) -> None:
    watch, agent, cli = await connect(Actor.WATCH), await connect(Actor.AGENT, f"agent/{ANN}"), await connect(Actor.CLI)
    await adopt(cli)

    async def first_well_then_badly(_: object) -> str:
        if len(mind.told) > 1:
            raise RuntimeError("no luck")
        return "The canary died at noon."

    mind = Thinking(first_well_then_badly)
    async with alive(agent, character_file(tmp_path, **REPORTS), mind):
        await until_joined(agent)
        await say(watch, FLEET, HALT, "h-1")
        await rested(agent)
        await say(watch, FLEET, HALT, "h-2")
        await rested(agent, 2)
        data, said = woken(ANN, WokenBy.PERSON, "run-1", text="Count.")
        await say(cli, AgentRef(ANN), data, said)
        await rested(agent, 3)
    told = [(each.event.data, each.event.source) for each in await agent.log.history([everything_about(OPS)])]
    assert told == [
        (MessageSent(message="The canary died at noon."), f"agent/{ANN}"),
        (MessageSent(message="I cannot answer now: RuntimeError: no luck"), f"agent/{ANN}"),
    ], "what a person has it do at a terminal is read there"
    assert [each.channel for each in mind.told] == ["the conversation discord:ops"] * 2 + ["a terminal"]


async def test_what_was_reported_by_who_died_over_it_is_not_found_out_again(connect: Connect, tmp_path: Path) -> None:
    watch, agent = await connect(Actor.WATCH), await connect(Actor.AGENT, f"agent/{ANN}")
    await adopt(await connect(Actor.CLI))
    await say(agent, AgentRef(ANN), AgentJoined(boot="b-1", role="agent", provider="any", slots=1, version="1"), "j-1")
    await say(watch, FLEET, HALT, "h-1")
    data, said = woken(ANN, WokenBy.EVENT, "h-1", text="fleet: halt")
    await say(agent, AgentRef(ANN), data, said)
    await say(agent, OPS, MessageSent(message="Found."), event_id(Actor.AGENT, ANN, "answer", data.run))
    mind = Thinking()
    async with alive(agent, character_file(tmp_path, **REPORTS), mind):
        (rest,) = await rested(agent)
    assert (rest.detail, mind.told) == ("Found.", [])
    assert len(await agent.log.history([everything_about(OPS)])) == 1


async def test_its_last_rests_are_shown_with_their_words(
    connect: Connect, tmp_path: Path, nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await connect(Actor.AGENT, f"agent/{ANN}")
    for name, value in {**reaching(nats, Actor.CLI), "RIG_HOME": str(tmp_path), "TZ": "UTC"}.items():
        monkeypatch.setenv(name, value)

    async def rig(*arguments: str) -> tuple[int, str]:
        result = await asyncio.to_thread(CliRunner().invoke, app, ["agent", "show", *arguments])
        return result.exit_code, result.output

    assert await rig("monitor-e") == (0, "monitor-e has not been woken yet\n")
    assert await rig(ANN) == (2, f"rig: there is no agent '{ANN}'; `rig agent list` names the characters\n")
    assert (await rig("../x"))[0] == 2
    for number in range(3):
        data, said = woken(ANN, WokenBy.EVENT, f"h-{number}", text=f"halt {number}")
        await say(agent, AgentRef(ANN), data, said)
        if number < 2:
            words = f"It began at noon.\nLook \x1b[31mthere {number}."
            over = AgentRested(run=data.run, outcome=RestOutcome.DONE, detail=words, turns=4, cost_usd=0.25)
            await say(agent, AgentRef(ANN), over, f"rest-{number}")
    code, shown = await rig(ANN)
    assert code == 0
    assert "  done (4 turns, $0.25)  event h-0: halt 0\n    It began at noon.\n    Look [31mthere 0.\n" in shown
    assert shown.rstrip().endswith("at work  event h-2: halt 2")
    found = json.loads((await rig(ANN, "--json", "--limit", "1"))[1])
    assert [(rest["words"], rest["woken"]["key"]) for rest in found["rests"]] == [
        ("It began at noon.\nLook \x1b[31mthere 1.", "h-1")
    ]
    assert [wake["key"] for wake in found["at_work"]] == ["h-2"]
