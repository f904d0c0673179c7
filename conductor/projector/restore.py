"""Puts a log that has lost something back, from the read side: the same messages at the same positions.

Where only its end is missing, that is stored behind what is there. Else the log is made anew, and what it alone held is
kept in PostgreSQL until all is back: whenever this is interrupted, nothing is lost, and it goes on when it runs again.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import aclosing
from typing import Final

from msgspec import Struct

from bus import LogChanged, Unavailable
from bus.connection import Connection
from bus.extent import extent, positions
from bus.insist import insist
from bus.reseed import Kept, announce, make_log_anew, put_back
from bus.stored import messages
from bus.topology import LOG
from conductor.postgres import Session
from conductor.projector.rebuild import Progress
from conductor.projector.store import clean
from conductor.projector.witness import Loss, compare, position

STEP: Final = 1_000
PATIENCE_SECONDS: Final = 30.0
"""With a server that does not answer in the middle of it."""
GIVE_UP_SECONDS: Final = 120.0
"""With one that answers, and stores nothing: its disk is full."""
Save = Callable[[Sequence[Kept]], None]
"""Takes what the log holds in place of what was read, before it is let go."""


class _Count(Struct):
    count: int


async def restore(
    connection: Connection, session: Session, progress: Progress, *, replace: Save | None = None
) -> tuple[int, int] | None:
    """Puts back what the log lacks; the first and last position that it was, None: it lacks nothing.

    For who holds the key `restore`, and nobody else writes.

    `replace`: let go what the log holds in place of what was read, once that is saved. Raises LogChanged for what
    cannot be put back, before anything is changed; Conflict when somebody else writes; BusError, PostgresAway.
    """
    loss = await compare(connection, session)
    if not loss:
        await session.run("forget_kept")  # who put all back was interrupted before that
        return None
    await _check(session, loss, replace)
    end = loss.end
    if loss.replaced or any(first <= loss.end for first, _ in loss.missing):
        after = loss.replaced[0][0] - 1 if loss.replaced else loss.read
        async with aclosing(_alone(connection, after)) as alone:
            if replace is not None and loss.replaced:
                replace([kept async for part in alone for kept in part])
            await _keep(session, alone)
        await make_log_anew(connection)
        end = 0
    last = await position(session)
    await announce(connection, end + 1, last)
    await _put_back(connection, session, end, last, progress)
    await session.run("forget_kept")
    return end + 1, last


async def _check(session: Session, loss: Loss, replace: Save | None) -> None:
    if loss.unknown:
        raise LogChanged("; ".join(loss.lines()))
    if loss.replaced and replace is None:
        raise LogChanged(
            f"{'; '.join(loss.lines())}; both cannot be: `rig restore --replace` puts back what was read, and saves"
            f" what the log holds from {loss.replaced[0][0]} on in a file"
        )
    found = await session.row("first_not_kept", _Count, loss.read)
    if found is not None and found.count:
        raise LogChanged(f"the read side does not hold position {found.count} of the log either")


async def _alone(connection: Connection, after: int) -> AsyncGenerator[list[Kept]]:
    """What the log alone holds, in parts: where the read side is far behind, that is nearly all of it."""
    part: list[Kept] = []
    async with aclosing(messages(connection, LOG, ">", first=after + 1)) as found:
        async for message in found:
            each = message.at_first(connection.restored)
            part.append(Kept(each.position, each.subject, each.stored_at, each.body))
            if len(part) == STEP:
                yield part
                part = []
    yield part


async def _keep(session: Session, alone: AsyncIterable[Sequence[Kept]]) -> None:
    """On the disk, with all that was committed before."""
    async with session.transaction():
        await session.run("flush_commits")
        async for part in alone:
            rows = [(kept.position, clean(kept.subject), kept.stored_at, kept.body) for kept in part]
            await session.copy("kept", ("position", "subject", "stored_at", "body"), rows)


async def _put_back(connection: Connection, session: Session, after: int, last: int, progress: Progress) -> None:
    clock = asyncio.get_running_loop().time
    give_up = clock() + GIVE_UP_SECONDS

    async def end() -> int:
        return (await extent(connection)).end

    while after < last:
        rows = await session.rows("kept_between", Kept, after + 1, after + STEP)
        if [row.position for row in rows] != list(range(after + 1, after + 1 + len(rows))) or not rows:
            raise LogChanged(f"the read side does not hold {positions([(after + 1, after + STEP)])} whole")
        while rows:
            try:
                count = await put_back(connection, rows)
            except Unavailable:  # it may have landed, and it may yet: then what follows is refused
                count = max(0, await insist(end, until=clock() + PATIENCE_SECONDS) - after)
                if not count and clock() > give_up:
                    raise
            give_up = clock() + GIVE_UP_SECONDS if count else give_up
            rows, after = rows[count:], after + count
        progress(after, last)
