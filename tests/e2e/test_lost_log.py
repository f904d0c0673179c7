"""A rig whose log comes back from an old backup, as its operator sees it: refused, put back, and it goes on."""

import json
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.rig import rig, up
from tests.support.shop import git, new_repository

CODER = "command: cp /proc/sys/kernel/random/uuid one-more-change.txt"


def told(home: Path, *arguments: str) -> Any:
    """What a command says in JSON."""
    done = rig(home, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def made(home: Path, title: str) -> str:
    """An issue, from the wish to the merge."""
    issue = rig(home, "issue", "add", "shop", "--title", title).stdout.split()[0]
    until = time.monotonic() + 120
    while told(home, "issue", issue)["state"] != "done":
        assert time.monotonic() < until, told(home, "issue", issue)
        time.sleep(0.2)
    return issue


@pytest.mark.full  # tests/integration/test_restore.py shows each part of it in every run
def test_a_log_from_an_old_backup_is_refused_put_back_and_goes_on(tmp_path: Path) -> None:
    home, path = tmp_path / "home", new_repository(tmp_path / "shop", {"README": "a shop\n"})
    files, backup = home / "nats" / "jetstream", tmp_path / "backup"
    with up(home, "--coder", CODER) as running:
        running.until("ready")
        assert rig(home, "repo", "add", str(path), "--check", "true").returncode == 0
        made(home, "First")
        old = told(home, "status")["log_position"]
        assert running.stop() == 0
    shutil.copytree(files, backup)
    with up(home, "--coder", CODER) as running:
        running.until("ready")
        made(home, "Second")
        end = told(home, "status")["position"]
        now = datetime.now(UTC).isoformat()
        as_it_was = told(home, "at", str(end)), told(home, "at", now)
        assert running.stop() == 0

    shutil.rmtree(files)
    shutil.copytree(backup, files)
    refused = rig(home, "up", "--coder", CODER)
    assert refused.returncode == 1
    assert "the log lacks positions" in refused.stderr
    assert "run `rig restore`" in refused.stderr
    looked = rig(home, "restore", "--check", "--json")
    assert looked.returncode == 1, "something is missing"
    loss = json.loads(looked.stdout)["loss"]
    assert loss["missing"] == [[loss["end"] + 1, loss["read"]]]
    assert loss["end"] >= old
    assert loss["read"] >= end

    done = rig(home, "restore")
    assert done.returncode == 0, done.stderr
    assert f"positions {loss['end'] + 1} to {loss['read']} are back" in done.stdout
    with up(home, "--coder", CODER) as running:
        running.until("ready")
        assert rig(home, "verify").returncode == 0
        assert (told(home, "at", str(end)), told(home, "at", now)) == as_it_was
        made(home, "Third")
        assert git(path, "log", "--merges", "--format=%s", "main").count("\n") == 2, "three merges"
        assert [issue["attempts"] for issue in told(home, "issues")["issues"]] == [1, 1, 1], "nothing is done again"
        assert rig(home, "verify").returncode == 0
        assert running.stop() == 0
