"""`rig demo` as a user runs it: from nothing to a merge, and nothing left but what was to be kept."""

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from deploy.demo import play, project
from deploy.demo.show import Show
from deploy.failures import DeployFailed
from machine import sessions
from tests.support.rig import RIG, at_work_on, environment, rig
from tests.support.shop import git


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo puts what it does not keep."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return place


def test_two_tries_one_merge_and_the_repository_is_kept(tmp_path: Path, temporary: Path):
    shop = tmp_path / "kept" / "shop"
    done = rig(tmp_path / "home", "demo", "--json", "--keep", str(shop))
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)  # one document and nothing else
    assert outcome == {
        "state": "done",
        "attempts": 2,
        "merge_sha": git(shop, "rev-parse", "main"),
        "events": outcome["events"],
        "seconds": outcome["seconds"],
        "repository": str(shop),
        "issue": "demo/shop#1",
    }
    assert outcome["events"] > 20
    assert outcome["seconds"] > 0
    assert git(shop, "log", "-1", "--format=%P").count(" ") == 1, "main is at a merge"
    assert git(shop, "status", "--porcelain", "--branch") == "## main"
    subprocess.run([sys.executable, "-m", "unittest"], cwd=shop, capture_output=True, check=True)
    assert "\033" not in done.stderr, "no colours and no spinner without a terminal"
    assert not (tmp_path / "home").exists(), "a rig of the user's own is not touched"
    assert list(temporary.iterdir()) == []
    assert at_work_on(temporary) == []


def test_for_people_it_ends_with_a_timeline(tmp_path: Path, temporary: Path):
    fix = tmp_path / "fix.py"
    fix.write_text(
        "import pathlib, sys\n"
        "assert 'ten percent of the sum' in sys.stdin.read()\n"
        "cart = pathlib.Path('cart.py')\n"
        "cart.write_text(cart.read_text().replace('- discount_percent', '- sum(prices) * discount_percent // 100'))\n"
    )
    done = rig(tmp_path / "home", "demo", "--coder", f"command: {sys.executable} {fix}")
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stdout.splitlines()]
    assert [words[0] for words in told[:3]] == ["1", "2", "3"], "the log's own positions"
    assert any("merged" in words for words in told)
    assert "demo/shop#1 is done: 1 attempt, merged as " in done.stdout
    assert list(temporary.iterdir()) == []


@pytest.mark.full
def test_a_coder_that_cannot_do_it_ends_with_a_failure(tmp_path: Path, temporary: Path):
    failed = rig(tmp_path / "home", "demo", "--json", "--coder", "command: false")
    assert failed.returncode == 1, failed.stderr
    outcome = json.loads(failed.stdout)
    assert (outcome["state"], outcome["attempts"], outcome["merge_sha"]) == ("escalated", 3, None)
    assert list(temporary.iterdir()) == []


def test_ctrl_c_stops_everything(tmp_path: Path, temporary: Path):
    process = subprocess.Popen(
        [RIG, "demo", "--coder", "command: sleep 60"],
        env=environment(tmp_path / "home"),
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        assert any("works on it" in line for line in process.stderr)
        session = [line for line in at_work_on(temporary) if "nats-server" in line]
        assert len(session) == 1
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait() == 128 + signal.SIGINT
    assert "Traceback" not in said
    assert list(temporary.iterdir()) == []
    assert at_work_on(temporary) == []
    assert sessions.members(process.pid) == []


def test_at_a_terminal_its_moving_line_is_one_line_however_narrow_that_is(monkeypatch: pytest.MonkeyPatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "30")
    with Show(quiet=True) as show:
        show.step("starting the servers and the roles, one after another")
    assert " starting the servers and th…\n" in terminal.getvalue()


@pytest.mark.full  # it waits for longer than any step may take
async def test_when_nothing_moves_any_more_it_says_so_and_shows_the_logs(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(play, "SCRIPTED_PATIENCE_SECONDS", 6)  # every step before the one that hangs is quicker
    monkeypatch.setattr(project, "SCRIPT", '[[issue]]\n[[issue.attempt]]\nstep = [{ do = "hang" }]\n')
    with Show(quiet=True) as show, pytest.raises(DeployFailed) as stalled:
        await play.play(show, keep=None, coder=None)
    assert str(stalled.value).startswith("nothing has moved for 6 s; demo/shop#1 is in progress\n")
    assert "the end of dev-e-1.log:" in str(stalled.value)
    assert "works on it" in capsys.readouterr().err
    assert os.listdir(temporary) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--keep", "full"], "full: is not empty"),
        (["--keep", "full/file"], "not a directory"),
        (["--coder", "scripted:nowhere.toml"], "nowhere.toml: cannot be read"),
        (["--coder", "nobody"], "'nobody' names no coder"),
    ],
)
def test_what_is_asked_wrongly_is_named_and_nothing_is_started(tmp_path: Path, arguments: list[str], said: str):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    refused = rig(tmp_path / "home", "demo", *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
