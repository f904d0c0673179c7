"""Git, run the one way: real repositories, a hostile environment, hostile text."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from machine.git import Git, GitError, Identity, branch_ref, sha
from machine.process import Limits

ADA = Identity("Ada", "ada@example.org")


@pytest.fixture
async def repository(tmp_path: Path) -> Path:
    await Git(tmp_path).run("init", "-q", "-b", "main", "shop")
    return tmp_path / "shop"


async def commit(directory: Path, message: str, at: datetime | None = None) -> str:
    git = Git(directory, env=ADA.environment(at))
    await git.run("commit", "-q", "--allow-empty", "-m", message)
    return await git.run("rev-parse", "HEAD")


async def test_an_answer_comes_without_its_newline(repository: Path) -> None:
    assert await Git(repository).run("rev-parse", "--show-prefix", "--is-bare-repository") == "\nfalse"


async def test_a_failure_names_the_command_the_repository_and_what_git_said(repository: Path) -> None:
    with pytest.raises(GitError, match=r"git switch nowhere failed in .*shop \(exit code 128\): fatal: invalid") as e:
        await Git(repository).run("switch", "nowhere")
    assert (e.value.exit_code, e.value.directory, e.value.command) == (128, repository, ("switch", "nowhere"))


async def test_git_is_cut_at_its_limits(repository: Path) -> None:
    git = Git(repository, limits=Limits(wall_seconds=0.2, output_bytes=1000))
    with pytest.raises(GitError, match=r"\(timed_out\): it said nothing"):
        await git.run("-c", "alias.hang=!sleep 60", "hang")


async def test_the_surrounding_git_environment_does_not_count(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Mallory")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    await commit(repository, "first")
    assert await Git(repository).run("log", "--format=%an <%ae>, %cn <%ce>") == (
        "Ada <ada@example.org>, Ada <ada@example.org>"
    )


async def test_the_users_wish_to_sign_does_not_stop_a_program(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".gitconfig").write_text("[commit]\n\tgpgSign = true\n[gpg]\n\tprogram = /bin/false\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    head = await commit(repository, "first")
    assert await Git(repository).run("log", "-1", "--format=%G?", head) == "N", "it has no signature"


async def test_a_directory_inside_a_repository_is_not_that_repository(repository: Path) -> None:
    (repository / "part").mkdir()
    with pytest.raises(GitError, match="not a git repository"):
        await Git(repository / "part").run("rev-parse", "--git-dir")


async def test_equal_commits_at_equal_times_have_equal_ids(repository: Path, tmp_path: Path) -> None:
    await Git(tmp_path).run("init", "-q", "other")
    at = datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    first = await commit(repository, "same", at)
    assert await commit(tmp_path / "other", "same", at) == first
    assert await Git(repository).run("log", "--format=%aI %cI") == "2030-01-02T03:04:05+02:00 2030-01-02T03:04:05+02:00"
    utc = Identity("Ada", "a@b").environment(datetime(2030, 1, 1, tzinfo=UTC))
    assert utc["GIT_AUTHOR_DATE"] == "@1893456000 +0000"


async def test_yes_no_and_neither(repository: Path) -> None:
    first, second = await commit(repository, "first"), await commit(repository, "second")
    git = Git(repository)
    assert await git.is_ancestor(first, second)
    assert await git.is_ancestor(first, first)
    assert not await git.is_ancestor(second, first)
    with pytest.raises(GitError):
        await git.is_ancestor("f" * 40, first)


async def test_a_commit_is_found_by_what_names_it(repository: Path) -> None:
    head = await commit(repository, "first")
    git = Git(repository)
    assert await git.commit_id(branch_ref("main")) == head
    assert await git.commit_id(head) == head
    for nothing in (branch_ref("gone"), "f" * 40, "--help", "--git-dir", "", "-", "a b", "HEAD~7"):
        assert await git.commit_id(nothing) is None


@pytest.mark.parametrize("text", ["", "HEAD", "--all", "f" * 39, "f" * 41, "F" * 40, "f" * 40 + "\n"])
def test_only_a_full_commit_id_is_one(text: str) -> None:
    with pytest.raises(ValueError, match="not a full commit id"):
        sha(text)


@pytest.mark.parametrize("length", [40, 64])
def test_both_lengths_of_commit_ids_are_known(length: int) -> None:
    assert sha("0" * length) == "0" * length
