"""What dev-e's work takes: money, which it tells, and what not every machine has: then it is left to another."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from agents.coders.driver import Checked, Forgetful, OnOutput, Result, Task, Usage
from agents.dev_e import DevE, pause
from agents.dev_e.fitness import Fitness
from agents.runtime import AgentConfig, Replica
from agents.workspace import Workspace
from bus import Done, Retry
from bus.outcomes import MAX_ATTEMPTS
from machine.git import Identity
from schemas import (
    Actor,
    AgentJoined,
    AgentLeft,
    FailureKind,
    IssueApproved,
    IssueRevised,
    Policy,
    RepositoryConfigured,
    TokensUsed,
    WorkFailed,
    WorkPushed,
    WorkStarted,
)
from tests.support.agents import CHECK, ISSUE, RIGHT, SHOP, Rig, new_rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncGenerator[Rig]:
    async with new_rig(tmp_path) as rig:
        yield rig


# ── money ────────────────────────────────────────────────────────────────────


class Dear(Forgetful):
    """A driver that knows what it used, and notes what it may spend."""

    provider = "dear"
    usage = Usage(model="m-1", input=10, output=20, cache_read=30, cache_write=40, cost_usd=1.25)

    def __init__(self) -> None:
        self.budgets: list[float] = []

    async def check(self) -> Checked:
        return Checked()

    async def run(self, task: Task, worktree: Path, *, home: Path, on_output: OnOutput) -> Result:
        self.budgets.append(task.budget_usd)
        return Result(failure=FailureKind.MAX_TURNS, detail="enough", usage=self.usage)


async def test_what_a_run_has_used_is_said_before_how_it_ended(rig: Rig) -> None:
    await rig.ask()
    driver = Dear()
    fitness = Fitness(driver, rig.life)
    config = AgentConfig(name="dev-e-1", role="dev-e", slots=1, provider=driver.provider)
    async with Workspace.taken(rig.tmp_path / "agent", Identity("dev-e-1", "dev-e-1@rig.invalid")) as workspace:
        dev_e = DevE(rig.bus, Replica(rig.bus, config, rig.life), workspace, driver, fitness, home=rig.tmp_path)
        assert await dev_e.work(await rig.assign(reserved_usd=2.5)) == Done()
    assert driver.budgets == [2.5]
    assert await rig.said() == ["work_started", "tokens_used", "work_failed"]
    _, claimed = await rig.until(WorkStarted)
    assert (await rig.until(TokensUsed))[1] == TokensUsed(
        epoch=2,
        run=claimed.run,
        provider="dear",
        model="m-1",
        input=10,
        output=20,
        cache_read=30,
        cache_write=40,
        cost_usd=1.25,
    )


@pytest.mark.parametrize(("coder", "cost"), [("scripted", 0.0), ("command", None)])
async def test_a_script_costs_nothing_and_what_a_program_costs_nobody_knows(
    rig: Rig, coder: str, cost: float | None
) -> None:
    await rig.ask()
    rig.start(rig.script(RIGHT) if coder == "scripted" else "command: sh -c 'echo a + b > total.py'")
    report, _ = await rig.until(WorkPushed)
    said, used = await rig.until(TokensUsed)
    assert (used.cost_usd, used.input, used.output) == (cost, 0, 0)
    assert said.position < report.position


async def test_a_run_that_never_came_to_its_coder_has_cost_nothing(rig: Rig) -> None:
    await rig.adopt()
    await rig.approve()
    await rig.assign()
    assert (await rig.failure("command: true")).kind is FailureKind.SPAWN  # the repository is not under the rig
    assert (await rig.until(TokensUsed))[1].cost_usd == 0.0


# ── what there is on its machine ─────────────────────────────────────────────


async def needs(rig: Rig, *, repository: tuple[str, ...] = (), issue: tuple[str, ...] = ()) -> None:
    await rig.adopt()
    await rig.serve()
    base, url = await rig.shop.run("rev-parse", "HEAD"), str(rig.shop.directory)
    configured = RepositoryConfigured(
        base_branch="main", base_sha=base, clone_url=url, check=CHECK, capabilities=repository
    )
    await rig.say(Actor.LOCAL, SHOP, configured)
    await rig.say(Actor.CLI, ISSUE, IssueApproved(title="Fix the total", author="ann", requires=issue))


async def test_who_lacks_something_leaves_the_work_to_a_replica_that_has_it(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    await needs(rig, repository=("node",), issue=("gpu",))
    first = rig.start(rig.script(RIGHT), name="dev-e-1", capabilities=("node",))
    await rig.assign()
    while "demo/shop#1 needs gpu, which is not here" not in caplog.text:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.005)
    second = rig.start(rig.script(RIGHT), name="dev-e-2", capabilities=("gpu", "node"))
    await rig.until(WorkPushed)
    claims = await rig.bus.log.history(["rig.issue.demo.shop.1.dev-e.work_started"])
    assert [claim.event.data for claim in claims] == [(await rig.until(WorkStarted, lambda e: e.agent == "dev-e-2"))[1]]
    assert (await rig.until(AgentJoined, lambda joined: len(joined.capabilities) == 2))[1].capabilities == (
        "gpu",
        "node",
    )
    rig.life.stop.set()
    await asyncio.gather(first, second)
    assert len(await rig.bus.log.history([f"rig.agent.*.dev-e.{AgentLeft.name()}"])) == 2


async def test_what_is_not_needed_any_more_keeps_nobody_from_it(rig: Rig) -> None:
    await needs(rig, repository=("node",), issue=("gpu",))
    driver = Dear()
    fitness = Fitness(driver, rig.life)
    config = AgentConfig(name="dev-e-1", role="dev-e", slots=1, provider="dear", capabilities=("node",))
    async with Workspace.taken(rig.tmp_path / "agent", Identity("dev-e-1", "dev-e-1@rig.invalid")) as workspace:
        dev_e = DevE(rig.bus, Replica(rig.bus, config, rig.life), workspace, driver, fitness, home=rig.tmp_path)
        assigned = await rig.assign()
        assert isinstance(await dev_e.work(assigned), Retry)
        assert await rig.said() == []
        await rig.say(Actor.CLI, ISSUE, IssueRevised(requires=()))
        assert await dev_e.work(assigned) == Done()
    assert (await rig.until(WorkFailed))[1].kind is FailureKind.MAX_TURNS


@pytest.mark.parametrize("claim_seconds", [60, Policy().claim_seconds, 3_600, 86_400])
@pytest.mark.parametrize("clock", [0.0, 5.0, 120.0, -5.0, -50.0])
def test_it_goes_back_again_and_again_until_the_conductor_assigns_anew(claim_seconds: float, clock: float) -> None:
    """And not so often that it is buried before; whatever the clocks of conductor and agent say."""
    age, tries = 0.0, 1
    while age < claim_seconds:
        tries, age = tries + 1, age + pause(age + clock, claim_seconds)
    assert tries <= MAX_ATTEMPTS
