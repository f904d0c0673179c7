"""When git was at work, as git itself says: every process of it leaves its first and its last moment in a directory.

Git's trace2 events, Unix times in seconds. What starting it costs is not in them: that is whoever starts it.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct


class _Event(Struct):
    event: str
    time: datetime


def asked_for(home: Path, traces: Path) -> None:
    """Has every git of a user with this home directory leave its times there."""
    traces.mkdir()
    (home / ".gitconfig").write_text(f'[trace2]\n\teventTarget = "{traces}"\n')


def at_work(traces: Path) -> list[tuple[float, float]]:
    """From when to when: each process, those that another git has started too."""
    decoder = msgspec.json.Decoder(_Event)
    found: list[tuple[float, float]] = []
    for trace in traces.iterdir():
        lines = trace.read_bytes().splitlines()
        first, last = decoder.decode(lines[0]), decoder.decode(lines[-1])
        if last.event in ("atexit", "signal"):
            found.append((first.time.timestamp(), last.time.timestamp()))
    return found


def covered(spans: Iterable[tuple[float, float]], since: float, until: float) -> float:
    """How much of that time one or more of the spans cover, in seconds."""
    total, reached = 0.0, since
    for begin, end in sorted(spans):
        if min(end, until) > max(begin, reached):
            total += min(end, until) - max(begin, reached)
            reached = min(end, until)
    return total
