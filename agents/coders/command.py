"""The driver for any program: the prompt on its standard input, the worktree as its directory.

Its exit and its diff are the result. What it prints is read only where the operator says that it ends with a record of
what it used (`metered`): a model's words must set no price. It gets no secret of ours: the environment is an
allow-list, and whatever else it needs is the operator's to say (`command: env TOKEN=… my-coder`).
"""

import os
from collections.abc import Sequence
from pathlib import Path

from agents.coders.clocks import unless_silent
from agents.coders.driver import Checked, CoderUnavailable, Forgetful, OnOutput, Result, Task, Usage
from agents.coders.usage import usage_said
from machine import process
from machine.process import Cut, Limits, Outcome, SpawnFailed
from schemas import FailureKind

GRACE_SECONDS = 2.0
"""Between TERM and KILL: less than whoever stops an agent gives it."""
EXCERPT_BYTES = 4_096
"""How much of the end of its output goes with a failure."""


class CommandDriver(Forgetful):
    """Runs `argv`, whose first item is the absolute path of a program."""

    def __init__(self, argv: Sequence[str], *, metered: bool = False) -> None:
        self._argv = tuple(argv)
        self._metered = metered

    @property
    def provider(self) -> str:
        return Path(self._argv[0]).name

    async def check(self) -> Checked:
        if not os.access(self._argv[0], os.X_OK):
            raise CoderUnavailable(f"the coder {self._argv[0]} cannot be run any more; install it, or mend RIG_CODER")
        return Checked()  # an unknown program cannot be asked for its version without running it

    async def run(self, task: Task, worktree: Path, *, home: Path, on_output: OnOutput) -> Result:
        async def work(heard: OnOutput) -> Result:
            try:
                outcome = await process.run(
                    self._argv,
                    cwd=worktree,
                    env=process.environment(),
                    limits=Limits(task.wall_seconds, task.output_bytes, GRACE_SECONDS),
                    stdin=task.prompt.encode(),
                    on_output=heard,
                )
            except SpawnFailed as error:
                return Result(failure=FailureKind.SPAWN, detail=str(error))
            return self._judge(outcome, task)

        return await unless_silent(work, task, on_output)

    def _judge(self, outcome: Outcome, task: Task) -> Result:
        usage = usage_said(outcome.output) if self._metered else Usage()
        match outcome.cut:
            case Cut.TIMED_OUT:
                failure, how = FailureKind.TIMED_OUT, f"was stopped after {task.wall_seconds:g} s"
            case Cut.OUTPUT_LIMIT:
                failure, how = FailureKind.GUARD, f"was stopped after printing {task.output_bytes} bytes"
            case None if outcome.exit_code:
                failure, how = FailureKind.BUG, f"ended with exit code {outcome.exit_code}"
            case None:
                return Result(usage=usage)
        said = outcome.excerpt(EXCERPT_BYTES) or "nothing"
        return Result(failure=failure, detail=f"{self.provider} {how}. The end of what it said:\n{said}", usage=usage)
