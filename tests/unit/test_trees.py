"""remove_tree takes away whatever a program may have left, and says what it could not."""

import errno
import os
from pathlib import Path

import pytest

from machine.trees import remove_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_text("x")
    (root / "top").write_text("x")
    return root


def test_a_tree_is_removed(tree: Path) -> None:
    assert remove_tree(tree) is None
    assert not tree.exists()


def test_nothing_there_is_no_error(tmp_path: Path) -> None:
    assert remove_tree(tmp_path / "absent") is None


def test_deeper_than_the_stack_and_than_any_path_the_system_takes(tree: Path) -> None:
    here = os.open(tree, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("dddd", dir_fd=here)
        below = os.open("dddd", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert remove_tree(tree) is None
    assert not tree.exists()


def test_directories_that_cannot_be_written_or_read_are_removed_too(tree: Path) -> None:
    (tree / "a" / "b" / "closed").mkdir()
    (tree / "a" / "b" / "closed" / "file").write_text("x")
    (tree / "a" / "b" / "closed").chmod(0)
    (tree / "a" / "b").chmod(0o500)
    (tree / "a").chmod(0o500)
    tree.chmod(0o500)
    assert remove_tree(tree) is None
    assert not tree.exists()


def test_links_are_removed_and_not_followed(tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (tree / "a" / "link").symlink_to(outside)
    (tree / "loop").symlink_to(tree)
    (tree / "dangling").symlink_to("nowhere")
    assert remove_tree(tree) is None
    assert not tree.exists()
    assert outside.stat().st_mode & 0o777 == 0o500


def test_the_path_itself_may_be_a_link_or_a_file(tree: Path) -> None:
    link = tree.parent / "link"
    link.symlink_to(tree)
    assert remove_tree(link) is None
    assert not link.is_symlink()
    assert remove_tree(tree / "top") is None
    assert (tree / "a" / "b" / "file").exists()


def test_what_cannot_be_removed_is_said_and_the_rest_is_gone(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink = os.unlink

    def refuse(path: str, *, dir_fd: int | None = None) -> None:
        if path == "file":
            raise PermissionError(13, "immutable", path)
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuse)
    assert isinstance(remove_tree(tree), PermissionError)
    assert not (tree / "top").exists()


def test_a_program_that_still_writes_in_it_does_not_save_it(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rmdir, late = Path.rmdir, iter(["late-1", "late-2"])

    def just_too_early(path: Path) -> None:
        for name in late:
            (path / name).mkdir()
            break
        rmdir(path)

    monkeypatch.setattr(Path, "rmdir", just_too_early)
    assert remove_tree(tree) is None
    assert not tree.exists()


def test_a_program_that_never_ceases_to_write_is_left_behind(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rmdir = Path.rmdir

    def always_too_early(path: Path) -> None:
        (path / "late").mkdir()
        rmdir(path)

    monkeypatch.setattr(Path, "rmdir", always_too_early)
    left = remove_tree(tree)
    assert left is not None
    assert left.errno == errno.ENOTEMPTY
