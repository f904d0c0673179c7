"""Runs a coder that is a program: the prompt on its standard input, under all its clocks, and nothing left afterwards.

What is known of each way to hang, and to lie, is here; what a CLI's own records say is its driver's business. The
environment is an allow-list. It carries a mark, by which whatever the coder started is found and ended, in sessions of
its own too (see machine.marks).
"""

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from agents.coders.clocks import Clocks, Stopped
from agents.coders.driver import OnOutput, Result, Task
from agents.coders.lines import Lines
from machine import marks, process
from machine.process import ALLOWED_VARIABLES, Cut, Limits, Outcome
from schemas import FailureKind

GRACE_SECONDS = 2.0
"""Between TERM and KILL: less than whoever stops an agent gives it."""
EXCERPT_BYTES = 4_096
"""How much of the end of its output goes with a failure."""
TAIL_BYTES = 64 * 1024
MARK = "CODER_MARK"
NETWORK_VARIABLES = frozenset(
    {
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "NODE_EXTRA_CA_CERTS",
        "SSL_CERT_FILE",
    }
)
"""The way to its model."""


class Records(Protocol):
    """Reads what a CLI says of itself, a line at a time. Never trusts it: a line that makes no sense is passed over.

    It may raise CountedOut.
    """

    @property
    def over(self) -> bool:
        """It has said how it ended."""
        ...

    def line(self, line: bytes) -> str:
        """Takes a line in; what to show of it to whoever watches."""
        ...


class CountedOut(Exception):
    """It is to be stopped for what it does: the reason, for people. Raised by whoever reads its records."""

    def __init__(self, why: str, kind: FailureKind = FailureKind.GUARD) -> None:
        super().__init__(why)
        self.kind = kind


class Ended(Struct, frozen=True, kw_only=True):
    """How a program ended, as the machine saw it."""

    exit_code: int | None
    """None: it was stopped before."""
    stopped: Stopped | None
    counted_out: str = ""
    """Why it was stopped though no clock was up."""
    counted_as: FailureKind | None = None
    output: bytes
    """The end of what it said, errors included."""
    whole: bytes = b""
    """Head and tail of all that it said, where it keeps no records."""

    @property
    def excerpt(self) -> str:
        return process.excerpt(self.output, EXCERPT_BYTES) or "nothing"

    def how(self, task: Task) -> str:
        """For people, to follow the coder's name."""
        if self.counted_out:
            return f"was stopped: {self.counted_out}"
        if self.stopped is not None:
            return self.stopped.failure(task)[1]
        if self.exit_code is not None and self.exit_code < 0:
            return f"was ended by signal {-self.exit_code}"
        return f"ended with exit code {self.exit_code}"


def unsaid(name: str, ended: Ended, task: Task, *, came_up: bool, passed_over: int = 0) -> Result:
    """The result of a CLI that keeps records, and has not said how it ended: as the machine saw it."""
    if ended.counted_as is not None:
        kind = ended.counted_as
    elif ended.stopped is not None:
        kind = ended.stopped.failure(task)[0]
    else:  # one that never came up: its machine is not as it should be
        kind = FailureKind.SPAWN if not came_up and ended.exit_code else FailureKind.BUG
    passed = f", and {passed_over} lines were no records" if passed_over else ""
    how = f"{name} {ended.how(task)} without saying how it had ended{passed}. The end of what it said:\n{ended.excerpt}"
    return Result(failure=kind, detail=how)


class _Tail:
    def __init__(self) -> None:
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        self._kept += data[-TAIL_BYTES:]
        if len(self._kept) > 2 * TAIL_BYTES:
            del self._kept[:-TAIL_BYTES]

    def content(self) -> bytes:
        return bytes(self._kept[-TAIL_BYTES:])


def environment(extra: Mapping[str, str], variables: Collection[str]) -> dict[str, str]:
    """What a coder sees: the machine's usual, what is named of ours, and `extra`."""
    return process.environment(extra, allow=ALLOWED_VARIABLES | frozenset(variables))


def kept(argv: Sequence[str], task: Task, worktree: Path, home: Path) -> Sequence[str]:
    """The command as it is run for this task: in its sandbox, where it has one."""
    return argv if task.sandbox is None else task.sandbox.around_coder(argv, worktree, (home,))


async def sweep(home: Path) -> list[int]:
    """Ends whatever coders with this `home` have left running, here or when their agent was killed; who that was."""
    own = await marks.sweep(MARK, f"{home}:")
    return own + await marks.sweep(MARK, f"{home}/")  # of a chain's links, whose homes lie in it


async def run(
    argv: Sequence[str],
    task: Task,
    worktree: Path,
    *,
    home: Path,
    env: Mapping[str, str],
    on_output: OnOutput,
    records: Records | None = None,
) -> Ended:
    """Runs it to its end or to the first clock that is up. Raises SpawnFailed.

    With `records` its standard output is read line by line, and what they make of it is shown; else it is shown as it
    comes. Also when cancelled it returns only when nothing of the run is left.
    """
    mark = f"{home}:{secrets.token_hex(8)}"
    clocks, tail = Clocks(task, speaks=records is not None), _Tail()
    limits = Limits(task.wall_seconds, task.output_bytes, GRACE_SECONDS)
    heard, errors, ended = _listening(clocks, tail, on_output, records)
    try:
        outcome = await clocks.watch(
            process.run(
                kept(argv, task, worktree, home),
                cwd=worktree,
                env={**env, MARK: mark},
                limits=limits,
                stdin=task.prompt.encode("utf-8", "replace"),
                on_output=heard,
                on_errors=errors,
            )
        )
        ended()
    except CountedOut as why:
        return Ended(exit_code=None, stopped=None, counted_out=str(why), counted_as=why.kind, output=tail.content())
    finally:
        await marks.sweep(MARK, mark)
    if isinstance(outcome, Stopped):
        return Ended(exit_code=None, stopped=outcome, output=tail.content())
    return Ended(
        exit_code=outcome.exit_code if outcome.cut is None else None,
        stopped=_cut(outcome),
        output=tail.content(),
        whole=outcome.output,
    )


def _listening(
    clocks: Clocks, tail: _Tail, on_output: OnOutput, records: Records | None
) -> tuple[OnOutput, OnOutput | None, Callable[[], None]]:
    """Who hears standard output and, where it is told apart, standard error; and what is done when both have ended."""

    def plain(chunk: bytes) -> None:
        tail.add(chunk)
        clocks.heard()
        on_output(chunk)

    if records is None:
        return plain, None, lambda: None
    lines = Lines()

    def take(line: bytes) -> None:
        if shown := records.line(line):
            text = shown.encode("utf-8", "replace") + b"\n"
            tail.add(text)
            on_output(text)

    def read(chunk: bytes) -> None:
        clocks.heard()
        if clocks.stopped:  # what it says while it is being stopped is no record any more
            return
        for line in lines.feed(chunk):
            take(line)
            if records.over:
                clocks.settled()

    return read, plain, lambda: take(lines.rest())


def _cut(outcome: Outcome) -> Stopped | None:
    match outcome.cut:
        case Cut.TIMED_OUT:
            return Stopped.OVERTIME
        case Cut.OUTPUT_LIMIT:
            return Stopped.TOO_MUCH
        case None:
            return None
