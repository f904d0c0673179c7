"""The command driver on real programs, and which driver a line of configuration means."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from agents.coders.coder import coder
from agents.coders.command import CommandDriver
from agents.coders.driver import Checked, CoderUnavailable, Driver, Result, Task, Usage
from agents.coders.scripted import ScriptedDriver
from schemas import FailureKind, Invalid, IssueRef
from tests.support.clock import HOURS, hours_pass, pass_time
from tests.support.waiting import until_gone


def task(*, prompt: str = "Resolve it.", wall: float = 60.0, silence: float = 60.0, output: int = 1_000_000) -> Task:
    return Task(
        issue=IssueRef("demo", "shop", 1),
        title="Fix the total",
        attempt=1,
        prompt=prompt,
        session="s-1",
        resumed=False,
        wall_seconds=wall,
        silence_seconds=silence,
        output_bytes=output,
    )


def shell(script: str) -> CommandDriver:
    return CommandDriver(["/bin/sh", "-c", script])


async def run(driver: Driver, worktree: Path, given: Task | None = None) -> tuple[Result, bytes]:
    output = bytearray()
    result = await driver.run(given or task(), worktree, home=worktree, on_output=output.extend)
    return result, bytes(output)


async def test_the_prompt_comes_on_standard_input_and_the_worktree_is_the_directory(tmp_path: Path) -> None:
    large = "§" * 200_000  # more than fits into arguments
    assert await run(shell("cat > prompt; pwd"), tmp_path, task(prompt=large)) == (Result(), f"{tmp_path}\n".encode())
    assert (tmp_path / "prompt").read_text() == large


async def test_it_sees_none_of_our_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIG_NATS_URL", "nats://rig:secret@127.0.0.1:4222")
    _, output = await run(shell("env"), tmp_path)
    assert b"PATH=" in output
    assert b"RIG_" not in output


async def test_an_exit_code_other_than_0_is_a_failure_with_its_last_words(tmp_path: Path) -> None:
    result, _ = await run(shell("echo no idea; exit 3"), tmp_path)
    assert result == Result(
        failure=FailureKind.BUG, detail="sh ended with exit code 3. The end of what it said:\nno idea"
    )


async def test_words_decide_nothing(tmp_path: Path) -> None:
    result, _ = await run(shell("echo error: quota exceeded, cannot finish"), tmp_path)
    assert result == Result()


@pytest.mark.parametrize("exit_code", [0, 3])
async def test_what_it_says_that_it_used_is_told_however_it_ended(tmp_path: Path, exit_code: int) -> None:
    record = '{"type": "result", "model": "m", "total_cost_usd": 0.5, "usage": {"input_tokens": 7}}'
    (tmp_path / "coder").write_text(f"#!/bin/sh\necho '{record}'; echo bye >&2; exit {exit_code}\n")
    (tmp_path / "coder").chmod(0o755)
    result, _ = await run(coder(f"metered:{tmp_path}/coder"), tmp_path)
    assert result.usage == Usage(model="m", input=7, cost_usd=0.5)
    assert (result.failure is None) == (exit_code == 0)
    unmetered, _ = await run(coder(f"command:{tmp_path}/coder"), tmp_path)
    assert unmetered.usage == Usage(), "a model may have said it"


async def test_a_program_over_its_time_is_stopped(tmp_path: Path) -> None:
    result, _ = await run(shell("echo $$; sleep 60"), tmp_path, task(wall=0.05))
    assert result.failure is FailureKind.TIMED_OUT
    assert "sh was stopped after 0.05 s" in result.detail


async def test_a_silent_program_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    output = bytearray()

    def heard(chunk: bytes) -> None:
        output.extend(chunk)
        hours_pass()

    result = await shell("sleep 60 & echo $!; wait").run(task(silence=HOURS), tmp_path, home=tmp_path, on_output=heard)
    assert result.failure is FailureKind.STALLED
    assert "sh printed nothing for 36000 s" in result.detail
    until_gone(int(output))


async def test_what_a_program_prints_keeps_it_alive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    go = os.open(tmp_path / "go", os.O_RDWR)
    times = 0

    def heard(chunk: bytes) -> None:
        nonlocal times
        times += 1
        pass_time(0.6 * HOURS)
        os.write(go, b"on\n")

    script = shell("exec 3< go; for i in 1 2 3; do echo .; read on <&3; done")
    result = await script.run(task(wall=10 * HOURS, silence=HOURS), tmp_path, home=tmp_path, on_output=heard)
    os.close(go)
    assert (result, times) == (Result(), 3)


async def test_a_program_that_prints_without_end_is_stopped(tmp_path: Path) -> None:
    result, _ = await run(shell("yes"), tmp_path, task(output=4_096))
    assert result.failure is FailureKind.GUARD
    assert "sh was stopped after printing 4096 bytes" in result.detail


async def test_a_program_that_cannot_be_started_is_no_fault_of_the_work(tmp_path: Path) -> None:
    driver = CommandDriver([str(tmp_path / "gone")])
    result, _ = await run(driver, tmp_path)
    assert result.failure is FailureKind.SPAWN
    assert "gone" in result.detail
    with pytest.raises(CoderUnavailable, match="gone cannot be run any more"):
        await driver.check()


async def test_a_cancelled_run_leaves_no_process(tmp_path: Path) -> None:
    heard: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    driver = shell("sleep 60 & echo $!; wait")
    working = asyncio.create_task(
        driver.run(task(), tmp_path, home=tmp_path, on_output=lambda chunk: heard.set_result(int(chunk)))
    )
    child = await heard
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    until_gone(child)


async def test_a_line_may_name_a_program_with_arguments(tmp_path: Path) -> None:
    driver = coder("command: sh -c 'echo \"$1\" > said' sh 'two words'")
    assert driver.provider == "sh"
    assert await driver.check() == Checked()
    assert await driver.run(task(), tmp_path, home=tmp_path, on_output=lambda _: None) == Result()
    assert (tmp_path / "said").read_text() == "two words\n"


async def test_a_relative_program_is_the_operators_and_not_the_repositorys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (worktree := tmp_path / "worktree").mkdir()
    for place, word in ((tmp_path, "operator"), (worktree, "repository")):
        (place / "coder").write_text(f"#!/bin/sh\necho {word}\n")
        (place / "coder").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    output = bytearray()
    await coder("command:./coder").run(task(), worktree, home=worktree, on_output=output.extend)
    assert output == b"operator\n"


async def test_a_line_may_name_a_script(tmp_path: Path) -> None:
    (tmp_path / "script.toml").write_text('[[issue]]\n[[issue.attempt]]\nstep = [{ do = "hang" }]\n')
    driver = coder(f"scripted: {tmp_path}/script.toml")
    assert isinstance(driver, ScriptedDriver)
    assert driver.provider == "scripted"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "",
            "'' names no coder; write claude, codex, opencode, chain: A | B, scripted:PATH or command:PROGRAM ARGUMENT",
        ),
        ("clod", "'clod' names no coder"),
        ("claude: model program=sh", "'model' is none of program=…, model=…, mcp=…"),
        ("claude: program=no-such-claude", "there is no program 'no-such-claude' on the PATH"),
        ("claude: program=sh mcp=/no/such.json", "there is no file '/no/such.json'"),
        ("command:", "'command:' names no coder"),
        ("command: 'open", "'open\" cannot be split into arguments: No closing quotation"),
        ("command: no-such-coder --now", "there is no program 'no-such-coder' on the PATH"),
        ("scripted:/no/such/script.toml", "cannot be read"),
    ],
)
def test_a_line_that_names_no_coder_says_what_to_write(line: str, problem: str) -> None:
    with pytest.raises(Invalid) as raised:
        coder(line)
    assert problem in str(raised.value)


async def test_python_is_a_coder(tmp_path: Path) -> None:
    driver = coder(f'command: {sys.executable} -c \'open("new.py", "w").write("1")\'')
    assert await driver.run(task(), tmp_path, home=tmp_path, on_output=lambda _: None) == Result()
    assert (tmp_path / "new.py").read_text() == "1"
