"""Running a program: its limits, its end, and that nothing of it stays behind."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from machine import process
from machine.process import Cut, Limits, SpawnFailed
from tests.support.clock import HOURS, hours_pass
from tests.support.waiting import until

ROOMY = Limits(wall_seconds=20, output_bytes=1_000_000)


async def sh(
    script: str,
    tmp_path: Path,
    limits: Limits = ROOMY,
    stdin: bytes | int = b"",
    on_output: Callable[[bytes], None] | None = None,
) -> process.Outcome:
    argv, env = ["/bin/sh", "-c", script], process.environment()
    return await process.run(argv, cwd=tmp_path, env=env, limits=limits, stdin=stdin, on_output=on_output)


def time_is_up(piece: bytes) -> None:
    """For a program that says when it is where its time may end."""
    if b"ready" in piece:
        hours_pass()


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[int]:
    """The reading end of a named pipe `alive`: it ends when the last process that opened the other is gone."""
    os.mkfifo(tmp_path / "alive")
    reader = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    yield reader
    os.close(reader)


@contextmanager
def held_from_birth(tmp_path: Path) -> Generator[int]:
    """The other end of `alive`, to be given as standard input to a program that may be stopped before it opens a file.

    It holds the pipe from the fork on. A pipe that nobody ever opened does not end: the kernel tells of the last
    writer's leaving only where there was a writer.
    """
    writer = os.open(tmp_path / "alive", os.O_WRONLY)
    try:
        yield writer
    finally:
        os.close(writer)


async def everyone_is_gone(reader: int) -> None:
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def look() -> None:
        if not os.read(reader, 100) and not ended.done():
            ended.set_result(None)

    loop.add_reader(reader, look)
    try:
        await ended
    finally:
        loop.remove_reader(reader)


async def test_a_program_ends_by_itself(tmp_path: Path) -> None:
    outcome = await sh("echo out; echo err >&2; pwd; exit 3", tmp_path)
    assert (outcome.exit_code, outcome.cut, outcome.ok) == (3, None, False)
    assert outcome.output == f"out\nerr\n{tmp_path}\n".encode()
    assert outcome.output_bytes == len(outcome.output)


async def test_success_is_exit_code_zero(tmp_path: Path) -> None:
    assert (await sh("true", tmp_path)).ok


async def test_death_by_a_signal_is_a_negative_exit_code(tmp_path: Path) -> None:
    assert (await sh("kill -9 $$", tmp_path)).exit_code == -9


async def test_errors_can_be_kept_apart(tmp_path: Path) -> None:
    outcome = await process.run(
        ["/bin/sh", "-c", "echo out; echo err >&2"],
        cwd=tmp_path,
        env=process.environment(),
        limits=ROOMY,
        separate_errors=True,
    )
    assert (outcome.output, outcome.errors) == (b"out\n", b"err\n")


async def test_a_large_input_reaches_a_program_that_answers_while_it_reads(tmp_path: Path) -> None:
    text = b"x" * 900_000
    outcome = await sh("cat", tmp_path, Limits(20, 10**6, kept_bytes=10**6), stdin=text)
    assert outcome.output == text


async def test_an_input_that_nobody_reads_is_no_error(tmp_path: Path) -> None:
    assert (await sh("exit 0", tmp_path, stdin=b"x" * 10**6)).ok


async def test_input_can_be_opened_by_its_name(tmp_path: Path) -> None:
    assert (await sh("cat /dev/stdin", tmp_path, stdin=b"hello")).output == b"hello"


async def test_standard_input_may_be_an_open_file(tmp_path: Path) -> None:
    (tmp_path / "given").write_bytes(b"hello")
    with (tmp_path / "given").open("rb") as given:
        outcome = await process.run(
            ["cat"], cwd=tmp_path, env=process.environment(), limits=ROOMY, stdin=given.fileno()
        )
    assert outcome.output == b"hello"


async def test_output_is_seen_while_the_program_runs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")

    def let_it_go_on(piece: bytes) -> None:
        if piece == b"first\n":
            (tmp_path / "go").write_text("on\n")

    outcome = await process.run(
        ["/bin/sh", "-c", "echo first; read go < go; echo $go"],
        cwd=tmp_path,
        env=process.environment(),
        limits=ROOMY,
        on_output=let_it_go_on,
    )
    assert outcome.output == b"first\non\n"


async def test_a_failing_listener_stops_the_program_and_is_heard(tmp_path: Path, fifo: int) -> None:
    def fail(piece: bytes) -> None:
        raise RuntimeError("listener broke")

    with pytest.raises(RuntimeError, match="listener broke"):
        await process.run(
            ["/bin/sh", "-c", "exec 3> alive; echo go; exec sleep 60"],
            cwd=tmp_path,
            env=process.environment(),
            limits=ROOMY,
            on_output=fail,
        )
    await everyone_is_gone(fifo)


async def test_a_hanging_program_is_stopped_with_its_children(tmp_path: Path, fifo: int) -> None:
    with held_from_birth(tmp_path) as alive:
        outcome = await sh("exec 3>&0; sleep 60 & sleep 60", tmp_path, Limits(0.2, 1000), stdin=alive)
    assert (outcome.cut, outcome.exit_code, outcome.ok) == (Cut.TIMED_OUT, -15, False)
    await everyone_is_gone(fifo)


async def test_a_program_may_tidy_up_when_its_time_is_over(tmp_path: Path) -> None:
    # One program that waits for the sign itself: a shell may hear it in the place of what it is about to exec.
    wait = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}); print('ready', flush=True); "
    wait += "signal.sigwait({signal.SIGTERM}); print('bye')"
    argv, limits = [sys.executable, "-c", wait], Limits(HOURS, 1000, grace_seconds=60)
    outcome = await process.run(argv, cwd=tmp_path, env=process.environment(), limits=limits, on_output=time_is_up)
    assert (outcome.output, outcome.exit_code, outcome.cut) == (b"ready\nbye\n", 0, Cut.TIMED_OUT)
    assert not outcome.ok


async def test_one_that_ignores_term_is_killed(tmp_path: Path, fifo: int) -> None:
    limits = Limits(HOURS, 1000, grace_seconds=0.2)
    script = "exec 3> alive; trap '' TERM; echo ready; while :; do sleep 1; done"
    outcome = await sh(script, tmp_path, limits, on_output=time_is_up)
    assert (outcome.cut, outcome.exit_code) == (Cut.TIMED_OUT, -9)
    await everyone_is_gone(fifo)


async def test_endless_output_is_cut_at_the_limit(tmp_path: Path) -> None:
    outcome = await sh("yes", tmp_path, Limits(HOURS, 100_000, grace_seconds=HOURS, kept_bytes=1000))
    assert outcome.cut is Cut.OUTPUT_LIMIT
    assert 100_000 < outcome.output_bytes < 1_000_000
    assert len(outcome.output) < 1100


async def test_endless_output_that_ignores_every_polite_sign_is_cut_too(tmp_path: Path) -> None:
    script = "import signal, os\nfor s in (signal.SIGTERM, signal.SIGPIPE): signal.signal(s, signal.SIG_IGN)\n"
    script += "while True:\n  try: os.write(1, b'y' * 60000)\n  except OSError: pass\n"
    outcome = await process.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=process.environment(),
        limits=Limits(20, 100_000, grace_seconds=0.2),
    )
    assert (outcome.cut, outcome.exit_code) == (Cut.OUTPUT_LIMIT, -9)
    assert outcome.output_bytes < 1_000_000


async def test_too_much_output_at_once_is_cut_although_the_program_has_exited(tmp_path: Path) -> None:
    outcome = await sh("head -c 2000 /dev/zero", tmp_path, Limits(20, 1000))
    assert outcome.cut is Cut.OUTPUT_LIMIT


async def test_of_long_output_head_and_tail_are_kept(tmp_path: Path) -> None:
    outcome = await sh("seq 1 20000", tmp_path, Limits(20, 10**6, kept_bytes=400))
    assert outcome.ok
    assert outcome.output.startswith(b"1\n2\n")
    assert outcome.output.endswith(b"19999\n20000\n")
    assert f"{outcome.output_bytes - 400} bytes left out".encode() in outcome.output


async def test_a_grandchild_that_keeps_the_pipe_does_not_hold_us_up(
    tmp_path: Path, fifo: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "LINGER_SECONDS", 0.2)
    outcome = await sh("exec 3> alive; sleep 60 & echo done", tmp_path)
    assert (outcome.ok, outcome.output) == (True, b"done\n")
    await everyone_is_gone(fifo)


async def test_a_grandchild_that_let_go_of_the_pipe_is_swept_too(tmp_path: Path, fifo: int) -> None:
    outcome = await sh("exec 3> alive; sleep 60 > /dev/null 2>&1 & echo done", tmp_path)
    assert outcome.ok
    await everyone_is_gone(fifo)


async def test_a_cancelled_run_leaves_nothing_behind(tmp_path: Path, fifo: int) -> None:
    started = asyncio.Event()
    running = asyncio.create_task(
        process.run(
            ["/bin/sh", "-c", "exec 3> alive; sleep 60 & echo go; sleep 60"],
            cwd=tmp_path,
            env=process.environment(),
            limits=ROOMY,
            on_output=lambda _: started.set(),
        )
    )
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await everyone_is_gone(fifo)


async def test_cancelled_at_its_very_start_it_leaves_nothing_behind(
    tmp_path: Path, fifo: int, caplog: pytest.LogCaptureFixture
) -> None:
    with held_from_birth(tmp_path) as alive:
        for turns in range(12):  # of the event loop: every point of starting a process
            running = asyncio.create_task(sh("exec 3>&0; sleep 60 & sleep 60", tmp_path, stdin=alive))
            for _ in range(turns):
                await asyncio.sleep(0)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
    await everyone_is_gone(fifo)
    assert caplog.records == []


async def test_a_cancellation_is_not_lost_on_a_program_that_ends_in_the_same_moment(tmp_path: Path) -> None:
    for pause in range(30):  # tenths of milliseconds: around the end of a program that does nothing
        running = asyncio.create_task(sh("true", tmp_path))
        await asyncio.sleep(pause / 10_000)
        if not running.done():
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running


async def test_cancelling_twice_does_not_wait_for_the_grace(tmp_path: Path, fifo: int) -> None:
    started, asked = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(
        process.run(
            ["/bin/sh", "-c", "exec 3> alive; trap 'echo asked' TERM; while :; do echo go; sleep 0.05; done"],
            cwd=tmp_path,
            env=process.environment(),
            limits=Limits(60, 10**6, grace_seconds=60),
            on_output=lambda piece: asked.set() if b"asked" in piece else started.set(),
        )
    )
    await started.wait()
    running.cancel()
    await asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await everyone_is_gone(fifo)


@pytest.mark.parametrize("own", [False, True])
async def test_a_program_is_of_our_session_unless_it_must_outlive_us(tmp_path: Path, own: bool) -> None:
    outcome = await process.run(
        [sys.executable, "-c", "import os; print(os.getsid(0), os.getpgid(0) == os.getpid())"],
        cwd=tmp_path,
        env=process.environment(),
        limits=ROOMY,
        own_session=own,
    )
    session, leads_its_group = outcome.output.split()
    assert (int(session) != os.getsid(0), leads_its_group) == (own, b"True")


@pytest.mark.parametrize(
    ("argv", "directory", "message"),
    [
        (["no-such-program-here"], ".", "program no-such-program-here: No such file"),
        (["./data"], ".", "program ./data: Permission denied"),
        (["true"], "missing", "working directory .*missing: No such file"),
        (["true", "a\0b"], ".", "cannot start true: embedded null byte"),
    ],
)
async def test_what_cannot_be_started_is_named(argv: list[str], directory: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no program")
    with pytest.raises(SpawnFailed, match=message):
        await process.run(argv, cwd=tmp_path / directory, env=process.environment(), limits=ROOMY)


def test_a_child_inherits_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_TOKEN", "GIT_DIR", "RIG_NATS_URL", "ANTHROPIC_API_KEY", "LC_ALL", "HOME"):
        monkeypatch.setenv(name, name)
    inherited = process.environment({"PROMPT": "x"})
    assert inherited["PROMPT"] == "x"
    assert inherited["LC_ALL"] == "LC_ALL"
    assert inherited["HOME"] == "HOME"
    assert not {"GITHUB_TOKEN", "GIT_DIR", "RIG_NATS_URL", "ANTHROPIC_API_KEY"} & inherited.keys()
    assert "PATH" in inherited


@pytest.mark.parametrize(
    ("output", "limit", "text"),
    [
        (b"plain\n", 100, "plain"),
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07bell\x07\0\r\n\tend", 100, "red bell\n\tend"),
        (b"first\nsecond\nthird\n", 10, "third"),
        (b"one long line", 4, "line"),
        ("ääää".encode(), 5, "ää"),
        (b"\xff\xfe ok", 100, "\ufffd\ufffd ok"),
    ],
)
def test_an_excerpt_is_clean_text(output: bytes, limit: int, text: str) -> None:
    assert process.excerpt(output, limit) == text
    assert len(process.excerpt(output, limit).encode()) <= max(limit, len(text.encode()))


async def test_one_that_cannot_be_killed_is_waited_for_no_longer_than_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "BURY_SECONDS", 0.05)
    kill, groups = os.killpg, set[int]()
    monkeypatch.setattr(os, "killpg", lambda group, number: groups.add(group))
    limits = Limits(wall_seconds=HOURS, output_bytes=1000, grace_seconds=0.05)
    outcome = await sh("echo ready; exec sleep 3600", tmp_path, limits, on_output=time_is_up)
    assert (outcome.cut, outcome.exit_code) == (Cut.TIMED_OUT, -9)
    assert "has not gone after 0.05 s" in caplog.text
    (group,) = groups
    kill(group, signal.SIGKILL)
    await until(lambda: not Path(f"/proc/{group}").exists())
