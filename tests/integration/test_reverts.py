"""What was merged and taken out again: seen in the files, or said by git, and told once."""

from pathlib import Path

import pytest

from bridges.local.reverts import Revert, find_reverts
from deploy.embedded.nats import NatsServer
from machine.git import Git
from schemas import ChecksPassed, Merged, Reverted
from tests.support.forge import Connect, Rig, data, forge, new_rig
from tests.support.project import AT, DEV, Project, commit, new_project


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
