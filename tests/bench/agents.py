"""What the runtime of agents takes for itself, and whether twenty runs at once leave it its breath.

    python tests/bench/agents.py [--json]

One dev-e as a process of its own, on a nats-server that syncs each write and a small repository (300 files); its coder
is a program that speaks as Claude Code does, and leaves a conversation of 100 kB. Times are the log's own and the
coder's (when it began, when it had done its last), less the time in which git was at work by its own account.
`assigned_to_cli_ms`: from an assignment to the coder's first act; `result_to_pushed_ms`: from its last act to the
stored report. The repository's check is `true`. Then 20 runs at once, whose coders print 1 000 lines a second in all:
the time between two signs of life (one is due each second), the most memory that was used, and what of the lines
nobody can see. Exits 1 when a bar is missed.
"""

import asyncio
import os
import re
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles

from msgspec import Struct

sys.path[0] = str(Path(__file__).parents[2])

from bus import Seen  # noqa: E402 - the path is set above
from schemas import (  # noqa: E402 - the path is set above
    Actor,
    Heartbeat,
    IssueRef,
    Recorded,
    WorkFailed,
    WorkPushed,
    WorkStarted,
)
from tests.bench._agents_cli import install  # noqa: E402 - the path is set above
from tests.bench._agents_git import asked_for, at_work, covered  # noqa: E402 - the path is set above
from tests.bench._report import Row, report  # noqa: E402 - the path is set above
from tests.support.agents import Rig, new_rig  # noqa: E402 - the path is set above
from tests.support.servers import reaching  # noqa: E402 - the path is set above
from tests.support.waiting import until  # noqa: E402 - the path is set above

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FILES, COMMITS = 300, 20
WARM, RUNS = 2, 25
AT_ONCE = 20
LINES_PER_SECOND = 1_000
TALK_SECONDS = 12.0
HEARTBEAT_SECONDS = 1.0


class Times(Struct, frozen=True):
    """One assignment, in seconds of our clock."""

    assigned: float
    began: float
    done: float
    pushed: float


async def _project(rig: Rig) -> None:
    """A small repository, under the rig."""
    await rig.adopt()
    await rig.serve(check="true")
    for number in range(COMMITS):
        for part in range(FILES // COMMITS):
            path = rig.shop.directory / f"src/part{part}/module{number}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"def f{number}():\n    return {part}\n" * 40)
        await rig.commit("total.py", f"a - b  # {number}\n")


@asynccontextmanager
async def _dev_e(rig: Rig, home: Path, coder: str, slots: int) -> AsyncGenerator[Process]:
    """A replica of the name `dev-e-<slots>`, as the supervisor starts one."""
    environment = {
        **os.environ,
        **reaching(rig.server, Actor.DEV_E),
        "HOME": str(home),
        "RIG_HOME": str(home / "rig"),
        "RIG_CODER": coder,
        "RIG_SLOTS": str(slots),
        "RIG_AGENT": f"dev-e-{slots}",
    }
    log = (home / f"dev-e-{slots}.log").open("wb")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.roles", "dev-e", cwd=ROOT, env=environment, stdin=DEVNULL, stdout=log, stderr=log
    )
    try:
        yield child
    finally:
        child.terminate()
        await child.wait()
        log.close()


# ── one after the other ──────────────────────────────────────────────────────


async def _one_after_the_other(rig: Rig, home: Path) -> list[Times]:
    program = install(home / "one", lines=20, per_second=1_000)
    began, done = program.with_suffix(".began"), program.with_suffix(".done")
    asked_for(home, home / "git")
    found: list[Times] = []
    async with _dev_e(rig, home, f"claude: program={program}", slots=1):
        for number in range(1, WARM + RUNS + 1):
            issue = IssueRef("demo", "shop", number)
            await rig.beat(lambda heartbeat: heartbeat.slots_free == 1)
            await rig.approve(issue)
            assigned = await rig.assign(issue)
            pushed, said = await _end(rig, issue)
            assert isinstance(said, WorkPushed), said
            moments = (assigned.stored_at.timestamp(), began.stat().st_mtime, done.stat().st_mtime)
            found.append(Times(*moments, pushed))
    return found[WARM:]


async def _end(rig: Rig, issue: IssueRef) -> tuple[float, object]:
    """When and how the work on an issue ended."""
    async with rig.bus.log.follow([f"rig.issue.demo.shop.{issue.number}.dev-e.>"]) as reader:
        async for item in reader:
            if isinstance(item, Recorded) and isinstance(item.event.data, WorkPushed | WorkFailed):
                return item.stored_at.timestamp(), item.event.data
    raise AssertionError("a reader does not end")


# ── all at once ──────────────────────────────────────────────────────────────


class Talk(Struct, frozen=True):
    """What came of the runs at once."""

    at_once: int
    lost: int
    """Lines that were printed, and are not in the output that people can see."""
    longest_silence: float
    memory_mib: float
    cpu_share: float


async def _all_at_once(rig: Rig, home: Path) -> Talk:
    each = round(LINES_PER_SECOND * TALK_SECONDS / AT_ONCE)
    program = install(home / "many", lines=each, per_second=LINES_PER_SECOND / AT_ONCE, together=True)
    issues = [IssueRef("demo", "shop", 1_000 + number) for number in range(AT_ONCE)]
    name = f"dev-e-{AT_ONCE}"
    beats: list[tuple[float, Heartbeat]] = []
    async with _dev_e(rig, home, f"claude: program={program}", slots=AT_ONCE) as child:
        await rig.beat(lambda heartbeat: heartbeat.agent == name)
        hearing = asyncio.create_task(_hear(rig, name, beats))
        for issue in issues:
            await rig.approve(issue)
            await rig.assign(issue)
        await until(lambda: len(list(program.with_suffix(".there").iterdir())) == AT_ONCE)
        program.with_suffix(".go").touch()
        ends = await asyncio.gather(*(_end(rig, issue) for issue in issues))
        hearing.cancel()
        memory, cpu = _most_memory(child.pid), _cpu_seconds(child.pid)
    failed = [said for _, said in ends if not isinstance(said, WorkPushed)]
    assert not failed, failed[0]
    starts = await rig.bus.log.history([f"rig.issue.demo.shop.*.dev-e.{WorkStarted.name()}"])
    runs = [item.event.data.run for item in starts if isinstance(item.event.data, WorkStarted)][-AT_ONCE:]
    told = [(await rig.output(run)).count(b"line-") for run in runs]
    return Talk(
        at_once=max(len(heartbeat.issues) for _, heartbeat in beats),
        lost=each * AT_ONCE - sum(told),
        longest_silence=max(after - before for (before, _), (after, _) in pairwise(beats)),
        memory_mib=memory,
        cpu_share=cpu / (beats[-1][0] - beats[0][0]),
    )


async def _hear(rig: Rig, name: str, beats: list[tuple[float, Heartbeat]]) -> None:
    async with aclosing(rig.bus.presence.watch()) as sights:
        async for sight in sights:
            if isinstance(sight, Seen) and sight.heartbeat.agent == name:
                beats.append((time.monotonic(), sight.heartbeat))  # noqa: PERF401 - it is read meanwhile


def _most_memory(pid: int) -> float:
    """The most that the process had in memory at any time, in MiB."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def _cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


# ── figures ──────────────────────────────────────────────────────────────────


async def measure(directory: Path) -> list[Row]:
    home = directory / "home"
    home.mkdir()
    async with new_rig(directory) as rig:
        await _project(rig)
        times = await _one_after_the_other(rig, home)
        spans = at_work(home / "git")
        (home / ".gitconfig").unlink()
        talk = await _all_at_once(rig, home)
    to_cli = [1_000 * (one.began - one.assigned - covered(spans, one.assigned, one.began)) for one in times]
    to_pushed = [1_000 * (one.pushed - one.done - covered(spans, one.done, one.pushed)) for one in times]
    git = [1_000 * covered(spans, one.assigned, one.pushed) for one in times]
    return [
        Row("assigned_to_cli_ms", median(to_cli), "ms", bar=150),
        Row("assigned_to_cli_p90_ms", _p90(to_cli), "ms"),
        Row("result_to_pushed_ms", median(to_pushed), "ms", bar=150),
        Row("result_to_pushed_p90_ms", _p90(to_pushed), "ms"),
        Row("git_itself_ms", median(git), "ms"),
        Row("runs_at_once", talk.at_once, "", bar=AT_ONCE, at_least=True),
        Row("longest_silence_ms", 1_000 * talk.longest_silence, "ms", bar=2_000 * HEARTBEAT_SECONDS),  # none is missed
        Row("memory_mib", talk.memory_mib, "MiB", bar=300),
        Row("lines_lost", talk.lost, "", bar=0),
        Row("cpu_share", talk.cpu_share, ""),
    ]


def _p90(values: Sequence[float]) -> float:
    return quantiles(values, n=10)[-1]


def main(arguments: Sequence[str]) -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rig-bench-") as directory:
        rows = asyncio.run(measure(Path(directory)))
    rows.append(Row("whole_run_seconds", time.monotonic() - began, "s", bar=180.0))
    return report("agents: the runtime's own time", rows, as_json="--json" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
