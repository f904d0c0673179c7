"""A commit read as it is in git, and its change as a reviewer is shown it: nothing of the repository hides a line."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agents.review_e.change import Change
from agents.review_e.look import TooLarge, look
from agents.workspace import Workspace, WorkspaceFailed
from agents.workspace.reading import Reading
from machine.git import Identity
from schemas import RepoRef
from schemas.policy import Gates
from tests.support.shop import git, new_repository

SHOP = RepoRef("demo", "shop")
GATES = Gates()


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    files = {"a.py": "one\ntwo\nthree\n", "gone.py": "old\nolder\n", "swap": "a file\n", "run.sh": "true\n"}
    path = new_repository(tmp_path / "shop", {**files, "long.py": "".join(f"line {n}\n" for n in range(40))})
    git(path, "switch", "-q", "-c", "work")
    return path


def commit(shop: Path) -> str:
    git(shop, "add", "--all")
    git(shop, "commit", "-q", "-m", "A change")
    return git(shop, "rev-parse", "HEAD")


@asynccontextmanager
async def reading(shop: Path, head: str) -> AsyncIterator[Reading]:
    async with Workspace.taken(shop.parent / "agent", Identity("r", "r@example.org")) as workspace:
        async with workspace.reading(SHOP, str(shop), base="main", head=head) as opened:
            yield opened
        assert not list((shop.parent / "agent").glob("*/*/worktrees")), "nothing is checked out"


async def change(shop: Path, head: str, gates: Gates = GATES) -> Change:
    async with reading(shop, head) as opened:
        return await look(opened, gates)


async def test_every_kind_of_change_is_shown_by_file_and_line(shop: Path) -> None:
    (shop / "a.py").write_text("one\n2\nthree\nfour\n")
    (shop / "gone.py").unlink()
    (shop / "swap").unlink()
    (shop / "swap").mkdir()
    (shop / "swap" / "inner.py").write_text("inside\n")
    (shop / "run.sh").chmod(0o755)
    (shop / "long.py").rename(shop / "longer.py")
    (shop / "logo.png").write_bytes(b"\x89PNG\0\0")
    (shop / "link").symlink_to("/etc/passwd")
    (shop / "we\tird\u202e`` name.py").write_text("x\n")
    found = await change(shop, commit(shop))
    assert {file.heading: sorted(file.lines) for file in found.files} == {
        "a.py": [1, 2, 3, 4],
        "gone.py (deleted)": [1, 2],
        "link (a symbolic link)": [1],
        "logo.png (no text: it is not shown)": [],
        "longer.py (moved from long.py)": [],
        "run.sh (executable)": [],
        "swap (deleted)": [1],
        "swap/inner.py": [1],
        "we\tird<U+202E>`` name.py": [1],
    }
    assert found.file("swap").text.count("inside") == 0  # type: ignore[union-attr]
    assert (found.files_changed, found.lines_changed) == (10, 3 + 2 + 1 + 1 + 80 + 1 + 1)


@pytest.mark.parametrize("where", ["work", "main"])
async def test_no_attribute_of_the_repository_hides_a_file(shop: Path, where: str) -> None:
    git(shop, "switch", "-q", where)
    (shop / ".gitattributes").write_text("* -diff binary filter=x diff=y\n*.py linguist-generated\n")
    commit(shop)
    if where == "main":
        git(shop, "switch", "-q", "work")
        git(shop, "merge", "-q", "main")
    (shop / "a.py").write_text("one\nhidden\nthree\n")
    found = await change(shop, commit(shop))
    assert "     2 +hidden" in found.file("a.py").text  # type: ignore[union-attr]


async def test_what_went_on_at_the_base_is_no_part_of_the_change(shop: Path) -> None:
    (shop / "a.py").write_text("one\nours\nthree\n")
    head = commit(shop)
    git(shop, "switch", "-q", "main")
    (shop / "theirs.py").write_text("theirs\n")
    tip = commit(shop)
    async with reading(shop, head) as opened:
        assert (opened.base_tip, opened.base_sha) == (tip, git(shop, "merge-base", "main", "work"))
        assert [file.path for file in (await look(opened, GATES)).files] == ["a.py"]
        assert await opened.base_texts(["theirs.py", "none.py"]) == {"theirs.py": "theirs"}


@pytest.mark.parametrize(
    ("gates", "reason"),
    [
        (Gates(files_max=1), "it changes 2 files and 9 lines; at most 1 files and 500 lines"),
        (Gates(lines_max=8), "it changes 2 files and 9 lines; at most 20 files and 8 lines"),
        (Gates(files_max=2, lines_max=9), None),
    ],
)
async def test_a_change_beyond_the_policys_size_is_not_looked_at(shop: Path, gates: Gates, reason: str | None) -> None:
    (shop / "new.py").write_text("x\n" * 7)
    (shop / "a.py").write_text("one\n2\nthree\n")
    head = commit(shop)
    if reason is None:
        assert len((await change(shop, head, gates)).files) == 2
    else:
        with pytest.raises(TooLarge, match=reason):
            await change(shop, head, gates)


async def test_one_line_may_be_too_long(shop: Path) -> None:
    (shop / "new.py").write_text("x" * 500_000)
    with pytest.raises(TooLarge, match="longer than 400000 characters"):
        await change(shop, commit(shop))


async def test_a_head_that_no_branch_has_is_fetched_by_its_id(shop: Path) -> None:
    (shop / "a.py").write_text("from a fork\n")
    head = commit(shop)
    git(shop, "update-ref", "refs/pull/7/head", head)
    git(shop, "switch", "-q", "main")
    git(shop, "branch", "-q", "-D", "work")
    assert [file.path for file in (await change(shop, head)).files] == ["a.py"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda shop: "f" * 40, "cannot read|has no commit"),
        (lambda shop: git(shop, "commit-tree", "-m", "x", git(shop, "write-tree")), "nothing in common"),
    ],
)
async def test_what_cannot_be_read_is_said(shop: Path, make: Callable[[Path], str], reason: str) -> None:
    with pytest.raises(WorkspaceFailed, match=reason):
        await change(shop, make(shop))
