"""One moment of the read side at a time, for who answers from it: everything as of one position, and which that is."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from bus import Refused
from conductor.postgres import NoRoom, PostgresAway, Session, Unfit
from conductor.projector.store import stored_position
from machine.lifecycle import Lifecycle

WAIT_SECONDS: Final = 3.0
"""How long a position is waited for."""


class Moments:
    """Those of the session that there is; refused, with the reason, while there is none."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._session: Session | None = None
        self._turn = asyncio.Lock()
        self._seen = 0
        self._moved = asyncio.Event()

    async def attend(self, session: Session) -> None:
        """They are of this session until cancelled."""
        await session.listen("rig_position", lambda position: self._heard(int(position)))
        self._heard(await stored_position(session))
        self._session = session
        self._lifecycle.check("postgres", ok=True)
        self._lifecycle.ready()
        try:
            await asyncio.Event().wait()
        finally:
            self._session = None

    @asynccontextmanager
    async def at_least(self, position: int | None) -> AsyncGenerator[tuple[Session, int]]:
        """A session in which everything is as of one position, and that position, once it is this one or a later.

        One at a time. Raises Refused, also for what goes wrong in the block with PostgreSQL.
        """
        least = position or 0
        await self._reached(least)
        async with self._turn:
            session = self._session
            if session is None:
                why = self._lifecycle.checks.get("postgres")
                raise Refused(f"the read side is away: {why.detail if why and why.detail else 'it is starting'}")
            try:
                async with session.transaction(snapshot=True):
                    there = await stored_position(session)
                    if there < least:  # it was farther: an older copy of the database has come since
                        self._seen = there
                        raise Refused(_not_yet(there, least))
                    yield session, there
            except NoRoom as error:
                raise Refused(f"the read side cannot answer now: {error}") from error
            except PostgresAway as error:
                raise Refused(f"the read side is away: {error}") from error
            except Unfit as error:
                raise Refused(f"the read side cannot be asked that: {error}") from error

    def _heard(self, position: int) -> None:
        self._seen = position
        self._moved.set()
        self._moved = asyncio.Event()

    async def _reached(self, position: int) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while self._session is not None and self._seen < position:
                    await self._moved.wait()
        except TimeoutError:
            raise Refused(_not_yet(self._seen, position)) from None


def _not_yet(position: int, wanted: int) -> str:
    return f"the read side is at position {position} of the log, not yet at {wanted}; ask again, or see `rig status`"
