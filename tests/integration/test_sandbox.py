"""What a coder can see and change from within bubblewrap, where the kernel allows it at all."""

import asyncio
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agents.dev_e import run_dev_e
from bus import Bus
from deploy.embedded.nats import NatsServer
from deploy.settings import Settings
from machine import sandbox
from machine.git import Git, Identity
from machine.sandbox import NoSandbox, Sandbox, Sandboxing
from schemas import Actor, ChecksFailed, FailureKind, Invalid, WorkFailed
from tests.support import sandboxes
from tests.support.agents import new_rig
from tests.support.forge import data, forge
from tests.support.forge import new_rig as new_forge
from tests.support.servers import connected
from tests.support.waiting import until


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> str:
    return sandboxes.bubblewrap(monkeypatch)


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
    kept = Sandbox(program=program, hidden=(tmp_path,), clone=git.directory)
    command = kept.around_coder(
        ["git", *identity, "commit", "--quiet", "--allow-empty", "-m", "Mine"], tmp_path / "tree", ()
    )
    done = run(command)
    assert (done.returncode, done.stderr) == (0, "")
    assert await git.run("log", "-1", "--format=%s", "work") == "Mine"
    log = run(kept.around_check(["git", "log", "-1", "--format=%s"], tmp_path / "tree"))
    assert (log.stdout, log.stderr) == ("Mine\n", "")


async def test_a_coder_of_dev_e_is_kept_in_it(program: str, tmp_path: Path) -> None:
    here = Path.home() / f"not-made-{os.getpid()}"
    script = f"cat secret key.txt; touch {here}; ls {tmp_path}; echo a + b > total.py; git add total.py; exit 3"
    (tmp_path / "secret").write_text("secret")
    async with new_rig(tmp_path) as rig:
        await rig.ask()
        rig.running = asyncio.ensure_future(
            run_dev_e(
                rig.bus,
                rig.life,
                name="dev-e-1",
                slots=1,
                coder=f"command: sh -c {shlex.quote(script)}",
                data_dir=tmp_path / "agents",
                sandbox=Sandbox(program=program, hidden=(tmp_path,)),
            )
        )
        _, failed = await rig.until(WorkFailed)
        assert "sh ended with exit code 3" in failed.detail
        assert "Read-only file system" in failed.detail
        assert failed.detail.endswith("\nagents")
        assert await rig.show(f"rig/1/1-{failed.run}") == "a + b"
    assert not here.exists()


async def test_a_worktree_that_says_it_is_anothers_brings_a_check_nowhere(program: str, tmp_path: Path) -> None:
    anns = Git(tmp_path / "ann", env=Identity("Ann", "ann@example.com").environment())
    anns.directory.mkdir()
    await anns.run("init", "--quiet", "--initial-branch=main")
    (tree := tmp_path / "tree").mkdir()
    (tree / ".git").write_text(f"gitdir: {anns.directory}/.git/worktrees/tree\n")
    hook = anns.directory / ".git" / "hooks" / "post-commit"
    hook.parent.mkdir(exist_ok=True)
    kept = Sandbox(program=program, hidden=(tmp_path,))
    for command in (kept.around_check(["touch", str(hook)], tree), kept.around_coder(["touch", str(hook)], tree, ())):
        assert run(command).returncode != 0
    assert not hook.exists()


LOOK = "cat {home}/secret; touch {outside}; cat total.py; touch made && git log -1 --format=%s && exit 3"
"""What a coder may have written into a test: it looks for a secret, and for a place to stay."""


async def test_the_check_of_dev_e_is_kept_in_it(program: str, tmp_path: Path) -> None:
    outside = Path.home() / f"not-made-{os.getpid()}"
    (tmp_path / "secret").write_text("the key")
    async with new_rig(tmp_path) as rig:
        await rig.adopt()
        await rig.serve(check=LOOK.format(home=tmp_path, outside=outside))
        await rig.approve()
        await rig.assign()
        coder, kept = "command: sh -c 'echo a + b > total.py'", Sandbox(program=program, hidden=(tmp_path,))
        rig.running = asyncio.ensure_future(
            run_dev_e(
                rig.bus, rig.life, name="dev-e-1", slots=1, coder=coder, data_dir=tmp_path / "agents", sandbox=kept
            )
        )
        _, failed = await rig.until(WorkFailed)
    assert failed.kind is FailureKind.CHECKS_FAILED
    said = failed.detail.splitlines()
    assert "the key" not in failed.detail
    assert "Read-only file system" in said[1]
    assert (said[2], said[-1]) == ("a + b", "exit code 3")
    assert not outside.exists()


async def test_the_check_of_the_forge_is_kept_in_it(program: str, tmp_path: Path, nats: NatsServer) -> None:
    outside = Path.home() / f"not-made-{os.getpid()}"
    (tmp_path / "secret").write_text("the key")

    async def connect(actor: Actor) -> Bus:
        return await connected(nats, actor)

    forged = await new_forge(tmp_path, connect, "bare")
    async with forge(forged, nats, Sandbox(program=program, hidden=(tmp_path,))):
        await forged.add_repository(LOOK.format(home=tmp_path, outside=outside))
        await forged.work({"total.py": "a + b\n"})
        failed = data(await forged.hear(ChecksFailed), ChecksFailed)
    said = failed.failed[0].excerpt.splitlines()
    assert "the key" not in failed.failed[0].excerpt
    assert "Read-only file system" in said[1]
    assert said[2:] == ["a + b", "Fix the total", "exit code 3"]
    assert not outside.exists()


def test_a_check_has_nobodys_login(program: str, worktree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(worktree.parent))
    (worktree.parent / ".claude").mkdir()
    (worktree.parent / ".claude" / "login").write_text("secret")
    kept, look = Sandbox(program=program), ["sh", "-c", "cat ~/.claude/login; echo mine > ~/.claude/login"]
    assert run(kept.around_check(look, worktree)).stdout == ""
    assert (worktree.parent / ".claude" / "login").read_text() == "secret"
    assert run(kept.around_coder(look, worktree, ())).stdout == "secret"
    assert (worktree.parent / ".claude" / "login").read_text() == "mine\n"


def test_nobody_in_it_reaches_a_persons_agents(
    program: str, worktree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, session = tmp_path / "agent", tmp_path / "session"
    session.mkdir()
    listening = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)]
    for one, place in zip(listening, (agent, session / "bus"), strict=True):
        one.bind(str(place))
        one.listen()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(session))
    monkeypatch.setenv("PATH", f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}")
    connect = "import socket, sys\nfor place in sys.argv[1:]:\n try:\n  socket.socket(socket.AF_UNIX).connect(place)\n"
    connect += "  print('reached')\n except OSError as error:\n  print(type(error).__name__)\n"
    argv = [sys.executable, "-c", connect, str(agent), str(session / "bus")]
    try:
        outside = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
        kept = sandbox.kept(Sandboxing.REQUIRED)
        assert kept is not None
        inside = [run(kept.around_coder(argv, worktree, ())), run(kept.around_check(argv, worktree))]
    finally:
        for one in listening:
            one.close()
    assert outside.stdout == "reached\nreached\n"
    assert [each.stdout for each in inside] == ["ConnectionRefusedError\nFileNotFoundError\n"] * 2


async def test_where_there_must_be_one_and_is_none_nobody_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sandbox.kept(Sandboxing.AUTO) is None
    with pytest.raises(NoSandbox):
        sandbox.kept(Sandboxing.OFFLINE)


@pytest.mark.parametrize(("line", "sandboxing"), [(None, Sandboxing.AUTO), ("off", Sandboxing.OFF)])
def test_it_is_a_setting(line: str | None, sandboxing: Sandboxing) -> None:
    environ = {"RIG_DISK_GIB": "2"} | ({} if line is None else {"RIG_SANDBOX": line})
    settings = Settings.read(environ)
    assert (settings.sandboxing, settings.disk_bytes) == (sandboxing, 2 * 1024**3)


def test_what_is_wrong_with_the_settings_is_said() -> None:
    with pytest.raises(Invalid) as refused:
        Settings.read({"RIG_SANDBOX": "on", "RIG_DISK_GIB": "0"})
    assert refused.value.problems == (
        "RIG_SANDBOX: 'on' is none of off, auto, required, offline",
        "RIG_DISK_GIB: '0' is not a number from 1 to 1000000",
    )


def test_secret_places_are_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".netrc").touch()
    assert sandbox.secret_places(tmp_path) == (tmp_path / ".ssh", tmp_path / ".netrc")
