"""Run a repository's own check command and say how it ended.

The command is the operator's word (`rig repo add --check`), a line for `/bin/sh`. Text of an issue, a model or a diff
never becomes part of it; but what it runs is what a coder wrote, and so belongs in a sandbox as the coder does.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from machine import process
from machine.process import Cut, Limits
from machine.sandbox import Sandbox

__all__ = ["CheckConclusion", "CheckOutcome", "run_check"]

EXCERPT_BYTES = 4_000


class CheckConclusion(enum.Enum):
    """How a check ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    TIMED_OUT = "timed_out"
    OUTPUT_LIMIT = "output_limit"


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """A check's conclusion, and the end of its log for whoever must act on it (at most about 4 kB)."""

    conclusion: CheckConclusion
    excerpt: str
    seconds: float

    @property
    def passed(self) -> bool:
        return self.conclusion is CheckConclusion.SUCCESS


async def run_check(
    command: str, *, cwd: Path, limits: Limits, sandbox: Sandbox | None = None, readable: Iterable[Path] = ()
) -> CheckOutcome:
    """Run `command` in `cwd` within `limits`, and in a `sandbox` in which what is `readable` is not hidden.

    Raises SpawnFailed when `cwd` is missing.
    """
    argv = ("/bin/sh", "-c", command)
    kept = argv if sandbox is None else sandbox.around_check(argv, cwd, readable)
    outcome = await process.run(kept, cwd=cwd, env=process.environment(), limits=limits)
    log = outcome.excerpt(EXCERPT_BYTES)
    match outcome.cut:
        case Cut.TIMED_OUT:
            end = f"stopped: it ran longer than {limits.wall_seconds:g} seconds"
            conclusion = CheckConclusion.TIMED_OUT
        case Cut.OUTPUT_LIMIT:
            end = f"stopped: it printed more than {limits.output_bytes} bytes"
            conclusion = CheckConclusion.OUTPUT_LIMIT
        case None if outcome.exit_code == 0:
            end, conclusion = "", CheckConclusion.SUCCESS
        case None:
            end, conclusion = f"exit code {outcome.exit_code}", CheckConclusion.FAILURE
    return CheckOutcome(conclusion, "\n".join(part for part in (log, end) if part), outcome.seconds)
