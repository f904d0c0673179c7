"""What a pull request changes, counted by a real git on histories that were made to be miscounted."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridges.local.changes import count
from bridges.local.scratch import Scratch
from deploy.embedded.nats import NatsServer
from schemas import Actor, Changes, ChecksPassed, Draft, Merged, PullRequestOpened, PullRequestUpdated
from schemas.forge import PATHS_MAX
from tests.support.forge import ISSUE, Connect, data, forge, new_rig
from tests.support.project import Project, commit, new_project


@pytest.fixture
async def project(tmp_path: Path) -> Project:
    return await new_project(tmp_path, "checkout")


@pytest.fixture
async def scratch(tmp_path: Path) -> AsyncIterator[Scratch]:
    scratch = Scratch(tmp_path / "scratch")
    yield scratch
    scratch.close()


async def counted(scratch: Scratch, project: Project, head: str) -> Changes:
    async with scratch.clone(project.path) as clone:
        return await count(clone, base=await project.base(), head=head)


async def test_what_came_since_the_merge_base_is_counted(project: Project, scratch: Scratch) -> None:
    head = await project.work("rig/1/1-r1", {"total.py": "one\nTWO\nthree\n", "new/é.py": "1\n2\n"})
    await project.move_base({"theirs.py": "x\n" * 9})
    assert await counted(scratch, project, head) == Changes(files=2, lines=4, paths=("new/é.py", "total.py"))


async def test_nothing_that_is_committed_makes_it_less(project: Project, scratch: Scratch) -> None:
    """Attributes, NUL bytes, names of bytes; also where a checkout or the base has these attributes already."""
    await project.move_base({".gitattributes": "* -diff\n*.py binary\n"})
    (project.path / ".gitattributes").write_text("* binary\n")
    files = {
        "lib/.gitattributes": "* -diff\n",
        "lib/a.py": "x\n" * 10,
        "lib/b.py": "\0" + "y\n" * 20,
    }
    await project.work("rig/1/1-r1", files)
    (project.agent.directory / os.fsdecode(b"lib/c\xff\n.py")).write_text("z\n" * 30)
    head = await commit(project.agent, {})
    await project.agent.run("push", "-q", "origin", "HEAD:refs/heads/rig/1/1-r1")
    changes = await counted(scratch, project, head)
    assert changes == Changes(
        files=4, lines=61, paths=("lib/.gitattributes", "lib/a.py", "lib/b.py", r"lib/c\xff\u{a}.py")
    )


async def test_a_persons_settings_do_not_count(
    project: Project, scratch: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[diff]\n\trenames = false\n\tignoreSubmodules = all\n\trelative = true\n")
    monkeypatch.setenv("HOME", str(home))
    await project.move_base({"old.py": "".join(f"{number}\n" for number in range(50))})
    await project.agent.run("mv", "old.py", "new.py")
    module = f"160000,{await project.base()},module"
    await project.agent.run("update-index", "--add", "--cacheinfo", module)
    await project.agent.run("commit", "-q", "-m", "moved")
    head = await project.agent.run("rev-parse", "HEAD")
    await project.agent.run("push", "-q", "origin", "HEAD:refs/heads/rig/1/1-r1")
    assert await counted(scratch, project, head) == Changes(files=3, lines=1, paths=("module", "new.py", "old.py"))


async def test_of_more_files_than_can_be_named_all_are_counted(project: Project, scratch: Scratch) -> None:
    head = await project.work("rig/1/1-r1", {f"f{number}": "x\n" for number in range(PATHS_MAX + 3)})
    changes = await counted(scratch, project, head)
    assert (changes.files, changes.lines, len(changes.paths)) == (PATHS_MAX + 3, PATHS_MAX + 3, PATHS_MAX)


async def test_without_history_in_common_all_of_it_is_new(project: Project, scratch: Scratch) -> None:
    await project.agent.run("checkout", "-q", "--orphan", "other")
    head = await commit(project.agent, {"total.py": "1\n2\n3\n4\n"})
    await project.agent.run("push", "-q", "origin", "HEAD:refs/heads/rig/1/1-r1")
    assert await counted(scratch, project, head) == Changes(files=2, lines=5, paths=("test.sh", "total.py"))


# ── what is said ─────────────────────────────────────────────────────────────


async def test_a_pull_request_says_what_it_changes_whatever_its_agent_says(
    tmp_path: Path, connect: Connect, nats: NatsServer
) -> None:
    rig = await new_rig(tmp_path, connect, "bare")
    async with forge(rig, nats):
        await rig.add_repository("true")
        await rig.work({"total.py": "1\n2\n3\n4\n5\n", "b.py": "6\n"})
        assert data(await rig.hear(PullRequestOpened), PullRequestOpened).changes == Changes(
            files=2, lines=9, paths=("b.py", "total.py")
        )
        await rig.work({"c.py": "1\n"}, 2, "r2")
        updated = data(await rig.hear(PullRequestUpdated), PullRequestUpdated)
    assert updated.changes == Changes(files=1, lines=1, paths=("c.py",))


async def test_a_pull_request_of_an_older_log_is_said_again_with_its_changes(
    tmp_path: Path, connect: Connect, nats: NatsServer
) -> None:
    rig = await new_rig(tmp_path, connect, "bare")
    async with forge(rig, nats) as first:
        await rig.add_repository("true")
        await first.kill()
    await rig.work({"b.py": "1\n"})
    head = await rig.project.git.run("rev-parse", "rig/1/1-r1")
    opened = PullRequestOpened(pull_request=1, url="u", branch="rig/1-fix-the-total", head_sha=head, author="dev-e")
    await rig.project.git.run("branch", "rig/1-fix-the-total", head)
    local = await connect(Actor.LOCAL)
    await local.log.publish(Draft(about=ISSUE, data=opened, cause="dev-e-5"), "old")
    async with forge(rig, nats):
        updated = await rig.hear(PullRequestUpdated)
        passed = await rig.hear(ChecksPassed)
    assert data(updated, PullRequestUpdated) == PullRequestUpdated(
        pull_request=1,
        branch="rig/1-fix-the-total",
        head_sha=head,
        changes=Changes(files=1, lines=1, paths=("b.py",)),
    )
    assert (updated.event.causationid, passed.event.causationid) == ("dev-e-5", "old"), "it is not checked anew"
    async with forge(rig, nats):
        await rig.ask_merge(data(passed, ChecksPassed))
        await rig.hear(Merged)
    assert len(await rig.everything(PullRequestUpdated)) == 1
