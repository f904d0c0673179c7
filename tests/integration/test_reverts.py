"""What was merged and taken out again: seen in the files, or said by git, and told once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridges.local.repository import all_branches
from bridges.local.reverts import Revert, find_reverts
from bus import Bus
from conductor.shell import run_conductor
from deploy.embedded.nats import NatsServer
from machine.git import Git, branch_ref
from machine.lifecycle import Lifecycle
from schemas import (
    Actor,
    AddIssue,
    AgentJoined,
    AgentRef,
    ChecksFailed,
    ChecksPassed,
    GateApproved,
    GateReason,
    GateTriggered,
    IssueAssigned,
    IssueDone,
    Merged,
    Recorded,
    RetryRequested,
    Reverted,
)
from tests.support.forge import ISSUE, SHOP, Connect, Rig, data, forge, new_rig
from tests.support.project import AT, DEV, Project, commit, new_project
from tests.support.saying import started


@pytest.fixture
async def project(tmp_path: Path) -> Project:
    return await new_project(tmp_path, "checkout")


async def merged(project: Project, files: dict[str, str], message: str = "merged\n\nRig-Issue: demo/shop#1") -> str:
    """A merge of work into main, made in the checkout."""
    head = await project.work("work", files)
    await project.git.run("merge", "-q", "--no-ff", "-m", message, head)
    await project.git.run("branch", "-q", "-D", "work")
    return await project.base()


async def found(project: Project, *merges: str) -> list[Revert]:
    return await find_reverts(project.path, await project.base(), merges)


async def test_git_revert_is_found(project: Project) -> None:
    merge = await merged(project, {"total.py": "fixed\n", "new.py": "1\n"})
    other = await merged(project, {"other.py": "1\n"})
    assert await found(project, merge, other) == []
    await project.git.run("revert", "--no-edit", "-m", "1", merge)
    assert await found(project, merge, other) == [Revert(merge, await project.base(), "dev-e")]
    assert await found(project) == []


async def test_by_its_word_also_where_the_files_have_changed_since(project: Project) -> None:
    merge = await merged(project, {"total.py": "fixed\ntwo\nthree\n"})
    await project.move_base({"total.py": "fixed\ntwo\n3\n"})
    await project.git.run("revert", "--no-edit", "-m", "1", merge)
    revert = await project.base()
    await project.move_base({"more.py": "1\n"})
    assert await found(project, merge) == [Revert(merge, revert, "dev-e")]


async def test_by_the_files_alone_also_through_another_merge(project: Project) -> None:
    """Whatever its commits are called: a revert of the head and not of the merge, or by hand."""
    merge = await merged(project, {"total.py": "fixed\n", "new\n\x01.py": "1\n"})
    await project.move_base({"more.py": "1\n"})
    await project.agent.run("fetch", "-q", "origin")
    await project.agent.run("checkout", "-q", "--detach", "origin/main")
    (project.agent.directory / "new\n\x01.py").unlink()
    head = await commit(project.agent, {"total.py": "one\ntwo\nthree\n", "extra.py": "1\n"})
    await project.agent.run("push", "-q", "origin", "HEAD:refs/heads/back")
    await project.git.run("merge", "-q", "--no-ff", "-m", "back", head)
    assert await found(project, merge) == [Revert(merge, await project.base(), "dev-e")]


async def test_what_takes_only_a_part_back_is_none(project: Project) -> None:
    merge = await merged(project, {"total.py": "fixed\n", "new.py": "1\n"})
    await project.move_base({"total.py": "one\ntwo\nthree\n"})
    assert await found(project, merge) == []


async def test_what_an_issue_says_is_not_gits_word(project: Project) -> None:
    merge = await merged(project, {"total.py": "fixed\n"})
    words = f"This reverts commit {merge}."
    await merged(project, {"b.py": "1\n"}, f"{words}\n\nRig-Issue: demo/shop#2\n")
    await project.git.run(
        "commit", "-q", "--allow-empty", "-m", f"Fix\n\n{words}\n\nRig-Issue: demo/shop#2\nRig-Run: r"
    )
    await project.git.run("commit", "-q", "--allow-empty", "-m", f"It quotes\n\n> {words}")
    assert await found(project, merge) == []
    await Git(project.path, env=DEV.environment(AT) | {"GIT_AUTHOR_NAME": "Ada \u202e"}).run(
        "commit", "-q", "--allow-empty", "-m", f"Revert\n\n{words}"
    )
    assert await found(project, merge) == [Revert(merge, await project.base(), "Ada")]


# ── on the log ───────────────────────────────────────────────────────────────


@pytest.fixture
async def rig(tmp_path: Path, connect: Connect) -> Rig:
    return await new_rig(tmp_path, connect, "checkout")


async def merge(rig: Rig, number: int) -> Merged:
    about = rig.issue(number)
    await rig.work({f"{number}.py": "x\n"}, 1, f"r{number}", about)
    await rig.ask_merge(data(await rig.hear(ChecksPassed, about), ChecksPassed), 1, about)
    return data(await rig.hear(Merged, about), Merged)


async def test_a_revert_is_told_when_work_goes_on_or_at_the_next_start_and_once(rig: Rig, nats: NatsServer) -> None:
    async with forge(rig, nats):
        await rig.add_repository("true")
        first, second = await merge(rig, 1), await merge(rig, 2)
        await rig.project.git.run("revert", "--no-edit", "-m", "1", first.merge_sha)
        revert = await rig.project.base()
        await merge(rig, 3)
        said = await rig.hear(Reverted, rig.issue(1))
        assert data(said, Reverted) == Reverted(merge_sha=first.merge_sha, revert_sha=revert, by="dev-e")
    await rig.project.git.run("revert", "--no-edit", "-m", "1", second.merge_sha)
    async with forge(rig, nats):
        assert data(await rig.hear(Reverted, rig.issue(2)), Reverted).merge_sha == second.merge_sha
    async with forge(rig, nats):
        await merge(rig, 4)
        await rig.add_repository("true")
    assert len(await rig.everything(Reverted)) == 2


async def assigned_in_round(rig: Rig, epoch: int, after: int) -> Recorded:
    """The assignment is claimed, by run r<epoch>."""
    found = await rig.hear(IssueAssigned, after=after)
    assert data(found, IssueAssigned).epoch == epoch
    await rig.say(Actor.DEV_E, started(epoch, f"r{epoch}"), ISSUE)
    return found


@asynccontextmanager
async def deciding(bus: Bus) -> AsyncGenerator[None]:
    """The real conductor, at work in this process."""
    life = Lifecycle()
    conductor = asyncio.create_task(run_conductor(bus, life))
    try:
        yield
    finally:
        life.stop.set()
        await conductor


async def test_what_was_done_and_taken_out_again_is_done_once_more(
    rig: Rig, nats: NatsServer, connect: Connect
) -> None:
    """With the conductor's own decisions: done, reverted, a person asks for another try, merged again."""
    async with deciding(await connect(Actor.CONDUCTOR)), forge(rig, nats):
        await rig.add_repository("true")
        joined = AgentJoined(boot="b1", role="dev-e", provider="none", slots=1, version="0")
        await rig.say(Actor.DEV_E, joined, AgentRef("dev-e-1"))
        await rig.ask(AddIssue(request="a", repository=SHOP, title="Fix the total", author="ada"))
        await assigned_in_round(rig, 1, 0)
        head = await rig.project.work("rig/1/1-r1", {"total.py": "fixed\n"})
        await rig.push(head)
        first = data(await rig.hear(Merged), Merged)
        done = await rig.hear(IssueDone)

        await rig.project.git.run("revert", "--no-edit", "-m", "1", first.merge_sha)
        await rig.add_repository("true")
        reverted = await rig.hear(Reverted, after=done.position)
        said = await rig.say(Actor.CLI, RetryRequested(by="ada"))
        assert said > reverted.position

        await assigned_in_round(rig, 2, said)
        await rig.project.agent.run("push", "-q", "origin", f"{head}:{branch_ref('rig/1/2-r2')}")
        again = await rig.push(head, 2, "r2")
        failed = await rig.hear(ChecksFailed, after=again)
        assert [check.name for check in data(failed, ChecksFailed).failed] == ["changes"], "the old merge is no merge"

        await assigned_in_round(rig, 3, failed.position)
        head = await rig.project.work("rig/1/3-r3", {"total.py": "fixed\n", "test.sh": "true # better\n"})
        await rig.add_repository("true")
        await rig.add_repository("true")  # the forge has tidied up after the first
        assert "rig/1/3-r3" in await all_branches(rig.project.path)
        again = await rig.push(head, 3, "r3")
        gate = data(await rig.hear(GateTriggered, after=again), GateTriggered)
        assert gate.reason is GateReason.TIER, "the revert has lowered the trust in such changes"
        await rig.say(Actor.CLI, GateApproved(head_sha=head, by="ada", note="read it"))
        second = data(await rig.hear(Merged, after=again), Merged)
        assert (second.head_sha, second.merge_sha) == (head, await rig.project.base())
        await rig.hear(IssueDone, after=again)
    assert len(await rig.everything(Reverted)) == 1
