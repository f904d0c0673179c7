"""One batch of the log → the tables, in one transaction with its position.

Whatever arrives twice changes nothing: a position that is stored is passed over, and an event that says again what was
said before (same id, same subject, same data) is recorded as a repetition and left out of the models.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import msgspec
from msgspec import Struct

from bus import LogChanged, Skipped, Stored
from conductor.postgres import Session
from conductor.projector.issues import IssueRow, fold_issue
from conductor.projector.roster import AgentRow, RepositoryRow, fold_agent, fold_repository
from schemas import AgentRef, Envelope, IssueRef, Recorded, RepoRef, branch, decode

K = TypeVar("K")
T = TypeVar("T")

REBUILD = "where this log is the right one, drop the read side (drop schema rig cascade) and it is written again"


class _Position(Struct):
    position: int


class _Said(Struct):
    position: int
    subject: str
    body: str


class _Stored(Struct):
    subject: str
    body: str | None
    skipped: str | None


class _Model(Struct):
    model: str


async def stored_position(session: Session) -> int:
    """How far the log has been read; 0: nothing yet."""
    found = await session.row("position", _Position)
    return 0 if found is None else found.position


async def confirm(session: Session, found: Recorded | Skipped | None, at: int) -> None:
    """Raises LogChanged unless the log still holds at this position what is stored of it.

    A body that one version could not read and another can is no difference.
    """
    stored = await session.row("event_at", _Stored, at)
    if found is None:
        raise LogChanged(f"the log has nothing at {at} any more, and the read side has: {REBUILD}")
    if stored is None:
        raise LogChanged(f"the read side is at {at} and does not hold that event: {REBUILD}")
    if isinstance(found, Recorded):
        subject = found.event.on
        same = stored.body is None or decode(stored.body.encode()) == found.event
    else:
        subject, same = _clean(found.subject), True
    if not same or subject != stored.subject:
        raise LogChanged(
            f"the log's event {at} is not the one that was read ({subject!r} there, {stored.subject!r} here):"
            f" it was recreated or restored; {REBUILD}"
        )


def check_contiguous(after: int, batch: Sequence[Stored]) -> None:
    """Raises LogChanged unless the batch goes on behind `after` without a gap."""
    for before, position in pairwise((after, *(message.position for message in batch))):
        if position != before + 1:
            raise LogChanged(f"the log goes from {before} to {position}: what stood between is missing")


async def store(session: Session, batch: Sequence[Stored]) -> int | None:
    """Writes what is new of a batch in the log's order; returns the position that was reached.

    None: nothing was written, because the read side stands before the batch (another database, or an older copy of
    it): read again from where it stands.
    """
    async with session.transaction():
        locked = await session.row("lock_position", _Position)
        reached = 0 if locked is None else locked.position
        fresh = [message for message in batch if message.position > reached]
        if not fresh:
            return reached
        if fresh[0].position > reached + 1:
            return None
        said = await _record(session, fresh)
        await _fold(session, said)
        await session.run("set_position", fresh[-1].position)
        await session.run("tell_position", str(fresh[-1].position))
        return fresh[-1].position


async def _record(session: Session, batch: Sequence[Stored]) -> list[Recorded]:
    """Writes one row for each position; returns the events that say something new."""
    decoded = [(message, message.decoded()) for message in batch]
    ids = [_clean(item.event.id) for _, item in decoded if isinstance(item, Recorded)]
    first: dict[str, tuple[int, Envelope]] = {}
    for found in await session.rows("first_said", _Said, ids):
        event = decode(found.body.encode())
        first[event.id] = (found.position, event)
    rows: list[tuple[object, ...]] = []
    fresh: list[Recorded] = []
    for message, item in decoded:
        where = (message.position, _clean(message.subject), message.stored_at)
        match item:
            case Skipped():
                rows.append((*where, None, None, None, None, None, None, None, _clean(item.reason)))
            case Recorded(event=event):
                known = first.setdefault(event.id, (item.position, event))
                repeats = known[0] if known[0] != item.position and known[1].says_the_same(event) else None
                if repeats is None:
                    fresh.append(item)
                about, body = branch(event.about), message.body.decode(errors="replace")
                kind = event.data.wire_type()
                rows.append((*where, about, event.actor, kind, _clean(event.id), event.time, body, repeats, None))
    await session.run_many("insert_event", rows)
    return fresh


async def _fold(session: Session, said: Sequence[Recorded]) -> None:
    """Loads the rows that the events are about, folds the events into them, writes them back."""
    refs = {item.event.about for item in said}
    issues = await _issues(session, [ref for ref in refs if isinstance(ref, IssueRef)])
    places = {ref.repository if isinstance(ref, IssueRef) else ref for ref in refs}
    repositories = await _repositories(session, [ref for ref in places if isinstance(ref, RepoRef)])
    agents = await _agents(session, [ref.agent for ref in refs if isinstance(ref, AgentRef)])
    for item in said:
        match item.event.about:
            case IssueRef() as ref:
                place = repositories.get(ref.repository)
                reviewers = () if place is None else place.line.reviewers
                _put(issues, ref, fold_issue(issues.get(ref), item, reviewers))
            case RepoRef() as ref:
                _put(repositories, ref, fold_repository(repositories.get(ref), item))
            case AgentRef(name):
                _put(agents, name, fold_agent(agents.get(name), item))
            case _:
                pass
    await session.run_many(
        "put_issue",
        [
            (*_key(ref.repository), ref.number, row.opened, row.state.value, row.agent, _json(row))
            for ref, row in issues.items()
        ],
    )
    await session.run_many(
        "put_repository", [(*_key(ref), row.removed, _json(row)) for ref, row in repositories.items() if ref in refs]
    )
    await session.run_many("put_agent", [(_clean(name), row.left is None, _json(row)) for name, row in agents.items()])


async def _issues(session: Session, refs: Sequence[IssueRef]) -> dict[IssueRef, IssueRow]:
    columns = [[_clean(ref.owner) for ref in refs], [_clean(ref.repo) for ref in refs], [ref.number for ref in refs]]
    return {row.issue: row for row in await _rows(session, "issue_rows", IssueRow, *columns)}


async def _repositories(session: Session, refs: Sequence[RepoRef]) -> dict[RepoRef, RepositoryRow]:
    columns = [[_clean(ref.owner) for ref in refs], [_clean(ref.repo) for ref in refs]]
    return {row.line.repository: row for row in await _rows(session, "repository_rows", RepositoryRow, *columns)}


async def _agents(session: Session, names: Sequence[str]) -> dict[str, AgentRow]:
    return {row.name: row for row in await _rows(session, "agent_rows", AgentRow, [_clean(name) for name in names])}


async def _rows(session: Session, name: str, shape: type[T], *columns: Sequence[object]) -> list[T]:
    if not columns[0]:
        return []
    return [msgspec.json.decode(row.model, type=shape) for row in await session.rows(name, _Model, *columns)]


def _put(rows: dict[K, T], key: K, row: T | None) -> None:
    if row is not None:
        rows[key] = row


def _key(ref: RepoRef) -> tuple[str, str]:
    return _clean(ref.owner), _clean(ref.repo)


def _json(row: Struct) -> str:
    return msgspec.json.encode(row).decode()


def _clean(text: str) -> str:
    """PostgreSQL's text holds every character but one."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
