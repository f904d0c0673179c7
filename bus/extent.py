"""How far a stream goes, and what it does not hold of that: the log holds everything, so there it names a loss."""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from msgspec import Struct

from bus.connection import Connection
from bus.topology import LOG, Stream


class _State(Struct):
    last_seq: int
    messages: int
    first_seq: int
    deleted: tuple[int, ...] = ()


class _Cluster(Struct, frozen=True):
    replicas: tuple[msgspec.Raw, ...] = ()


class _Info(Struct):
    state: _State
    ts: datetime
    cluster: _Cluster = _Cluster()


class Extent(Struct, frozen=True):
    """As the server says it."""

    end: int
    """The last position."""
    missing: tuple[tuple[int, int], ...]
    """Positions up to the end that it does not hold: the first and the last of each range."""
    at: datetime
    """By the server's clock."""
    replicated: bool = False


async def extent(connection: Connection, stream: Stream = LOG) -> Extent:
    """Now. Raises ServerRefused or Unavailable."""
    answer = await connection.api(f"$JS.API.STREAM.INFO.{stream.name}", {"deleted_details": True})
    info = msgspec.json.decode(answer, type=_Info)
    state = info.state
    first = state.first_seq if state.messages else state.last_seq + 1
    before = ((1, first - 1),) if first > 1 else ()
    within = (number for number in state.deleted if number >= first)  # of an empty stream the server names 0
    return Extent(state.last_seq, (*before, *_ranges(within)), info.ts, bool(info.cluster.replicas))


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers that rise, joined where they follow each other."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] + 1 == number:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return found


def positions(ranges: Iterable[tuple[int, int]]) -> str:
    """Ranges in words: position 7; positions 1 to 20 and 31."""
    named = [str(first) if first == last else f"{first} to {last}" for first, last in ranges]
    *most, final = named
    together = f"{', '.join(most)} and {final}" if most else final
    return f"position{'' if together.isdigit() else 's'} {together}"
