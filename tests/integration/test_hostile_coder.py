"""The Claude Code driver against a program that does all that a CLI can do wrong.

Each ends in a way of its own, by its own clock, with no process left and with its work in place.
"""

import asyncio
import resource
import shlex
import sys
from pathlib import Path

import pytest
from msgspec import structs

from agents.coders import program
from agents.coders.claude import ClaudeDriver, ClaudeOptions
from agents.coders.driver import Result, Task
from machine import marks
from schemas import FailureKind, IssueRef
from tests.support import hostile
from tests.support.clock import HOURS, hours_pass
from tests.support.waiting import until, until_gone

TASK = Task(
    issue=IssueRef("demo", "shop", 1),
    title="Fix the total",
    attempt=1,
    prompt="Resolve it.",
    session="r-1",
    resumed=False,
    wall_seconds=50.0,
    silence_seconds=50.0,
    output_bytes=10**6,
)
DONE = Result(session=hostile.SESSION, turns=3, text="Done.")


class Place:
    """A worktree, a home, and the program in one of its ways."""

    def __init__(self, root: Path) -> None:
        self.worktree, self.home = root / "worktree", root / "home"
        self.worktree.mkdir()
        self.home.mkdir()
        self._cli = root / "claude"
        self.output = bytearray()

    def driver(self, how: str) -> ClaudeDriver:
        words = [sys.executable, "-I", "-S", hostile.__file__, how]
        self._cli.write_text(f"#!/bin/sh\nexec {shlex.join(words)}\n")
        self._cli.chmod(0o755)
        return ClaudeDriver(ClaudeOptions(program=str(self._cli)))

    async def run(self, how: str, *, hangs_after: str = "", **limits: float) -> Result:
        """What becomes of it; its time is up once it has said `hangs_after`."""
        given: dict[str, float] = {"wall_seconds": 10 * HOURS, "silence_seconds": 50.0, "output_bytes": 10**6, **limits}
        task = structs.replace(TASK, **given)
        over = False

        def heard(chunk: bytes) -> None:
            nonlocal over
            self.output.extend(chunk)
            if hangs_after and not over and hangs_after.encode() in self.output:
                over = True
                asyncio.get_running_loop().call_soon(hours_pass)

        return await self.driver(how).run(task, self.worktree, home=self.home, on_output=heard)

    def nothing_is_left(self) -> None:
        assert marks.bearers(program.MARK, f"{self.home}:") == []

    def work_is_left(self) -> None:
        assert (self.worktree / "half.py").read_text() == "half = 1\n"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_no_output(place: Place) -> None:
    running = asyncio.ensure_future(place.run("no output", first_output_seconds=HOURS))
    await until((place.worktree / "begun").exists)
    hours_pass()
    result = await running
    assert result.failure is FailureKind.STALLED
    assert "claude printed nothing at all for 36000 s" in result.detail
    place.nothing_is_left()
    place.work_is_left()


async def test_it_stops_midway(place: Place) -> None:
    result = await place.run("stops midway", hangs_after="I begin.", silence_seconds=HOURS)
    assert result.failure is FailureKind.STALLED
    assert "claude printed nothing for 36000 s" in result.detail
    assert (result.session, result.usage.input, result.usage.cost_usd) == (hostile.SESSION, 7, None)
    place.nothing_is_left()
    place.work_is_left()


async def test_it_ignores_term(place: Place) -> None:
    result = await place.run("ignores TERM", hangs_after="I begin.", silence_seconds=HOURS)
    assert result.failure is FailureKind.STALLED
    place.nothing_is_left()
    place.work_is_left()


async def test_its_result_has_no_end_of_line(place: Place) -> None:
    assert structs.replace(await place.run("no end of the line"), usage=DONE.usage) == DONE
    assert place.output.endswith(b"[finished]\n")


async def test_it_hangs_after_its_result(place: Place) -> None:
    result = await place.run("hangs after its result", hangs_after="[finished]", settle_seconds=HOURS)
    assert result.failure is None, "the result is the truth"
    assert result.detail == "claude went on for 36000 s after its result, after it had finished"
    place.nothing_is_left()
    place.work_is_left()


async def test_its_time_is_up(place: Place) -> None:
    result = await place.run("stops midway", hangs_after="I begin.", wall_seconds=HOURS, silence_seconds=HOURS / 3)
    assert result.failure is FailureKind.TIMED_OUT
    assert "claude was stopped after 36000 s" in result.detail
    place.nothing_is_left()


@pytest.mark.parametrize(
    ("how", "kind", "detail"),
    [
        ("exit 1 with a good result", None, "claude ended with exit code 1, after it had finished"),
        ("exit 0 without one", FailureKind.BUG, "exit code 0 without saying how it had ended"),
        ("invalid JSON", FailureKind.BUG, "exit code 0 without saying how it had ended, and 5 lines were no records"),
        ("1 GB of output", FailureKind.GUARD, "was stopped after printing 1000000 bytes"),
        ("one endless line", FailureKind.GUARD, "was stopped after printing 1000000 bytes"),
        ("writes outside the worktree", FailureKind.GUARD, "claude wrote outside its worktree: "),
        ("goes round in circles", FailureKind.GUARD, "was stopped: it made the same call with the same result 4 times"),
        ("an empty diff", None, ""),
    ],
)
async def test_it_ends_in_a_way_of_its_own(place: Place, how: str, kind: FailureKind | None, detail: str) -> None:
    result = await place.run(how)
    assert result.failure is kind
    assert detail in result.detail
    place.nothing_is_left()
    if how != "an empty diff":
        place.work_is_left()


async def test_it_never_comes_up(place: Place) -> None:
    result = await place.run("never comes up")
    assert result.failure is FailureKind.SPAWN, "the machine's fault, not the work's"
    assert "cannot find module 'yoga'" in result.detail


async def test_its_children_hold_the_pipe(place: Place) -> None:
    assert await place.run("children that hold the pipe") == DONE
    until_gone(*map(int, (place.worktree / "pids").read_text().split()))
    place.nothing_is_left()
    place.work_is_left()


async def test_what_a_killed_agents_coders_left_is_ended_a_chains_too(place: Place) -> None:
    running = [
        asyncio.create_task(
            program.run(
                [sys.executable, "-I", "-S", hostile.__file__, "stops midway"],
                TASK,
                place.worktree,
                home=home,
                env=program.environment({}, ()),
                on_output=place.output.extend,
            )
        )
        for home in (place.home, place.home / "1-claude")
    ]
    await until(lambda: place.output.count(b"I begin.") == 2)
    assert len(await program.sweep(place.home)) == 2
    assert [(await run).exit_code for run in running] == [-9, -9]


async def test_it_is_put_down_in_the_middle(place: Place) -> None:
    running = asyncio.ensure_future(place.run("stops midway"))
    await until(lambda: b"I begin." in place.output)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    place.nothing_is_left()
    place.work_is_left()


@pytest.mark.full
@pytest.mark.parametrize("how", ["1 GB of output", "one endless line"])
async def test_a_gigabyte_does_not_fill_the_memory(place: Place, how: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = await place.run(how, output_bytes=2**31)
    assert result.failure is FailureKind.BUG, "it was let print all of it"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
