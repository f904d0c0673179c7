"""dev-e on a real log, real git and real subprocesses; the test speaks for the conductor, the forge and people."""

import asyncio
import shlex
from collections.abc import AsyncGenerator
from pathlib import Path
from traceback import format_exception

import pytest
from msgspec import structs

from agents.dev_e import run_dev_e
from agents.output import MOST_BYTES, RunOutput
from agents.runtime import AgentConfig, Replica
from machine.lifecycle import Misconfigured
from schemas import (
    Actor,
    AgentJoined,
    AgentRef,
    AgentStatus,
    ChecksFailed,
    Conclusion,
    FailedCheck,
    FailureKind,
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
