"""The rig's money for models, against a real conductor: asked for before each call, told after it, fail closed."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from agents.llm.config import LlmConfig
from agents.llm.gateway import Gateway
from agents.llm.messages import ErrorKind, Message, ModelError, Speaker, TaskKind, Tokens
from agents.llm.purse import Spent
from agents.llm.rig_purse import BusPurse
from bus import Bus, Refused, Unavailable
from conductor.shell import run_conductor
from machine.lifecycle import Lifecycle
from schemas import (
    ALLOWANCE,
    FLEET,
    Actor,
    AgentRef,
    Allowance,
    AllowanceRequest,
    Draft,
    IssueRef,
    ModelUsed,
    Policy,
    PolicyAdopted,
    everything_about,
)
from schemas.policy import Budget
from tests.support.models import TestClock, gateways, says, served

Connect = Callable[[Actor, str], Awaitable[Bus]]
NAME = "monitor-e"
ASKED = [Message(Speaker.USER, "Hello?")]


@pytest.fixture(autouse=True)
def no_machine_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRACE_SECONDS", "ANSWER_SECONDS", "TELLING_SECONDS"):
        monkeypatch.setattr(f"agents.llm.rig_purse.{name}", 60.0)


@pytest.fixture
async def bus(connect: Connect) -> Bus:
    return await connect(Actor.AGENT, f"agent/{NAME}")


@asynccontextmanager
async def conducted(connect: Connect, *, day_usd: float) -> AsyncGenerator[None]:
    """A conductor, and a policy with so much money a day."""
    cli = await connect(Actor.CLI, "cli/test")
    policy = Policy(
        budget=Budget(day_usd=day_usd, run_usd=1.0, issue_usd=None, repository_day_usd=None, breaker_usd=None)
    )
    adopted = PolicyAdopted(hash=policy.digest(), policy=policy, by="test")
    await cli.log.publish(Draft(about=FLEET, data=adopted), "policy-1")
    life = Lifecycle()
    conductor = asyncio.create_task(run_conductor(await connect(Actor.CONDUCTOR, "conductor/1"), life))
    try:
        yield
    finally:
        life.stop.set()
        await conductor


async def used(bus: Bus) -> list[ModelUsed]:
    said = await bus.log.history([everything_about(AgentRef(NAME))])
    return [each.event.data for each in said if isinstance(each.event.data, ModelUsed)]


def spent(call: str, usd: float | None = 3.0) -> Spent:
    return Spent(call=call, purpose=TaskKind.CHAT, name="a/b/c", tokens=Tokens(1, 2, 3, 4), cost_usd=usd)


async def test_what_was_spent_is_in_the_way_of_the_next_call_at_once(connect: Connect, bus: Bus) -> None:
    async with conducted(connect, day_usd=5.0):
        purse = BusPurse(bus, agent=NAME, role="agent")
        assert await purse.allow("c-1", 3.0) is None
        purse.spent(spent("c-1"))
        why_not = await purse.allow("c-2", 3.0)
        assert why_not == "the budget day has no room for $3.0000: $3.00 of $5.00 is spent or set aside"
        assert await purse.allow("c-3", 1.0) is None
        purse.not_spent("c-3")

    expected = ModelUsed(
        call="c-1",
        role="agent",
        purpose="chat",
        provider="a",
        model="b/c",
        input=1,
        output=2,
        cache_read=3,
        cache_write=4,
        cost_usd=3.0,
    )
    assert await used(bus) == [expected]


async def test_calls_under_way_at_once_do_not_spend_the_same_money(connect: Connect, bus: Bus) -> None:
    async with conducted(connect, day_usd=5.0):
        purse = BusPurse(bus, agent=NAME, role="agent")
        answers = [await purse.allow(f"c-{number}", 2.0) for number in range(3)]
        assert [answer is None for answer in answers] == [True, True, False]
        purse.not_spent("c-0")
        assert await purse.allow("c-4", 2.0) is None


async def test_of_two_calls_at_once_one_has_the_room_and_the_other_leaves_nothing_behind(
    connect: Connect, bus: Bus
) -> None:
    async with conducted(connect, day_usd=5.0):
        purse, other = BusPurse(bus, agent=NAME, role="agent"), BusPurse(bus, agent=NAME, role="agent")
        answers = await asyncio.gather(*(purse.allow(f"c-{number}", 3.0) for number in range(3)))
        assert [answer is None for answer in answers] == [True, False, False]
        assert await other.allow("c-4", 2.0) is None, "nothing is set aside for what was refused"


async def test_nor_do_the_calls_of_several_agents_and_what_came_to_nothing_is_given_back(
    connect: Connect, bus: Bus
) -> None:
    async with conducted(connect, day_usd=5.0):
        one, other = (BusPurse(bus, agent=name, role=name) for name in (NAME, "architect-e"))
        assert await one.allow("c-1", 3.0) is None
        assert await other.allow("c-2", 3.0) == (
            "the budget day has no room for $3.0000: $3.00 of $5.00 is spent or set aside"
        )
        assert await other.allow("c-3", 2.0) is None
        one.not_spent("c-1")
        await one.tell()
        assert await other.allow("c-4", 3.0) is None


async def test_a_conductor_that_stands_by_is_asked_again_and_told_what_it_must_have_read(
    connect: Connect, bus: Bus
) -> None:
    asked: list[AllowanceRequest] = []

    async def answer(request: AllowanceRequest) -> Allowance:
        asked.append(request)
        if len(asked) == 2:
            raise Refused("this conductor stands by")
        return Allowance(granted=True, scope="day", limit_usd=None, committed_usd=0.0)

    conductor = await connect(Actor.CONDUCTOR, "conductor/1")
    await conductor.services.serve("conductor", ALLOWANCE, AllowanceRequest, answer)
    issue = IssueRef("acme", "web", 7)
    purse = BusPurse(bus, agent=NAME, role="agent", issue=issue)
    assert await purse.allow("c-1", 0.5) is None
    purse.spent(spent("c-1"))
    assert await purse.allow("c-2", 1e9) is None

    [said] = await bus.log.history([everything_about(AgentRef(NAME))])
    assert isinstance(said.event.data, ModelUsed)
    assert said.event.data.issue == issue
    assert asked[0] == AllowanceRequest(role="agent", amount_usd=0.5, issue=issue, call="c-1")
    again = AllowanceRequest(role="agent", amount_usd=1e6, issue=issue, call="c-2", wait_for=said.position)
    assert asked[1] == asked[2] == again


async def test_without_a_conductor_nothing_is_spent(bus: Bus) -> None:
    async with served() as server:
        server.does["one"] = [says("Hello.")]
        purse = BusPurse(bus, agent=NAME, role="agent", grace_seconds=0.0)
        async with Gateway.opened(gateways(server.url, "a/one"), LlmConfig(), purse, clock=TestClock()) as gateway:
            with pytest.raises(ModelError, match="no conductor says that it may be spent") as error:
                await gateway.chat(ASKED, task=TaskKind.CHAT)

        assert error.value.kind is ErrorKind.OVER_BUDGET
        assert server.asked == []


async def test_what_cannot_be_told_is_kept_and_nothing_more_is_spent_until_it_is(
    connect: Connect, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> int:
        raise Unavailable("the server did not answer")

    async with conducted(connect, day_usd=50.0):
        purse = BusPurse(bus, agent=NAME, role="agent")
        assert await purse.allow("c-1", 1.0) is None
        purse.spent(spent("c-1", None))
        with monkeypatch.context() as patched:
            patched.setattr(bus.log, "publish", away)
            why_not = await purse.allow("c-2", 1.0)
            assert why_not is not None
            assert "cannot be told" in why_not
        assert await purse.allow("c-3", 1.0) is None

    assert [(each.call, each.cost_usd) for each in await used(bus)] == [("c-1", None)]


async def test_what_others_spend_while_it_is_told_is_told_too_and_in_nobodys_way(
    connect: Connect, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with conducted(connect, day_usd=50.0):
        purse = BusPurse(bus, agent=NAME, role="agent")
        publish = bus.log.publish

        async def meanwhile(*args: object, **more: object) -> int:
            purse.spent(spent("c-2"))
            return await publish(*args, **more)  # pyright: ignore[reportArgumentType]

        purse.spent(spent("c-1"))
        with monkeypatch.context() as patched:
            patched.setattr(bus.log, "publish", meanwhile)
            asking = asyncio.create_task(purse.allow("c-3", 1.0))
            await asyncio.sleep(0)
            patched.setattr(bus.log, "publish", publish)
            assert await asking is None
    assert [each.call for each in await used(bus)] == ["c-1", "c-2"]


async def test_a_conversation_is_paid_for_to_the_end_of_the_money(connect: Connect, bus: Bus) -> None:
    async with served() as server, conducted(connect, day_usd=1.0):
        server.does["one"] = [says("Hello.", usage={"prompt_tokens": 200_000, "completion_tokens": 30_000})]  # $0.50
        purse = BusPurse(bus, agent=NAME, role="agent")
        async with Gateway.opened(gateways(server.url, "a/one"), LlmConfig(), purse, clock=TestClock()) as gateway:
            costs = [(await gateway.chat(ASKED, task=TaskKind.CHAT)).cost_usd for _ in range(2)]
            with pytest.raises(ModelError) as error:
                await gateway.chat(ASKED, task=TaskKind.CHAT)

        assert costs == [pytest.approx(0.5)] * 2
        assert error.value.kind is ErrorKind.OVER_BUDGET
        assert [each.cost_usd for each in await used(bus)] == [pytest.approx(0.5)] * 2


async def test_a_model_without_a_price_comes_to_the_end_of_the_money_too(connect: Connect, bus: Bus) -> None:
    async with served() as server, conducted(connect, day_usd=1.0):
        server.does["one"] = [says("Hello.", usage={"prompt_tokens": 150_000, "completion_tokens": 5_000})]
        found = replace(gateways(server.url, "a/one"), models={})
        purse = BusPurse(bus, agent=NAME, role="agent")
        async with Gateway.opened(found, LlmConfig(), purse, clock=TestClock()) as gateway:
            assert (await gateway.chat(ASKED, task=TaskKind.CHAT)).cost_usd is None
            with pytest.raises(ModelError) as error:
                await gateway.chat(ASKED, task=TaskKind.CHAT)

        assert error.value.kind is ErrorKind.OVER_BUDGET
        assert [(each.cost_usd, each.assumed_usd) for each in await used(bus)] == [(None, pytest.approx(0.875))]
