"""Whether the coder can be used at all: it is there, new enough, and logged in.

That is looked at before anything is claimed, though not each time anew: at the start, every few minutes, and after a
failure that speaks against it. A replica whose coder cannot be used puts assignments back for others. A person hears
in the log that a login is needed, or ends soon; once there is one the replica joins again, which is what ends its
suspension.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from agents.coders.driver import Checked, CoderUnavailable, Driver, LoginMissing
from agents.runtime import Replica
from bus import BusError
from machine.lifecycle import Lifecycle
from schemas import FailureKind, LoginExpiring, LoginRequired

log = logging.getLogger(__name__)

LOOK_SECONDS = 300.0
"""From one look to the next while all is well."""
UNFIT_SECONDS = 15.0
"""The same while it is not: a person may be mending it."""
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
        """What was known when its login was refused: only when that changes is there hope."""
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
        if failure in (FailureKind.AUTH, FailureKind.SPAWN):
            self._again.set()

    async def watch(self, replica: Replica) -> None:
        """Looks on, for ever, and tells people what they must do about it."""
        while True:
            await self._tell(replica)
            try:
                async with asyncio.timeout(LOOK_SECONDS if self.fit else UNFIT_SECONDS):
                    await self._again.wait()
            except TimeoutError:
                pass
            self._again.clear()
            await self.look()
            if self.problem is None and self.checked != self._failed_with:
                self._failed_with = None

    async def _tell(self, replica: Replica) -> None:
        provider, expires = self._driver.provider, self.checked.login_expires
        try:
            if isinstance(self.problem, LoginMissing) or self._failed_with is not None:
                if not self._asked_for:
                    await replica.say(LoginRequired(provider=provider))
                    self._asked_for = True
            elif self.fit and self._asked_for:
                await replica.join()
                self._asked_for = False
            if self.fit and expires is not None and expires != self._ends and expires - datetime.now(UTC) <= NOTICE:
                await replica.say(LoginExpiring(provider=provider, at=expires))
                self._ends = expires
        except BusError as error:
            log.warning("%s: nobody was told about its login: %s", replica.config.name, error)  # the next look does
