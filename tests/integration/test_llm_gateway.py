"""The gateway against a real HTTP server: money, tools, shapes, routes, vectors, spans, and answers without an end."""

import json

import pytest
from msgspec.structs import replace

from agents.llm.config import LlmConfig, ModelFacts, Route
from agents.llm.gateway import Gateway
from agents.llm.messages import (
    ErrorKind,
    Finish,
    Message,
    ModelError,
    Speaker,
    TaskKind,
    ToolCall,
    ToolSpec,
)
from agents.llm.prices import ASSUMED, cost
from tests.support.gateway import ASKED, PATIENT, USED, rig
from tests.support.models import (
    FACTS,
    USAGE,
    USAGE_USD,
    call,
    embeds,
    fails,
    prints,
    says,
)
from tests.support.spans import traced


async def test_money_is_asked_for_before_each_call_and_a_cheaper_model_may_fit() -> None:
    facts = {"a/one": ModelFacts(input_usd=1_000.0, output_usd=5_000.0)}
    async with rig(says("One."), usd=1.0, facts=facts, llm=LlmConfig(answer_tokens=1_000)) as r:
        reply = await r.chat()

        assert (reply.model, [failed.kind for failed in reply.tries]) == ("two", [ErrorKind.OVER_BUDGET])
        assert r.server.models == ["two"]
        dear, cheap = r.purse.asked
        assert (dear > 5.0, 0.01 < cheap < 0.1) == (True, True)


async def test_without_money_nobody_is_asked() -> None:
    async with rig(says("One."), usd=0.0) as r:
        with pytest.raises(ModelError) as error:
            await r.chat()

        assert error.value.kind is ErrorKind.OVER_BUDGET
        assert r.server.asked == []
        assert r.clock.slept == [], "it is not waited for"


async def test_a_model_without_a_price_costs_nobody_knows_what() -> None:
    async with rig(says("One."), facts={"a/one": ModelFacts()}) as r:
        assert (await r.chat()).cost_usd is None
        assert r.purse.asked[0] > 0
        assert [(spent.tokens, spent.cost_usd) for spent in r.purse.said] == [(USED, None)]
        assert [spent.assumed_usd for spent in r.purse.said] == [cost(ASSUMED, USED)]


async def test_tools_are_offered_and_calls_come_back_whole_also_in_pieces() -> None:
    tool = ToolSpec("find", "Finds things.", {"type": "object", "properties": {"what": {"type": "string"}}})
    wanted = [call("find", '{"what": "käse"}', "call-a"), call("find", "not json", "call-b")]
    calls = (ToolCall("call-a", "find", '{"what": "käse"}'), ToolCall("call-b", "find", "not json"))
    async with rig(says("Looking.", calls=wanted, reason="tool_calls")) as r:
        plain = await r.chat(tools=[tool])
        streamed = await r.chat(tools=[tool], on_text=lambda _: None)
        assert plain.message == streamed.message == Message(Speaker.ASSISTANT, "Looking.", calls)
        assert plain.finish is streamed.finish is Finish.TOOLS

        answers = [Message(Speaker.TOOL, f"found {each.id}", answers=each.id) for each in calls]
        await r.gateway.chat([*ASKED, plain.message, *answers], task=TaskKind.CHAT, tools=[tool])

    sent = r.server.asked[-1].body
    assert sent["tools"][0]["function"] == {
        "name": "find",
        "description": tool.description,
        "parameters": tool.parameters,
    }
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "tool", "tool"]
    assert [message.get("tool_call_id") for message in sent["messages"][3:]] == ["call-a", "call-b"]
    arguments = [each["function"]["arguments"] for each in sent["messages"][2]["tool_calls"]]
    assert arguments == ['{"what": "käse"}', "{}"], "what is no JSON would have the whole conversation refused"


async def test_an_answer_that_is_cut_off_calls_nothing() -> None:
    async with rig(says("Lo", calls=[call("find", '{"wh')], reason="length")) as r:
        reply = await r.chat()

    assert (reply.finish, reply.message.text, reply.message.tool_calls) == (Finish.LENGTH, "Lo", ())


async def test_what_an_endpoint_does_not_know_it_is_asked_without() -> None:
    unknown = {"message": "Unsupported parameter: use max_completion_tokens", "code": "unsupported_parameter"}
    llm = LlmConfig(temperature=0.5, answer_tokens=50)
    steps = [
        fails(400, {**unknown, "param": "max_tokens"}),
        fails(400, {"message": "Unrecognized request argument supplied: temperature", "type": "invalid_request_error"}),
        says("One."),
    ]
    async with rig(*steps, llm=llm) as r:
        assert (await r.chat()).tries == ()
        async with Gateway.opened(r.gateway._gateways, llm, r.purse, standing=r.standing, waits=PATIENT) as another:
            await another.chat(ASKED, task=TaskKind.CHAT)

        last = r.server.asked[-1].body
        assert r.server.models == ["one"] * 4, "what was learned is kept"
        assert last["max_completion_tokens"] == 50
        assert not {"max_tokens", "temperature"} & set(last)
        assert len(r.purse.said) == 2


async def test_an_answer_may_be_asked_in_a_shape_and_be_short() -> None:
    schema = {"type": "object", "properties": {"verdict": {"enum": ["pass", "dispute"]}}}
    async with rig(says('{"verdict": "pass"}'), facts={"a/one": replace(FACTS, context_tokens=1_000)}) as r:
        await r.chat(schema=schema, max_tokens=990)

    body = r.server.asked[0].body
    assert body["response_format"]["json_schema"]["schema"] == schema
    assert 256 <= body["max_tokens"] < 990, "question and answer fit together"


@pytest.mark.parametrize(
    ("task", "first"), [(TaskKind.CHAT, "one"), (TaskKind.SUMMARY, "two"), (TaskKind.REVIEW, "three")]
)
async def test_each_kind_of_task_has_its_route(task: TaskKind, first: str) -> None:
    facts = {"b/two": ModelFacts(input_usd=0.1, output_usd=0.2)}
    routes = {Route.STRONGEST: ("b/three",)}
    async with rig(says("One."), facts=facts, routes=routes) as r:
        r.server.does["three"] = [says("Three.")]
        reply = await r.chat(task=task)

    assert reply.model == first
    assert [spent.purpose for spent in r.purse.said] == [task]


async def test_what_everybody_sends_is_sent_and_the_key_goes_where_it_belongs() -> None:
    async with rig(says("One.")) as r:
        provider = replace(r.gateway._gateways.providers["a"], key_header="api-key", headers={"x-openclaw-model": "m"})
        found = replace(r.gateway._gateways, providers={**r.gateway._gateways.providers, "a": provider})
        await r.chat()
        async with Gateway.opened(found, LlmConfig(), r.purse, waits=PATIENT) as gateway:
            await gateway.chat(ASKED, task=TaskKind.CHAT)

    plain, own = (asked.headers for asked in r.server.asked)
    assert plain["Authorization"] == "Bearer sk-secret-1"
    assert (own["api-key"], own["x-openclaw-model"], own.get("Authorization")) == ("sk-secret-1", "m", None)


async def test_texts_become_vectors_in_their_order_many_at_once() -> None:
    async with rig(says(), embedding="a/space") as r:
        r.server.does["space"] = [embeds()]
        texts = ["x" * (number + 1) for number in range(100)]
        found = await r.gateway.embed(texts)

        assert (found.model, found.dimensions) == ("a/space", 3)
        assert [vector[0] for vector in found.vectors] == [float(number + 1) for number in range(100)]
        assert len(r.server.asked) == 2
        assert {spent.purpose for spent in r.purse.said} == {TaskKind.EMBEDDING}
        assert sum(spent.cost_usd or 0 for spent in r.purse.said) == pytest.approx(14 / 1_000_000)


async def test_without_a_model_for_it_nothing_is_embedded() -> None:
    async with rig(says()) as r:
        with pytest.raises(ModelError, match="no model for embeddings"):
            await r.gateway.embed(["x"])


async def test_each_exchange_is_a_span_and_no_words_are_in_it() -> None:
    with traced() as here:
        async with rig(fails(429, {"message": "secret words", "code": "insufficient_quota"}), second=says("Two.")) as r:
            await r.chat()

    failed, answered = here.one("chat one"), here.one("chat two")
    assert failed.kind == answered.kind == "CLIENT"
    assert failed.failed
    assert failed.attributes["error.type"] == "quota"
    assert answered.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "b",
        "gen_ai.request.model": "two",
        "gen_ai.request.max_tokens": 8_192,
        "gen_ai.response.model": "two-0",
        "gen_ai.response.finish_reasons": "stop",
        "gen_ai.usage.input_tokens": 1_000,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 600,
        "gen_ai.usage.cache_creation.input_tokens": 0,
        "rig.task": "chat",
    }
    assert "secret" not in json.dumps([span.attributes for span in here.spans])


async def test_a_stream_that_says_no_usage_costs_nobody_knows_what_and_one_that_does_not_stream_is_read_whole() -> None:
    heard: list[str] = []
    whole = json.dumps(
        {"choices": [{"message": {"content": "One."}, "finish_reason": "stop"}], "usage": USAGE}
    ).encode()
    async with rig(says("One.", usage=None), prints(whole, "application/json")) as r:
        unknown = await r.chat(on_text=heard.append)
        known = await r.chat(on_text=heard.append)

    assert (unknown.cost_usd, known.cost_usd) == (None, pytest.approx(USAGE_USD))
    assert "".join(heard) == "One.One."


async def test_an_answer_is_no_longer_than_the_model_may_write() -> None:
    async with rig(says("One."), facts={"a/one": replace(FACTS, output_tokens=100)}) as r:
        await r.chat()

    assert r.server.asked[0].body["max_tokens"] == 100


async def test_a_stream_that_never_ends_a_line_is_not_gathered_for_ever() -> None:
    async with rig(prints(b"data: " + b"x" * (5 * 1024 * 1024))) as r:
        reply = await r.chat(on_text=lambda _: None)

    assert [failed.kind for failed in reply.tries] == [ErrorKind.INVALID]
