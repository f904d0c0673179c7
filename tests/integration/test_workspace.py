"""Where an agent works, on real git: worktrees from a cache, merges left to the coder, nothing unpushed lost."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from agents.workspace import DiffSize, Workspace, WorkspaceFailed, WorkspaceInUse
from machine.git import Git, Identity
from machine.trees import remove_tree
from schemas import RepoRef

DEV = Identity("dev-e-1", "dev-e-1@rig.invalid")
SHOP = RepoRef("demo", "shop")
BRANCH = "rig/1/1-r-first"
NEXT = "rig/1/2-r-next"


class Project:
    """A repository as people have it on disk: a checkout with its main branch checked out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.git = Git(path, env=Identity("Ann", "ann@example.com").environment())

    @property
    def url(self) -> str:
        return str(self.path)

    async def commit(self, files: dict[str, str], message: str = "A change") -> str:
        for name, content in files.items():
            (self.path / name).write_text(content)
        await self.git.run("add", "--all")
        await self.git.run("commit", "--quiet", f"--message={message}")
        return await self.git.run("rev-parse", "HEAD")

    async def read(self, revision: str, path: str) -> str:
        return await self.git.run("show", f"{revision}:{path}")


@pytest.fixture
async def project(tmp_path: Path) -> Project:
    path = tmp_path / "shop"
    path.mkdir()
    project = Project(path)
    await project.git.run("init", "--quiet", "--initial-branch=main")
    await project.commit({"total.py": "a - b\n", "README": "A shop.\n"})
    return project


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncGenerator[Workspace]:
    async with Workspace.taken(tmp_path / "agent", DEV) as workspace:
        yield workspace


def cache(tmp_path: Path) -> Git:
    return Git(tmp_path / "agent" / "demo" / "shop" / "cache.git")


def worktrees(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "agent" / "demo" / "shop" / "worktrees").rglob("*") if path.is_file()]


async def test_work_starts_at_the_base_branch_and_ends_on_a_branch_of_its_own(
    project: Project, workspace: Workspace, tmp_path: Path
) -> None:
    base = await project.git.run("rev-parse", "main")
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        assert (tree.base_sha, tree.start_sha, await tree.head()) == (base, base, base)
        assert (tree.path / "total.py").read_text() == "a - b\n"
        (tree.path / "total.py").write_text("a + b\n")
        (tree.path / "new.py").write_text("1\n2\n")
        head = await tree.commit_all("# Fix the total\n\nRig-Issue: demo/shop#1\n")
        assert await tree.diff_size() == DiffSize(files=2, lines=4)
        assert await tree.push() == head
    assert await project.git.run("rev-parse", BRANCH) == head
    assert await project.read(BRANCH, "total.py") == "a + b"
    shown = await project.git.run("log", "-1", "--format=%an <%ae>|%B", BRANCH)
    assert shown.strip() == "dev-e-1 <dev-e-1@rig.invalid>|# Fix the total\n\nRig-Issue: demo/shop#1"
    assert worktrees(tmp_path) == []
    assert await cache(tmp_path).run("for-each-ref", "refs/heads", "refs/kept") == ""


async def test_without_a_change_there_is_no_commit(project: Project, workspace: Workspace) -> None:
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        assert await tree.commit_all("Nothing") is None
        assert await tree.diff_size() == DiffSize(files=0, lines=0)


async def test_a_binary_file_is_a_file_without_lines(project: Project, workspace: Workspace) -> None:
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        (tree.path / "logo.png").write_bytes(b"\x89PNG\0\n\n\n")
        (tree.path / "total.py").write_text("a + b\n")
        await tree.commit_all("Paint")
        assert await tree.diff_size() == DiffSize(files=2, lines=2)


async def test_what_the_coder_commits_by_itself_counts(project: Project, workspace: Workspace) -> None:
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        coder = Git(tree.path, env=DEV.environment())
        (tree.path / "total.py").write_text("a + b\n")
        await coder.run("commit", "--quiet", "--all", "--message=Mine")
        assert await tree.commit_all("Ours") is None
        assert (await tree.diff_size()).files == 1
        await tree.push()
    assert await project.git.run("log", "-1", "--format=%s", BRANCH) == "Mine"


async def test_the_next_run_goes_on_from_the_last_pushed_branch_with_the_base_merged_in(
    project: Project, workspace: Workspace
) -> None:
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        (tree.path / "total.py").write_text("a * b\n")
        await tree.commit_all("First try")
        first = await tree.push()
    base = await project.commit({"README": "A better shop.\n"})
    earlier = ["rig/1/1-r-never-pushed", BRANCH]
    async with workspace.checkout(SHOP, project.url, base="main", branch=NEXT, earlier=earlier) as tree:
        assert (tree.start_sha, tree.base_sha, tree.conflicts) == (first, base, ())
        assert await tree.has_base()
        assert (tree.path / "total.py").read_text() == "a * b\n"
        assert (tree.path / "README").read_text() == "A better shop.\n"
        assert (await tree.diff_size()).files == 1


class Conflicted:
    """A branch that changes what the base branch changed as well, in text and by deleting."""

    def __init__(self, project: Project, workspace: Workspace) -> None:
        self._project = project
        self._workspace = workspace

    async def checkout(self, stack: AsyncExitStack) -> "Conflicted":
        checkout = self._workspace.checkout(SHOP, self._project.url, base="main", branch=BRANCH)
        async with checkout as tree:
            (tree.path / "total.py").write_text("a * b\n")
            (tree.path / "README").write_text("Our shop.\n")
            await tree.commit_all("First try")
            await tree.push()
        (self._project.path / "README").unlink()
        self.base = await self._project.commit({"total.py": "a / b\n"})
        self.tree = await stack.enter_async_context(
            self._workspace.checkout(SHOP, self._project.url, base="main", branch=NEXT, earlier=[BRANCH])
        )
        return self


@pytest.fixture
async def conflicted(project: Project, workspace: Workspace) -> AsyncGenerator[Conflicted]:
    async with AsyncExitStack() as stack:
        yield await Conflicted(project, workspace).checkout(stack)


async def test_conflicts_are_left_to_the_coder(conflicted: Conflicted) -> None:
    tree = conflicted.tree
    assert tree.conflicts == ("README", "total.py")
    assert "<<<<<<< " in (tree.path / "total.py").read_text()
    assert await tree.unresolved() == ("README", "total.py")


async def test_a_conflict_is_resolved_when_its_file_says_so(conflicted: Conflicted, project: Project) -> None:
    tree = conflicted.tree
    (tree.path / "total.py").write_text("a + b\n")
    assert await tree.unresolved() == ("README",)
    (tree.path / "README").unlink()
    assert await tree.unresolved() == ()
    await tree.commit_all("Resolve")
    assert await tree.has_base()
    await tree.push()
    parents = await project.git.run("log", "-1", "--format=%P", NEXT)
    assert parents.split() == [tree.start_sha, conflicted.base]


async def test_a_file_may_stay_as_the_merge_left_it_when_it_is_added(conflicted: Conflicted) -> None:
    tree = conflicted.tree
    await Git(tree.path).run("add", "README")
    assert await tree.unresolved() == ("total.py",)


async def test_a_merge_that_keeps_all_of_ours_is_ended_too(conflicted: Conflicted, project: Project) -> None:
    tree = conflicted.tree
    (tree.path / "total.py").write_text("a * b\n")
    await Git(tree.path).run("add", "--all")
    assert await tree.unresolved() == ()
    assert await tree.commit_all("Keep ours") == await tree.head()
    assert await tree.has_base()
    await tree.push()
    assert await project.read(NEXT, "total.py") == "a * b"


async def test_adding_a_file_with_markers_resolves_nothing(conflicted: Conflicted) -> None:
    tree = conflicted.tree
    await Git(tree.path).run("add", "--all")
    assert await tree.unresolved() == ("total.py",)


async def test_a_coder_that_gives_up_the_merge_leaves_the_base_out(conflicted: Conflicted) -> None:
    await Git(conflicted.tree.path).run("merge", "--abort")
    assert not await conflicted.tree.has_base()


async def test_unpushed_work_is_kept_and_named(
    project: Project, workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with suppress(KeyError):
        async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
            (tree.path / "half.py").write_text("half\n")
            raise KeyError("cut off")
    assert worktrees(tmp_path) == []
    assert await cache(tmp_path).run("show", f"refs/kept/{BRANCH}:half.py") == "half"
    assert f"refs/kept/{BRANCH}" in caplog.text


async def test_tidying_up_is_finished_even_when_it_is_cancelled(
    project: Project, workspace: Workspace, tmp_path: Path
) -> None:
    tidying = asyncio.Event()

    async def work() -> None:
        async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
            (tree.path / "half.py").write_text("half\n")
            tidying.set()

    working = asyncio.create_task(work())
    await tidying.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert worktrees(tmp_path) == []
    assert await cache(tmp_path).run("show", f"refs/kept/{BRANCH}:half.py") == "half"


async def kept_refs(tmp_path: Path) -> list[str]:
    return (await cache(tmp_path).run("for-each-ref", "--format=%(refname)", "refs/kept")).split()


async def test_commits_that_head_has_left_behind_are_kept_and_the_next_run_starts_there(
    project: Project, workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        coder = Git(tree.path, env=DEV.environment())
        (tree.path / "total.py").write_text("a + b\n")
        await coder.run("commit", "--quiet", "--all", "--message=The work")
        work = await tree.head()
        await coder.run("checkout", "--quiet", "--detach", tree.base_sha)
    assert await cache(tmp_path).commit_id(f"refs/kept/{BRANCH}-tip") == work
    assert f"refs/kept/{BRANCH}-tip" in caplog.text
    async with workspace.checkout(SHOP, project.url, base="main", branch=NEXT, earlier=[BRANCH]) as tree:
        assert tree.start_sha == work
    assert await kept_refs(tmp_path) == [f"refs/kept/{BRANCH}-tip"]


async def test_the_next_run_starts_at_what_is_kept_of_the_last_when_it_was_never_pushed(
    project: Project, workspace: Workspace
) -> None:
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        (tree.path / "half.py").write_text("half\n")
    base = await project.commit({"README": "A better shop.\n"})
    async with workspace.checkout(SHOP, project.url, base="main", branch=NEXT, earlier=[BRANCH]) as tree:
        assert (tree.path / "half.py").read_text() == "half\n"
        assert (tree.base_sha, await tree.has_base()) == (base, True)


async def test_nobody_starts_at_conflicts_that_were_kept(
    project: Project, workspace: Workspace, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        conflicted = await Conflicted(project, workspace).checkout(stack)
    assert await kept_refs(tmp_path) == [f"refs/kept/{NEXT}-conflicted"]
    checkout = workspace.checkout(SHOP, project.url, base="main", branch="rig/1/3-r-last", earlier=[NEXT, BRANCH])
    async with checkout as tree:
        assert (tree.start_sha, tree.conflicts) == (conflicted.tree.start_sha, ("README", "total.py"))


async def test_a_worktree_whose_git_file_is_gone_is_still_ours(
    project: Project, workspace: Workspace, tmp_path: Path
) -> None:
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        (tree.path / ".git").unlink()
        (tree.path / "total.py").write_text("a + b\n")
    assert worktrees(tmp_path) == []
    assert await cache(tmp_path).run("show", f"refs/kept/{BRANCH}:total.py") == "a + b"
    async with workspace.checkout(SHOP, project.url, base="main", branch=NEXT) as tree:
        (tree.path / ".git").unlink()
        await Git(tree.path).run("init", "--quiet")
        (tree.path / "total.py").write_text("a + b\n")
        await tree.commit_all("Fix")
        await tree.push()
    assert await project.read(NEXT, "total.py") == "a + b"


async def test_a_worktree_that_git_has_forgotten_is_left_and_named(
    project: Project, workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        (tree.path / "half.py").write_text("half\n")
        (tree.path / ".git").unlink()
        await cache(tmp_path).run("worktree", "prune", "--expire=now")
    assert (tree.path / "half.py").read_text() == "half\n"
    assert f"{tree.path} is left behind" in caplog.text


async def test_a_worktree_that_the_coder_locked_is_not_half_made(
    project: Project, workspace: Workspace, tmp_path: Path
) -> None:
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        (tree.path / "half.py").write_text("half\n")
        await Git(tree.path).run("worktree", "lock", str(tree.path))
    assert worktrees(tmp_path) == []
    assert await cache(tmp_path).run("show", f"refs/kept/{BRANCH}:half.py") == "half"


async def test_locks_that_a_coder_left_do_not_stop_us(project: Project, workspace: Workspace) -> None:
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        git_dir = Path(await Git(tree.path).run("rev-parse", "--absolute-git-dir"))
        (git_dir / "index.lock").touch()
        (tree.path / "total.py").write_text("a + b\n")
        await tree.commit_all("Fix")
        await tree.push()
    assert await project.read(BRANCH, "total.py") == "a + b"


async def test_repositories_inside_are_named_and_left_out(
    project: Project, workspace: Workspace, tmp_path: Path
) -> None:
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        for inner in (tree.path / "empty", tree.path / "deep" / "* one"):
            inner.mkdir(parents=True)
            await Git(inner).run("init", "--quiet")
        await Git(inner, env=DEV.environment()).run("commit", "--quiet", "--allow-empty", "--message=Inner")
        assert await tree.nested() == ("deep/* one", "empty")
        assert await tree.commit_all("Nothing of ours") is None
        (tree.path / "deep" / "half.py").write_text("half\n")
    assert worktrees(tmp_path) == []
    assert await cache(tmp_path).run("diff", "--name-only", tree.base_sha, f"refs/kept/{BRANCH}") == "deep/half.py"


def deep(directory: Path) -> None:
    """More directories in one another than Python nests calls."""
    for _ in range(1_200):
        directory = directory / "d"
        directory.mkdir()


def read_only(directory: Path) -> None:
    """As Go leaves its module cache."""
    (directory / "mod").mkdir()
    (directory / "mod" / "file").touch()
    (directory / "mod").chmod(0o555)


@pytest.mark.parametrize("fill", [deep, read_only])
async def test_whatever_a_coder_leaves_is_removed(
    project: Project, workspace: Workspace, tmp_path: Path, fill: Callable[[Path], None]
) -> None:
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        fill(tree.path)
    assert list((tmp_path / "agent" / "demo" / "shop" / "worktrees" / "rig" / "1").iterdir()) == []


async def test_what_cannot_be_removed_is_named_and_stops_nobody(
    project: Project, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path) -> OSError | None:
        return PermissionError("another user's") if path.suffix == ".gone" else remove_tree(path)

    monkeypatch.setattr("agents.workspace.workspace.remove_tree", denied)
    async with (
        Workspace.taken(tmp_path / "agent", DEV) as workspace,
        workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree,
    ):
        (tree.path / "half.py").write_text("half\n")
    gone = tree.path.with_name(f"{tree.path.name}.gone")
    assert f"{gone} is left behind: another user's" in caplog.text
    assert await cache(tmp_path).run("for-each-ref", "--format=%(refname)", "refs/heads") == ""
    caplog.clear()
    async with Workspace.taken(tmp_path / "agent", DEV):
        assert f"{gone} is left behind: another user's" in caplog.text
    monkeypatch.undo()
    async with Workspace.taken(tmp_path / "agent", DEV):
        assert worktrees(tmp_path) == []
    assert await kept_refs(tmp_path) == [f"refs/kept/{BRANCH}"]


DIES_AT_WORK = """
import asyncio, os, signal, sys
from contextlib import AsyncExitStack
from pathlib import Path
from agents.workspace import Workspace
from machine.git import Identity
from schemas import RepoRef

async def main(root, url, dirty, clean, unfinished):
    async with AsyncExitStack() as stack:
        workspace = await stack.enter_async_context(Workspace.taken(Path(root), Identity("dev-e-1", "d@rig.invalid")))
        trees = {}
        for branch in (dirty, clean, unfinished):
            checkout = workspace.checkout(RepoRef("demo", "shop"), url, base="main", branch=branch)
            trees[branch] = await stack.enter_async_context(checkout)
        (trees[dirty].path / "half.py").write_text("half\\n")
        cache = Path(root) / "demo" / "shop" / "cache.git"
        (cache / "worktrees" / trees[dirty].path.name / "index.lock").touch()  # of a git that was killed as well
        (cache / "worktrees" / trees[unfinished].path.name / "locked").write_text("initializing")  # git's own way
        (trees[unfinished].path / "README").unlink()  # it had not come so far
        (cache / "worktrees" / "orphan").mkdir()
        (cache / "worktrees" / "orphan" / "locked").write_text("initializing")  # not even so far
        (cache / "refs" / "heads" / "rig" / "1" / "4-r-orphan").write_text(trees[dirty].base_sha + "\\n")
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_what_a_dead_process_left_is_kept_when_it_is_work_and_gone_when_it_is_not(
    project: Project, tmp_path: Path
) -> None:
    root = tmp_path / "agent"
    arguments = [str(root), project.url, BRANCH, NEXT, "rig/1/3-r-unfinished"]
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", DIES_AT_WORK, *arguments)
    assert await process.wait() == -9
    assert worktrees(tmp_path)
    async with Workspace.taken(root, DEV) as workspace:
        assert worktrees(tmp_path) == []
        assert await cache(tmp_path).run("show", f"refs/kept/{BRANCH}:half.py") == "half"
        kept = await cache(tmp_path).run("for-each-ref", "--format=%(refname)", "refs/kept", "refs/heads")
        assert kept == f"refs/kept/{BRANCH}"
        assert not (cache(tmp_path).directory / "worktrees" / "orphan").exists()
        assert "prunable" not in await cache(tmp_path).run("worktree", "list", "--porcelain")
        async with workspace.checkout(SHOP, project.url, base="main", branch=NEXT) as tree:
            assert (tree.path / "total.py").exists()


async def test_a_repository_that_is_not_there_leaves_nothing_half_made(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceFailed, match="cannot fetch"):
        async with workspace.checkout(SHOP, str(tmp_path / "nowhere"), base="main", branch=BRANCH):
            pass
    assert worktrees(tmp_path) == []


async def test_a_base_branch_that_is_not_there_is_named(project: Project, workspace: Workspace) -> None:
    with pytest.raises(WorkspaceFailed, match="has no branch trunk"):
        async with workspace.checkout(SHOP, project.url, base="trunk", branch=BRANCH):
            pass


async def test_a_cache_whose_making_was_cut_off_mends_itself(
    project: Project, workspace: Workspace, tmp_path: Path
) -> None:
    half = tmp_path / "agent" / "demo" / "shop" / "cache.git"
    (half / "objects").mkdir(parents=True)
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        assert (tree.path / "README").exists()


async def test_a_push_that_fails_is_the_machines_failure(project: Project, workspace: Workspace) -> None:
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        (tree.path / "total.py").write_text("a + b\n")
        await tree.commit_all("Fix")
        project.path.rename(project.path.with_name("moved"))
        with pytest.raises(WorkspaceFailed, match="cannot push"):
            await tree.push()


async def test_hooks_that_a_coder_configures_do_not_run(project: Project, workspace: Workspace, tmp_path: Path) -> None:
    hook = tmp_path / "hooks" / "prepare-commit-msg"
    hook.parent.mkdir()
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        await Git(tree.path).run("config", "core.hooksPath", str(hook.parent))
        (tree.path / "total.py").write_text("a + b\n")
        await tree.commit_all("Fix")
        await tree.push()
    assert not (tmp_path / "ran").exists()


async def test_what_a_coder_configures_and_hooks_into_the_cache_ends_with_it(
    project: Project, workspace: Workspace, tmp_path: Path
) -> None:
    ran, elsewhere = tmp_path / "ran", Git(tmp_path / "elsewhere.git")
    elsewhere.directory.mkdir()
    await elsewhere.run("init", "--quiet", "--bare")
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        hook = cache(tmp_path).directory / "hooks" / "reference-transaction"
        hook.write_text(f"#!/bin/sh\ntouch {ran}\nexit 1\n")
        hook.chmod(0o755)
        coder = Git(tree.path)
        await coder.run("config", "filter.mine.clean", f"touch {ran}; cat")
        (tree.path / ".gitattributes").write_text("* filter=mine\n")
        await tree.commit_all("Fix")
        await coder.run("config", f"url.{elsewhere.directory}.insteadOf", project.url)  # as a check can
        head = await tree.push()
    async with workspace.checkout(SHOP, project.url, base="main", branch=NEXT, earlier=[BRANCH]) as tree:
        assert tree.start_sha == head
    assert not ran.exists()
    assert await project.git.run("rev-parse", BRANCH) == head
    assert await elsewhere.run("for-each-ref") == ""


async def test_nothing_but_the_branch_is_pushed_whatever_the_user_configures(
    project: Project, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".gitconfig").write_text("[push]\n\tfollowTags = true\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        coder = Git(tree.path, env=DEV.environment())
        await coder.run("commit", "--quiet", "--allow-empty", "--message=Mine")
        await coder.run("tag", "--annotate", "--message=Mine", "v1")
        await tree.push()
    assert await project.git.run("tag", "--list") == ""


@pytest.mark.parametrize("broken", ["config", "HEAD"])
async def test_a_broken_cache_is_mended_or_replaced_and_what_it_keeps_is_not_lost(
    project: Project, workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH) as tree:
        (tree.path / "half.py").write_text("half\n")
    (cache(tmp_path).directory / broken).write_text("[broken\n")
    async with workspace.checkout(SHOP, project.url, base="main", branch=NEXT) as tree:
        assert (tree.path / "README").exists()
    if broken == "config":
        assert await kept_refs(tmp_path) == [f"refs/kept/{BRANCH}"]
    else:
        (aside,) = cache(tmp_path).directory.parent.glob("broken-*.git")
        assert (aside / "refs" / "kept" / BRANCH).exists()
        assert str(aside) in caplog.text


async def test_a_cache_is_not_replaced_because_the_forge_is_away(
    project: Project, workspace: Workspace, tmp_path: Path
) -> None:
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH):
        pass
    project.path.rename(project.path.with_name("moved"))
    with pytest.raises(WorkspaceFailed, match="cannot fetch"):
        async with workspace.checkout(SHOP, project.url, base="main", branch=NEXT):
            pass
    assert [path.name for path in cache(tmp_path).directory.parent.glob("*.git")] == ["cache.git"]


async def test_a_cache_that_another_run_works_with_is_not_replaced(
    project: Project, workspace: Workspace, tmp_path: Path
) -> None:
    async with workspace.checkout(SHOP, project.url, base="main", branch=BRANCH):
        head = cache(tmp_path).directory / "HEAD"
        good = head.read_text()
        head.write_text("[broken\n")
        with pytest.raises(WorkspaceFailed, match="cannot fetch"):
            async with workspace.checkout(SHOP, project.url, base="main", branch=NEXT):
                pass
        head.write_text(good)


async def test_runs_of_one_repository_work_side_by_side(project: Project, workspace: Workspace) -> None:
    async def work(number: int) -> str:
        branch = f"rig/{number}/1-r-{number}"
        async with workspace.checkout(SHOP, project.url, base="main", branch=branch) as tree:
            (tree.path / f"{number}.py").write_text("x\n")
            await tree.commit_all(f"Work {number}")
            return await tree.push()

    heads = await asyncio.gather(*(work(number) for number in range(1, 5)))
    listed = await project.git.run("for-each-ref", "--format=%(objectname)", "refs/heads/rig")
    assert sorted(listed.split()) == sorted(heads)


async def test_one_process_has_a_workspace_at_a_time(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceInUse, match="another process works in"):
        async with Workspace.taken(tmp_path / "agent", DEV):
            pass


async def test_a_name_of_dots_stays_inside(project: Project, workspace: Workspace, tmp_path: Path) -> None:
    async with workspace.checkout(RepoRef("..", ".."), project.url, base="main", branch=BRANCH) as tree:
        assert tree.path.is_relative_to(tmp_path / "agent" / "%2E%2E" / "%2E%2E")
