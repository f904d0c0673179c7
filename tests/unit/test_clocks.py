"""When each clock of a coder's run is up, in played time."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

import pytest

from agents.coders.clocks import Clocks, Stopped
from agents.coders.driver import Task
from bus.testing import VirtualLoop
from schemas import FailureKind, IssueRef

TASK = Task(
    issue=IssueRef("demo", "shop", 1),
    title="x",
    attempt=1,
    prompt="",
    session="s",
    resumed=False,
    wall_seconds=1_000,
    first_output_seconds=10,
    silence_seconds=20,
    settle_seconds=5,
    output_bytes=7,
)
T = TypeVar("T")


def played(work: Coroutine[object, object, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


async def ended(said: dict[float, str], lasts: float, *, speaks: bool = True) -> tuple[Stopped | str, float]:
    """What ends a run that says this, by its seconds, and would last so long; and when."""
    loop = asyncio.get_running_loop()
    clocks, begun = Clocks(TASK, speaks=speaks), loop.time()

    async def run() -> str:
        for at, what in said.items():
            await asyncio.sleep(begun + at - loop.time())
            getattr(clocks, what)()
        await asyncio.sleep(begun + lasts - loop.time())
        return "its own end"

    return await clocks.watch(run()), round(loop.time() - begun, 3)


@pytest.mark.parametrize(
    ("said", "lasts", "end"),
    [
        ({}, 9, ("its own end", 9)),
        ({}, 11, (Stopped.NO_OUTPUT, 10)),
        ({9: "heard"}, 28, ("its own end", 28)),
        ({9: "heard"}, 99, (Stopped.SILENT, 29)),
        ({9: "heard", 28: "heard", 47: "heard"}, 66, ("its own end", 66)),
        ({9: "heard", 28: "heard", 47: "heard"}, 99, (Stopped.SILENT, 67)),
        ({9: "heard", 10: "settled"}, 14, ("its own end", 14)),
        ({9: "heard", 10: "settled"}, 99, (Stopped.UNSETTLED, 15)),
        ({1: "settled", 3: "heard", 5: "settled"}, 99, (Stopped.UNSETTLED, 6)),
    ],
)
def test_each_clock_is_up_when_nothing_winds_it(
    said: dict[float, str], lasts: float, end: tuple[Stopped | str, float]
) -> None:
    assert played(ended(said, lasts)) == end


def test_of_what_may_be_quiet_only_the_silence_is_known() -> None:
    assert played(ended({}, 99, speaks=False)) == (Stopped.SILENT, 20)
    assert played(ended({15: "heard"}, 30, speaks=False)) == ("its own end", 30)


@pytest.mark.parametrize(("said", "end"), [(["heard"], Stopped.SILENT), ([], Stopped.NO_OUTPUT)])
def test_what_is_said_while_it_is_being_stopped_changes_nothing(said: list[str], end: Stopped) -> None:
    async def stubborn() -> tuple[object, list[bool]]:
        clocks, stopped = Clocks(TASK, speaks=True), list[bool]()

        async def run() -> None:
            for what in said:
                getattr(clocks, what)()
            try:
                await asyncio.sleep(1_000)
            finally:
                clocks.heard()
                clocks.settled()
                stopped.append(clocks.stopped)
                await asyncio.sleep(1)

        return await clocks.watch(run()), stopped

    assert played(stubborn()) == (end, [True])


def test_a_time_out_of_the_work_itself_is_no_clock() -> None:
    async def broken() -> None:
        raise TimeoutError("the disk")

    async def watched() -> object:
        return await Clocks(TASK, speaks=True).watch(broken())

    with pytest.raises(TimeoutError, match="the disk"):
        played(watched())


@pytest.mark.parametrize(
    ("stopped", "kind", "told"),
    [
        (Stopped.NO_OUTPUT, FailureKind.STALLED, "printed nothing at all for 10 s"),
        (Stopped.SILENT, FailureKind.STALLED, "printed nothing for 20 s"),
        (Stopped.UNSETTLED, FailureKind.STALLED, "went on for 5 s after its result"),
        (Stopped.OVERTIME, FailureKind.TIMED_OUT, "was stopped after 1000 s"),
        (Stopped.TOO_MUCH, FailureKind.GUARD, "was stopped after printing 7 bytes"),
    ],
)
def test_each_is_told_by_its_own_seconds(stopped: Stopped, kind: FailureKind, told: str) -> None:
    assert stopped.failure(TASK) == (kind, told)
