"""Money for calls at once: what is granted is set aside until it is told of, given back, or too old. Played time."""

import random
from dataclasses import dataclass

import pytest

from conductor.allowance import HELD_SECONDS, Counter
from conductor.state import State
from schemas import Actor, AgentRef, Allowance, AllowanceRequest, Budget, IssueRef, ModelUsed, Policy, RolePolicy
from tests.support.story import Story

ME = AgentRef("conductor-e")
DAY_USD = 5.0


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class House:
    """A rig with so much money a day, and where one asks for it."""

    def __init__(self) -> None:
        budget = Budget(run_usd=1, issue_usd=2, repository_day_usd=None, day_usd=DAY_USD, breaker_usd=None)
        self.story = Story(Policy(budget=budget, roles={"agent": RolePolicy(day_usd=None)}))
        self.clock = Clock()
        self.desk = self.another()

    def another(self) -> Counter:
        """Of another conductor, which has read the same log."""
        desk = Counter(self.state, clock=self.clock)
        desk.stand_by("")
        return desk

    @property
    def state(self) -> State:
        return self.story.state

    async def ask(self, call: str | None, usd: float, issue: IssueRef | None = None) -> Allowance:
        return await self.desk.allowance(AllowanceRequest(role="agent", amount_usd=usd, call=call, issue=issue))

    def used(self, call: str, usd: float) -> None:
        said = ModelUsed(call=call, role="agent", purpose="chat", provider="p", model="m", cost_usd=usd)
        self.story.say(Actor.AGENT, ME, said, id=f"used-{call}")
        self.desk.read_on(said)

    @property
    def spent(self) -> float:
        return self.state.ledger.committed("day") / 1e6


async def test_what_is_granted_is_set_aside_until_it_is_told_of() -> None:
    house = House()
    assert (await house.ask("c-1", 3)).granted
    assert await house.ask("c-2", 3) == Allowance(granted=False, scope="day", limit_usd=5, committed_usd=3)
    assert (await house.ask("c-1", 3)).granted, "the same call, whose answer was lost"
    house.used("c-1", 1)
    assert (await house.ask("c-3", 4)).granted
    assert not (await house.ask("c-4", 0)).granted


async def test_what_is_given_back_is_there_again_and_word_of_it_that_comes_late_sets_nothing_aside() -> None:
    house = House()
    assert (await house.ask("c-1", 5)).granted
    back = AllowanceRequest(role="agent", amount_usd=5, call="c-2", given_back=("c-1",))
    assert (await house.desk.allowance(back)).granted
    house.used("c-2", 1)
    late = AllowanceRequest(role="agent", amount_usd=4, call="c-3", beside={"c-1": 5.0, "c-2": 5.0})
    assert (await house.desk.allowance(late)).granted


async def test_for_a_call_that_nobody_tells_of_it_is_set_aside_for_a_while() -> None:
    house = House()
    assert (await house.ask("c-1", 5)).granted
    house.clock.now = HELD_SECONDS - 1
    assert not (await house.ask("c-2", 1)).granted
    house.clock.now = HELD_SECONDS
    assert (await house.ask("c-2", 1)).granted


async def test_another_conductor_knows_of_the_askers_own_calls_by_the_asker() -> None:
    house = House()
    assert (await house.ask("c-1", 3)).granted
    other, request = house.another(), AllowanceRequest(role="agent", amount_usd=3, call="c-2", beside={"c-1": 3.0})
    for _ in range(2):
        assert not (await other.allowance(request)).granted
    assert (await house.ask("c-3", 2)).granted, "it is not counted twice"


async def test_of_an_issue_it_is_set_aside_in_the_issues_budget_too() -> None:
    house = House()
    one, two = house.story.approve(1), house.story.approve(2)
    assert (await house.ask("c-1", 1.5, one)).granted
    assert (await house.ask("c-2", 1, one)).scope == f"issue:{one}"
    assert not (await house.ask("c-2", 1, one)).granted
    assert (await house.ask("c-2", 1, two)).granted


async def test_without_the_id_of_a_call_nothing_is_set_aside() -> None:
    house = House()
    assert (await house.ask(None, 5)).granted
    assert (await house.ask(None, 5)).granted


@pytest.mark.parametrize("seed", range(20))
async def test_twenty_who_ask_at_once_do_not_pass_the_limit_and_it_is_used(seed: int) -> None:
    house, luck = House(), random.Random(seed)  # noqa: S311 - the same luck each time
    under_way: dict[int, tuple[str, float]] = {}
    given_back: list[str] = []
    refused = 0
    for number in range(1_000):
        asker = luck.randrange(20)
        house.clock.now += luck.random()
        if asker not in under_way:
            call, usd = f"c-{number}", luck.choice((0.01, 0.1, 0.3))
            wanted = AllowanceRequest(role="agent", amount_usd=usd, call=call, given_back=tuple(given_back))
            if (await house.desk.allowance(wanted)).granted:
                under_way[asker] = call, usd
            else:
                refused += 1
            given_back.clear()
        else:
            call, usd = under_way.pop(asker)
            if luck.random() < 0.3:
                given_back.append(call)
            else:
                house.used(call, usd * luck.random())
        assert house.spent + sum(usd for _, usd in under_way.values()) <= DAY_USD + 1e-9
    assert refused
    assert house.spent > DAY_USD - 1
