"""What agents of any role have on real servers: somebody who says whether there is money, timers, work, one waking."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from bus import Bus, Delivery, Done, NotPermitted, Outcome, Refused
from bus.topology import WORK
from conductor.shell import run_conductor
from deploy.up import adopt
from machine.lifecycle import Lifecycle
from schemas import (
    ALLOWANCE,
    Actor,
    AgentRef,
    AgentWoken,
    Allowance,
    AllowanceRequest,
    Draft,
    IssueRef,
    ModelUsed,
    Policy,
    Recorded,
    ReviewRequested,
    WokenBy,
    everything_about,
    woken,
)
from schemas.policy import Budget
from tests.conftest import Connect
from tests.support.waiting import until

ME = AgentRef("monitor-e")


async def ask(bus: Bus, usd: float, wait_for: int | None = None) -> Allowance:
    request = AllowanceRequest(role="agent", amount_usd=usd, wait_for=wait_for)
    return await bus.services.ask("conductor", ALLOWANCE, request, Allowance)


@pytest.fixture
async def life(connect: Connect) -> AsyncIterator[Lifecycle]:
    """Of a conductor that runs."""
    life = Lifecycle()
    life.running = True
    conductor = asyncio.create_task(run_conductor(await connect(Actor.CONDUCTOR), life))
    yield life
    life.stop.set()
    await conductor


async def test_whoever_calls_a_model_is_told_whether_there_is_money(
    connect: Connect, life: Lifecycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli, agent, dev_e = await connect(Actor.CLI), await connect(Actor.AGENT), await connect(Actor.DEV_E)
    await until(lambda: "policy" in life.checks)
    with pytest.raises(Refused, match="stands by: no policy adopted"):
        await ask(agent, 0.1)
    await adopt(cli, Policy(budget=Budget(day_usd=5)))
    await until(lambda: life.is_ready)
    assert await ask(agent, 4) == Allowance(granted=True, scope="day", limit_usd=5, committed_usd=0)
    used = ModelUsed(call="c-1", role="agent", purpose="chat", provider="p", model="m", cost_usd=3)
    at = await agent.log.publish(Draft(about=ME, data=used), "call-1")
    no = Allowance(granted=False, scope="day", limit_usd=5, committed_usd=3)
    assert await ask(agent, 4, at) == await ask(dev_e, 4, at) == no, "its own last call counts"
    monkeypatch.setattr("conductor.allowance.WAIT_SECONDS", 0.01)
    with pytest.raises(Refused, match=r"not yet to 9000"):
        await ask(agent, 4, 9_000)
    with pytest.raises(NotPermitted):
        await ask(await connect(Actor.GITHUB), 4)


async def test_a_timer_of_agents_fires_once_for_whoever_of_them_hears_it(connect: Connect) -> None:
    one, other = await connect(Actor.AGENT), await connect(Actor.AGENT)
    heard, stop = list[bytes](), asyncio.Event()

    async def hear(delivery: Delivery) -> Outcome:
        heard.append(delivery.body)
        if b"last" in heard:
            stop.set()
        return Done()

    for name in ("first", "last"):
        await one.timers.set(name, datetime.now(UTC), name.encode())
    await asyncio.gather(*(bus.timers.fired(hear, stop=stop) for bus in (one, other)))
    assert sorted(heard) == [b"first", b"last"]


async def test_whoever_says_what_wakes_an_agent_it_is_said_once(connect: Connect) -> None:
    one, other, person = await connect(Actor.AGENT), await connect(Actor.AGENT), await connect(Actor.CLI)
    due = datetime(2026, 3, 1, 8, tzinfo=UTC)
    word, known_as = woken("monitor-e", WokenBy.SCHEDULE, "daily", due=due, text="look around")
    positions = [await bus.log.publish(Draft(about=ME, data=word), known_as) for bus in (one, other)]
    assert positions[0] == positions[1]
    by_hand, hand = woken("monitor-e", WokenBy.PERSON, "k-1", text="now")
    await person.log.publish(Draft(about=ME, data=by_hand), hand)
    said = [item for item in await one.log.history([everything_about(ME)]) if isinstance(item, Recorded)]
    assert [item.event.data for item in said if isinstance(item.event.data, AgentWoken)] == [word, by_hand]


async def test_a_reviewer_takes_what_is_asked_of_it(connect: Connect, connect_freely: Connect) -> None:
    conductor, reviewer = await connect_freely(Actor.CONDUCTOR), await connect(Actor.REVIEW_E)
    asked = ReviewRequested(epoch=1, pull_request=7, head_sha="a" * 40, reviewer="review-e", iteration=1)
    await conductor.log.publish(Draft(about=IssueRef("demo", "shop", 7), data=asked), "asked")
    stop, taken = asyncio.Event(), list[object]()

    async def take(said: Recorded) -> Outcome:
        taken.append(said.event.data)
        stop.set()
        return Done()

    await reviewer.log.work(WORK[Actor.REVIEW_E], take, slots=1, stop=stop)
    assert taken == [asked]
