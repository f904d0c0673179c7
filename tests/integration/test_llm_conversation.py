"""A character with two models, the first failing in each way: the reaction, one answer, and what it has cost."""

import pytest

from agents.llm.config import LlmConfig
from agents.llm.gateway import Gateway
from agents.llm.messages import ErrorKind, Message, OnText, Speaker
from agents.llm.standing import TROUBLES, Standing
from agents.loop.limits import Limit, Limits
from agents.loop.loop import Turned, converse
from tests.support import talking
from tests.support.models import (
    USAGE_USD,
    Does,
    ModelServer,
    TestClock,
    TestPurse,
    breaks_off,
    call,
    fails,
    gateways,
    says,
    served,
)

CHARACTER = LlmConfig(models=("a/one", "b/two"))
EMPTY = {"message": "no credits", "code": "insufficient_quota"}
REACTIONS: list[tuple[ErrorKind, Does, int, float | None]] = [
    # how it fails, how often it is asked in a conversation of five answers, what it costs beside the other's answers
    (ErrorKind.AUTH, fails(401), 1, 0.0),
    (ErrorKind.QUOTA, fails(429, EMPTY), 1, 0.0),
    (ErrorKind.RATE_LIMITED, fails(429, "slow down"), 1, 0.0),
    (ErrorKind.OVERLOADED, fails(503), TROUBLES, 0.0),
    (ErrorKind.NETWORK, breaks_off(), TROUBLES, None),
    (ErrorKind.TOO_LONG, fails(413), 5, 0.0),
    (ErrorKind.REFUSED, says("", refusal="I will not."), 5, 5 * USAGE_USD),
    (ErrorKind.INVALID, fails(404), 5, 0.0),
]


async def talk(
    server: ModelServer, purse: TestPurse, *, limits: Limits | None = None, on_text: OnText | None = None
) -> tuple[Turned, talking.AnyTool]:
    """Four turns with a tool, and an answer."""
    looks = [says(f"Look {number}.", calls=[call("look", f'{{"at": {number}}}', f"c{number}")]) for number in range(4)]
    server.does["two"] = [*looks, says("It is nine.")]
    tool = talking.says("look", "nine")
    history = [Message(Speaker.SYSTEM, "You look things up.")]
    found = gateways(server.url, "a/one", "b/two")
    async with Gateway.opened(found, CHARACTER, purse, standing=Standing(), clock=TestClock()) as gateway:
        return await converse(gateway, [tool], history, "What is it?", limits=limits or Limits(), on_text=on_text), tool


@pytest.mark.parametrize(("kind", "does", "asked", "more_usd"), REACTIONS)
async def test_there_is_one_answer_whatever_is_wrong_with_the_first(
    kind: ErrorKind, does: Does, asked: int, more_usd: float | None
) -> None:
    heard: list[str] = []
    purse = TestPurse()
    async with served() as server:
        server.does["one"] = [does]
        turned, tool = await talk(server, purse, on_text=heard.append)

        assert (turned.answer, turned.turns, turned.limited) == ("It is nine.", 5, None)
        assert [arguments["at"] for arguments in tool.calls] == [0, 1, 2, 3], "what was wanted was done once"
        assert server.models.count("one") == asked
        assert server.models.count("two") == 5
        shown = "".join(heard)[-len("It is nine.") :]
        assert shown == "It is nine."
        assert heard.count("It ") == 1
        known = [spent.cost_usd for spent in purse.said if spent.name == "b/two"]
        assert known == [pytest.approx(USAGE_USD)] * 5
        if more_usd is None:
            assert turned.cost_usd is None
        else:
            assert turned.cost_usd == pytest.approx(5 * USAGE_USD + more_usd)
            assert turned.cost_usd == pytest.approx(sum(spent.cost_usd or 0 for spent in purse.said))


async def test_what_a_conversation_costs_counts_against_its_limit_and_the_rigs() -> None:
    async with served() as server:
        server.does["one"] = [fails(404)]
        own, _ = await talk(server, TestPurse(), limits=Limits(cost_usd=2 * USAGE_USD))
        assert (own.limited, own.turns) == (Limit.MONEY, 2)

        # Each answer may cost more than eight cents, and costs next to nothing: there is money for two of them.
        rigs, _ = await talk(server, TestPurse(usd=0.0825 + 1.5 * USAGE_USD))
        assert (rigs.limited, rigs.turns) == (Limit.MONEY, 2)
        assert "no answer" in rigs.answer
