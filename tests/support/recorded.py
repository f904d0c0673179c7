"""Recorded logs: what the conductor decided in every story, kept for each version of its rules.

`python -m tests.support.recorded` writes those of the rules as they are, where there are none yet. What is there is
never written again: decisions that come out differently are new rules, and take a new number (conductor.decide.RULES).
"""

import gzip
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from conductor.decide import RULES
from schemas import Envelope, decode, encode
from tests.support.story import Story

LOGS = Path(__file__).parents[1] / "golden" / "logs"
STORIES = Path(__file__).parents[1] / "simulation"


class RecordedLog(Struct, frozen=True):
    """One story: every event, as it was written."""

    story: str
    events: tuple[msgspec.Raw, ...]

    def history(self) -> list[tuple[int, Envelope | None]]:
        """As `replay` takes it."""
        return [(position, decode(bytes(event))) for position, event in enumerate(self.events, start=1)]


def file_of(rules: int) -> Path:
    return LOGS / f"rules-{rules}.jsonl.gz"


def read(rules: int) -> list[RecordedLog]:
    """The logs that were recorded under these rules."""
    lines = gzip.decompress(file_of(rules).read_bytes()).splitlines()
    return [msgspec.json.decode(line, type=RecordedLog) for line in lines]


def record() -> Iterator[RecordedLog]:
    """Every story that can be told by itself, told."""
    for file in sorted(STORIES.glob("test_*.py")):
        module = importlib.import_module(f"tests.simulation.{file.stem}")
        for name, story in vars(module).items():
            if name.startswith("test_") and inspect.isfunction(story) and _alone(story):
                told: list[Story] = []
                Story.told = told
                try:
                    story()
                finally:
                    Story.told = None
                for number, each in enumerate(told, start=1):
                    known_as = f"{file.stem}.{name}" + (f" ({number})" if len(told) > 1 else "")
                    yield RecordedLog(known_as, tuple(msgspec.Raw(encode(event)) for event in each.log))


def _alone(story: Callable[..., object]) -> bool:
    """Whether it is told the same way every time: it takes nothing, and nobody makes things up for it."""
    return not inspect.signature(story).parameters and not hasattr(story, "hypothesis")


def main() -> int:
    file = file_of(RULES)
    if file.exists():
        print(f"{file} is there already; what was recorded is not written again")
        return 1
    LOGS.mkdir(parents=True, exist_ok=True)
    lines = b"".join(msgspec.json.encode(log) + b"\n" for log in record())
    with file.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
        packed.write(lines)
    print(f"{file}: {len(lines.splitlines())} logs, {file.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
