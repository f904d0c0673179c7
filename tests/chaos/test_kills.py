"""SIGKILL in the middle of a running issue: whoever dies, it ends done, with one pull request and one merge."""

import os
import signal
from pathlib import Path

import pytest

from conductor.replay import history_of, replay
from schemas import (
    ChecksPassed,
    Event,
    IssueApproved,
    IssueAssigned,
    IssueDone,
    IssueState,
    Merged,
    MergeRequested,
    PullRequestOpened,
    Recorded,
    RepoRef,
    WorkFailed,
    WorkPushed,
    WorkStarted,
)
from tests.support.shop import CHECK, Shop, git, new_repository, shop

REPOSITORY = RepoRef("demo", "shop")
ROLES = ("conductor", "projector", "local", "dev-e-1")
MOMENTS: tuple[tuple[type[Event], int], ...] = (
    (IssueApproved, 1),
    (IssueAssigned, 1),
    (WorkStarted, 1),
    (WorkFailed, 1),
    (IssueAssigned, 2),
    (WorkStarted, 2),
    (WorkPushed, 1),
    (PullRequestOpened, 1),
    (ChecksPassed, 1),
    (MergeRequested, 1),
)
"""Ten moments of an issue: when the log has so many of these events."""
Death = tuple[str, type[Event], int]
ONE_OF_EACH: tuple[Death, ...] = (
    *(("conductor", WorkFailed, 1), ("projector", IssueAssigned, 2)),
    *(("dev-e-1", WorkStarted, 2), ("local", PullRequestOpened, 1)),
)
"""In every run, on one issue, in the order of its life; .ci/full takes every role at every moment, on an issue each."""


def deaths() -> list[object]:
    return [
        pytest.param(ONE_OF_EACH, id="one of each"),
        *(
            pytest.param(((role, *moment),), id=f"{role}-{moment[0].__name__}-{moment[1]}", marks=pytest.mark.full)
            for role in ROLES
            for moment in MOMENTS
        ),
    ]


@pytest.mark.parametrize("deaths", deaths())
async def test_the_issue_ends_done_whoever_dies(deaths: tuple[Death, ...], tmp_path: Path) -> None:
    path = new_repository(tmp_path / "repository", {"total.txt": "broken\n"})
    async with shop(tmp_path) as running:
        await running.serve(REPOSITORY, path, CHECK)
        issue = await running.ask(REPOSITORY, "Make the total right")
        died: dict[str, int] = {}
        for role, event, count in deaths:
            await when(running, event, count)
            pid = running.rig.supervisor.pid(role)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            died[role] = pid
        end = await running.end_of(issue)
        assert isinstance(end.event.data, IssueDone), end.event.data
        log = await running.log()
        seen = await running.see(issue, log[-1].position)
        assert all(running.rig.supervisor.pid(role) != pid for role, pid in died.items()), "it was started again"

    said = [type(item.event.data) for item in log if item.event.about == issue]
    assert said.count(PullRequestOpened) == 1
    assert said.count(Merged) == 1
    assert git(path, "rev-list", "--count", "--merges", "main") == "1"
    assert (path / "total.txt").read_text() == "right\n"
    assert git(path, "status", "--porcelain") == ""
    assert replay(history_of(log)).differences == ()
    assert seen.state is IssueState.DONE
    assert [entry.position for entry in seen.timeline] == [item.position for item in log if item.event.about == issue]


async def when(running: Shop, event: type[Event], count: int) -> None:
    """Waits until the log has so many of these events."""
    seen = 0

    def enough(item: Recorded) -> bool:
        nonlocal seen
        seen += isinstance(item.event.data, event)
        return seen == count

    await running.until(enough)
