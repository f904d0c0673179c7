"""Looks after the memories on a schedule: says which are forgotten (fading) and which become one (compacting).

Only where the read side has caught up with the log: what it says is about memories as they stand there, and void for
one that was used or written anew meanwhile. So any number of projectors may do this, and repeat it after a crash.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bus import Bus, BusError
from bus.extent import extent
from conductor.beside import beside, until
from conductor.postgres import PostgresAway, Session, Unfit, connect
from conductor.projector.compacting import Twin, compactions, twin
from conductor.projector.fading import due_for_forgetting, is_due
from conductor.projector.memory import MemoryRow
from conductor.projector.store import stored_position
from schemas import Actor, Draft, event_id

log = logging.getLogger(__name__)

RETENTION_SECONDS: Final = 3_600.0
"""From one look at all memories to the next."""
AGAIN_SECONDS: Final = 30.0
"""After one that failed."""
PAGE: Final = 200
WORDS_MAX: Final = 1_000
"""Of one look; where there is more to be said, the next follows soon."""
SOON_SECONDS: Final = 1.0


class _Row(Struct):
    key: str
    row: str
    scope: str
    written: int


class Keeper:
    """Does it beside the projecting, at first and then every so often."""

    def __init__(
        self,
        bus: Bus,
        postgres_url: str,
        *,
        now: Callable[[], datetime] | None = None,
        seconds: float = RETENTION_SECONDS,
    ) -> None:
        """`now`: the NATS server's clock, unless given: by one of ours that is ahead much would be forgotten."""
        self._bus = bus
        self._postgres_url = postgres_url
        self._now = now
        self._seconds = seconds
        self._due = 0.0
        """The loop's time of the next look."""

    def at_work(self) -> AbstractAsyncContextManager[None]:
        """Until the end of the block."""
        return beside(self._keep())

    async def _keep(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self._due - clock())
            try:
                session = await connect(self._postgres_url, name="rig keeper")
                try:
                    now = (await extent(self._bus.connection)).at if self._now is None else self._now()
                    more = await keep(self._bus, session, now)
                finally:
                    await session.close()
                self._due = clock() + min(SOON_SECONDS if more else self._seconds, self._seconds)
            except (PostgresAway, Unfit, BusError) as error:
                log.warning("the memories are not looked after yet: %s", error)
                self._due = clock() + min(AGAIN_SECONDS, self._seconds)
            except Exception:
                log.exception("the memories were not looked after")  # the projecting goes on
                self._due = clock() + self._seconds


async def keep(bus: Bus, session: Session, now: datetime, *, words_max: int = WORDS_MAX) -> bool:
    """One look at all memories, once the read side is where the log is now; whether more is to be said than was.

    Its session is of no other use. Raises PostgresAway, Unfit or BusError: then some of it may have been said.
    """
    last = await bus.log.last()
    await _reached(session, 0 if last is None else last.position)
    look, said, scope, written = Look(now), 0, "", 0
    while said < words_max:
        page = await session.rows("memories_in_order", _Row, scope, written, PAGE)
        words = look.at(map(_memory, page)) if page else look.end()
        said += await _say(bus, words[: words_max - said])
        if not page:
            return False
        scope, written = page[-1].scope, page[-1].written
    return True


class Look:
    """Takes memories in the order of their scopes; returns what is to be said of them. Pure."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._scope = ""
        self._twins: dict[str, Twin] = {}
        """Of the scope, by name, those that are not forgotten. One that is written anew meanwhile comes twice."""

    def at(self, rows: Iterable[MemoryRow]) -> list[Draft]:
        """The next memories."""
        rows, words = list(rows), list[Draft]()
        for row in rows:
            if row.scope != self._scope:
                words += self.end()
                self._scope = row.scope
            self._twins.pop(row.memory, None)
            if not is_due(row, self._now):
                self._twins[row.memory] = twin(row)
        return due_for_forgetting(rows, self._now) + words

    def end(self) -> list[Draft]:
        """There are no more of this scope."""
        twins, self._twins = self._twins, {}
        return compactions(self._scope, twins.values())


def _memory(found: _Row) -> MemoryRow:
    """By its own name: a row has none of the characters that PostgreSQL does not hold, its key has them all."""
    scope, name = msgspec.json.decode(found.key, type=tuple[str, str])
    return replace(msgspec.json.decode(found.row, type=MemoryRow), scope=scope, memory=name)


async def _reached(session: Session, position: int) -> None:
    """Returns once the read side is there."""
    moved = asyncio.Event()
    await session.listen("rig_position", lambda _: moved.set())

    async def hear() -> None:
        await moved.wait()
        moved.clear()

    while await stored_position(session) < position:
        await until(session.lost, hear())


async def _say(bus: Bus, words: Sequence[Draft]) -> int:
    """Each under an id that says the same: said again, by whomever, it is said once. How many there were."""
    await asyncio.gather(*[bus.log.publish(draft, _id(draft)) for draft in words])
    if words:
        log.info("of the memories: %d forgotten or made one", len(words))
    return len(words)


def _id(draft: Draft) -> str:
    digest = sha256(msgspec.json.encode((draft.about, draft.data))).hexdigest()[:32]
    return event_id(Actor.PROJECTOR, draft.data.name(), digest)
