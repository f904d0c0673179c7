"""The role `agent` whole: models asked over HTTP with the conductor's leave, tools, webhooks, one-shots."""

import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import new as signed
from pathlib import Path

import httpx
import pytest

from agents.character import Watched
from agents.life.hooks import receiving
from agents.life.role import run_agent
from agents.life.webhooks import delivery_key
from agents.llm.gateways import one
from agents.tools.secrets import Secrets
from bridges.findings import Verdict
from deploy.doctor import of_characters
from machine.lifecycle import Lifecycle
from schemas import (
    Actor,
    AgentRef,
    AgentRested,
    ChatRef,
    MessageReceived,
    MessageSent,
    ModelUsed,
    Recorded,
    RestOutcome,
    WokenBy,
    everything_about,
    woken,
)
from tests.conftest import Connect
from tests.support.awake import (
    ANN,
    adopt,
    character_file,
    conducting,
    rested,
    say,
    the_role,
    until_joined,
    wakes,
)
from tests.support.models import call, says, served

TALK = ChatRef("terminal", "bob-1")


async def test_it_answers_with_a_model_and_says_what_that_used(connect: Connect, tmp_path: Path) -> None:
    cli, agent = await connect(Actor.CLI), await connect(Actor.AGENT, f"agent/{ANN}")
    await adopt(cli)
    file = character_file(tmp_path, bio=["You count."], tools=["rig_status"], memory={"recall": 0, "learn": False})
    async with AsyncExitStack() as stack:
        models = await stack.enter_async_context(served())
        models.does["m"] = [says("", calls=[call("rig_status", "{}")], reason="tool_calls"), says("Three issues.")]
        await stack.enter_async_context(conducting(await connect(Actor.CONDUCTOR)))
        await stack.enter_async_context(the_role(agent, file, models))
        await until_joined(agent)
        await say(cli, TALK, MessageReceived(author="bob", text="How many?", to=ANN), "m-1")
        (rest,) = await rested(agent)
    assert (rest.outcome, rest.detail, rest.turns) == (RestOutcome.DONE, "Three issues.", 2)
    last = await agent.log.last("rig.chat.terminal.*.agent.message_sent")
    assert isinstance(last, Recorded)
    assert last.event.data == MessageSent(message="Three issues.", in_reply_to="m-1")
    said = [each.event.data for each in await agent.log.history([everything_about(AgentRef(ANN))])]
    used = [event for event in said if isinstance(event, ModelUsed)]
    assert [(event.role, event.purpose, event.model) for event in used] == [(ANN, "chat", "m")] * 2
    first = models.asked[0].body
    assert first["messages"][0]["content"].startswith(f"You are {ANN}.\n\nYou count.")
    assert first["messages"][1]["content"] == "bob writes:\n```\nHow many?\n```"
    assert [tool["function"]["name"] for tool in first["tools"]] == ["rig_status"]


async def test_a_request_wakes_it_if_it_knows_the_secret(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = datetime(2026, 3, 1, 8, 5, tzinfo=UTC)  # not the end of an hour
    monkeypatch.setattr("agents.life.hooks.delivery_key", lambda *said: delivery_key(*said[:3], day))
    agent = await connect(Actor.AGENT, f"agent/{ANN}")
    hook = {"name": "pager", "secret": "PAGER", "text": "Look."}
    watched = Watched(character_file(tmp_path, webhooks=[hook]))
    body = json.dumps({"alarm": "disk ```"}).encode()
    secret, signature = "tell-no-one", f"sha256={signed(b'tell-no-one', body, sha256).hexdigest()}"
    async with (
        receiving(agent, watched, Secrets({"PAGER": secret}), address="127.0.0.1:0") as where,
        httpx.AsyncClient(base_url=where) as http,
    ):

        async def post(path: str, **headers: str) -> int:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return (await http.post(path, content=body, headers=named)).status_code

        assert await post("pager") == 401
        assert await post("pager", Authorization="Bearer wrong") == 401
        assert await post("pager", X_Hub_Signature_256="sha256=00", Authorization=f"Bearer {secret}") == 401
        for header in (b"authorization", b"x-hub-signature-256"):
            odd = await http.post("pager", content=body, headers=[(header, b"Bearer \xff")])
            assert odd.status_code == 401
        assert await post("other", Authorization=f"Bearer {secret}") == 401
        assert await post("../bob-e/pager", Authorization=f"Bearer {secret}") == 401
        assert await wakes(agent) == []
        assert await post("pager", Authorization=f"Bearer {secret}") == 202
        assert await post("pager", X_Hub_Signature_256=signature) == 202, "the same again"
        keys = [delivery_key("pager", {}, body, day + timedelta(minutes=later)) for later in (0, 50, 24 * 60)]
        assert keys[0] == keys[1] != keys[2], "the same words tomorrow are another alarm"
        assert await post("pager", Authorization=f"Bearer {secret}", Idempotency_Key="d-2") == 202
        other = {"Authorization": f"Bearer {secret}", "Idempotency-Key": "d-2"}
        assert (await http.post("pager", content=b"other words", headers=other)).status_code == 202, "it is there"
    said = await wakes(agent)
    assert [wake.by for wake in said] == [WokenBy.WEBHOOK] * 2
    assert {wake.key.rpartition(":")[0] or wake.key for wake in said} == {f"pager:{sha256(body).hexdigest()}", "pager"}
    assert said[0].text == body.decode()


async def test_one_thing_is_done_and_nothing_else_and_then_it_ends(connect: Connect, tmp_path: Path) -> None:
    cli, agent = await connect(Actor.CLI), await connect(Actor.AGENT, f"agent/{ANN}")
    await adopt(cli)
    for text in ("Something else.", "Count."):
        data, said = woken(ANN, WokenBy.PERSON, text, text=text)
        await say(cli, AgentRef(ANN), data, said)
    await say(cli, TALK, MessageReceived(author="bob", text="Are you there?", to=ANN), "m-1")
    file = character_file(tmp_path, memory={"recall": 0, "learn": False}, webhooks=[])
    async with AsyncExitStack() as stack:
        models = await stack.enter_async_context(served())
        models.does["m"] = [says("One.")]
        await stack.enter_async_context(conducting(await connect(Actor.CONDUCTOR)))
        gateways = one(models.url, "sk-test", "m")
        life = Lifecycle()
        await run_agent(agent, life, file=file, gateways=gateways, secrets=Secrets({}), only=data.run)
    rests = [each.event.data for each in await agent.log.history([f"rig.agent.{ANN}.*.{AgentRested.name()}"])]
    assert rests == [
        AgentRested(run=data.run, outcome=RestOutcome.DONE, detail="One.", turns=1, cost_usd=rests[0].cost_usd)
    ]
    assert {wake.by for wake in await wakes(agent)} == {WokenBy.PERSON}, "what else there is is for who lives"
    assert models.asked[0].body["messages"][1]["content"] == "Count."


def test_the_doctor_names_a_character_that_is_wrong(tmp_path: Path) -> None:
    assert of_characters({"RIG_CHARACTERS": str(tmp_path)}) == []
    file = character_file(tmp_path, bios=[], budget={"turns": 0})
    (finding,) = of_characters({"RIG_CHARACTERS": str(tmp_path)})
    assert finding.verdict is Verdict.PROBLEM
    assert (finding.what, finding.seen) == (
        f"character {ANN}",
        "no such key 'bios'; did you mean bio? (and 1 more)",
    )
    assert str(file) in finding.mend
