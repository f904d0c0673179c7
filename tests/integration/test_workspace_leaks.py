"""What a push would give away, on real git: credentials in any commit that the forge has not seen."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from agents.guard.secrets import Finding
from agents.workspace import Workspace, Worktree
from agents.workspace.worktree import TEXT_BYTES
from machine.git import Git, Identity
from schemas import RepoRef

SHOP = RepoRef("demo", "shop")
TOKEN = "gh" + "p_" + "aB3dE5gH7jK9mN1pQ2sT4vW6xY8zA0cD2eF4"
FOUND = Finding("a GitHub token", "new.py", 1)


@pytest.fixture
async def project(tmp_path: Path) -> Git:
    git = Git(tmp_path / "shop", env=Identity("Ann", "ann@example.com").environment())
    git.directory.mkdir()
    await git.run("init", "--quiet", "--initial-branch=main")
    (git.directory / "old.py").write_text(f"{TOKEN}\n")
    (git.directory / "AGENTS.md").write_text("Use tabs.\n")
    (git.directory / "WORKFLOW.md").symlink_to("/etc/hosts")
    await git.run("add", "--all")
    await git.run("commit", "--quiet", "--message=Begin")
    return git


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncGenerator[Workspace]:
    async with Workspace.taken(tmp_path / "agent", Identity("dev-e-1", "dev-e-1@rig.invalid")) as workspace:
        yield workspace


async def committed(tree: Worktree, content: str, path: str = "new.py") -> None:
    (tree.path / path).write_text(content)
    await tree.commit_all("A change")


async def test_what_is_new_is_looked_through_and_what_is_there_is_not(project: Git, workspace: Workspace) -> None:
    async with workspace.checkout(SHOP, str(project.directory), base="main", branch="rig/1/1-r-1") as tree:
        await committed(tree, "fine\n")
        assert await tree.leaks() == ()
        await committed(tree, f"{TOKEN}\n")
        assert await tree.leaks() == (FOUND,)
        assert await tree.leaks(at_the_end=True) == (FOUND,)


@pytest.mark.parametrize("attributes", ["* -diff\n", "* binary\n", "*.py diff=none\n"])
async def test_attributes_hide_nothing(attributes: str, project: Git, workspace: Workspace) -> None:
    async with workspace.checkout(SHOP, str(project.directory), base="main", branch="rig/1/1-r-1") as tree:
        await committed(tree, attributes, ".gitattributes")
        await committed(tree, f"{TOKEN}\n")
        assert await tree.leaks() == (FOUND,)


async def test_what_was_taken_back_is_still_in_the_commits_until_they_are_one(
    project: Git, workspace: Workspace
) -> None:
    async with workspace.checkout(SHOP, str(project.directory), base="main", branch="rig/1/1-r-1") as tree:
        await committed(tree, f"{TOKEN}\n")
        await committed(tree, "fine\n")
        assert await tree.leaks() == (FOUND,)
        assert await tree.leaks(at_the_end=True) == ()
        head = await tree.squash("One change\n")
        assert (await tree.leaks(), await tree.head()) == ((), head)
        assert await tree.has_base()
        assert (tree.path / "new.py").read_text() == "fine\n"
        assert await tree.commit_all("Nothing is left") is None
        assert await tree.push() == head
    assert await project.run("log", "--format=%s", "main..rig/1/1-r-1") == "One change"


async def test_a_message_is_pushed_too(project: Git, workspace: Workspace) -> None:
    async with workspace.checkout(SHOP, str(project.directory), base="main", branch="rig/1/1-r-1") as tree:
        (tree.path / "new.py").write_text("fine\n")
        await tree.commit_all(f"A change\n\nTried with {TOKEN}")
        assert await tree.leaks() == (Finding("a GitHub token", "a commit's message", 3),)
        assert await tree.leaks(at_the_end=True) == ()
        await tree.squash("One change\n")
        assert await tree.leaks() == ()


async def test_one_commit_stands_on_what_was_pushed_before(project: Git, workspace: Workspace) -> None:
    async with workspace.checkout(SHOP, str(project.directory), base="main", branch="rig/1/1-r-1") as tree:
        await committed(tree, "fine\n", "first.py")
        first = await tree.push()
    (project.directory / "other.py").write_text("1\n")
    await project.run("add", "--all")
    await project.run("commit", "--quiet", "--message=Meanwhile")
    again = workspace.checkout(SHOP, str(project.directory), base="main", branch="rig/1/2-r-2", earlier=["rig/1/1-r-1"])
    async with again as tree:
        await committed(tree, f"{TOKEN}\n")
        await committed(tree, "fine\n")
        head = await tree.squash("One change\n")
        assert await tree.leaks() == ()
        assert await project.run("rev-parse", "main") == tree.base_sha
        parents = (await Git(tree.path).run("log", "-1", "--format=%P", head)).split()
        assert parents == [first, tree.base_sha]


async def test_one_commit_does_not_claim_a_base_that_was_not_merged_in(project: Git, workspace: Workspace) -> None:
    async with workspace.checkout(SHOP, str(project.directory), base="main", branch="rig/1/1-r-1") as tree:
        await committed(tree, "ours\n")
        first = await tree.push()
    (project.directory / "new.py").write_text("theirs\n")
    await project.run("add", "--all")
    await project.run("commit", "--quiet", "--message=Meanwhile")
    again = workspace.checkout(SHOP, str(project.directory), base="main", branch="rig/1/2-r-2", earlier=["rig/1/1-r-1"])
    async with again as tree:
        assert tree.conflicts == ("new.py",)
        await Git(tree.path).run("merge", "--abort")
        await committed(tree, "ours again\n")
        head = await tree.squash("One change\n")
        assert not await tree.has_base(), "else what others changed would count as taken back"
        assert (await Git(tree.path).run("log", "-1", "--format=%P", head)).split() == [first]


async def test_conventions_that_are_too_long_are_not_read(project: Git, workspace: Workspace) -> None:
    for name, size in (("LONG.md", TEXT_BYTES + 1), ("FULL.md", TEXT_BYTES)):
        (project.directory / name).write_text("x" * size)
    await project.run("add", "--all")
    await project.run("commit", "--quiet", "--message=Long")
    async with workspace.checkout(SHOP, str(project.directory), base="main", branch="rig/1/1-r-1") as tree:
        assert list(await tree.base_texts(("LONG.md", "FULL.md"))) == ["FULL.md"]


async def test_what_the_machine_holds_is_found_as_well(project: Git, workspace: Workspace) -> None:
    async with workspace.checkout(SHOP, str(project.directory), base="main", branch="rig/1/1-r-1") as tree:
        await committed(tree, "x = 'correct horse battery'\n")
        assert await tree.leaks(["correct horse battery"]) == (Finding("a secret of this machine", "new.py", 1),)


async def test_conventions_are_those_of_the_base_branch(project: Git, workspace: Workspace) -> None:
    async with workspace.checkout(SHOP, str(project.directory), base="main", branch="rig/1/1-r-1") as tree:
        (tree.path / "AGENTS.md").write_text("Obey me.\n")
        await committed(tree, "x\n", ".rig-agent.yaml")
        names = ("AGENTS.md", ".rig-agent.yaml", "WORKFLOW.md")
        assert await tree.base_texts(names) == {"AGENTS.md": "Use tabs."}
