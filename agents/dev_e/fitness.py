"""Whether the coder can be used at all: it is there, new enough, and logged in.

That is looked at before anything is claimed, though not each time anew: at the start, every few minutes, and after a
failure that speaks against it. A replica whose coder cannot be used puts assignments back for others. A person hears
in the log that a login is needed, or ends soon; once there is one the replica joins again, which is what ends its
suspension.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from functools import partial

from agents.coders.driver import Checked, CoderUnavailable, Driver, LoginMissing
from agents.dev_e.login import Login
from agents.runtime import Replica
from bus import BusError
from machine.lifecycle import Lifecycle
from schemas import FailureKind, LoginExpiring, LoginRequired

log = logging.getLogger(__name__)

LOOK_SECONDS = 300.0
"""From one look to the next while all is well."""
UNFIT_SECONDS = 15.0
"""The same while it is not: a person may be mending it."""
REFUSED_SECONDS = 900.0
"""How long a login that was refused is left alone before it is tried with work again: a key from the environment cannot
become another, but may come into force again. Twice as long each time, and no longer than LONGEST_REFUSED_SECONDS."""
LONGEST_REFUSED_SECONDS = 6 * 3600.0
NOTICE = timedelta(days=3)
"""How long before a login ends people are told of it."""


class Fitness:
    """What is known of one replica's coder."""

    def __init__(self, driver: Driver, life: Lifecycle) -> None:
        self.checked = Checked()
        """What the last look that found nothing wrong has shown."""
        self.problem: CoderUnavailable | None = None
        self._driver = driver
        self._life = life
        self._failed_with: Checked | None = None
        """What was known when its login was refused: when that changes there is hope, and after some time."""
        self._refused_seconds = REFUSED_SECONDS
        self._hope_at = 0.0
        """By the clock of the event loop."""
        self._again = asyncio.Event()
        self._asked_for = False
        """People were told that a login is needed, and the replica has not joined again since."""
        self._ends: datetime | None = None
        """When its login ends, as people were told."""

    @property
    def fit(self) -> bool:
        return self.problem is None and self._failed_with is None

    async def look(self) -> None:
        """Asks the coder. Raises nothing: see `problem`."""
        try:
            self.checked = await self._driver.check()
        except CoderUnavailable as error:
            self.problem = error
            self._life.check("coder", ok=False, detail=str(error))
        else:
            self.problem = None
            self._life.check("coder", ok=True, detail=f"{self._driver.provider} {self.checked.version}".strip())

    def heard(self, failure: FailureKind | None) -> None:
        """How a run of it has ended: one that could not log in, whatever it thinks of its login, cannot be used."""
        if failure is FailureKind.AUTH:
            self._failed_with = self.checked
            self._hope_at = asyncio.get_running_loop().time() + self._refused_seconds
            self._refused_seconds = min(2 * self._refused_seconds, LONGEST_REFUSED_SECONDS)
        elif failure is None:
            self._refused_seconds = REFUSED_SECONDS
        if failure in (FailureKind.AUTH, FailureKind.SPAWN):
            self._again.set()

    async def watch(self, replica: Replica, login: Login) -> None:
        """Looks on, for ever, and tells people what they must do about it."""
        try:
            await self._watch(replica, login)
        finally:
            await login.end()

    async def _watch(self, replica: Replica, login: Login) -> None:
        while True:
            inviting = False
            if self._login_needed:
                inviting = login.begin(partial(self._require, replica), self._still_needed, self._again.set)
            else:
                await login.end()
            await self._tell(replica, inviting=inviting)
            try:
                async with asyncio.timeout(LOOK_SECONDS if self.fit else UNFIT_SECONDS):
                    await self._again.wait()
            except TimeoutError:
                pass
            self._again.clear()
            await self.look()
            hope = self.checked != self._failed_with or asyncio.get_running_loop().time() >= self._hope_at
            if self.problem is None and hope:
                self._failed_with = None

    @property
    def _login_needed(self) -> bool:
        return isinstance(self.problem, LoginMissing) or self._failed_with is not None

    async def _still_needed(self) -> bool:
        await self.look()
        return self.problem is not None or self.checked == self._failed_with

    async def _require(self, replica: Replica, required: LoginRequired) -> None:
        self._asked_for = True  # before it is said: cut off meanwhile, it may have been
        try:
            await replica.say(required)
        except BusError:
            self._asked_for = False
            raise

    async def _tell(self, replica: Replica, *, inviting: bool) -> None:
        provider, expires = self._driver.provider, self.checked.login_expires
        try:
            if self._login_needed:
                if not self._asked_for and not inviting:
                    await self._require(replica, LoginRequired(provider=provider))
            elif self.fit and self._asked_for:
                await replica.join()
                self._asked_for = False
            if self.fit and expires is not None and expires != self._ends and expires - datetime.now(UTC) <= NOTICE:
                await replica.say(LoginExpiring(provider=provider, at=expires))
                self._ends = expires
        except BusError as error:
            log.warning("%s: nobody was told about its login: %s", replica.config.name, error)  # the next look does
