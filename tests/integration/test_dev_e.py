"""dev-e on a real log, real git and real subprocesses; the test speaks for the conductor, the forge and people."""

import asyncio
import shlex
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from traceback import format_exception

import pytest
from msgspec import structs

from agents.coders.driver import Checked, Driver, Forgetful, OnOutput, Result, Task
from agents.dev_e import DevE, run_dev_e
from agents.dev_e.fitness import Fitness
from agents.output import MOST_BYTES, RunOutput
from agents.runtime import AgentConfig, Replica
from agents.workspace import Workspace
from bus import Done, Drop, Retry
from machine import sessions
from machine.git import Git, Identity
from machine.lifecycle import Lifecycle, Misconfigured
from schemas import (
    Actor,
    AgentJoined,
    AgentLeft,
    AgentRef,
    AgentStatus,
    ChecksFailed,
    Conclusion,
    FailedCheck,
    FailureKind,
    IssueUnassigned,
    IssueWithdrawn,
    LeaveReason,
    UnassignReason,
    WorkFailed,
    WorkPushed,
    WorkStarted,
)
from tests.support.agents import CHECK, ISSUE, POLICY, RIGHT, SECOND, WRONG, Rig, gone, new_rig
from tests.support.clock import HOURS


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncGenerator[Rig]:
    async with new_rig(tmp_path) as rig:
        yield rig


# ── the work ─────────────────────────────────────────────────────────────────


async def test_an_assignment_becomes_a_checked_commit_on_a_branch_of_its_own(rig: Rig) -> None:
    assigned = await rig.ask()
    rig.start(rig.script(RIGHT))
    claim, started = await rig.until(WorkStarted)
    report, pushed = await rig.until(WorkPushed)
    assert (started.epoch, started.agent, started.provider) == (1, "dev-e-1", "scripted")
    assert started.session == started.run
    assert started.branch == f"rig/1/1-{started.run}"
    assert (pushed.epoch, pushed.run, pushed.branch) == (1, started.run, started.branch)
    assert (pushed.title, pushed.files_changed, pushed.lines_changed) == ("Fix the total", 1, 2)
    assert pushed.body == f"For demo/shop#1, attempt 1. `{CHECK}` passes on it."
    for said in (claim, report):
        assert (said.event.causationid, said.event.correlationid) == (assigned.event.id, "the-beginning")
    assert claim.event.id == f"dev-e:{started.run}:work_started"
    assert await rig.shop.run("rev-parse", pushed.branch) == pushed.head_sha
    assert await rig.show(pushed.head_sha) == "a + b"
    message = await rig.shop.run("log", "-1", "--format=%B", pushed.head_sha)
    assert message.strip() == (f"Fix the total\n\nIt subtracts.\n\nRig-Issue: demo/shop#1\nRig-Run: {started.run}")
    assert await rig.shop.run("log", "-1", "--format=%(trailers:key=Rig-Issue,valueonly)", pushed.head_sha)


async def test_failed_checks_are_told_and_the_next_run_builds_on_what_was_done(rig: Rig) -> None:
    await rig.ask()
    notes = '{ do = "write", path = "notes", content = "mine" }'
    rig.start(rig.script(f"{WRONG}, {notes}", RIGHT))
    _, failed = await rig.until(WorkFailed)
    assert (failed.epoch, failed.kind) == (1, FailureKind.CHECKS_FAILED)
    assert failed.detail == "looking\nexit code 1"
    assert await rig.show(f"rig/1/1-{failed.run}") == "a * b"
    await rig.assign(resume="the-session")
    _, started = await rig.until(WorkStarted, lambda event: event.epoch == 2)
    _, pushed = await rig.until(WorkPushed)
    assert started.session == "the-session"
    assert (await rig.show(pushed.branch), await rig.show(pushed.branch, "notes")) == ("a + b", "mine")
    assert pushed.files_changed == 2


async def test_findings_reach_the_coder(rig: Rig) -> None:
    await rig.ask()
    rig.start("command: sh -c 'cat > prompt; echo a + b > total.py'")
    _, pushed = await rig.until(WorkPushed)
    check = FailedCheck(name="check", conclusion=Conclusion.FAILURE, excerpt="assert round(1.005, 2) == 1.01")
    await rig.say(Actor.LOCAL, ISSUE, ChecksFailed(head_sha=pushed.head_sha, base_sha="0" * 40, failed=(check,)))
    await rig.assign()
    _, again = await rig.until(WorkPushed, lambda event: event.epoch == 2)
    assert "Fix the total" in await rig.show(pushed.branch, "prompt")
    assert "assert round(1.005, 2) == 1.01" in await rig.show(again.branch, "prompt")


async def test_a_coder_that_changes_nothing_has_not_done_it(rig: Rig) -> None:
    await rig.ask()
    failed = await rig.failure(rig.script('{ do = "say", text = "All done!" }'))
    assert (failed.kind, failed.detail) == (FailureKind.NO_CHANGES, "the coder finished and changed nothing")
    assert await rig.branches() == []


async def test_a_head_that_was_found_wanting_is_not_pushed_again(rig: Rig) -> None:
    await rig.ask()
    rig.start(rig.script(RIGHT))
    _, pushed = await rig.until(WorkPushed)
    await rig.assign()
    _, failed = await rig.until(WorkFailed)
    assert failed.kind is FailureKind.NO_CHANGES
    assert failed.detail == f"the coder finished and changed nothing since {pushed.head_sha[:12]}"


async def test_what_a_failing_coder_has_done_is_pushed_for_the_next(rig: Rig) -> None:
    await rig.ask()
    failed = await rig.failure("command: sh -c 'echo half > half.py; echo no idea; exit 3'")
    assert failed.kind is FailureKind.BUG
    assert failed.detail == "sh ended with exit code 3. The end of what it said:\nno idea"
    assert await rig.show(f"rig/1/1-{failed.run}", "half.py") == "half"


async def test_the_base_branch_as_it_is_now_is_merged_into_earlier_work(rig: Rig) -> None:
    await rig.ask()
    rig.start(rig.script(WRONG, RIGHT))
    await rig.until(WorkFailed)
    base = await rig.commit("README", "A shop.\n")
    await rig.assign()
    _, pushed = await rig.until(WorkPushed)
    assert await rig.shop.is_ancestor(base, pushed.head_sha)
    assert pushed.files_changed == 1


async def test_conflicts_that_the_coder_leaves_are_findings(rig: Rig) -> None:
    await rig.ask()
    rig.start(rig.script(WRONG, '{ do = "say", text = "hm" }', RIGHT))
    await rig.until(WorkFailed)
    base = await rig.commit("total.py", "a / b\n")
    await rig.assign()
    _, failed = await rig.until(WorkFailed, lambda event: event.epoch == 2)
    assert (failed.kind, failed.detail) == (FailureKind.CHECKS_FAILED, "Conflicts with main are left in: total.py")
    await rig.assign()
    _, pushed = await rig.until(WorkPushed)
    assert await rig.shop.is_ancestor(base, pushed.head_sha)


async def test_a_silent_coder_is_stopped_by_the_policys_clock(rig: Rig) -> None:
    await rig.adopt(structs.replace(POLICY, coder_silence_seconds=HOURS))
    await rig.serve()
    await rig.approve()
    await rig.assign()
    failed = await rig.failure_by_the_clock(rig.hanging(), rig.pid_file)
    assert failed.kind is FailureKind.STALLED
    assert "sh printed nothing for 36000 s" in failed.detail
    await gone(await rig.coder_pid())
    assert await rig.show(f"rig/1/1-{failed.run}", "half.py") == "half"


async def test_a_lock_that_a_stopped_coder_left_does_not_hide_why_it_was_stopped(rig: Rig) -> None:
    await rig.adopt(structs.replace(POLICY, coder_wall_seconds=HOURS))
    await rig.serve()
    await rig.approve()
    await rig.assign()
    coder = rig.hanging('touch "$(git rev-parse --git-dir)/index.lock"', "echo ready")
    failed = await rig.failure_by_the_clock(coder, rig.pid_file)
    assert (failed.kind, failed.detail.splitlines()[-1]) == (FailureKind.TIMED_OUT, "ready")
    assert await rig.show(f"rig/1/1-{failed.run}", "half.py") == "half"


async def test_a_failed_coder_is_told_of_even_when_its_work_cannot_be_pushed_and_that_is_not_lost(rig: Rig) -> None:
    await rig.ask()
    shop = shlex.quote(str(rig.shop.directory))
    steps = f"test -e half.py && echo a + b > total.py && exit; echo half > half.py; mv {shop} {shop}-away; exit 3"
    failed = await rig.failure(f"command: sh -c {shlex.quote(steps)}")
    assert failed.kind is FailureKind.BUG
    assert failed.detail.startswith("sh ended with exit code 3.")
    assert "What it had done could not be pushed: cannot push to" in failed.detail
    rig.tmp_path.joinpath("shop-away").rename(rig.shop.directory)
    await rig.assign()
    _, pushed = await rig.until(WorkPushed)
    assert (await rig.show(pushed.branch), await rig.show(pushed.branch, "half.py")) == ("a + b", "half")


async def test_a_repository_made_inside_is_a_finding_that_names_it(rig: Rig) -> None:
    await rig.ask()
    failed = await rig.failure("command: sh -c 'echo a + b > total.py; git init --quiet nested'")
    assert failed.kind is FailureKind.CHECKS_FAILED
    assert "are left in: nested." in failed.detail
    assert await rig.show(f"rig/1/1-{failed.run}") == "a + b"


async def test_a_check_that_hangs_is_cut_by_the_policys_clock(rig: Rig) -> None:
    await rig.adopt(structs.replace(POLICY, check_wall_seconds=HOURS))
    begun = rig.tmp_path / "begun"
    await rig.serve(check=f"echo looking; touch {begun}; sleep 60")
    await rig.approve()
    await rig.assign()
    failed = await rig.failure_by_the_clock(rig.script(RIGHT), begun)
    assert failed.kind is FailureKind.CHECKS_FAILED
    assert failed.detail == "looking\nstopped: it ran longer than 36000 seconds"


# ── when it cannot ───────────────────────────────────────────────────────────


async def test_a_repository_that_is_gone_is_no_fault_of_the_work(rig: Rig) -> None:
    await rig.ask()
    rig.shop.directory.rename(rig.tmp_path / "moved")
    failed = await rig.failure(rig.script(RIGHT))
    assert failed.kind is FailureKind.SPAWN
    assert "cannot fetch" in failed.detail


async def test_a_repository_that_is_not_known_is_no_fault_of_the_work(rig: Rig) -> None:
    await rig.adopt()
    await rig.approve()
    await rig.assign()
    failed = await rig.failure(rig.script(RIGHT))
    assert failed.kind is FailureKind.SPAWN
    assert "demo/shop is not under the rig" in failed.detail


async def test_git_that_fails_is_no_fault_of_the_work(rig: Rig) -> None:
    await rig.ask()
    failed = await rig.failure("command: sh -c 'echo a + b > total.py; rm \"$(git rev-parse --git-dir)/HEAD\"'")
    assert failed.kind is FailureKind.SPAWN
    assert "not a git repository" in failed.detail


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


# ── being there ──────────────────────────────────────────────────────────────


async def test_a_replica_joins_under_a_policy_and_shows_what_it_does(rig: Rig) -> None:
    rig.life.running = True
    rig.start(rig.hanging(), slots=2)
    await rig.serve()
    await rig.approve()
    assert await rig.bus.log.history(["rig.agent.>"]) == []
    assert not rig.life.is_ready
    await rig.adopt()
    _, joined = await rig.until(AgentJoined)
    assert (joined.role, joined.slots, joined.provider) == ("dev-e", 2, "sh")
    await rig.assign()
    await rig.coder_pid()
    beat = await rig.beat(lambda beat: beat.status is AgentStatus.WORKING)
    assert (beat.agent, beat.boot, beat.slots_free, beat.issues) == ("dev-e-1", joined.boot, 1, (ISSUE,))
    assert rig.life.is_ready
    assert rig.life.checks["nats"].ok
    assert rig.life.checks["coder"].detail == "sh"


async def test_a_second_replica_of_its_name_ends_the_first_and_says_why(rig: Rig) -> None:
    await rig.adopt()
    rig.start(rig.hanging())
    _, joined = await rig.until(AgentJoined)
    other = AgentJoined(boot="b-other", role="dev-e", provider="sh", slots=1, version=joined.version)
    await rig.say(Actor.DEV_E, AgentRef("dev-e-1"), other)
    running, rig.running = rig.running, None
    assert running is not None
    with pytest.raises(ExceptionGroup) as ended:
        await running
    found = ended.value.subgroup(Misconfigured)
    assert found is not None
    assert "another dev-e-1 has joined" in "".join(format_exception(found))


async def test_the_policy_is_the_one_adopted_last(rig: Rig) -> None:
    replica = Replica(rig.bus, AgentConfig(name="dev-e-1", role="dev-e", slots=1, provider="none"), rig.life)
    older, newer, newest = (structs.replace(POLICY, attempts_max=number) for number in (4, 5, 6))
    await rig.adopt(older)
    await rig.adopt(newer)
    following = asyncio.create_task(replica.follow_policy())
    await replica.adopted.wait()
    assert replica.policy == newer
    await rig.adopt(newest)
    while replica.policy != newest:  # noqa: ASYNC110 - it comes when the log says so
        await asyncio.sleep(0.005)
    following.cancel()


async def test_what_a_run_prints_can_be_watched(rig: Rig) -> None:
    await rig.ask()
    rig.start(rig.script(f'{{ do = "say", text = "one" }}, {{ do = "say", text = "two" }}, {RIGHT}'))
    _, pushed = await rig.until(WorkPushed)
    assert await rig.output(pushed.run) == b"one\ntwo\n"


async def test_of_a_flood_of_output_the_beginning_is_shown_and_the_rest_counted(rig: Rig) -> None:
    async with RunOutput.sent(rig.bus, "r-flood") as output:
        output.add(b"x" * MOST_BYTES + b"y" * 1_000)
    assert await rig.output("r-flood") == b"x" * MOST_BYTES + "\n… 1000 bytes left out …\n".encode()


async def test_output_that_cannot_be_sent_stops_nobody(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    await rig.bus.close()
    async with RunOutput.sent(rig.bus, "r-alone") as output:
        output.add(b"hello")
    assert "output of r-alone is lost" in caplog.text


async def test_slots_work_side_by_side(rig: Rig) -> None:
    await rig.ask()
    rig.start(rig.hanging(), slots=2)
    await rig.approve(SECOND)
    await rig.assign(SECOND)
    await rig.until(WorkStarted, lambda event: event.epoch == 1)
    await rig.until(WorkStarted, lambda event: event.epoch == 2)
    assert [name for name in await rig.said() if name != "work_started"] == []


async def test_everything_wrong_with_its_configuration_is_said_at_once(rig: Rig) -> None:
    with pytest.raises(Misconfigured) as raised:
        await run_dev_e(rig.bus, rig.life, name="dev e", slots=0, coder="clod", data_dir=rig.tmp_path)
    problems = str(raised.value)
    assert problems.startswith("dev-e: name 'dev e': write letters")
    assert "; slots 0: write 1 to 64; " in problems
    assert "; coder: 'clod' names no coder" in problems
