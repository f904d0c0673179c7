"""One batch of the log → the tables, in one transaction with its position.

Whatever arrives twice changes nothing: a position that is stored is passed over, and an event that says again what was
said before (same id, same subject, same data) is recorded as a repetition and left out of the models.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import msgspec
from msgspec import Struct

from bus import LogChanged, Skipped, Stored
from bus.extent import positions
from conductor.postgres import Session
from conductor.projector.projection import Changes, Poisoned, Projection, Row
from schemas import Envelope, LeftOut, Recorded, branch, decode

_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""Escaped in JSON, and not a backslash before a u."""
_EVENT_COLUMNS = (
    "position",
    "subject",
    "stored_at",
    "about",
    "actor",
    "type",
    "id",
    "time",
    "body",
    "repeats",
    "skipped",
    "raw",
)


class Position(Struct):
    """How far the log has been read, and how often it was changed what is left out of it, or how rows are made."""

    position: int
    changes: int


class _Said(Struct):
    position: int
    subject: str
    body: str


class _KeyAndRow(Struct):
    key: str
    row: str


async def stored_position(session: Session) -> int:
    """How far the log has been read; 0: nothing yet."""
    return (await standing(session)).position


async def standing(session: Session) -> Position:
    """How far the log has been read, and by which rules. Ask before what is left out: that may be newer, not older."""
    return await session.row("position", Position) or Position(0, 0)


async def lock(session: Session) -> Position:
    """The same; until the transaction ends nobody else writes rows."""
    return await session.row("lock_position", Position) or Position(0, 0)


async def left_out(session: Session) -> list[LeftOut]:
    """What the read side could not take, in the log's order."""
    return await session.rows("poisoned", LeftOut)


async def poisoned(session: Session) -> dict[int, str]:
    """The positions of events that the read side could not take, and why."""
    return {row.position: row.why for row in await left_out(session)}


async def add_poison(session: Session, found: Poisoned) -> None:
    """From now on the event is skipped."""
    async with session.transaction():
        await session.run("add_poison", found.position, clean(found.why))
        await session.run("note_change")


def check_contiguous(after: int, batch: Sequence[Stored]) -> None:
    """Raises LogChanged unless the batch goes on behind `after` without a gap."""
    for before, position in pairwise((after, *(message.position for message in batch))):
        if position != before + 1:
            gone = positions([(before + 1, position - 1)])
            raise LogChanged(f"the log goes from {before} to {position}: {gone} is missing")


async def store(
    session: Session,
    projection: Projection,
    batch: Sequence[Stored],
    poison: Mapping[int, str],
    rules: int | None = None,
) -> int | None:
    """Writes what is new of a batch in the log's order; returns the position up to which the projection has come.

    `poison`, and `rules` (the standing's `changes`), are those with which the projection began. None: nothing was
    written, because the read side stands before the batch (another database, or an older copy of it), or leaves out
    other events by now: begin again from where it stands. After any error the projection is ahead of the tables: begin
    anew too.
    """
    async with session.transaction():
        locked = await lock(session)
        reached = locked.position
        if reached < projection.position or rules not in (None, locked.changes):
            return None
        known = [message for message in batch if message.position <= reached]
        if known:  # another projector has written these, as it could
            _follow(projection, known, await poisoned(session))
        fresh = [(message, read(message, poison)) for message in batch[len(known) :]]
        if not fresh:
            return batch[-1].position  # where the tables stand may be farther: what is between has not been read yet
        news = await _record(session, fresh)
        said = [item for _, item in fresh if isinstance(item, Recorded) and item.position in news]
        rows = await _load(session, projection, said)
        changes = projection.fold(_steps(fresh, news), rows)
        await write(session, changes)
        last = fresh[-1][0].position
        await session.run("set_position", last)
        await session.run("tell_position", str(last))
        return last


def _follow(projection: Projection, known: Sequence[Stored], poison: Mapping[int, str]) -> None:
    for message in known:
        item = read(message, poison)
        projection.catch_up(item if isinstance(item, Recorded) else None, message.position)
    projection.caught_up()


def _steps(
    items: Iterable[tuple[Stored, Recorded | Skipped]], news: frozenset[int]
) -> Iterable[tuple[int, Recorded | None, bool]]:
    for message, item in items:
        yield message.position, item if isinstance(item, Recorded) else None, message.position in news


def read(message: Stored, poison: Mapping[int, str]) -> Recorded | Skipped:
    """The event that a message carries, unless it is one that the read side could not take."""
    why = poison.get(message.position)
    if why is None:
        return message.decoded()
    return Skipped(message.position, message.subject, why, message.body, message.stored_at)


async def _record(session: Session, items: Sequence[tuple[Stored, Recorded | Skipped]]) -> frozenset[int]:
    """Writes one row for each position; returns the positions of events that say something new."""
    ids = [clean(item.event.id) for _, item in items if isinstance(item, Recorded)]
    before: dict[str, list[tuple[int, Envelope]]] = {}
    for found in await session.rows("said_before", _Said, ids, items[0][0].position):
        event = decode(found.body.encode())
        before.setdefault(event.id, []).append((found.position, event))
    rows: list[tuple[object, ...]] = []
    news: set[int] = set()
    for message, item in items:
        where = (message.position, clean(message.subject), message.stored_at)
        match item:
            case Skipped():
                rows.append((*where, *[None] * 7, clean(item.reason), message.body))
            case Recorded(event=event):
                known = before.setdefault(event.id, [])
                repeats = next((at for at, said in known if said.says_the_same(event)), None)
                if repeats is None:
                    news.add(message.position)
                    known.append((message.position, event))
                about, body = branch(event.about), message.body.decode(errors="replace")
                raw = None if body.encode() == message.body else message.body  # what nobody reads need be no text
                kind = event.data.wire_type()
                rows.append((*where, about, event.actor, kind, clean(event.id), event.time, body, repeats, None, raw))
    await session.copy("events", _EVENT_COLUMNS, rows)
    return frozenset(news)


async def take_up(session: Session, message: Stored) -> None:
    """What was left out is recorded as what it is, and what says the same behind it as a repetition of that."""
    item, at = message.decoded(), message.position
    await session.run("drop_event", at)
    news = await _record(session, [(message, item)])
    if isinstance(item, Recorded) and at in news:
        behind = await session.rows("said_behind", _Said, clean(item.event.id), at)
        same = [found.position for found in behind if decode(found.body.encode()).says_the_same(item.event)]
        await session.run("set_repeats", at, same)
    await session.run("drop_poison", at)
    await session.run("note_change")


class _Loaded:
    """The rows that a batch may ask for, as they stand."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Row]] = {}

    def add(self, table: str, rows: dict[str, Row]) -> None:
        self._rows[table] = rows

    def get(self, table: str, key: str) -> Row | None:
        return self._rows.get(table, {}).get(key)


async def _load(session: Session, projection: Projection, said: Sequence[Recorded]) -> _Loaded:
    loaded, wanted = _Loaded(), projection.wanted(said)
    for model in projection.models:
        keys = wanted[model.table]
        if keys:
            found = await session.rows("load_rows", _KeyAndRow, [*map(clean, keys)], table=model.table)
            loaded.add(model.table, {row.key: msgspec.json.decode(row.row, type=model.row) for row in found})
    return loaded


async def write(session: Session, changes: Changes) -> None:
    """Puts rows into their tables as they are now."""
    for table, rows in changes.items():
        put = [(clean(key), as_json(row)) for key, row in rows.items() if row is not None]
        gone = [clean(key) for key, row in rows.items() if row is None]
        if put:
            await session.run("put_rows", [key for key, _ in put], [row for _, row in put], table=table)
        if gone:
            await session.run("drop_rows", gone, table=table)


def as_json(row: Row) -> str:
    """A row as its table holds it."""
    text = msgspec.json.encode(row).decode()
    return text if r"\u0000" not in text else _NUL.sub(r"\1\\ufffd", text)


def clean(text: str) -> str:
    """PostgreSQL's texts hold every character but one."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
