"""dev-e with a coding CLI that does all that one can do wrong.

Each ends in a failure of its own kind or in a push, with no process left, no worktree left, and no work lost.
"""

import shlex
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from msgspec import structs

from agents.coders import program
from machine import marks
from schemas import FailureKind, IssueRef, WorkFailed, WorkPushed, WorkStarted
from tests.support import hostile
from tests.support.agents import POLICY, Rig, new_rig
from tests.support.clock import HOURS, hours_pass
from tests.support.waiting import until

ENDINGS: dict[str, FailureKind | None] = {
    "exit 1 with a good result": None,
    "exit 0 without one": FailureKind.BUG,
    "never comes up": FailureKind.SPAWN,
    "1 GB of output": FailureKind.GUARD,
    "one endless line": FailureKind.GUARD,
    "children that hold the pipe": None,
    "invalid JSON": FailureKind.BUG,
    "writes outside the worktree": FailureKind.GUARD,
    "goes round in circles": FailureKind.GUARD,
    "an empty diff": FailureKind.NO_CHANGES,
}
HANGS: dict[str, FailureKind | None] = {
    "no output": FailureKind.STALLED,
    "stops midway": FailureKind.STALLED,
    "ignores TERM": FailureKind.STALLED,
    "hangs after its result": None,
}
SHOWN = {"stops midway": b"I begin.", "ignores TERM": b"I begin.", "hangs after its result": b"[finished]"}
WITHOUT_WORK = ("never comes up", "an empty diff")


class Liar:
    """The CLI, which does what its script says next."""

    def __init__(self, root: Path) -> None:
        self._how, self._path = root / "how", root / "claude"
        lie = shlex.join([sys.executable, "-I", "-S", hostile.__file__])
        self._path.write_text(
            "#!/bin/sh\n"
            'case "$1" in\n'
            '  --version) echo "2.1.197 (Claude Code)"; exit;;\n'
            """  auth) echo '{"loggedIn": true}'; exit;;\n"""
            "esac\n"
            f'exec {lie} "$(cat {shlex.quote(str(self._how))})"\n'
        )
        self._path.chmod(0o755)

    @property
    def line(self) -> str:
        return f"claude: program={self._path}"

    def will(self, how: str) -> None:
        self._how.write_text(how)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncGenerator[Rig]:
    async with new_rig(tmp_path) as rig:
        clocks = dict.fromkeys(("coder_first_output_seconds", "coder_silence_seconds", "coder_settle_seconds"), HOURS)
        await rig.adopt(structs.replace(POLICY, coder_wall_seconds=3 * HOURS, coder_output_bytes=1_000_000, **clocks))
        await rig.serve(check="test -f half.py")
        yield rig


async def ended(rig: Rig, run: str, *, well: bool, work: bool) -> tuple[FailureKind | None, str]:
    """In which way, and why; what it had done is where the next run finds it."""
    if well:
        _, pushed = await rig.until(WorkPushed, lambda said: said.run == run)
        branch, how = pushed.branch, (None, "")
    else:
        _, failed = await rig.until(WorkFailed, lambda said: said.run == run)
        _, started = await rig.until(WorkStarted, lambda said: said.run == run)
        branch, how = started.branch, (failed.kind, failed.detail)
    if work:
        assert await rig.show(branch, "half.py") == "half = 1"
    return how


async def begun(rig: Rig, issue: IssueRef) -> str:
    """The run that works on it."""
    assigned = (await rig.assign(issue)).event.data
    epoch = assigned.epoch  # type: ignore[union-attr]
    return (await rig.until(WorkStarted, lambda said: said.epoch == epoch))[1].run


async def nothing_left(rig: Rig) -> None:
    agents = rig.tmp_path / "agents"
    assert marks.bearers(program.MARK, str(agents)) == []
    await rig.stop()
    assert [path for path in agents.glob("*/*/*/worktrees/**/*") if path.is_file()] == []


async def test_each_ends_in_its_own_way(rig: Rig, tmp_path: Path) -> None:
    liar = Liar(tmp_path)
    rig.start(liar.line)
    for number, (how, kind) in enumerate(ENDINGS.items(), 1):
        liar.will(how)
        issue = IssueRef("demo", "shop", number)
        await rig.approve(issue)
        found, why = await ended(rig, await begun(rig, issue), well=kind is None, work=how not in WITHOUT_WORK)
        assert found is kind, f"{how}: {why}"
    await nothing_left(rig)


async def test_each_that_hangs_is_ended_by_its_clock(rig: Rig, tmp_path: Path) -> None:
    liar = Liar(tmp_path)
    rig.start(liar.line)
    for number, (how, kind) in enumerate(HANGS.items(), 1):
        liar.will(how)
        issue = IssueRef("demo", "shop", number)
        await rig.approve(issue)
        run = await begun(rig, issue)
        if how == "no output":
            await until(lambda: any((tmp_path / "agents").glob("*/*/*/worktrees/**/begun")))
        else:
            while SHOWN[how] not in await rig.output(run):
                pass
        hours_pass()
        found, why = await ended(rig, run, well=kind is None, work=True)
        assert found is kind, f"{how}: {why}"
    await nothing_left(rig)
