"""`rig at`, `rig diff`: the whole rig as it was, folded from the log alone; so also with Postgres away.

What the read side leaves out is left out here too: its dead letters say what that is.
"""

from collections.abc import Iterable, Iterator
from contextlib import aclosing
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from bridges.terminal import BadInput, show
from bus import Bus
from bus.topology import PROJECTED
from conductor.projector.issues import IssueRow
from conductor.projector.past import Past
from conductor.projector.projection import Poisoned
from conductor.projector.rebuild import fold
from conductor.projector.roster import AgentRow
from deploy.progress import Progress
from schemas import IssueRef, LetterState, one_line, printable

_SHOWN: Final = 200
"""Issues, or differences, that people are shown; with --json there are all."""


class Moment(Struct, frozen=True, kw_only=True):
    """Every table, as it was at a position."""

    position: int
    tables: dict[str, dict[str, object]]


async def at(bus: Bus, when: int | datetime, progress: Progress) -> Past:
    """The rig as it was at a position, or at a time. Raises BusError, or BadInput for a position that is to come."""
    last = await bus.log.last()
    end = 0 if last is None else last.position
    position = when if isinstance(when, int) else await _before(bus, when, end)
    if position > end:
        raise BadInput(f"the log ends at position {end}: nobody knows yet what stands at {position}")
    left_out = await _left_out(bus)
    while True:
        past = Past(left_out)
        try:
            await fold(bus, past, position, progress)
        except Poisoned as error:  # no projector has met it, or its letter is forgotten
            left_out.add(error.position)
        else:
            return past


async def _left_out(bus: Bus) -> set[int]:
    """The positions without which the read side goes on, as its dead letters name them."""
    found: dict[int, LetterState] = {}
    for letter in await bus.dead.all():  # the newest about a position last
        if (letter.letter.stream, letter.letter.consumer) == (PROJECTED.stream.name, PROJECTED.name):
            found[letter.letter.position] = letter.state
    return {position for position, state in found.items() if state is not LetterState.RETRIED}


async def _before(bus: Bus, when: datetime, end: int) -> int:
    """The last position that was stored before then."""
    async with aclosing(bus.log.replay(since=when)) as stored:
        async for item in stored:
            return item.position - 1
    return end


def moment(past: Past, issue: IssueRef | None) -> Moment:
    """Everything, or one issue's rows. Raises BadInput when nobody had approved it by then."""
    tables = past.dump()
    if issue is None:
        return Moment(position=past.position, tables=tables)
    if past.tables.get("issues", str(issue)) is None:
        raise BadInput(f"there is no issue {issue} as of position {past.position} of the log")
    # By what a row says, not by a part of its key: my-corp/web#1 has that of corp/web#1 in it.
    ours = {
        table: {
            key: tables[table][key]
            for key, row in rows.items()
            if key == str(issue) or getattr(row, "issue", None) == issue
        }
        for table, rows in past.tables.rows.items()
    }
    return Moment(position=past.position, tables={table: rows for table, rows in ours.items() if rows})


# ── in words ─────────────────────────────────────────────────────────────────


def lines(past: Past, issue: IssueRef | None) -> Iterator[str]:
    """What was, for people."""
    found = moment(past, issue)
    yield f"as of position {found.position} of the log"
    if issue is not None:
        for table, rows in found.tables.items():
            for key, row in rows.items():
                yield ""
                yield f"{table}  {one_line(key, 200)}"
                yield from (f"  {name:<16} {said}" for name, said in _fields(row))
        return
    issues = [row for row in past.tables.rows.get("issues", {}).values() if isinstance(row, IssueRow)]
    agents = [row for row in past.tables.rows.get("agents", {}).values() if isinstance(row, AgentRow)]
    yield ""
    yield from (
        show.table([("ISSUE", "STATE", "TRY", "TITLE"), *map(_issue, issues[:_SHOWN])]) if issues else ["no issues"]
    )
    if len(issues) > _SHOWN:
        yield f"… and {len(issues) - _SHOWN} more: --json has all"
    yield ""
    present = sorted(row.name for row in agents if row.left is None)
    yield f"agents   {', '.join(present) or 'none'}"
    for table in ("pauses", "incidents", "budgets", "milestones", "trust"):
        for key in sorted(found.tables.get(table, {})):
            said = ", ".join(f"{name} {value}" for name, value in _fields(found.tables[table][key]) if value != key)
            yield f"{table[:-1] if table != 'trust' else table:<9}{one_line(key, 100)}: {said}"


def _issue(row: IssueRow) -> tuple[str, ...]:
    state = row.standing.state if row.standing is not None else None
    return (
        str(row.issue), "" if state is None else show.state_words(state), str(row.attempts or "-"),
        one_line(row.title, 80),
    )  # fmt: skip


def _fields(row: object) -> Iterator[tuple[str, str]]:
    """What a row says, on one line each; of what is nested, its JSON."""
    if isinstance(row, dict):
        for name, value in msgspec.convert(row, dict[str, object]).items():
            if value not in (None, "", [], {}):
                text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
                yield name, one_line(printable(text), 300)


# ── two moments ──────────────────────────────────────────────────────────────


class Change(Struct, frozen=True, kw_only=True):
    """One row that is not the same at two positions. None: it is not there."""

    table: str
    key: str
    before: object
    after: object


class Differences(Struct, frozen=True, kw_only=True):
    """All of them."""

    before: int
    """Positions."""
    after: int
    changes: tuple[Change, ...]


def differences(before: Past, after: Past) -> Differences:
    """Row by row, by table and key."""
    one, other = before.dump(), after.dump()
    found = [
        Change(table=table, key=key, before=one.get(table, {}).get(key), after=other.get(table, {}).get(key))
        for table in sorted({*one, *other})
        for key in sorted({*one.get(table, {}), *other.get(table, {})})
    ]
    changes = tuple(change for change in found if change.before != change.after)
    return Differences(before=before.position, after=after.position, changes=changes)


def difference_lines(found: Differences) -> Iterator[str]:
    """What changed, for people."""
    count = len(found.changes)
    yield f"from position {found.before} to {found.after}: {count or 'no'} row{'' if count == 1 else 's'} changed"
    for change in found.changes[:_SHOWN]:
        yield ""
        what = "is new" if change.before is None else "is gone" if change.after is None else ""
        yield f"{change.table}  {one_line(change.key, 200)}  {what}".rstrip()
        yield from (f"  {text}" for text in _changed(dict(_fields(change.before)), dict(_fields(change.after))))
    if count > _SHOWN:
        yield f"… and {count - _SHOWN} more: --json has all"


def _changed(before: dict[str, str], after: dict[str, str]) -> Iterable[str]:
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            was, now = before.get(name, "-"), after.get(name, "-")
            yield f"{name:<16} {now}" if not before else f"{name:<16} {was} → {now}"
