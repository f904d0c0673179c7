"""The forge's git half, on real repositories: bare ones and checkouts, clean and dirty, quiet and contested."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridges.branches import pull_request_branch
from bridges.local.merging import (
    BaseMoved,
    Conflict,
    DirtyCheckout,
    Found,
    Landed,
    MergeCommit,
    NothingToMerge,
    Protected,
    combine,
    find_merge,
    land,
    merge_message,
)
from bridges.local.repository import (
    BranchMoved,
    NameTaken,
    NoSuchBranch,
    NotARepository,
    PushRefused,
    ShallowClone,
    all_branches,
    branch_head,
    delete_branches,
    inspect,
    is_pushed,
    move_branch,
)
from bridges.local.scratch import Scratch
from machine import sessions
from machine.checks import CheckConclusion, run_check
from machine.git import Git
from machine.process import Limits
from schemas import work_branch
from tests.support.project import Project, commit, new_project

AT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
SUCCESS = CheckConclusion.SUCCESS
MESSAGE = merge_message("Fix the total", "demo/shop#1")


@pytest.fixture(params=["bare", "checkout"])
async def project(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    return await new_project(tmp_path, str(request.param))


@pytest.fixture
async def checkout(tmp_path: Path) -> Project:
    return await new_project(tmp_path, "checkout")


@pytest.fixture
async def scratch(tmp_path: Path) -> AsyncIterator[Scratch]:
    scratch = Scratch(tmp_path / "scratch")
    yield scratch
    scratch.close()


# ── may a repository be served? ──────────────────────────────────────────────


async def test_a_repository_is_served_from_the_branch_its_head_names(project: Project) -> None:
    found = await inspect(project.path)
    assert (found.base_branch, found.base_sha) == ("main", await project.base())
    assert found.bare == (project.path.name == "shop.git")


async def test_a_repository_with_a_branch_where_the_rigs_would_be_is_refused(project: Project) -> None:
    await project.git.run("branch", "rig", "main")
    with pytest.raises(NameTaken, match="has a branch called rig"):
        await inspect(project.path)
    await project.git.run("branch", "-m", "rig", "rigging")
    await inspect(project.path)


async def test_a_repository_is_served_from_the_branch_it_was_added_with(project: Project) -> None:
    head = await project.work("release", {"notes": "1.0\n"})
    assert (await inspect(project.path, "release")).base_sha == head


async def test_what_cannot_be_served_is_refused_by_name(checkout: Project, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (checkout.path / "part").mkdir()
    await Git(tmp_path).run("init", "-q", "-b", "main", "empty")
    await Git(tmp_path).run("clone", "-q", "--depth=1", f"file://{checkout.path}", "shallow")
    for path, error, message in [
        (tmp_path / "missing", NotARepository, "missing is not a directory"),
        (Path("shop"), NotARepository, "shop is not an absolute path"),
        (tmp_path / "plain", NotARepository, "plain is not a git repository"),
        (checkout.path / "part", NotARepository, "part is not a git repository"),
        (checkout.path / ".git", NotARepository, "inside of a git repository: name the directory around it"),
        (tmp_path / "empty", NoSuchBranch, "empty has no branch main with a commit on it"),
        (tmp_path / "shallow", ShallowClone, "git fetch --unshallow"),
    ]:
        with pytest.raises(error, match=message):
            await inspect(path)
    await checkout.git.run("checkout", "-q", "--detach")
    with pytest.raises(NoSuchBranch, match=r"HEAD of .*shop is detached"):
        await inspect(checkout.path)
    with pytest.raises(NoSuchBranch, match="no branch gone"):
        await inspect(checkout.path, "gone")


# ── the pull request's branch ────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("title", "branch"),
    [
        ("Fix the total", "rig/7-fix-the-total"),
        ("Größe & Ähnliches: --help; rm -rf / …", "rig/7-groe-ahnliches-help-rm-rf"),
        ("修复", "rig/7-work"),
        ("..//@{-1}.lock", "rig/7-1-lock"),
        ("a" * 39 + " b", "rig/7-" + "a" * 39),
    ],
)
def test_a_branch_is_named_after_the_issue(title: str, branch: str) -> None:
    assert pull_request_branch(7, title) == branch


async def test_the_branch_moves_by_compare_and_swap(project: Project) -> None:
    branch = pull_request_branch(1, "Fix the total")
    first = await project.work(work_branch(1, 1, "r-7f3"), {"a": "1\n"})
    second = await project.work(work_branch(1, 2, "r-a10"), {"a": "2\n"})
    assert await move_branch(project.path, branch, first, None) is None
    assert await branch_head(project.path, branch) == first
    assert await move_branch(project.path, branch, second, None) == BranchMoved(first)
    assert await move_branch(project.path, branch, second, first) is None
    assert await move_branch(project.path, branch, second, first) is None, "a second try finds its work done"
    assert await branch_head(project.path, branch) == second


async def test_a_commit_that_was_never_pushed_cannot_be_a_head(project: Project) -> None:
    head = await project.work("rig/1/1-r1", {"a": "1\n"})
    assert await is_pushed(project.path, "rig/1/1-r1", head)
    assert await is_pushed(project.path, "rig/1/1-r1", await project.base())
    assert not await is_pushed(project.path, "main", head)
    assert not await is_pushed(project.path, "rig/1/1-r2", head)
    assert not await is_pushed(project.path, "rig/1/1-r1", "f" * 40)
    assert isinstance(await move_branch(project.path, "rig/1-x", "f" * 40, None), PushRefused)


async def test_somebody_looking_at_the_branch_sees_it_move_or_keeps_his_changes(checkout: Project) -> None:
    first = await checkout.work(work_branch(1, 1, "r1"), {"a": "1\n"})
    second = await checkout.work(work_branch(1, 2, "r2"), {"a": "2\n"})
    third = await checkout.work(work_branch(1, 3, "r3"), {"a": "3\n"})
    await move_branch(checkout.path, "rig/1-x", first, None)
    await checkout.git.run("checkout", "-q", "rig/1-x")
    await move_branch(checkout.path, "rig/1-x", second, first)
    assert (checkout.path / "a").read_text() == "2\n"
    (checkout.path / "a").write_text("mine\n")
    refused = await move_branch(checkout.path, "rig/1-x", third, second)
    assert isinstance(refused, PushRefused)
    assert "unstaged changes" in refused.detail
    assert (checkout.path / "a").read_text() == "mine\n"
    assert await delete_branches(checkout.path, {"rig/1-x": second}) == ["rig/1-x"], "a branch in use stays"


async def test_the_branches_of_an_issue_go_unless_they_have_moved_and_no_others(project: Project) -> None:
    names = ("rig/1/1-r1", "rig/1/2-r2", "rig/1-fix", "rig/11/1-r1", "rig/11-fix")
    heads = {name: await project.work(name, {"a": name}) for name in names}
    unneeded = {name: heads[name] for name in names[:3]} | {"rig/gone": heads["rig/1-fix"]}
    moved = await project.work("rig/1-fix", {"a": "somebody's"}, on="rig/1-fix")
    assert await delete_branches(project.path, unneeded) == ["rig/1-fix"]
    left = {name: heads[name] for name in ("rig/11-fix", "rig/11/1-r1")}
    assert await all_branches(project.path) == {"rig/1-fix": moved, **left}


# ── what a merge would be ────────────────────────────────────────────────────


async def test_a_merge_is_a_commit_of_base_and_head(project: Project, scratch: Scratch) -> None:
    head = await project.work("rig/1/1-r", {"total.py": "one\ntwo\nTHREE\n"})
    base = await project.move_base({"total.py": "ONE\ntwo\nthree\n"})
    async with scratch.clone(project.path) as clone:
        merge = await combine(clone, head=head, base=base, message=MESSAGE, at=AT)
        assert isinstance(merge, MergeCommit)
        assert await clone.run("show", f"{merge.sha}:total.py") == "ONE\ntwo\nTHREE"
        said = await clone.run("log", "-1", "--format=%P%n%an <%ae> %aI%n%B", merge.sha)
    assert said == (
        f"{base} {head}\nRig <rig@localhost> 2030-01-02T03:04:05+00:00\nFix the total\n\nRig-Issue: demo/shop#1"
    )
    async with scratch.clone(project.path) as clone:
        assert await combine(clone, head=head, base=base, message=MESSAGE, at=AT) == merge, (
            "done again: the same commit"
        )


async def test_a_conflict_names_the_files(project: Project, scratch: Scratch) -> None:
    head = await project.work("rig/1/1-r", {"total.py": "mine\n", "a file": "mine\n", "free": "x\n"})
    base = await project.move_base({"total.py": "theirs\n", "a file": "theirs\n"})
    async with scratch.clone(project.path) as clone:
        result = await combine(clone, head=head, base=base, message=MESSAGE, at=AT)
    assert result == Conflict(("a file", "total.py"))


async def test_a_head_without_common_history_is_a_conflict(project: Project, scratch: Scratch) -> None:
    await project.agent.run("checkout", "-q", "--orphan", "alone")
    head = await commit(project.agent, {"total.py": "new\n"})
    await project.agent.run("push", "-q", "origin", "HEAD:refs/heads/rig/1/1-r")
    async with scratch.clone(project.path) as clone:
        result = await combine(clone, head=head, base=await project.base(), message=MESSAGE, at=AT)
    assert result == Conflict(())


async def test_a_head_that_brings_nothing_is_not_merged(project: Project, scratch: Scratch) -> None:
    first = await project.base()
    head = await project.work("rig/1/1-r", {"a": "same\n"})
    base = await project.move_base({"a": "same\n"})
    async with scratch.clone(project.path) as clone:
        assert await combine(clone, head=head, base=base, message=MESSAGE, at=AT) == NothingToMerge()
        assert await combine(clone, head=first, base=base, message=MESSAGE, at=AT) == NothingToMerge()


# ── checks run on the merge ──────────────────────────────────────────────────


async def check(project: Project, scratch: Scratch, head: str, command: str, limits: Limits) -> CheckConclusion:
    async with scratch.clone(project.path) as clone:
        merge = await combine(clone, head=head, base=await project.base(), message=MESSAGE, at=AT)
        assert isinstance(merge, MergeCommit)
        await clone.run("checkout", "--quiet", "--detach", merge.sha)
        return (await run_check(command, cwd=clone.directory, limits=limits)).conclusion


async def test_checks_see_the_merge_and_not_the_head(project: Project, scratch: Scratch) -> None:
    head = await project.work("rig/1/1-r", {"a": "1\n"})
    await project.move_base({"b": "2\n"})
    limits = Limits(20, 1_000_000)
    assert await check(project, scratch, head, "test -f a && test -f b", limits) is CheckConclusion.SUCCESS
    assert (
        await check(project, scratch, head, "git log -1 --format=%s | grep -v Fix", limits) is CheckConclusion.FAILURE
    )


async def test_checks_that_hang_or_never_end_printing_are_cut(
    project: Project, scratch: Scratch, tmp_path: Path
) -> None:
    head = await project.work("rig/1/1-r", {"a": "1\n"})
    limits = Limits(0.3, 1_000_000)
    assert await check(project, scratch, head, "mkdir d; chmod 500 d; sleep 60", limits) is CheckConclusion.TIMED_OUT
    limits = Limits(20, 1_000_000)
    assert await check(project, scratch, head, "yes | head -c 1000000000", limits) is CheckConclusion.OUTPUT_LIMIT
    assert len(list((tmp_path / "scratch").glob("*/*"))) == 0, "no clone is left"


async def test_what_a_check_writes_does_not_reach_the_repository(project: Project, scratch: Scratch) -> None:
    head = await project.work("rig/1/1-r", {"a": "1\n"})
    before = await project.git.run("for-each-ref")
    command = "echo x > total.py; git -c user.name=x -c user.email=x commit -qam x; git branch -f main HEAD"
    assert await check(project, scratch, head, command, Limits(20, 1_000_000)) is CheckConclusion.SUCCESS
    assert await project.git.run("for-each-ref") == before


async def test_scratch_of_the_dead_is_removed_and_of_the_living_kept(checkout: Project, tmp_path: Path) -> None:
    under = tmp_path / "scratch"
    (under / "of-a-dead-process" / "clone" / "sealed").mkdir(parents=True)
    (under / "of-a-dead-process" / "clone" / "sealed").chmod(0o500)
    living = Scratch(under)
    async with living.clone(checkout.path) as clone:
        newcomer = Scratch(under)
        assert not (under / "of-a-dead-process").exists()
        assert clone.directory.exists()
        newcomer.close()
    living.close()
    assert list(under.iterdir()) == []


async def test_what_a_check_leaves_may_be_as_deep_as_it_likes(
    project: Project, scratch: Scratch, tmp_path: Path
) -> None:
    head = await project.work("rig/1/1-r", {"a": "1\n"})
    deep = "import os\nfor _ in range(1500):\n os.mkdir('d')\n os.chdir('d')"
    assert await check(project, scratch, head, f'{sys.executable} -c "{deep}"', Limits(20, 1_000_000)) is SUCCESS
    assert list((tmp_path / "scratch").glob("*/*")) == []


async def test_scratch_that_cannot_be_removed_is_said_and_is_in_nobodys_way(
    checkout: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    under = tmp_path / "scratch"
    stuck = under / "of-a-dead-process"
    stuck.mkdir(parents=True)
    (stuck / "roots").write_text("x")
    unlink = os.unlink

    def refuse(path: str, *, dir_fd: int | None = None) -> None:
        if path == "roots":
            raise PermissionError(1, "not permitted", path)
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuse)
    scratch = Scratch(under)
    async with scratch.clone(checkout.path) as clone:
        (clone.directory / "roots").write_text("x")
    assert f"{stuck} is left behind" in caplog.text
    assert f"{clone.directory} is left behind" in caplog.text
    scratch.close()


# ── merging ──────────────────────────────────────────────────────────────────


async def merge_now(
    project: Project, scratch: Scratch, head: str, base: str
) -> Landed | BaseMoved | DirtyCheckout | Protected:
    async with scratch.clone(project.path) as clone:
        merge = await combine(clone, head=head, base=base, message=MESSAGE, at=AT)
        assert isinstance(merge, MergeCommit)
        landed = await land(clone, project.path, "main", merge=merge.sha, expected=base)
        assert landed is not None
        return landed


async def test_a_merge_lands_on_the_base_branch_and_in_its_checkout(project: Project, scratch: Scratch) -> None:
    base = await project.base()
    head = await project.work("rig/1/1-r", {"total.py": "fixed\n"})
    landed = await merge_now(project, scratch, head, base)
    assert landed == Landed(await project.base())
    assert await project.git.run("log", "--format=%P", "-1", "main") == f"{base} {head}"
    assert await project.git.run("show", "main:total.py") == "fixed"
    if not (await inspect(project.path)).bare:
        assert (project.path / "total.py").read_text() == "fixed\n"
        assert await project.git.run("status", "--porcelain") == ""


async def test_a_base_that_moved_is_not_merged_into(project: Project, scratch: Scratch) -> None:
    base = await project.base()
    head = await project.work("rig/1/1-r", {"total.py": "fixed\n"})
    moved = await project.move_base({"other": "x\n"})
    assert await merge_now(project, scratch, head, base) == BaseMoved(moved)
    assert await project.base() == moved


async def test_of_two_merges_at_once_one_lands(project: Project, scratch: Scratch) -> None:
    base = await project.base()
    first = await project.work("rig/1/1-r", {"a": "1\n"})
    second = await project.work("rig/2/1-r", {"b": "2\n"})
    results = await asyncio.gather(*(merge_now(project, scratch, head, base) for head in (first, second)))
    assert {type(result) for result in results} == {Landed, BaseMoved}
    now = await project.base()
    assert {result.sha if isinstance(result, Landed) else getattr(result, "actual", None) for result in results} == {
        now
    }


@pytest.mark.parametrize("where", ["the main work tree", "a linked work tree"])
async def test_a_dirty_checkout_is_refused_by_name_and_keeps_its_changes(
    checkout: Project, scratch: Scratch, tmp_path: Path, where: str
) -> None:
    tree = checkout.path
    if where == "a linked work tree":
        await checkout.git.run("checkout", "-q", "-b", "other")
        await checkout.git.run("worktree", "add", "-q", "../linked", "main")
        tree = tmp_path / "linked"
    base = await checkout.base()
    head = await checkout.work("rig/1/1-r", {"total.py": "fixed\n", "new.py": "new\n"})
    (tree / "total.py").write_text("mine\n")
    (tree / "new.py").write_text("mine too\n")
    refused = await merge_now(checkout, scratch, head, base)
    assert isinstance(refused, DirtyCheckout)
    assert refused.detail == (f"{tree} has changes of its own on main (total.py, new.py): commit or stash them there")
    assert await checkout.base() == base
    assert (tree / "total.py").read_text() == "mine\n"
    await Git(tree).run("checkout", "-q", "--", "total.py")
    refused = await merge_now(checkout, scratch, head, base)
    assert isinstance(refused, DirtyCheckout), "an untracked file in the way stops it too"
    (tree / "new.py").unlink()
    assert isinstance(await merge_now(checkout, scratch, head, base), Landed)
    assert (tree / "new.py").read_text() == "new\n"


async def test_a_checkout_that_is_gone_is_refused_by_name(checkout: Project, scratch: Scratch, tmp_path: Path) -> None:
    await checkout.git.run("checkout", "-q", "-b", "other")
    await checkout.git.run("worktree", "add", "-q", "../linked", "main")
    shutil.rmtree(tmp_path / "linked")
    base = await checkout.base()
    head = await checkout.work("rig/1/1-r", {"total.py": "fixed\n"})
    refused = await merge_now(checkout, scratch, head, base)
    assert isinstance(refused, DirtyCheckout)
    assert refused.detail == (
        f"the work tree {tmp_path / 'linked'}, which has main checked out, is gone: "
        f"run `git worktree prune` in {checkout.path}"
    )
    await checkout.git.run("worktree", "prune")
    assert isinstance(await merge_now(checkout, scratch, head, base), Landed)


async def test_untracked_files_out_of_the_way_do_not_matter(checkout: Project, scratch: Scratch) -> None:
    base = await checkout.base()
    head = await checkout.work("rig/1/1-r", {"total.py": "fixed\n"})
    (checkout.path / "notes.txt").write_text("mine\n")
    assert isinstance(await merge_now(checkout, scratch, head, base), Landed)
    assert (checkout.path / "notes.txt").read_text() == "mine\n"


async def test_a_dirty_checkout_of_another_branch_does_not_matter(checkout: Project, scratch: Scratch) -> None:
    base = await checkout.base()
    head = await checkout.work("rig/1/1-r", {"total.py": "fixed\n"})
    await checkout.git.run("checkout", "-q", "-b", "mine")
    (checkout.path / "total.py").write_text("mine\n")
    assert isinstance(await merge_now(checkout, scratch, head, base), Landed)
    assert (checkout.path / "total.py").read_text() == "mine\n"


async def test_the_repositorys_own_hook_may_refuse_a_merge_but_not_a_branch_of_the_rig(
    project: Project, scratch: Scratch
) -> None:
    base = await project.base()
    head = await project.work("rig/1/1-r", {"total.py": "fixed\n"})
    hooks = Path(await project.git.run("rev-parse", "--absolute-git-dir")) / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "pre-receive").write_text("#!/bin/sh\necho frozen until Monday\nexit 1\n")
    (hooks / "pre-receive").chmod(0o755)
    assert await merge_now(project, scratch, head, base) == Protected(_saying("frozen until Monday"))
    assert await project.base() == base
    assert await move_branch(project.path, "rig/1-fix", head, None) is None


class _saying(str):  # noqa: N801 - reads as a word
    """Equal to any text that contains this one."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and str(self) in str(other)


async def test_after_a_crash_between_push_and_record_the_merge_is_found(project: Project, scratch: Scratch) -> None:
    base = await project.base()
    head = await project.work("rig/1/1-r", {"total.py": "fixed\n"})
    assert await find_merge(project.path, "main", head) is None
    landed = await merge_now(project, scratch, head, base)
    # here the process died; meanwhile others went on
    await project.move_base({"later": "x\n"})
    assert isinstance(landed, Landed)
    assert await find_merge(project.path, "main", head) == Found(landed.sha, base)
    assert await find_merge(project.path, "main", base) is None, "in the history, and not by a merge"
    other = await project.work("rig/2/1-r", {"b": "1\n"})
    assert await find_merge(project.path, "main", other) is None


async def test_a_merge_pushed_twice_has_landed_once(project: Project, scratch: Scratch) -> None:
    base = await project.base()
    head = await project.work("rig/1/1-r", {"total.py": "fixed\n"})
    first = await merge_now(project, scratch, head, base)
    assert await merge_now(project, scratch, head, base) == first


async def test_a_branch_that_cannot_be_written_leaves_the_checkout_as_it_was(
    project: Project, scratch: Scratch
) -> None:
    base = await project.base()
    head = await project.work("rig/1/1-r", {"total.py": "fixed\n", "new.py": "new\n"})
    lock = Path(await project.git.run("rev-parse", "--absolute-git-dir")) / "refs" / "heads" / "main.lock"
    lock.touch()
    assert await merge_now(project, scratch, head, base) == Protected(_saying("failed to update ref"))
    if not (await inspect(project.path)).bare:
        assert await project.git.run("status", "--porcelain") == ""
        assert not (project.path / "new.py").exists()
    lock.unlink()
    assert isinstance(await merge_now(project, scratch, head, base), Landed)


async def test_a_merge_that_was_cut_off_between_work_tree_and_branch_is_done_again(
    checkout: Project, scratch: Scratch
) -> None:
    base = await checkout.base()
    head = await checkout.work("rig/1/1-r", {"total.py": "fixed\n", "new.py": "new\n"})
    landed = await merge_now(checkout, scratch, head, base)
    await checkout.git.run("update-ref", "refs/heads/main", base)  # as if the machine had died before this was written
    assert await checkout.git.run("status", "--porcelain") != ""
    assert await merge_now(checkout, scratch, head, base) == landed
    assert await checkout.git.run("status", "--porcelain") == ""


_MERGE_IN_A_PROCESS = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from bridges.local.merging import combine, land
from bridges.local.scratch import Scratch

async def main(repository, scratch, head, base):
    async with Scratch(Path(scratch)).clone(Path(repository)) as clone:
        merge = await combine(clone, head=head, base=base, message="m", at=datetime.now(UTC))
        await land(clone, Path(repository), "main", merge=merge.sha, expected=base)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_merge_is_not_torn_when_the_forge_and_its_whole_session_are_killed(
    checkout: Project, tmp_path: Path
) -> None:
    base = await checkout.base()
    head = await checkout.work("rig/1/1-r", {"total.py": "fixed\n"})
    pushing, go = tmp_path / "pushing", tmp_path / "go"
    os.mkfifo(pushing)
    os.mkfifo(go)
    gate = os.open(go, os.O_RDWR | os.O_NONBLOCK)
    hook = Path(await checkout.git.run("rev-parse", "--absolute-git-dir")) / "hooks" / "update"
    hook.write_text(f"#!/bin/sh\necho > {pushing}\nread go < {go}\n")
    hook.chmod(0o755)
    arguments = (str(checkout.path), str(tmp_path / "scratch"), head, base)
    forge = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _MERGE_IN_A_PROCESS, *arguments, start_new_session=True
    )
    await asyncio.to_thread(pushing.read_text)
    await sessions.sweep(forge.pid)
    assert await forge.wait() == -9
    assert await checkout.base() == base
    os.write(gate, b"go\n")
    while await find_merge(checkout.path, "main", head) is None:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.01)
    os.close(gate)
    assert await checkout.git.run("status", "--porcelain") == ""


async def test_a_server_that_a_hook_started_keeps_nobody_from_landing(
    checkout: Project, scratch: Scratch, tmp_path: Path
) -> None:
    hook = Path(await checkout.git.run("rev-parse", "--absolute-git-dir")) / "hooks" / "post-receive"
    end = tmp_path / "end"
    os.mkfifo(end)
    gate = os.open(end, os.O_RDWR | os.O_NONBLOCK)
    serve = f"import os; os.setsid(); open({str(end)!r}).read(1)"
    hook.write_text(f'#!/bin/sh\n{sys.executable} -c "{serve}" </dev/null >/dev/null 2>&1 &\n')
    hook.chmod(0o755)
    for number in (1, 2):
        head = await checkout.work(f"rig/{number}/1-r", {f"{number}": "x\n"})
        assert isinstance(await merge_now(checkout, scratch, head, await checkout.base()), Landed)
    os.write(gate, b"x" * 8)
    os.close(gate)


async def test_a_cancelled_merge_is_done_or_not_begun(checkout: Project, scratch: Scratch) -> None:
    base = await checkout.base()
    head = await checkout.work("rig/1/1-r", {"total.py": "fixed\n"})
    hooks = Path(await checkout.git.run("rev-parse", "--absolute-git-dir")) / "hooks"
    os.mkfifo(checkout.path.parent / "pushing")
    (hooks / "pre-receive").write_text(f"#!/bin/sh\necho > {checkout.path.parent}/pushing\n")
    (hooks / "pre-receive").chmod(0o755)
    merging = asyncio.create_task(merge_now(checkout, scratch, head, base))
    await asyncio.to_thread((checkout.path.parent / "pushing").read_text)
    for _ in range(3):  # however often
        merging.cancel()
        await asyncio.wait([merging], timeout=0)
    with pytest.raises(asyncio.CancelledError):
        await merging
    assert await find_merge(checkout.path, "main", head) == Found(await checkout.base(), base)
    assert await checkout.git.run("status", "--porcelain") == ""
