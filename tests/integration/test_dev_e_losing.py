"""dev-e when its work is taken from under it: a bug of ours, an epoch that is over, another that takes over, a kill."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agents.coders.driver import Checked, Driver, Forgetful, OnOutput, Result, Task
from agents.dev_e import DevE
from agents.dev_e.fitness import Fitness
from agents.runtime import AgentConfig, Replica
from agents.workspace import Workspace
from bus import Done, Drop, Retry
from machine import sessions
from machine.git import Git, Identity
from machine.lifecycle import Lifecycle
from schemas import (
    Actor,
    AgentLeft,
    FailureKind,
    IssueUnassigned,
    IssueWithdrawn,
    LeaveReason,
    UnassignReason,
    WorkFailed,
    WorkPushed,
    WorkStarted,
)
from tests.support.agents import ISSUE, RIGHT, SECOND, Rig, gone, new_rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncGenerator[Rig]:
    async with new_rig(tmp_path) as rig:
        yield rig


class Broken(Forgetful):
    """A driver with a bug."""

    provider = "broken"

    async def check(self) -> Checked:
        return Checked()

    async def run(self, task: Task, worktree: Path, *, home: Path, on_output: OnOutput) -> Result:
        raise ZeroDivisionError("division by zero")


class Overtaken(Forgetful):
    """A driver that finishes just when another replica takes the work over."""

    provider = "overtaken"

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    async def check(self) -> Checked:
        return Checked()

    async def run(self, task: Task, worktree: Path, *, home: Path, on_output: OnOutput) -> Result:
        (worktree / "total.py").write_text("a + b\n")
        await self._rig.say(Actor.DEV_E, ISSUE, TAKEN_OVER)
        return Result()


TAKEN_OVER = WorkStarted(
    epoch=1, run="r-other", agent="dev-e-2", branch="rig/1/1-r-other", session="s", provider="scripted"
)


@asynccontextmanager
async def dev_e(rig: Rig, driver: Driver) -> AsyncGenerator[DevE]:
    fitness = Fitness(driver, rig.life)
    config = AgentConfig(name="dev-e-1", role="dev-e", slots=1, provider=driver.provider)
    async with Workspace.taken(rig.tmp_path / "agent", Identity("dev-e-1", "dev-e-1@rig.invalid")) as workspace:
        yield DevE(rig.bus, Replica(rig.bus, config, rig.life), workspace, driver, fitness, home=rig.tmp_path)


@pytest.fixture
async def broken(rig: Rig) -> AsyncGenerator[DevE]:
    async with dev_e(rig, Broken()) as broken:
        yield broken


async def test_a_bug_of_ours_is_said_and_not_hidden(rig: Rig, broken: DevE) -> None:
    assert await broken.work(await rig.ask()) == Done()
    _, failed = await rig.until(WorkFailed)
    assert (failed.kind, failed.detail) == (FailureKind.BUG, "ZeroDivisionError: division by zero")


async def test_an_epoch_that_is_over_is_acknowledged_without_a_word(rig: Rig, broken: DevE) -> None:
    superseded = await rig.ask()
    ended = await rig.assign()
    await rig.say(Actor.CONDUCTOR, ISSUE, IssueUnassigned(epoch=2, reason=UnassignReason.STALE))
    assert await broken.work(superseded) == Done()
    assert await broken.work(ended) == Done()
    assert await rig.said() == []


async def test_what_is_no_assignment_is_dropped(rig: Rig, broken: DevE) -> None:
    withdrawn = await rig.say(Actor.CLI, ISSUE, IssueWithdrawn(by="ann"))
    assert await broken.work(withdrawn) == Drop("IssueWithdrawn about demo/shop#1 is no assignment")


async def test_with_the_bus_away_the_assignment_is_put_back(rig: Rig, broken: DevE) -> None:
    assigned = await rig.ask()
    await rig.bus.close()
    assert isinstance(await broken.work(assigned), Retry)


# ── losing the work ──────────────────────────────────────────────────────────


async def test_a_withdrawn_issue_stops_its_coder_at_once_and_frees_the_slot(rig: Rig) -> None:
    await rig.ask()
    rig.start(rig.hanging())
    pid = await rig.coder_pid()
    await rig.say(Actor.CLI, ISSUE, IssueWithdrawn(by="ann"))
    await rig.approve(SECOND)
    await rig.assign(SECOND)
    await rig.until(WorkStarted, lambda event: event.epoch == 2)
    await gone(pid)
    assert await rig.said() == ["work_started"]
    assert await rig.branches() == []


async def test_who_is_taken_over_stops_and_says_nothing_more(rig: Rig) -> None:
    await rig.ask()
    rig.start(rig.hanging())
    _, first = await rig.until(WorkStarted)
    pid = await rig.coder_pid()
    await rig.say(Actor.DEV_E, ISSUE, TAKEN_OVER)
    await gone(pid)
    await rig.stop()
    assert await rig.said() == ["work_started", "work_started"]
    assert await rig.branches() == []
    kept = Git(rig.tmp_path / "agents" / "dev-e-1" / "demo" / "shop" / "cache.git")
    assert await kept.run("show", f"refs/kept/{first.branch}:half.py") == "half"


async def test_ownership_is_looked_up_once_more_before_the_push(rig: Rig) -> None:
    assigned = await rig.ask()
    async with dev_e(rig, Overtaken(rig)) as overtaken:
        assert isinstance(await overtaken.work(assigned), Retry), "it is the other's to acknowledge"
    assert "work_pushed" not in await rig.said()
    assert await rig.branches() == []


async def test_asked_to_stop_it_puts_its_work_down_for_the_next(rig: Rig) -> None:
    await rig.ask()
    rig.start(rig.hanging())
    pid = await rig.coder_pid()
    await rig.stop()
    await gone(pid)
    assert await rig.said() == ["work_started"]
    _, left = await rig.until(AgentLeft)
    assert left.reason is LeaveReason.STOPPED
    rig.life = Lifecycle()
    rig.start(rig.script(RIGHT))
    _, pushed = await rig.until(WorkPushed)
    assert pushed.epoch == 1
    assert await rig.said() == ["work_started", "work_started", "tokens_used", "work_pushed"]


REPLICA = """
import asyncio, sys
from pathlib import Path
from traceback import format_exception
from agents.dev_e import run_dev_e
from bus import Bus
from machine import lifecycle
from schemas import Actor

async def main(life):
    url, key, coder, data = sys.argv[1:]
    async with await Bus.connect(url, actor=Actor.DEV_E, source="dev-e/dev-e-1", key=Path(key)) as bus:
        await run_dev_e(bus, life, name="dev-e-1", slots=1, coder=coder, data_dir=Path(data))

sys.exit(lifecycle.run(main, health_address=None))
"""


async def test_a_killed_replica_takes_its_place_back_and_the_work_up_again(rig: Rig) -> None:
    await rig.ask()
    key = rig.server.key(Actor.DEV_E)
    arguments = [rig.server.url, str(key), rig.hanging(), str(rig.tmp_path / "agents")]
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", REPLICA, *arguments, start_new_session=True)
    pid = await rig.coder_pid()
    killed.kill()
    await sessions.sweep(killed.pid)  # as its supervisor does
    await killed.wait()
    await gone(pid)
    rig.start(rig.script(RIGHT))
    _, pushed = await rig.until(WorkPushed)
    assert pushed.epoch == 1
    assert await rig.said() == ["work_started", "work_started", "tokens_used", "work_pushed"]
    assert len(await rig.bus.log.history(["rig.agent.dev-e-1.dev-e.joined"])) == 2
