"""By which version of its fold each table was made. Another version's rows are no rows of ours: they are made anew."""

from collections.abc import Iterable

from msgspec import Struct

from conductor.migrations import WrongTables
from conductor.postgres import Session
from conductor.projector.projection import Projection


class _Made(Struct):
    name: str
    rules: int
    version: int


async def outdated(session: Session) -> list[str]:
    """The tables that an older version has made, or none yet. Raises WrongTables where a newer one has."""
    ours = Projection().versions
    made = {row.name: (row.rules, row.version) for row in await session.rows("made_by", _Made)}
    newer = sorted(table for table, version in made.items() if table in ours and version > ours[table])
    if newer:
        raise WrongTables(
            f"a newer version of Rig keeps the read models now ({', '.join(newer)}), and this one must not write into"
            " them: install that version, or give this one a database of its own"
        )
    return [table for table, version in ours.items() if made.get(table) != version]


async def record(session: Session, tables: Iterable[str]) -> None:
    """Notes that these are made by this version: in the transaction that makes them so. Others begin anew then."""
    ours, stale = Projection().versions, set(await outdated(session))
    for table in stale.intersection(tables):
        await session.run("record_made_by", table, *ours[table])
    if stale.intersection(tables):
        await session.run("note_change")


async def write_again(session: Session) -> None:
    """Empties everything that is of the log, so that it is written from its beginning, by this version."""
    async with session.transaction():
        for table in (*Projection().tables, "events"):
            await session.run("empty", table=table)
        await session.run("set_position", 0)
        await record(session, Projection().versions)
        await session.run("note_change")
