"""What was put back into the log keeps the time at which it was stored first.

The server stamps whatever it stores, also what is put back (`reseed.py`). So that carries its first time in a header;
and the log's configuration, which no role may change, says at which positions the header is believed: anybody may
write one.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final, TypeAlias, cast

HEADER: Final = "Rig-Stored-At"
METADATA: Final = "rig_restored"
"""Of the log's configuration: `1-4096,5000-5010`."""
Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Positions, the first and the last of each range."""


def ranges(config: Mapping[str, object]) -> Ranges:
    """Which positions were put back, by a stream's configuration. What is no range is none."""
    metadata = config.get("metadata")
    said = cast("dict[str, object]", metadata).get(METADATA) if isinstance(metadata, dict) else None
    found: list[tuple[int, int]] = []
    for part in said.split(",") if isinstance(said, str) else ():
        first, _, last = part.partition("-")
        with suppress(ValueError):
            found.append((int(first), int(last)))
    return tuple(found)


def amended(config: Mapping[str, object], first: int, last: int) -> dict[str, object]:
    """The configuration, with a range more."""
    said = ",".join(f"{start}-{end}" for start, end in (*ranges(config), (first, last)))
    metadata = config.get("metadata")
    before = cast("dict[str, object]", metadata) if isinstance(metadata, dict) else {}
    return {**config, "metadata": {**before, METADATA: said}}


def first_time(restored: Ranges, position: int, headers: Mapping[str, str], stored_at: datetime) -> datetime:
    """When a message was stored first: as its header says where it was put back, else as the server does."""
    if any(first <= position <= last for first, last in restored):
        with suppress(KeyError, ValueError):
            return datetime.fromisoformat(headers[HEADER])
    return stored_at
