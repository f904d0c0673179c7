"""Run one program: with limits, without leaks, without hanging. Whatever in Rig starts a program does it here.

What goes wrong elsewhere, and what is done about it here:
- A timed-out program works on beside its retry. Its whole process group gets TERM, after a grace KILL, and is
  waited for, also when the awaiting task is cancelled.
- A grandchild keeps the pipe and holds up the caller. Once the program itself has exited, the pipe has a short
  while; then what is left of the group is killed.
- A program that prints without end fills the memory. It is cut at a limit, and of much output only head and tail
  are kept.
- A program never reads its standard input and blocks the writer. Its input is a file.
- Every secret of this process is in the child's environment. `environment` copies an allow-list.

It is not a shell (see `checks` for the operator's own command line) and no sandbox: a program that opens a session
of its own leaves the group, and with it our reach.
"""

import asyncio
import enum
import logging
import os
import re
import signal
import subprocess
import tempfile
import time
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import cast

__all__ = ["Cut", "Limits", "Outcome", "SpawnFailed", "environment", "excerpt", "run"]

log = logging.getLogger(__name__)

LINGER_SECONDS = 1.0
"""How long a pipe may stay open after the program itself has exited."""

BURY_SECONDS = 30.0
"""How long a killed program is waited for: the kernel ends none that waits for a disk or a server of files."""

ALLOWED_VARIABLES = frozenset({"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR"})
"""What a child inherits unless told otherwise; a trailing `*` stands for any ending. No secrets, GIT_* or RIG_*."""

_NOTHING: Mapping[str, str] = MappingProxyType({})
_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


class SpawnFailed(Exception):
    """The program could not be started: it or its working directory is missing, or it is not executable."""


class Cut(enum.Enum):
    """Why a program was stopped before it ended by itself."""

    TIMED_OUT = "timed_out"
    OUTPUT_LIMIT = "output_limit"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use.

    A program that prints more than `output_bytes` is stopped; of what it printed, `kept_bytes` are kept (a quarter
    from its head, the rest from its tail). After TERM it has `grace_seconds` before KILL.
    """

    wall_seconds: float
    output_bytes: int
    grace_seconds: float = 5.0
    kept_bytes: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended. `exit_code` is negative when a signal ended it (`-15`: TERM)."""

    exit_code: int
    cut: Cut | None
    output: bytes
    """Standard output and error as they came, or standard output alone where errors were kept apart."""
    errors: bytes
    """Standard error where it was kept apart, else empty."""
    output_bytes: int
    """How much was printed in all, as far as it was read."""
    seconds: float

    @property
    def ok(self) -> bool:
        """The program ended by itself and says that all went well."""
        return self.exit_code == 0 and self.cut is None

    def excerpt(self, limit: int) -> str:
        """The end of the output, for people: see `excerpt`."""
        return excerpt(self.output, limit)


def excerpt(output: bytes, limit: int) -> str:
    """The last part of `output` as clean text of at most `limit` bytes of UTF-8.

    No terminal sequences, no control characters except newline and tab; whole lines where there are several.
    """
    text = _ESCAPE_SEQUENCE.sub("", output.decode("utf-8", "replace"))
    text = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc").strip()
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    text = encoded[len(encoded) - limit :].decode("utf-8", "ignore")
    _, newline, rest = text.partition("\n")
    return rest if newline and rest else text


def environment(extra: Mapping[str, str] = _NOTHING, *, allow: Collection[str] = ALLOWED_VARIABLES) -> dict[str, str]:
    """An environment for a child: what `allow` names of ours, and `extra` on top."""
    names = {name for name in allow if not name.endswith("*")}
    prefixes = tuple(name[:-1] for name in allow if name.endswith("*"))
    inherited = {k: v for k, v in os.environ.items() if k in names or k.startswith(prefixes)}
    return {"PATH": os.defpath, **inherited, **extra}


async def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    limits: Limits,
    stdin: bytes | int = b"",
    on_output: Callable[[bytes], None] | None = None,
    on_errors: Callable[[bytes], None] | None = None,
    separate_errors: bool = False,
    own_session: bool = False,
) -> Outcome:
    """Run `argv` to its end or to a limit; when this returns or raises, its process group is gone.

    (Or it was killed BURY_SECONDS ago and the kernel lets it not go: then that is in the log, and the exit code is -9.)

    `stdin` is what the program reads there, or the descriptor of an open file. `on_output` sees every piece of output
    as it comes, in the event loop: it must be quick. What it raises stops the program and is raised here. With
    `on_errors` standard error goes there, and is kept apart.
    `own_session` is for what must not be stopped half-way when this process dies: whoever sweeps up after us by our
    session does not reach it, and it ends by itself. Raises SpawnFailed.
    """
    began = time.monotonic()
    starting = asyncio.ensure_future(
        _spawn(
            argv,
            cwd=cwd,
            env=env,
            limits=limits,
            stdin=stdin,
            on_output=on_output,
            on_errors=on_errors,
            separate_errors=separate_errors or on_errors is not None,
            own_session=own_session,
        )
    )
    child = await _to_its_end(starting)
    try:
        try:
            cut = await child.over
        except BaseException:  # cancelled, or on_output failed: leave nothing running behind us
            await child.stop(limits.grace_seconds)
            raise
        if cut is None:
            await child.lingers(LINGER_SECONDS)
        else:
            await child.stop(limits.grace_seconds)
    finally:
        exit_code = await child.bury()
    if cut is None and child.seen > limits.output_bytes:
        cut = Cut.OUTPUT_LIMIT
    return Outcome(
        exit_code=exit_code,
        cut=cut,
        output=child.kept[1].content(),
        errors=child.kept[2].content(),
        output_bytes=child.seen,
        seconds=time.monotonic() - began,
    )


async def _to_its_end(starting: "asyncio.Future[_Child]") -> "_Child":
    """Wait for a start that is never cut off half-way: that would kill the program, and not what it has started.

    A cancellation meanwhile is raised where the child is waited for, so that it is stopped as any other.
    """
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        while not starting.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([starting])
        if starting.exception() is not None:
            raise
        return starting.result().cancelled()


async def _spawn(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    limits: Limits,
    stdin: bytes | int,
    on_output: Callable[[bytes], None] | None,
    on_errors: Callable[[bytes], None] | None,
    separate_errors: bool,
    own_session: bool,
) -> "_Child":
    loop = asyncio.get_running_loop()
    # A file and not a pipe: complete before anyone reads, never a deadlock, no error when nobody reads. (asyncio's
    # own pipe is a socket on some versions, which a program cannot open as /dev/stdin.)
    with tempfile.TemporaryFile() as given:
        if isinstance(stdin, bytes):
            given.write(stdin)
            given.seek(0)
        try:
            _, child = await loop.subprocess_exec(
                lambda: _Child(limits, {1: on_output, 2: on_errors or on_output}),
                *argv,
                cwd=cwd,
                env=dict(env),
                stdin=given if isinstance(stdin, bytes) else stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if separate_errors else subprocess.STDOUT,
                process_group=None if own_session else 0,
                start_new_session=own_session,
            )
        except OSError as error:
            culprit = f"working directory {cwd}" if error.filename == cwd else f"program {argv[0]}"
            raise SpawnFailed(f"cannot start {argv[0]}: {culprit}: {error.strerror}") from error
        except ValueError as error:  # a NUL inside an argument
            raise SpawnFailed(f"cannot start {argv[0]}: {error}") from error
    return child


class _Kept:
    """Head and tail of a stream, in bounded memory."""

    def __init__(self, limit: int) -> None:
        self._head_limit = limit // 4
        self._tail_limit = limit - self._head_limit
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0

    def add(self, data: bytes) -> None:
        room = self._head_limit - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        # Trim at twice the limit, not at each piece, so that the copying is amortised.
        if len(self._tail) > 2 * self._tail_limit:
            self._trim()

    def content(self) -> bytes:
        if len(self._tail) > self._tail_limit:
            self._trim()
        marker = f"\n… {self._left_out} bytes left out …\n".encode() if self._left_out else b""
        return bytes(self._head) + marker + bytes(self._tail)

    def _trim(self) -> None:
        excess = len(self._tail) - self._tail_limit
        del self._tail[:excess]
        self._left_out += excess


class _Child(asyncio.SubprocessProtocol):
    """One running program and its group: collects what it prints, and says when it is over."""

    def __init__(self, limits: Limits, heard: dict[int, Callable[[bytes], None] | None]) -> None:
        loop = asyncio.get_running_loop()
        self.over: asyncio.Future[Cut | None] = loop.create_future()
        """The program exited by itself (None), or must be stopped. Carries what on_output raised."""
        self.kept = {1: _Kept(limits.kept_bytes), 2: _Kept(limits.kept_bytes)}
        self.seen = 0
        self._gone: asyncio.Future[int] = loop.create_future()  # exited (the code), and its pipes are closed
        self._heard = heard
        self._output_limit = limits.output_bytes
        self._timer = loop.call_later(limits.wall_seconds, self._settle, Cut.TIMED_OUT)
        self._transport: asyncio.SubprocessTransport
        self._pid = 0

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self._pid = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.seen += len(data)
        self.kept[fd].add(data)
        if (heard := self._heard[fd]) is not None:
            try:
                heard(data)
            except Exception as error:  # noqa: BLE001 - raised again by run(), where a caller can see it
                self._heard = {1: None, 2: None}
                if not self.over.done():
                    self.over.set_exception(error)
        if self.seen > self._output_limit:
            self._settle(Cut.OUTPUT_LIMIT)
            self._close_pipes()  # a writer that ignores TERM prints no further either

    def process_exited(self) -> None:
        self._settle(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport.close()  # not before: closing a living child would race the loop for its exit status
        self._gone.set_result(cast(int, self._transport.get_returncode()))

    # what run() calls

    def cancelled(self) -> "_Child":
        """Itself; whoever waits for it to be over is cancelled, even when it is over already."""
        self.over = asyncio.get_running_loop().create_future()
        self.over.cancel()
        return self

    async def lingers(self, seconds: float) -> None:
        """Wait until the program has exited and its pipes are closed, but not longer than this."""
        await asyncio.wait([self._gone], timeout=seconds)

    async def stop(self, grace_seconds: float) -> None:
        """Ask the whole group to end and give it time to."""
        self._signal_group(signal.SIGTERM)
        await self.lingers(grace_seconds)

    async def bury(self) -> int:
        """Kill what is left of the group, let go of the pipes, wait for the program; its exit code."""
        self._timer.cancel()
        self._signal_group(signal.SIGKILL)
        self._close_pipes()
        await self.lingers(BURY_SECONDS)
        if not self._gone.done():
            log.warning("process %d was killed, and has not gone after %g s", self._pid, BURY_SECONDS)
            return -signal.SIGKILL
        return self._gone.result()

    def _close_pipes(self) -> None:
        for descriptor in self.kept:
            if (pipe := self._transport.get_pipe_transport(descriptor)) is not None:
                pipe.close()

    def _settle(self, cut: Cut | None) -> None:
        if not self.over.done():
            self.over.set_result(cut)

    def _signal_group(self, number: signal.Signals) -> None:
        # PermissionError is how macOS says that only zombies are left of a group.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)
