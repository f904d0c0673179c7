"""What the guard's hook wrote down that it kept from being done."""

from pathlib import Path

from agents.coders.lines import record
from agents.guard.blocked import Blocked

MOST = 50


def noted(notes: Path) -> tuple[Blocked, ...]:
    """The first of them; nothing where there is no file."""
    try:
        lines = notes.read_bytes().splitlines()
    except OSError:
        return ()
    read = (record(line, Blocked) for line in lines)
    return tuple(blocked for blocked in read if blocked is not None)[:MOST]
