"""Having the coder logged in by a person who is elsewhere, where its CLI can do that: see agents.coders.device.

Of all replicas one at a time invites somebody; the others look whether that has logged them in as well, and take their
turn where it has not. What is asked of people is a fact of the log, and so is that the replica takes work again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agents.coders.device import Flow, HasDeviceFlow, Invitation, LoginFailed, log_in
from agents.coders.driver import Driver
from bus import Bus, BusError
from bus.errors import LeaseHeld
from schemas import LoginRequired

__all__ = ["Login"]

log = logging.getLogger(__name__)

LEASE_SECONDS = 10
AGAIN = timedelta(hours=4)
"""After which somebody is invited anew, when nobody came."""
TURN = timedelta(seconds=30)
"""After which it may be our turn, when it is another's."""

Say = Callable[[LoginRequired], Awaitable[None]]
Needed = Callable[[], Awaitable[bool]]


class Login:
    """One replica's invitations. `home` is its coder's."""

    def __init__(self, bus: Bus, driver: Driver, home: Path) -> None:
        self._bus = bus
        self._driver = driver
        self._home = home
        self._not_before = datetime.min.replace(tzinfo=UTC)
        self._running: asyncio.Task[None] | None = None

    def begin(self, say: Say, needed: Needed, over: Callable[[], None]) -> bool:
        """Invites somebody, in the background; whether that is going on.

        `say` tells people, `needed` is asked once it is our turn, and `over` is called when it has come to an end,
        whichever.
        """
        if self._running is not None and not self._running.done():
            return True
        flow = self._driver.device_flow() if isinstance(self._driver, HasDeviceFlow) else None
        if flow is None or datetime.now(UTC) < self._not_before:
            return False
        self._running = asyncio.ensure_future(self._invite(flow, say, needed))
        self._running.add_done_callback(lambda done: None if done.cancelled() else over())
        return True

    async def end(self) -> None:
        """Nobody is needed any more: takes an invitation back, and waits until nothing of it is left."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
            self._running = None

    async def _invite(self, flow: Flow, say: Say, needed: Needed) -> None:
        telling: list[asyncio.Future[None]] = []

        def invited(to: Invitation) -> None:
            required = LoginRequired(provider=flow.provider, url=to.url, code=to.code)
            telling.append(asyncio.ensure_future(say(required)))

        pause = TURN
        try:
            async with self._bus.leases.hold(f"login {flow.provider}", ttl_seconds=LEASE_SECONDS):
                if await needed():
                    await log_in(flow, self._home, invited)
        except LeaseHeld:
            pass
        except LoginFailed as failed:
            log.warning("the coder is not logged in: %s", failed)
            pause = AGAIN
        except BusError as error:
            log.warning("nobody is invited to log the coder in: %s", error)
        self._not_before = datetime.now(UTC) + pause
        for each in await asyncio.gather(*telling, return_exceptions=True):
            if isinstance(each, BusError):
                log.warning("nobody was told where to log in: %s", each)
            elif isinstance(each, BaseException):
                raise each
