"""The whole rig on real parts: what it does with work that cannot pass, with much work, and without its Postgres."""

from pathlib import Path

import pytest

from conductor.replay import history_of, replay
from deploy.embedded.postgres import embedded_postgres
from schemas import (
    EscalationReason,
    IssueApproved,
    IssueAssigned,
    IssueDone,
    IssueEscalated,
    IssueRef,
    IssueState,
    Merged,
    RepoRef,
)
from tests.support.shop import CHECK, git, new_repository, shop
from tests.support.watched import alarms

SHOP, STORE = RepoRef("demo", "shop"), RepoRef("demo", "store")


@pytest.mark.full  # tests/simulation shows it of the conductor
async def test_work_that_can_never_pass_ends_with_a_person_and_the_last_findings(tmp_path: Path) -> None:
    path = new_repository(tmp_path / "shop", {"total.txt": "broken\n"})
    before = git(path, "rev-parse", "main")
    async with shop(tmp_path) as running:
        await running.serve(SHOP, path, "echo the finding of $(cat total.txt); exit 1")
        issue = await running.ask(SHOP, "Impossible")
        end = await running.end_of(issue)
        seen = await running.see(issue, end.position)
        log = await running.log()
    assert isinstance(end.event.data, IssueEscalated)
    assert (end.event.data.reason, end.event.data.attempts) == (EscalationReason.ATTEMPTS, 3)
    assert sum(isinstance(item.event.data, IssueAssigned) for item in log) == 3
    assert seen.state is IssueState.ESCALATED
    assert "the finding of right" in seen.findings
    assert git(path, "rev-parse", "main") == before
    assert alarms(log) == []


@pytest.mark.parametrize("count", [8, pytest.param(20, marks=pytest.mark.full)])
async def test_issues_with_dependencies_over_two_repositories_and_two_replicas(tmp_path: Path, count: int) -> None:
    paths = {ref: new_repository(tmp_path / ref.repo, {"README": "x\n"}) for ref in (SHOP, STORE)}
    script = "".join(
        f"""
[[issue]]
title = "Number {number}"
[[issue.attempt]]
step = [{{ do = "write", path = "done-{number}.txt", content = "yes\\n" }}]
"""
        for number in range(count)
    )
    async with shop(tmp_path, script=script, agents=2) as running:
        for ref, path in paths.items():
            await running.serve(ref, path, "test -f README")
        issues: list[IssueRef] = []
        for number in range(count):
            # Each second one waits for the one before it, each fifth one for the first of the other repository too.
            needs = [issues[number - 1]] if number % 2 else []
            needs += [issues[0]] if number % 5 == 4 else []
            issues.append(await running.ask(SHOP if number % 3 else STORE, f"Number {number}", *needs))
        for issue in issues:
            assert isinstance((await running.end_of(issue)).event.data, IssueDone)
        log = await running.log()

    ended = {item.event.about: item.position for item in log if isinstance(item.event.data, IssueDone)}
    begun = {item.event.about: item.position for item in log if isinstance(item.event.data, IssueAssigned)}
    for item in log:
        if isinstance(item.event.data, IssueApproved):
            for dependency in item.event.data.depends_on:
                assert ended[dependency] < begun[item.event.about], f"{item.event.about} began before {dependency}"
    assert len(ended) == count
    assert {item.event.source for item in log if item.event.actor == "dev-e"} == {"dev-e/dev-e-1", "dev-e/dev-e-2"}
    assert sum(isinstance(item.event.data, Merged) for item in log) == count
    assert sum(len(list(path.glob("done-*.txt"))) for path in paths.values()) == count
    assert replay(history_of(log)).differences == ()
    assert alarms(log) == [], "the watch was content all the time"


async def test_with_postgres_stopped_issues_still_get_done_and_the_projector_catches_up(tmp_path: Path) -> None:
    path = new_repository(tmp_path / "shop", {"total.txt": "broken\n"})
    postgres = embedded_postgres(tmp_path / "postgres")
    async with postgres, shop(tmp_path, postgres_url=postgres.url) as running:
        await running.serve(SHOP, path, CHECK)
        await postgres.stop()
        issue = await running.ask(SHOP, "Make the total right")
        end = await running.end_of(issue)
        assert isinstance(end.event.data, IssueDone)
        await postgres.start()
        seen = await running.see(issue, end.position)
    assert seen.state is IssueState.DONE
    assert (path / "total.txt").read_text() == "right\n"
