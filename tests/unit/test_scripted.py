"""The scripted coder: what it does, that it stays where it belongs, and what is said about a bad script."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.coders import scripted
from agents.coders.driver import NOTHING, Checked, CoderUnavailable, Result, Task
from agents.coders.scripted import ScriptedDriver
from bus.testing import run
from schemas import FailureKind, Invalid, IssueRef

DONE = Result(usage=NOTHING)
TWO_TRIES = """
[[issue]]
title = "Fix *"

[[issue.attempt]]
[[issue.attempt.step]]
do = "say"
text = "trying"
[[issue.attempt.step]]
do = "replace"
path = "total.py"
old = "a - b"
new = "a * b"

[[issue.attempt]]
[[issue.attempt.step]]
do = "write"
path = "deep/down/total.py"
content = "a + b\\n"
[[issue.attempt.step]]
do = "delete"
path = "total.py"

[[issue]]
number = 7
[[issue.attempt]]
step = [{ do = "fail", kind = "quota", detail = "come back at noon" }]
"""


def task(
    title: str = "Fix the total", *, number: int = 1, attempt: int = 1, wall: float = 60.0, silence: float = 60.0
) -> Task:
    return Task(
        issue=IssueRef("demo", "shop", number),
        title=title,
        attempt=attempt,
        prompt="Resolve it.",
        session="s-1",
        resumed=False,
        wall_seconds=wall,
        silence_seconds=silence,
        output_bytes=1_000_000,
    )


@pytest.fixture
def worktree(tmp_path: Path) -> Path:
    path = tmp_path / "worktree"
    path.mkdir()
    (path / "total.py").write_text("a - b\n")
    return path


@pytest.fixture
def driver(tmp_path: Path) -> Callable[[str], ScriptedDriver]:
    def make(text: str) -> ScriptedDriver:
        path = tmp_path / "script.toml"
        path.write_text(text)
        return ScriptedDriver(path, scripted.load(path))

    return make


Make = Callable[[str], ScriptedDriver]


def one(step: str) -> str:
    return f"[[issue]]\n[[issue.attempt]]\nstep = [{step}]\n"


async def play(driver: ScriptedDriver, worktree: Path, given: Task | None = None) -> tuple[Result, bytes]:
    output = bytearray()
    result = await driver.run(given or task(), worktree, home=worktree, on_output=output.extend)
    return result, bytes(output)


async def test_each_attempt_has_its_steps(driver: Make, worktree: Path) -> None:
    coder = driver(TWO_TRIES)
    assert await play(coder, worktree) == (DONE, b"trying\n")
    assert (worktree / "total.py").read_text() == "a * b\n"
    assert await play(coder, worktree, task(attempt=2)) == (DONE, b"")
    assert (worktree / "deep/down/total.py").read_text() == "a + b\n"
    assert not (worktree / "total.py").exists()


async def test_attempts_beyond_the_last_repeat_it(driver: Make, worktree: Path) -> None:
    assert await play(driver(TWO_TRIES), worktree, task(attempt=9)) == (DONE, b"")
    assert (worktree / "deep/down/total.py").exists()


async def test_the_first_part_that_fits_is_played(driver: Make, worktree: Path) -> None:
    result, _ = await play(driver(TWO_TRIES), worktree, task("Anything", number=7))
    assert result == Result(usage=NOTHING, failure=FailureKind.QUOTA, detail="come back at noon")


async def test_an_issue_that_no_part_fits_is_named(driver: Make, worktree: Path) -> None:
    result, _ = await play(driver(TWO_TRIES), worktree, task("Anything"))
    assert result.failure is FailureKind.BUG
    assert "no part for demo/shop#1 ('Anything')" in result.detail


async def test_the_version_is_of_the_scripts_content(driver: Make) -> None:
    first = (await driver(TWO_TRIES).check()).version
    assert len(first) == 12
    assert await driver(one('{ do = "hang" }')).check() != Checked(version=first)


async def test_a_script_that_is_gone_is_said_before_work(driver: Make, tmp_path: Path) -> None:
    coder = driver(TWO_TRIES)
    (tmp_path / "script.toml").unlink()
    with pytest.raises(CoderUnavailable, match=r"script\.toml is gone"):
        await coder.check()


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ('{ do = "replace", path = "total.py", old = "x", new = "y" }', "total.py does not contain 'x'"),
        ('{ do = "replace", path = "none.py", old = "x", new = "y" }', "No such file"),
        ('{ do = "delete", path = "none.py" }', "No such file"),
        ('{ do = "write", path = "total.py/x", content = "" }', "exists"),
        ('{ do = "write", path = ".git", content = "gitdir: /elsewhere" }', "leads out of the worktree"),
        ('{ do = "write", path = "./.git/config", content = "" }', "leads out of the worktree"),
        ('{ do = "write", path = "link/x", content = "" }', "leads out of the worktree"),
        ('{ do = "delete", path = "." }', "leads out of the worktree"),
    ],
)
async def test_a_step_that_cannot_be_done_fails_the_run_by_name(
    driver: Make, worktree: Path, step: str, problem: str
) -> None:
    (worktree / "link").symlink_to(worktree.parent)
    result, _ = await play(driver(one(step)), worktree)
    assert result.failure is FailureKind.BUG
    assert "attempt 1, step 1: " in result.detail
    assert problem in result.detail
    assert not (worktree.parent / "x").exists()


async def test_a_link_that_stays_inside_may_be_followed(driver: Make, worktree: Path) -> None:
    (worktree / "link").symlink_to("total.py")
    result, _ = await play(driver(one('{ do = "write", path = "link", content = "new" }')), worktree)
    assert result == DONE
    assert (worktree / "total.py").read_text() == "new"


async def test_a_silent_run_is_stalled(driver: Make, worktree: Path) -> None:
    result, _ = await play(driver(one('{ do = "hang" }')), worktree, task(silence=0.01))
    assert result == Result(usage=NOTHING, failure=FailureKind.STALLED, detail="it printed nothing for 0.01 s")


async def test_a_run_over_its_time_is_timed_out(driver: Make, worktree: Path) -> None:
    result, _ = await play(driver(one('{ do = "hang" }')), worktree, task(wall=0.01))
    assert result == Result(usage=NOTHING, failure=FailureKind.TIMED_OUT, detail="it was stopped after 0.01 s")


def test_what_it_says_keeps_it_alive(driver: Make, worktree: Path) -> None:
    steps = ", ".join(['{ do = "sleep", seconds = 50 }, { do = "say", text = "." }'] * 24)
    result, output = run(play(driver(one(steps)), worktree, task(wall=3_600, silence=60)))
    assert (result, output) == (DONE, b".\n" * 24)


async def test_a_run_can_be_stopped_in_the_middle(driver: Make, worktree: Path) -> None:
    steps = (
        '{ do = "write", path = "half", content = "" }, { do = "say", text = "half" }, { do = "sleep", seconds = 60 }'
    )
    heard = asyncio.Event()
    run = asyncio.create_task(driver(one(steps)).run(task(), worktree, home=worktree, on_output=lambda _: heard.set()))
    await heard.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (worktree / "half").exists()


def test_everything_wrong_with_a_script_is_said_at_once(driver: Make) -> None:
    bad = """
    [[issue]]
    title = 3
    [[issue.attempt]]
    step = []

    [[issue]]
    [[issue.attempt]]
    step = [{ do = "dance" }, { do = "write", path = "../x", content = "" }, { do = "write", path = "x" }]
    [[issue.attempt]]
    steps = []

    [[issue]]
    [[issue.attempt]]
    step = [{ do = "say", text = "" }, { do = "fail", kind = "boredom" }, { do = "write", path = "/x", content = "" }]
    """
    with pytest.raises(Invalid) as raised:
        driver(bad)
    assert raised.value.problems == (
        "issue 1: Expected `str | null`, got `int` - at `$.title`",
        "issue 2, attempt 1, step 1: Invalid value 'dance' - at `$.do`",
        "issue 2, attempt 1, step 2: '../x' leads out of the worktree",
        "issue 2, attempt 1, step 3: Object missing required field `content`",
        "issue 2, attempt 2: Object contains unknown field `steps`",
        "issue 3, attempt 1, step 2: Invalid enum value 'boredom' - at `$.kind`",
        "issue 3, attempt 1, step 3: '/x' leads out of the worktree",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("issue = [", "is not TOML"),
        ("", "the file: Object missing required field `issue`"),
        ("[[issue]]\nattempt = []", "issue 1: Expected `array` of length >= 1"),
        ("[[isue]]\n", "the file: Object contains unknown field `isue`"),
    ],
)
def test_a_file_that_is_no_script_says_why(driver: Make, text: str, problem: str) -> None:
    with pytest.raises(Invalid, match=r"script\.toml") as raised:
        driver(text)
    assert problem in str(raised.value)


def test_a_script_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"none\.toml: cannot be read: No such file"):
        scripted.load(tmp_path / "none.toml")
