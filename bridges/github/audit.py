"""Nothing missed: what GitHub says it delivered, against what the inbox holds; what is missing is put there.

At the start and every few minutes, the last three days, under the delivery's own id: so whatever else brings it, it is
one delivery. Where no log is ours to read, what is open at GitHub is compared with what is known instead; and so is,
once, every repository that comes under the rig: what was there before stands in no delivery that was ours.

One bridge at a time audits, the holder of a lease; a second one would do no harm. What stops an audit (a limit, GitHub
away, the bus) stops no more than this one: what is missing still is found by the next.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Struct, field

from bridges.github import deliveries
from bridges.github.api import GitHub, Priority
from bridges.github.deliveries import Unreadable
from bridges.github.errors import ApiError, Away, RateLimited, Unauthorized
from bridges.github.history import Found, History
from bus import Bus, BusError, LogChanged, ObjectTooLarge
from schemas import (
    Actor,
    AuditCompleted,
    Draft,
    Recorded,
    RepoRef,
    RepositoryConfigured,
    SchemaError,
    event_id,
    one_line,
)
from schemas.queries import Audited, AuditRequest, DeliveryLog, RepositoryAudit

__all__ = ["LEASE", "Auditor"]

LEASE: Final = "audit"
LEASE_SECONDS: Final = 10
SERVICE: Final = "github"
AT_ONCE: Final = 4
"""Deliveries that are fetched side by side."""
_ENDS: Final = (RateLimited, Away, Unauthorized)
"""What would be no better at the next repository."""

log = logging.getLogger(__name__)


class _Repository(Struct, frozen=True):
    id: int


class _Tally(Struct):
    """One audit, as far as it has come."""

    log: DeliveryLog = DeliveryLog.NONE
    found: list[Found] = field(default_factory=list[Found])
    missing: set[str] = field(default_factory=set[str])
    stored: set[str] = field(default_factory=set[str])
    news: dict[RepoRef, int] = field(default_factory=dict[RepoRef, int])
    trouble: dict[RepoRef, str] = field(default_factory=dict[RepoRef, str])
    ended: str | None = None
    """Why it did not come to its end."""


class Auditor:
    """Of one bridge."""

    def __init__(
        self,
        bus: Bus,
        github: GitHub,
        *,
        every_seconds: float,
        served: Callable[[], Collection[RepoRef]],
        reconcile: Callable[[RepoRef], Awaitable[int]],
        acting: asyncio.Event | None = None,
    ) -> None:
        """`served` are the repositories at GitHub under the rig; `reconcile` compares what is open in one with what is
        known, and returns how many events that led to (see reconcile.py). While `acting` is not set no turn is taken:
        what reconciling wants looked at must be looked at here."""
        self._bus = bus
        self._github = github
        self._every_seconds = every_seconds
        self._served = served
        self._reconcile = reconcile
        self._acting = acting or asyncio.Event()
        if acting is None:
            self._acting.set()
        self._history = History(github)
        self._ids: dict[RepoRef, int] = {}
        self._reconciled: set[RepoRef] = set()
        self._told: set[RepoRef] = set()
        """Of these an AuditCompleted was said since the start."""
        self._more = asyncio.Event()
        """A repository has come under the rig."""
        self._one_at_a_time = asyncio.Lock()
        self._last = Audited(audited_at=None)

    async def run(self, stop: asyncio.Event) -> None:
        """Audits until `stop`, and answers how it went. What `served` tells must be whole by now."""
        await self._bus.services.serve(SERVICE, "audit", AuditRequest, self.answer)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._take_turns()), group.create_task(self._hear())]
            await stop.wait()
            for task in tasks:
                task.cancel()

    def rest(self) -> None:
        """`acting` is not set any more: whoever acts now has the next turn."""
        self._more.set()

    async def answer(self, asked: AuditRequest) -> Audited:
        """How the last audit went, whichever bridge made it; or one that is made now."""
        if asked.now:
            return await self.audit()
        held = await self._bus.leases.look(LEASE)
        if held is not None and held.value:
            with suppress(msgspec.DecodeError):  # a bridge of another version
                return msgspec.json.decode(held.value, type=Audited)
        return self._last

    async def audit(self) -> Audited:
        """One audit. Raises LogChanged alone."""
        async with self._one_at_a_time:
            tally, served = _Tally(), sorted(self._served())
            try:
                await self._compare(tally, served)
            except LogChanged:
                raise
            except (ApiError, BusError, Unreadable) as error:
                tally.ended = _line(error)
            except Exception as error:  # a mistake of ours: the deliveries that do come are told on all the same
                log.exception("the audit failed")
                tally.ended = _line(error)
            self._last = self._audited(tally, served)
            if tally.missing or tally.ended is not None:
                log.warning("%s", _summary(self._last))
            if tally.ended is None:
                await self._tell(self._last)
            return self._last

    # ── when ─────────────────────────────────────────────────────────────────

    async def _take_turns(self) -> None:
        while True:
            await self._acting.wait()
            try:
                async with self._bus.leases.hold(LEASE, ttl_seconds=LEASE_SECONDS) as lease:
                    while self._acting.is_set() and not lease.lost.is_set():
                        self._more.clear()
                        await lease.write(msgspec.json.encode(await self.audit()))
                        await _first_of(lease.lost, self._more, timeout_seconds=self._every_seconds)
            except LogChanged:
                raise
            except BusError as error:
                log.debug("not auditing: %s", error)  # another bridge does, or nobody can
                await asyncio.sleep(LEASE_SECONDS / 2)

    async def _hear(self) -> None:
        """Wakes the auditor when a repository comes under the rig."""
        last = await self._bus.log.last()
        async with self._bus.log.follow(["rig.repo.>"], after=0 if last is None else last.position) as reader:
            async for said in reader:
                match said:
                    case Recorded(event=event) if isinstance(event.data, RepositoryConfigured):
                        if event.about not in self._reconciled:
                            self._more.set()
                    case _:
                        pass

    # ── what ─────────────────────────────────────────────────────────────────

    async def _compare(self, tally: _Tally, served: list[RepoRef]) -> None:
        now = datetime.now(UTC)
        tally.log = await self._history.read(now, served, tally.trouble)
        tally.found = self._history.found()
        known = await self._bus.inbox.known([each.guid for each in tally.found])
        missing = sorted(
            (each for each in tally.found if each.guid not in known),
            key=lambda each: (each.delivered_at, each.entry.id),
        )
        for first in range(0, len(missing), AT_ONCE):
            some = missing[first : first + AT_ONCE]
            done = await asyncio.gather(*(self._put_back(each, tally) for each in some), return_exceptions=True)
            for error in done:
                if error is not None:
                    raise error
        for repository in served:
            unread = tally.log is DeliveryLog.NONE or repository in tally.trouble
            if unread or repository not in self._reconciled:
                await self._look_through(repository, tally, counts=unread)
        if tally.log is DeliveryLog.APP:
            await self._identify(served, tally)

    async def _put_back(self, found: Found, tally: _Tally) -> None:
        try:
            headers, body = await deliveries.whole(self._github, found.log, found.entry)
            new = await self._bus.inbox.store(found.guid, headers, body)
        except _ENDS:
            raise
        except (ApiError, Unreadable, SchemaError, ValueError, ObjectTooLarge) as error:
            tally.missing.add(found.guid)
            log.warning("the delivery %s is missing and cannot be put back: %s", one_line(found.guid), error)
            return
        if new:  # else it was on its way here
            tally.missing.add(found.guid)
            tally.stored.add(found.guid)

    async def _look_through(self, repository: RepoRef, tally: _Tally, *, counts: bool) -> None:
        try:
            news = await self._reconcile(repository)
        except _ENDS:
            raise
        except ApiError as error:
            tally.trouble.setdefault(repository, _line(error))
            return
        self._reconciled.add(repository)
        if counts:
            tally.news[repository] = news

    async def _identify(self, served: list[RepoRef], tally: _Tally) -> None:
        """The App's log names repositories by their number."""
        for repository in served:
            if repository not in self._ids:
                try:
                    found = await self._github.get(
                        "/repos/{owner}/{repo}", _Repository, repository=repository, priority=Priority.LOW
                    )
                except _ENDS:
                    raise
                except ApiError as error:
                    tally.trouble[repository] = _line(error)
                else:
                    self._ids[repository] = found.id

    # ── the result ───────────────────────────────────────────────────────────

    def _audited(self, tally: _Tally, served: list[RepoRef]) -> Audited:
        return Audited(
            audited_at=datetime.now(UTC),
            log=tally.log,
            delivered=len(tally.found),
            missing=len(tally.missing),
            reinjected=len(tally.stored),
            repositories=tuple(self._of_each(tally, served)),
            trouble=tally.ended,
        )

    def _of_each(self, tally: _Tally, served: list[RepoRef]) -> Iterator[RepositoryAudit]:
        for repository in served:
            number = self._ids.get(repository)
            its = [each.guid for each in tally.found if each.is_of(repository, number)]
            yield RepositoryAudit(
                repository=repository,
                log=DeliveryLog.NONE if repository in tally.trouble else tally.log,
                delivered=len(its),
                missing=len(tally.missing.intersection(its)),
                reinjected=len(tally.stored.intersection(its)),
                said=tally.news.get(repository, 0),
                trouble=tally.trouble.get(repository),
            )

    async def _tell(self, audited: Audited) -> None:
        """Says in the log what was missing; and once after the start, how it stands."""
        for each in audited.repositories:
            missing, put_back = each.missing + each.said, each.reinjected + each.said
            if not missing and each.repository in self._told:
                continue
            data = AuditCompleted(delivered=each.delivered, missing=missing, reinjected=put_back)
            id_ = event_id(Actor.GITHUB, str(each.repository), "audit", str(audited.audited_at))
            try:
                await self._bus.log.publish(Draft(about=each.repository, data=data), id_)
            except BusError as error:
                log.warning("%s: what the audit found is not said: %s", each.repository, error)
                return
            self._told.add(each.repository)


def _summary(audited: Audited) -> str:
    if audited.trouble is not None:
        return f"the audit did not come to its end: {audited.trouble}"
    return f"{audited.missing} of {audited.delivered} deliveries were missing; {audited.reinjected} are put back"


def _line(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}")


async def _first_of(*events: asyncio.Event, timeout_seconds: float) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
