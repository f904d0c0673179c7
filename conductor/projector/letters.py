"""The dead letters in Postgres, and those of the read side itself: what it leaves out is never left out in silence.

The table follows RIG_DEAD, which is not the log: it is written anew at each start, and then kept. A position that the
read side leaves out gets its letter here, whoever crashed in between; when a person says `rig dead retry`, all tables
are made once more with that event in it, or there is a new letter that says why not.

All of it on a session of its own: the projector goes on, whatever becomes of letters.
"""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Final

from msgspec import Struct

from bus import Bus, BusError, DeadLetter
from bus.replay import replay
from bus.topology import PROJECTED
from conductor.beside import beside
from conductor.postgres import PostgresAway, Session, Unfit, connect
from conductor.projector.projection import Poisoned, Projection
from conductor.projector.rebuild import rebuild
from conductor.projector.store import as_json, clean, left_out
from machine.lifecycle import Misconfigured
from schemas import DeadLetterLine, LeftOut, LetterState

log = logging.getLogger(__name__)

TABLE: Final = "dead_letters"
PAUSE_SECONDS: Final = 1.0
"""Before a new session, when the last one failed."""
STATEMENT_SECONDS: Final = 3_600.0


class _Position(Struct):
    position: int


def line(letter: DeadLetter) -> DeadLetterLine:
    """As the table holds it."""
    about, verdict = letter.letter, letter.verdict
    return DeadLetterLine(
        id=letter.id,
        state=letter.state,
        stream=about.stream,
        consumer=about.consumer,
        position=about.position,
        subject=about.subject,
        reason=about.reason,
        attempts=about.attempts,
        time=about.time,
        size=about.size,
        cause=about.cause,
        by=None if verdict is None else verdict.by,
        because=None if verdict is None else verdict.reason,
        decided=None if verdict is None else verdict.time,
    )


class Letters:
    """Keeps the table, and writes the letters of the read side."""

    def __init__(self, bus: Bus, postgres_url: str) -> None:
        self.news = asyncio.Event()
        """Set when something was left out."""
        self._bus = bus
        self._url = postgres_url
        self._trouble = ""
        self._ours: dict[int, DeadLetter] = {}
        """The newest letter about each position of the log that the read side has left out."""

    def kept(self) -> AbstractAsyncContextManager[None]:
        """Until the end of the block."""
        return beside(self._keep())

    async def _keep(self) -> None:
        while True:
            try:
                session = await connect(self._url, name="rig dead letters", statement_seconds=STATEMENT_SECONDS)
                try:
                    await self._follow(session)
                finally:
                    await session.close()
            except Misconfigured as error:  # the projector itself says so, and ends
                self._say(error)
            except (PostgresAway, Unfit, BusError) as error:
                self._say(error)
            except Exception:
                log.exception("the dead letters cannot be kept")
            await asyncio.sleep(PAUSE_SECONDS)

    def _say(self, error: Exception) -> None:
        if str(error) != self._trouble:
            log.warning("the dead letters cannot be kept now: %s", error)
        self._trouble = str(error)

    async def _follow(self, session: Session) -> None:
        first, self._ours = True, {}
        async with aclosing(self._bus.dead.follow(self.news)) as following:
            async for letters in following:
                if first or letters.letters:
                    await _write(session, letters.letters, letters.position, anew=first)
                first, self._trouble = False, ""
                for letter in letters.letters:
                    about = letter.letter
                    newest = self._ours.get(about.position, letter).id <= letter.id
                    if (about.stream, about.consumer) == (PROJECTED.stream.name, PROJECTED.name) and newest:
                        self._ours[about.position] = letter
                for found in await left_out(session):
                    await self._see_to(session, found)

    async def _see_to(self, session: Session, found: LeftOut) -> None:
        """Every event that is left out has its letter; a letter of which a person wants so is tried once more."""
        letter = self._ours.get(found.position)
        if found.letter is None:
            if letter is None or letter.state is LetterState.RETRIED:
                await self._bury(session, found, found.why, letter)
            else:
                await session.run("set_letter", found.position, letter.id, found.why)
        elif letter is not None and letter.state is LetterState.RETRIED and letter.id >= found.letter:
            await self._once_more(session, found, letter)

    async def _bury(self, session: Session, found: LeftOut, why: str, retried: DeadLetter | None) -> None:
        cause = None if retried is None else f"RIG_DEAD:{retried.decided}"
        async for batch in replay(
            self._bus.connection, (PROJECTED.filter,), after=found.position - 1, until=found.position
        ):
            number = await self._bus.dead.bury(PROJECTED, batch[0], why, cause=cause)
            await session.run("set_letter", found.position, number, clean(why))
            log.error("the read side leaves out position %d: see `rig dead show %d`", found.position, number)

    async def _once_more(self, session: Session, found: LeftOut, letter: DeadLetter) -> None:
        tables, position = Projection().tables, found.position
        log.info("the read side is made once more, with position %d in it", position)
        try:
            await rebuild(self._bus, session, tables, _unheard, once_more=position)
        except (Poisoned, Unfit) as error:
            why = error.why if isinstance(error, Poisoned) and error.position == position else str(error)
            await self._bury(session, found, why, letter)
        else:
            log.info("position %d is part of the read side now", position)


def _unheard(_reached: int, _until: int) -> None:
    """Nobody waits for it with his eyes on a screen."""


async def dead_position(session: Session) -> int:
    """How far RIG_DEAD was read."""
    found = await session.row("dead_position", _Position)
    return 0 if found is None else found.position


async def _write(session: Session, changed: tuple[DeadLetter, ...], position: int, *, anew: bool) -> None:
    rows = [line(letter) for letter in changed]
    async with session.transaction():
        if anew:
            await session.run("clear_letters")
        await session.run("put_letters", [str(one.id) for one in rows], [as_json(one) for one in rows])
        await session.run("set_dead_position", position)
