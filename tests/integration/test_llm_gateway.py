"""The gateway against a real HTTP server: of two models the first fails in every way; one answer, and what it costs."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from msgspec.structs import replace

from agents.llm.config import LlmConfig, ModelFacts, Route
from agents.llm.endpoint import Waits
from agents.llm.gateway import Gateway
from agents.llm.messages import (
    ErrorKind,
    Finish,
    Message,
    ModelError,
    Reply,
    Speaker,
    TaskKind,
    Tokens,
    ToolCall,
    ToolSpec,
)
from agents.llm.prices import ASSUMED, cost
from agents.llm.standing import TROUBLES, Standing
from tests.support.clock import HOURS, hours_pass
from tests.support.models import (
    FACTS,
    USAGE,
    USAGE_USD,
    Does,
    ModelServer,
    TestClock,
    TestPurse,
    breaks_off,
    call,
    embeds,
    fails,
    gateways,
    hangs,
    prints,
    says,
    served,
)
from tests.support.spans import traced

ASKED = [Message(Speaker.SYSTEM, "You are terse."), Message(Speaker.USER, "Hello?")]
PATIENT = Waits(connect_seconds=HOURS, silence_seconds=HOURS, answer_seconds=HOURS)
USED = Tokens(input=400, output=100, cache_read=600)


class Rig:
    """A gateway with two models, a/one and b/two, and all that stands around it."""

    def __init__(self, server: ModelServer, gateway: Gateway, purse: TestPurse, clock: TestClock, standing: Standing):
        self.server = server
        self.gateway = gateway
        self.purse = purse
        self.clock = clock
        self.standing = standing

    async def chat(self, **more: object) -> Reply:
        return await self.gateway.chat(ASKED, **{"task": TaskKind.CHAT, **more})  # type: ignore[arg-type]


@asynccontextmanager
async def rig(
    *first: Does,
    second: Does | None = None,
    llm: LlmConfig | None = None,
    usd: float = 1_000.0,
    facts: Mapping[str, ModelFacts] | None = None,
    names: tuple[str, ...] = ("a/one", "b/two"),
    embedding: str | None = None,
    routes: Mapping[Route, tuple[str, ...]] | None = None,
    waits: Waits = PATIENT,
) -> AsyncGenerator[Rig]:
    async with served() as server:
        server.does["one"] = list(first)
        server.does["two"] = [second or says("Two.")]
        purse, clock, standing = TestPurse(usd), TestClock(), Standing()
        found = replace(gateways(server.url, *names, facts=facts, embedding=embedding), routes=dict(routes or {}))
        config = llm or LlmConfig(patience_seconds=2 * HOURS)
        async with Gateway.opened(found, config, purse, standing=standing, waits=waits, clock=clock) as gateway:
            yield Rig(server, gateway, purse, clock, standing)
        assert not purse.open, "of every call it is known what it cost"


FAILURES = {
    ErrorKind.AUTH: [fails(401, {"message": "Incorrect API key provided: sk-secret-1"}), fails(403, {"message": "no"})],
    ErrorKind.QUOTA: [
        fails(429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}),
        fails(402, {"message": "Insufficient credits", "code": 402}),
        fails(400, {"type": "invalid_request_error", "message": "Your credit balance is too low"}),
    ],
    ErrorKind.RATE_LIMITED: [fails(429, {"message": "Rate limit reached", "code": "rate_limit_exceeded"})],
    ErrorKind.OVERLOADED: [
        fails(503, "<html>busy</html>"),
        fails(529, {"type": "overloaded_error", "message": "Overloaded"}),
        prints(b'{"error":{"message":"upstream failed","code":502}}', "application/json"),
    ],
    ErrorKind.TOO_LONG: [fails(400, {"message": "…", "code": "context_length_exceeded"}), fails(413, "too large")],
    ErrorKind.REFUSED: [
        fails(400, {"message": "…", "code": "content_filter"}),
        says("", refusal="I will not."),
        says("I", reason="content_filter"),
    ],
    ErrorKind.NETWORK: [breaks_off(), fails(408)],
    ErrorKind.INVALID: [
        fails(404, {"message": "no such model"}),
        prints(b"<html>", "text/html"),
        prints(b'{"choices":[]}', "application/json"),
    ],
}


@pytest.mark.parametrize(("kind", "does"), [(kind, does) for kind, several in FAILURES.items() for does in several])
@pytest.mark.parametrize("streamed", [False, True])
async def test_the_first_fails_and_the_second_answers_once(kind: ErrorKind, does: Does, streamed: bool) -> None:
    heard: list[str] = []
    async with rig(does) as r:
        reply = await r.chat(on_text=heard.append if streamed else None)

        assert reply.message == Message(Speaker.ASSISTANT, "Two.")
        assert (reply.provider, reply.model, reply.finish) == ("b", "two", Finish.STOP)
        [failed] = reply.tries
        assert (failed.provider, failed.model, failed.kind) == ("a", "one", kind)
        assert "secret" not in failed.detail
        assert r.server.models == ["one", "two"], "each was asked once"
        if streamed:
            last = heard[len(heard) - heard[::-1].index("") :] if "" in heard else heard
            assert "".join(last) == "Two.", "who listened has one answer"
        said = {spent.name: spent for spent in r.purse.said}
        assert (said["b/two"].tokens, said["b/two"].cost_usd) == (USED, pytest.approx(USAGE_USD))
        assert [spent.purpose for spent in r.purse.said] == [TaskKind.CHAT] * len(r.purse.said)
        # What the first has used is known, or known to be nothing, or it is said that nobody knows.
        free = None if "a/one" not in said else said["a/one"].cost_usd
        expected = USAGE_USD if "a/one" not in said else None if free is None else USAGE_USD + free
        assert reply.cost_usd == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("does", "unknown"),
    [
        (fails(500), False),
        (breaks_off(), True),
        (prints(b"{", "application/json"), True),
        (says("", refusal="No."), False),
    ],
)
async def test_what_was_not_done_costs_nothing_and_what_broke_off_nobody_knows_what(does: Does, unknown: bool) -> None:
    async with rig(does) as r:
        reply = await r.chat()

        assert (reply.cost_usd is None) == unknown
        assert [spent.cost_usd for spent in r.purse.said if spent.name == "a/one"] in ([], [None], [USAGE_USD])


@pytest.mark.parametrize("kind", [ErrorKind.AUTH, ErrorKind.QUOTA])
async def test_what_is_known_to_be_used_up_is_not_asked_again(kind: ErrorKind) -> None:
    async with rig(FAILURES[kind][0]) as r:
        for _ in range(3):
            reply = await r.chat()
            assert [failed.kind for failed in reply.tries] == [kind]
        assert r.server.models == ["one", "two", "two", "two"]

        r.clock.time += timedelta(hours=1)
        r.server.does["one"] = [says("One.")]
        assert (await r.chat()).message.text == "One."


async def test_a_quota_is_waited_out_as_long_as_it_says() -> None:
    error = {"message": "insufficient", "code": "insufficient_quota"}
    async with rig(fails(429, error, {"Retry-After": "7200"})) as r:
        await r.chat()
        r.clock.time += timedelta(seconds=7_000)
        assert (await r.chat()).model == "two"
        assert r.server.models.count("one") == 1
        r.clock.time += timedelta(seconds=300)
        await r.chat()
        assert r.server.models.count("one") == 2


async def test_a_wrong_key_is_wrong_for_all_models_of_the_provider() -> None:
    async with rig(fails(401), names=("a/one", "a/three", "b/two")) as r:
        reply = await r.chat()

        assert reply.model == "two"
        assert r.server.models == ["one", "two"]
        assert [failed.model for failed in reply.tries] == ["one", "three"]


async def test_when_all_are_used_up_it_is_said_at_once_and_when_it_goes_better() -> None:
    error = {"message": "insufficient", "code": "insufficient_quota"}
    empty = fails(429, error, {"Retry-After": "60"})
    async with rig(empty, second=fails(429, error, {"Retry-After": "30"})) as r:
        with pytest.raises(ModelError) as first:
            await r.chat()
        with pytest.raises(ModelError) as again:
            await r.chat()

        assert first.value.kind is again.value.kind is ErrorKind.QUOTA
        assert len(r.server.asked) == 2
        assert again.value.retry_at is not None
        assert timedelta(seconds=20) < again.value.retry_at - r.clock.now() <= timedelta(seconds=31)
        assert r.clock.slept == []


async def test_a_limit_that_is_over_soon_is_waited_for_when_nobody_else_answers() -> None:
    limited = fails(429, {"code": "rate_limit_exceeded"}, {"Retry-After": "4"})
    async with rig(limited, says("One."), second=fails(404)) as r:
        reply = await r.chat()

        assert reply.message.text == "One."
        assert r.server.models == ["one", "two", "one"]
        assert len(r.clock.slept) == 1
        assert 3 < r.clock.slept[0] <= 5


async def test_a_limit_that_lasts_is_not_waited_for() -> None:
    limited = fails(429, {"code": "rate_limit_exceeded"}, {"Retry-After": "600"})
    async with rig(limited, names=("a/one",)) as r:
        with pytest.raises(ModelError) as error:
            await r.chat()

        assert error.value.kind is ErrorKind.RATE_LIMITED
        assert r.clock.slept == []


async def test_trouble_that_passes_is_tried_again_and_a_circuit_opens_when_it_does_not() -> None:
    async with rig(fails(503), names=("a/one",)) as r:
        with pytest.raises(ModelError) as error:
            await r.chat()
        assert error.value.kind is ErrorKind.OVERLOADED
        assert len(r.server.asked) == TROUBLES
        assert r.clock.slept == [1.0, 2.0]

        with pytest.raises(ModelError):  # at once, and nobody is asked
            await r.chat()
        assert len(r.server.asked) == TROUBLES
        assert len(r.clock.slept) == 2

        r.clock.time += timedelta(seconds=31)
        r.server.does["one"] = [says("One.")]
        assert (await r.chat()).message.text == "One."


async def test_of_an_open_circuit_one_call_tries_and_the_others_do_not_wait() -> None:
    reached = asyncio.Event()
    async with rig(fails(503)) as r:
        for _ in range(TROUBLES):
            await r.chat()
        r.clock.time += timedelta(seconds=31)
        r.server.does["one"] = [hangs(reached)]

        trying = asyncio.create_task(r.chat())
        await reached.wait()
        assert (await r.chat()).model == "two"
        assert r.server.models.count("one") == TROUBLES + 1
        trying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trying


async def test_too_much_goes_to_who_holds_more_and_not_to_who_holds_as_little() -> None:
    facts = {
        "a/one": replace(FACTS, context_tokens=8_000),
        "b/same": replace(FACTS, context_tokens=8_000),
        "b/two": replace(FACTS, context_tokens=100_000),
    }
    async with rig(fails(413), names=("a/one", "b/same", "b/two"), facts=facts) as r:
        reply = await r.chat()

        assert r.server.models == ["one", "two"]
        assert [failed.kind for failed in reply.tries] == [ErrorKind.TOO_LONG] * 2


async def test_when_all_refuse_the_last_refusal_is_the_answer() -> None:
    heard: list[str] = []
    async with rig(says("", refusal="I will not."), second=says("", refusal="Nor I.")) as r:
        reply = await r.chat(on_text=heard.append)

        assert (reply.finish, reply.message.text, reply.model) == (Finish.REFUSED, "Nor I.", "two")
        assert "".join(heard[heard.index("") + 1 :] if "" in heard else heard) == "Nor I."
        assert (reply.tokens, reply.cost_usd) == (USED + USED, pytest.approx(2 * USAGE_USD))


async def test_pieces_of_what_broke_off_are_taken_back() -> None:
    heard: list[str] = []
    async with rig(breaks_off("Hello, I am"), second=says("Two.")) as r:
        await r.chat(on_text=heard.append)

    assert heard == ["Hello, I am", "", "Two", "."]


async def test_a_model_that_falls_silent_is_given_up() -> None:
    heard = asyncio.Event()
    async with rig(hangs(asyncio.Event(), after="Hm"), llm=LlmConfig(patience_seconds=3_600)) as r:
        asking = asyncio.create_task(r.chat(on_text=lambda _: heard.set()))
        await heard.wait()
        hours_pass()
        reply = await asking

        assert reply.model == "two"
        assert [failed.kind for failed in reply.tries] == [ErrorKind.NETWORK]
        assert reply.cost_usd is None


async def test_patience_ends_a_call_whatever_is_tried() -> None:
    reached = asyncio.Event()
    waits = Waits(connect_seconds=3_600, silence_seconds=3_600, answer_seconds=3_600)
    async with rig(hangs(reached), waits=waits) as r:
        asking = asyncio.create_task(r.chat())
        await reached.wait()
        hours_pass()
        with pytest.raises(ModelError) as error:
            await asking

        assert error.value.kind is ErrorKind.NETWORK
        assert r.server.models == ["one"]
        assert [spent.cost_usd for spent in r.purse.said] == [None]


async def test_a_call_that_is_cancelled_hangs_up_and_nobody_knows_what_it_cost() -> None:
    reached = asyncio.Event()
    async with rig(hangs(reached, after="Hm")) as r:
        asking = asyncio.create_task(r.chat(on_text=lambda _: None))
        await reached.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await r.server.gone.wait()

        assert [(spent.name, spent.cost_usd) for spent in r.purse.said] == [("a/one", None)]
        assert [spent.assumed_usd for spent in r.purse.said] == r.purse.asked != [0.0]


async def test_who_cannot_be_reached_is_not_waited_for() -> None:
    async with served() as other:
        url = other.url
    async with rig(says("never")) as r:  # `other` is gone
        found = replace(
            gateways(r.server.url, "a/one", "b/two"),
            providers={**gateways(url, "a/one").providers, **gateways(r.server.url, "b/two").providers},
        )
        async with Gateway.opened(found, LlmConfig(), r.purse, waits=PATIENT) as gateway:
            reply = await gateway.chat(ASKED, task=TaskKind.CHAT)

    assert (reply.model, [failed.kind for failed in reply.tries]) == ("two", [ErrorKind.NETWORK])
    assert reply.cost_usd == pytest.approx(USAGE_USD)


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
