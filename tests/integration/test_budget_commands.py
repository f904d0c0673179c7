"""`rig budget` on a real log: the conductor's words added up, and more allowed for a time."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from bridges.terminal.session import person
from bus import Bus
from deploy.embedded.nats import NatsServer
from deploy.up import adopt
from schemas import (
    FLEET,
    Actor,
    BudgetExceeded,
    BudgetRaised,
    BudgetReserved,
    Draft,
    Event,
    FleetEvent,
    IssueApproved,
    Policy,
    Recorded,
    RepositoryAdded,
    TokensUsed,
)
from schemas.policy import Budget
from tests.support.readside import ISSUE, SHOP
from tests.support.saying import assigned, started
from tests.support.terminal import Terminal

Connect = Callable[..., Awaitable[Bus]]


@pytest.fixture
async def cli(connect: Connect) -> Bus:
    return await connect(Actor.CLI)


@pytest.fixture
async def rig(nats: NatsServer, cli: Bus, connect: Connect) -> Terminal:
    """An issue that is being worked on, with money."""
    await adopt(cli, Policy(budget=Budget(run_usd=2, day_usd=10, issue_usd=None)))
    conductor, agent, local = [await connect(actor) for actor in (Actor.CONDUCTOR, Actor.DEV_E, Actor.LOCAL)]
    said: list[tuple[Bus, Event]] = [
        (cli, RepositoryAdded(clone_url="/srv", check="true", by="ann")),
        (local, IssueApproved(title="Fix", author="ann")),
        (conductor, assigned()),
        (conductor, BudgetReserved(epoch=1, amount_usd=2)),
        (agent, started()),
        (agent, TokensUsed(epoch=1, run="r-1", provider="p", cost_usd=0.5)),
        (conductor, BudgetExceeded(scope="day", limit_usd=10, spent_usd=9)),
    ]
    for number, (bus, event) in enumerate(said):
        about = FLEET if isinstance(event, FleetEvent) else SHOP if event.noun == "repo" else ISSUE
        await bus.log.publish(Draft(about=about, data=event), f"said-{number}")
    return Terminal(nats)


async def test_what_was_spent_and_is_set_aside_is_told_by_budget(rig: Terminal) -> None:
    answer = (await rig("budget", "--json")).json()
    told = {line["scope"]: (line["limit_usd"], line["spent_usd"], line["reserved_usd"]) for line in answer["budgets"]}
    assert told == {
        "day": (10, 0.5, 1.5),
        "role:dev-e": (200, 0.5, 1.5),
        "repository:demo/shop": (200, 0.5, 1.5),
        "issue:demo/shop#1": (None, 0.5, 1.5),
    }
    shown = await rig("budget")
    assert (shown.code, shown.err) == (0, "")
    assert "day                   10.00     0.50   1.50       8.00      no room for another run since " in shown.out


async def test_a_budget_is_raised_for_a_time_and_once(rig: Terminal, cli: Bus) -> None:
    said = await rig("budget", "raise", "day", "50", "--for", "4h", "--note", "release")
    assert (said.code, said.err) == (0, "")
    last = await cli.log.last()
    assert isinstance(last, Recorded)
    assert isinstance(last.event.data, BudgetRaised)
    lasts = last.event.data.until - datetime.now(UTC)
    assert 0 < lasts.total_seconds() <= 4 * 3_600
    assert (last.event.data.limit_usd, last.event.data.by) == (50, person())
    again = await rig("budget", "raise", "day", "50", "--for", "4h", "--note", "release", "--json")
    assert (again.json()["already"], again.json()["position"]) == (True, last.position)
    day = (await rig("budget", "--json")).json()["budgets"][0]
    assert (day["limit_usd"], day["raised_by"], day["full_since"]) == (50, person(), None)
    less = await rig("budget", "raise", "day", "20", "--for", "1h", "--note", "enough")
    assert less.code == 0, "what a person has raised he may lower again"


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        ("day 5", 1, "rig: day may cost $10.00 already: to allow less, adopt another policy"),
        ("shop#1 50", 1, "rig: issue:demo/shop#1 has no limit: there is nothing to raise"),
        ("demo/shop#9 50", 1, "rig: there is no issue demo/shop#9"),
        ("demo/site 500", 2, "rig: demo/site is not under this rig"),
        ("site 500", 2, "rig: no repository 'site' is under this rig"),
        ("role:dev-x 500", 2, "rig: nobody here has the role 'dev-x'"),
        ("day -1", 2, "Usage: "),
        ("day nan", 2, "Usage: "),
    ],
)
async def test_what_cannot_be_raised_is_refused(rig: Terminal, cli: Bus, typed: str, code: int, said: str) -> None:
    refused = await rig("budget", "raise", "--for", "4h", "--note", "n", "--", *typed.split())
    assert (refused.code, refused.out) == (code, "")
    assert refused.err.startswith(said)
    assert await cli.log.history(["rig.fleet.cli.budget_raised"]) == []


async def test_without_a_policy_there_are_no_budgets(nats: NatsServer, cli: Bus) -> None:
    said = await Terminal(nats)("budget")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("rig: no policy is adopted yet, so there are no budgets")
