"""The gateway against a real HTTP server: of two models the first fails in every way; one answer, and what it costs."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from agents.llm.config import LlmConfig
from agents.llm.endpoint import Waits
from agents.llm.gateway import Gateway
from agents.llm.messages import (
    ErrorKind,
    Finish,
    Message,
    ModelError,
    Speaker,
    TaskKind,
)
from agents.llm.standing import TROUBLES
from tests.support.clock import hours_pass
from tests.support.gateway import ASKED, PATIENT, USED, rig
from tests.support.models import (
    FACTS,
    USAGE_USD,
    Does,
    breaks_off,
    fails,
    gateways,
    hangs,
    prints,
    says,
    served,
)

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
