"""Asks a CLI something short about itself: its version, whether it is logged in."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from agents.coders.driver import CoderUnavailable
from machine import process
from machine.process import Limits, SpawnFailed

LIMITS = Limits(wall_seconds=60.0, output_bytes=1_000_000, grace_seconds=1.0)


class Answer(Struct, frozen=True):
    """What it said."""

    ok: bool
    output: str
    """Standard output alone, without white space around it."""


async def asked(argv: Sequence[str], place: Path, env: Mapping[str, str]) -> Answer:
    """The answer of a command that does no work, run in `place`. Raises CoderUnavailable when it gives none."""
    try:
        outcome = await process.run(argv, cwd=place, env=env, limits=LIMITS, separate_errors=True)
    except SpawnFailed as error:
        raise CoderUnavailable(f"{error}; install it, or mend RIG_CODER") from None
    if outcome.cut is not None:
        raise CoderUnavailable(f"{' '.join(argv[:3])} does not come to an end")
    return Answer(outcome.ok, outcome.output.decode("utf-8", "replace").strip())
