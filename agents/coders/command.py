"""The driver for any program: the prompt on its standard input, the worktree as its directory.

Its exit and its diff are the result. What it prints is read only where the operator says that it ends with a record of
what it used (`metered`): a model's words must set no price. It gets no secret of ours: the environment is an
allow-list, and whatever else it needs is the operator's to say (`command: env TOKEN=… my-coder`).
"""

import os
from collections.abc import Sequence
from pathlib import Path

from agents.coders import program
from agents.coders.driver import NOTHING, Checked, CoderUnavailable, Forgetful, OnOutput, Result, Task, Usage
from agents.coders.program import Ended
from agents.coders.usage import usage_said
from machine.process import SpawnFailed
from schemas import FailureKind


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
        env = program.environment({}, ())
        try:
            ended = await program.run(self._argv, task, worktree, home=home, env=env, on_output=on_output)
        except SpawnFailed as error:
            return Result(failure=FailureKind.SPAWN, detail=str(error), usage=NOTHING)
        return self._judge(ended, task)

    def _judge(self, ended: Ended, task: Task) -> Result:
        usage = usage_said(ended.whole or ended.output) if self._metered else Usage()
        if ended.exit_code == 0:
            return Result(usage=usage)
        failure = FailureKind.BUG if ended.stopped is None else ended.stopped.failure(task)[0]
        detail = f"{self.provider} {ended.how(task)}. The end of what it said:\n{ended.excerpt}"
        return Result(failure=failure, detail=detail, usage=usage)
