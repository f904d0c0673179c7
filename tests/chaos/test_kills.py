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
IN_CI = {"conductor": 3, "projector": 4, "local": 7, "dev-e-1": 5}
"""The moment at which each role is killed in every run; .ci/full takes them all."""


def moments() -> list[object]:
    return [
        pytest.param(
            role,
            *moment,
            id=f"{role}-{moment[0].__name__}-{moment[1]}",
            marks=() if IN_CI[role] == at else pytest.mark.full,
        )
        for role in ROLES
        for at, moment in enumerate(MOMENTS)
    ]


@pytest.mark.parametrize(("role", "event", "count"), moments())
async def test_the_issue_ends_done_whoever_dies(role: str, event: type[Event], count: int, tmp_path: Path) -> None:
    path = new_repository(tmp_path / "repository", {"total.txt": "broken\n"})
    async with shop(tmp_path) as running:
        await running.serve(REPOSITORY, path, CHECK)
        issue = await running.ask(REPOSITORY, "Make the total right")
        await when(running, event, count)
        pid = running.rig.supervisor.pid(role)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        end = await running.end_of(issue)
        assert isinstance(end.event.data, IssueDone), end.event.data
        log = await running.log()
        seen = await running.see(issue, log[-1].position)
        assert running.rig.supervisor.pid(role) != pid, "it was started again"

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
