"""Pieces of the coders: lines out of pieces, files in a home, processes by their mark."""

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.coders import logins
from agents.coders.homes import NotInside, bring, within
from agents.coders.lines import Lines
from machine import marks
from tests.support.waiting import until_gone

ENDS = datetime(2030, 1, 24, 11, 11, 47, tzinfo=UTC)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_are_the_same_however_the_pieces_fall(size: int) -> None:
    text = b"one\n\ntwo\r\nlong line\nrest"
    lines = Lines()
    read = [line for at in range(0, len(text), size) for line in lines.feed(text[at : at + size])]
    assert read == [b"one", b"", b"two\r", b"long line"]
    assert lines.rest() == b"rest"


def test_a_line_that_is_too_long_is_dropped_whole() -> None:
    lines = Lines(longest=8)
    pieces = (b"fine\nmuch to", b"o long, and", b" longer still\n", b"fine ag", b"ain: no\nyes\n")
    assert [line for piece in pieces for line in lines.feed(piece)] == [b"fine", b"yes"]
    assert lines.dropped == 2


@pytest.mark.parametrize("part", ["", ".", "..", "a/b", "/etc", "a\0b", "../x"])
def test_no_name_leads_out_of_a_home(part: str) -> None:
    with pytest.raises(NotInside):
        within("projects", part)


def test_a_file_is_brought_with_its_directories_and_for_its_owner_alone(tmp_path: Path) -> None:
    bring(tmp_path, Path("projects", "x", "s.jsonl"), b"one")
    bring(tmp_path, Path("projects", "x", "s.jsonl"), b"two")
    assert (tmp_path / "projects/x/s.jsonl").read_bytes() == b"two"
    assert (tmp_path / "projects/x/s.jsonl").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path / "projects/x") == ["s.jsonl"]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the system does not tell environments")
def test_a_mark_finds_what_left_its_group_and_its_session(tmp_path: Path) -> None:
    env = {**os.environ, "A_MARK": f"{tmp_path}:1"}
    hold = [sys.executable, "-I", "-S", "-c", "print('up', flush=True); import time; time.sleep(3600)"]
    marked = [subprocess.Popen(hold, env=env, stdout=subprocess.PIPE, start_new_session=new) for new in (True, False)]
    other = subprocess.Popen(hold, env={**env, "A_MARK": f"{tmp_path}x:1"}, stdout=subprocess.PIPE)
    try:
        for child in (*marked, other):
            assert child.stdout is not None
            assert child.stdout.readline() == b"up\n"
        with pytest.MonkeyPatch.context() as patch:  # as one that waits for a disk takes it
            patch.setattr(os, "kill", lambda pid, number: None)
            patch.setattr(marks, "PATIENCE_SECONDS", 0.05)
            assert asyncio.run(marks.sweep("A_MARK", f"{tmp_path}:")) == sorted(child.pid for child in marked)
        assert all(child.poll() is None for child in marked)
        assert asyncio.run(marks.sweep("A_MARK", f"{tmp_path}:")) == sorted(child.pid for child in marked)
        until_gone(*(child.pid for child in marked))
        assert other.poll() is None
        assert marks.bearers("A_MARK", f"{tmp_path}:") == []
    finally:
        for child in (*marked, other):
            child.kill()
            child.communicate()


def test_a_login_that_is_another_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    nobody, key = logins.mark(None, file=file), logins.mark("sk-secret", file=file)
    file.write_text("{}")
    os.utime(file, ns=(1, 1))
    first = logins.mark(None, file=file)
    os.utime(file, ns=(2, 2))
    assert len({nobody, key, first, logins.mark(None, file=file)}) == 4
    assert "secret" not in key


@pytest.mark.parametrize(
    ("content", "expires"),
    [
        (
            '{"claudeAiOauth": {"accessToken": "x", "expiresAt": 1895483507000}}',
            ENDS,
        ),
        ('{"claudeAiOauth": {"accessToken": "x", "refreshToken": "y", "expiresAt": 1895483507000}}', None),
        ('{"claudeAiOauth": {"accessToken": "x", "expiresAt": 1e300}}', None),
        ("{}", None),
        ("[", None),
    ],
)
def test_a_login_that_does_not_renew_itself_says_when_it_ends(
    tmp_path: Path, content: str, expires: datetime | None
) -> None:
    (tmp_path / "credentials").write_text(content)
    assert logins.claude_expires(tmp_path / "credentials") == expires
    assert logins.claude_expires(tmp_path / "gone") is None
