"""When a call goes out, and whether it goes out again: limits, turns, retries. What is asked, it does not care.

What surely was not done is tried again, and so is what may be done twice. Limits are waited for, as long as a call may
take; a call of low priority does not wait, it is left out. Writes go one after another, what matters more first, and
not faster than GitHub likes. A token that GitHub does not know any more is replaced once.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from bridges.github.account import Account, Asked, Page
from bridges.github.errors import Away, RateLimited, Shed, Unauthorized
from bridges.github.limits import Priority
from bridges.github.pace import Clock, Pace
from bridges.github.turns import Turns

log = logging.getLogger(__name__)

_LIMIT_WAITS: Final = 10
"""How often one call waits for limits."""


class Calls:
    """The calls of one process, whoever makes them."""

    def __init__(self, pace: Pace, clock: Clock) -> None:
        self._pace = pace
        self._clock = clock
        self._chance = random.Random(pace.seed)  # noqa: S311 - it spreads retries, and hides nothing
        self._slots = asyncio.Semaphore(pace.concurrent)
        self._writing = Turns()
        self._saved = float(pace.writes_at_once)
        """Writes that may go out without a pause."""
        self._counted_at = clock.now()

    async def done(self, account: Account, asked: Asked, priority: Priority, *, again: bool = True) -> Page:
        """Until it is done, refused, or has taken too long. `again`: what may have been done may be done again."""
        ends, tries, waits, renewed = self._clock.now() + self._pace.total_seconds, 0, 0, False
        while True:
            await self._turn(account, asked, priority, ends)
            secret = await account.identity.secret()
            try:
                if (page := await self._sent(account, asked, secret, priority)) is not None:
                    return page
            except Unauthorized:
                if renewed or not account.identity.refused(secret):
                    raise
                renewed = True
                log.info("%s: GitHub does not know our token any more; taking a new one", asked)
            except RateLimited as limited:
                waits += 1
                log.warning("%s", limited)
                if waits > _LIMIT_WAITS:
                    raise
            except Away as away:
                tries += 1
                pause = self._pause(tries, away)
                over = tries >= self._pace.tries or self._clock.now() + pause > ends
                if over or not (again or away.sure):
                    raise
                log.info("%s; again in %.1f s", away, pause)
                await self._clock.sleep(pause)

    async def _turn(self, account: Account, asked: Asked, priority: Priority, ends: float) -> None:
        """Waits until the identity's limits let a call of this priority out. Raises RateLimited instead of long."""
        while (wait := account.limits.wait(priority, self._clock.now())) is not None:
            until = datetime.fromtimestamp(wait.until, UTC)
            if wait.left_out:
                raise Shed(str(asked), "left out, for little is left of GitHub's limit", until=until)
            if wait.until > ends:
                raise RateLimited(str(asked), "not asked, for GitHub's limit is used up", until=until)
            await self._clock.sleep(wait.until - self._clock.now() + self._chance.random())

    async def _sent(self, account: Account, asked: Asked, secret: str, priority: Priority) -> Page | None:
        """None: while it waited for its turn, a limit came in its way."""
        async with AsyncExitStack() as turn:
            if asked.method != "GET":
                await turn.enter_async_context(self._write(priority))
            await turn.enter_async_context(self._slots)
            if account.limits.wait(priority, self._clock.now()) is not None:
                return None
            return await account.send(asked, secret)

    @asynccontextmanager
    async def _write(self, priority: Priority) -> AsyncGenerator[None]:
        """The turn of one write."""
        async with self._writing.turn(priority):
            self._save()
            if self._saved < 1:
                await self._clock.sleep((1 - self._saved) * self._pace.write_seconds)
                self._save()
            self._saved -= 1
            yield

    def _save(self) -> None:
        now, most = self._clock.now(), float(self._pace.writes_at_once)
        passed = max(now - self._counted_at, 0.0)
        self._saved = min(self._saved + passed / self._pace.write_seconds, most) if self._pace.write_seconds else most
        self._counted_at = now

    def _pause(self, tries: int, away: Away) -> float:
        pause = min(self._pace.first_pause_seconds * 2 ** (tries - 1), self._pace.longest_pause_seconds)
        return max(pause * (1 - self._chance.random() / 2), away.pause or 0.0)
