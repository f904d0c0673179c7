"""How much of a disk an agent takes, and what it leaves alone, on real git."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from agents.workspace import Workspace, WorkspaceFailed, room
from machine.git import Git, Identity
from schemas import RepoRef

DEV = Identity("dev-e-1", "dev-e-1@rig.invalid")
MIB = 1024 * 1024


async def project(tmp_path: Path, name: str, size: int = 0) -> str:
    git = Git(tmp_path / name, env=Identity("Ann", "ann@example.com").environment())
    git.directory.mkdir()
    await git.run("init", "--quiet", "--initial-branch=main")
    (git.directory / "blob").write_bytes(os.urandom(size))
    await git.run("add", "--all")
    await git.run("commit", "--quiet", "--message=Begin")
    return str(git.directory)


async def visit(workspace: Workspace, url: str, *, work: bool = False) -> None:
    name = Path(url).name
    async with workspace.checkout(RepoRef("demo", name), url, base="main", branch="rig/1/1-r-1") as tree:
        if work:
            (tree.path / "half.py").write_text("half\n")


def clones(tmp_path: Path) -> list[str]:
    return sorted(path.parent.name for path in (tmp_path / "agent").glob("demo/*/cache.git"))


@pytest.fixture(autouse=True)
def measured_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MEASURED_SECONDS", 0.0)


async def test_the_clone_that_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    first, second, third = [await project(tmp_path, name, 2 * MIB) for name in ("a", "b", "c")]
    async with Workspace.taken(tmp_path / "agent", DEV, quota_bytes=5 * MIB) as workspace:
        await visit(workspace, first)
        await visit(workspace, second)
        for name, at in (("a", 2_000), ("b", 1_000)):
            os.utime(tmp_path / "agent" / "demo" / name / "cache.git" / "rig.used", (at, at))
        await visit(workspace, third)
        assert clones(tmp_path) == ["a", "b", "c"]  # it is looked at before a run
        await visit(workspace, third)
        assert clones(tmp_path) == ["a", "c"]


async def test_unpushed_work_and_clones_in_use_stay(tmp_path: Path) -> None:
    kept, busy, other = [await project(tmp_path, name, MIB) for name in ("kept", "busy", "other")]
    async with Workspace.taken(tmp_path / "agent", DEV, quota_bytes=2 * MIB) as workspace:
        await visit(workspace, kept, work=True)
        async with workspace.checkout(RepoRef("demo", "busy"), busy, base="main", branch="rig/1/1-r-1"):
            with pytest.raises(WorkspaceFailed, match=r"no room for another run: .* takes \d MiB, 2 MiB are allowed"):
                await visit(workspace, other)
            assert clones(tmp_path) == ["busy", "kept"]


async def test_a_full_disk_is_said_before_anything_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = await project(tmp_path, "a")
    monkeypatch.setattr(room, "LEAST_FREE_BYTES", 1 << 60)
    async with Workspace.taken(tmp_path / "agent", DEV) as workspace:
        with pytest.raises(WorkspaceFailed, match="are free on the disk"):
            await visit(workspace, url)
    assert clones(tmp_path) == []


async def test_half_a_gibibyte_stays_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = await project(tmp_path, "a")
    free = 512 * MIB - 1
    monkeypatch.setattr(room, "_free", lambda _: free)
    async with Workspace.taken(tmp_path / "agent", DEV) as workspace:
        with pytest.raises(WorkspaceFailed, match=r"511 MiB are free on the disk of .*, 512 MiB are needed"):
            await visit(workspace, url)
        free += 1
        await visit(workspace, url)
    assert clones(tmp_path) == ["a"]


async def test_kept_work_keeps_its_clone_however_git_stores_it_and_no_longer_than_it_is_there(tmp_path: Path) -> None:
    packed, done, other = [await project(tmp_path, name, MIB) for name in ("packed", "done", "other")]
    async with Workspace.taken(tmp_path / "agent", DEV, quota_bytes=3 * MIB) as workspace:
        for url in (packed, done):
            await visit(workspace, url, work=True)
        at = tmp_path / "agent" / "demo"
        await Git(at / "packed" / "cache.git").run("pack-refs", "--all")
        assert not [path for path in (at / "packed" / "cache.git" / "refs").rglob("*") if path.is_file()]
        refs = at / "done" / "cache.git" / "refs" / "kept"
        for ref in [path for path in refs.rglob("*") if path.is_file()]:
            ref.unlink()
        assert refs.is_dir()
        (at / "packed" / "blob").write_bytes(os.urandom(2 * MIB))
        with pytest.raises(WorkspaceFailed, match="no room"):
            await visit(workspace, other)
    assert clones(tmp_path) == ["packed"]


async def test_what_was_measured_counts_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = await project(tmp_path, "a", 2 * MIB)
    clock, measured = SimpleNamespace(at=0.0), list[float]()
    clock.monotonic = lambda: clock.at
    monkeypatch.setattr(room, "MEASURED_SECONDS", 300.0)
    monkeypatch.setattr(room, "time", clock)
    monkeypatch.setattr(room, "size", lambda _: measured.append(clock.at) or 0)
    async with Workspace.taken(tmp_path / "agent", DEV, quota_bytes=MIB) as workspace:
        for clock.at in (1_000.0, 1_299.0, 1_300.0, 1_301.0):
            await visit(workspace, url)
    assert measured == [1_000.0, 1_300.0]


def test_a_directory_that_is_not_there_takes_nothing(tmp_path: Path) -> None:
    assert room.size(tmp_path / "none") == 0


async def test_submodules_and_large_files_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = await project(tmp_path, "library")
    git = Git(tmp_path / "shop", env=Identity("Ann", "ann@example.com").environment())
    await project(tmp_path, "shop")
    await git.run("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", library, "lib")
    (git.directory / ".gitattributes").write_text("*.bin filter=lfs\n")
    (git.directory / "large.bin").write_text("version https://git-lfs.github.com/spec/v1\n")
    await git.run("add", "--all")
    await git.run("commit", "--quiet", "--message=More")
    # As git-lfs configures a person's git, and a person who wants submodules everywhere.
    settings = (
        '[submodule]\n\trecurse = true\n[filter "lfs"]\n\tsmudge = touch called\n\tclean = false\n\trequired = true\n'
    )
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".gitconfig").write_text(settings)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    async with (
        Workspace.taken(tmp_path / "agent", DEV) as workspace,
        workspace.checkout(RepoRef("demo", "shop"), str(git.directory), base="main", branch="rig/1/1-r-1") as tree,
    ):
        assert list((tree.path / "lib").iterdir()) == []
        assert (tree.path / "large.bin").read_text().startswith("version https://git-lfs")
        assert not (tree.path / "called").exists()
        (tree.path / "x.py").write_text("1\n")
        await tree.commit_all("Mine")
        assert (await tree.diff_size()).files == 1
        await tree.push()
