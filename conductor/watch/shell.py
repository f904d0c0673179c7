"""The watch's shell: reads the log, looks at who gives signs of life, asks the read side, and says what it finds.

Any number of watches may run. What one says is compare-and-set on its own subject, with what it knows to be the last
word there; so of two that see the same, one says it, and the other reads it. What it says it says in the log and, for
whoever reads no log because that stands still too, in its own at ERROR. While it cannot speak it is not ready.
"""

import asyncio
import logging
from contextlib import aclosing
from typing import Final

from bus import Bus, BusError, Conflict, Expect, NoService, Refused, Seen, Skipped
from bus.backlog import backlog
from bus.topology import RECEIVED, Durable
from conductor.watch.check import CanaryDue, canary_due, check, pause
from conductor.watch.fold import Fold
from machine.lifecycle import Lifecycle
from schemas import (
    FLEET,
    Actor,
    AddIssue,
    BadReference,
    CanaryIssued,
    Draft,
    HaltCleared,
    HaltDetected,
    IssueAdded,
    Priority,
    Status,
    StatusRequest,
    Subject,
    event_id,
    summary,
)

log = logging.getLogger(__name__)

LEASE: Final = "watch"
LEASE_SECONDS: Final = 30
"""Somebody who holds this lease watches: `rig doctor` looks at it. It is a sign, and lets nobody speak."""
IDLE_SECONDS: Final = 1.0
"""Between two looks while there is no policy."""
MOSTLY_READING: Final = 10
"""So many times longer than a look took the next one is away: when very much stands still, a look takes a second."""
STATUS_SHARE: Final = 8
"""How often the read side, or the inbox, is looked at in the time that it may be behind."""
STATUS_SECONDS: Final = 5.0
"""How long it may take to answer."""
FORGE_SECONDS: Final = 15.0


async def run_watch(bus: Bus, lifecycle: Lifecycle) -> None:
    """Watches until stopped. Raises what makes going on impossible (a log that was recreated, say)."""
    async with asyncio.TaskGroup() as group:
        watch = Watch(bus, lifecycle)
        work = (watch.read(), watch.see(), watch.ask(), watch.deliveries(), watch.canaries(), watch.show())
        tasks = [group.create_task(each) for each in work]
        await lifecycle.stop.wait()
        for task in tasks:
            task.cancel()


class Watch:
    """One watch: a fold, and who feeds it."""

    def __init__(self, bus: Bus, lifecycle: Lifecycle) -> None:
        self._bus = bus
        self._lifecycle = lifecycle
        self._fold = Fold()
        self._spoken = 0
        """The position of what this watch has said last: before that is read again, there is nothing to judge."""
        self._shouted: set[str] = set()
        """Ids of the halts that stand in the log of the process already."""
        self._reconnects = bus.connection.reconnects
        self._shown = asyncio.Event()

    # ── the log ──────────────────────────────────────────────────────────────

    async def read(self) -> None:
        """Reads in order, and looks every so often whether something is to be said."""
        clock = asyncio.get_running_loop().time
        next_look = clock()
        await self._shown.wait()
        async with self._bus.log.follow() as reader:
            while True:
                if (began := clock()) >= next_look:
                    await self._look(caught_up=reader.caught_up)
                    next_look = clock() + max(self._pause(), MOSTLY_READING * (clock() - began))
                try:
                    async with asyncio.timeout_at(next_look):
                        item = (await reader.next()).decoded()
                except TimeoutError:
                    continue
                if isinstance(item, Skipped):
                    self._fold.position = item.position  # the conductor says in its log why
                else:
                    self._fold.apply(item)
                if reader.caught_up:
                    self._lifecycle.ready()

    def _pause(self) -> float:
        return IDLE_SECONDS if self._fold.policy is None else pause(self._fold.policy)

    async def _look(self, *, caught_up: bool) -> None:
        connection, fold = self._bus.connection, self._fold
        here = connection.connected and connection.reconnects == self._reconnects
        self._reconnects = connection.reconnects
        if not here or not caught_up:
            fold.blind()
            return
        fold.look(connection.now())
        self._lifecycle.ready()
        self._lifecycle.check("policy", fold.policy is not None, "no policy adopted yet; `rig up` says it first")
        if fold.policy is None or fold.position < self._spoken:
            return
        for draft in check(fold, connection.now(), fold.policy):
            if not await self._say(draft):
                break

    async def _say(self, draft: Draft) -> bool:
        """Says it if nobody else has; False: read on, and look again."""
        bus, subject = self._bus, str(Subject(draft.about, Actor.WATCH, draft.data.name()))
        last = self._fold.said.get(subject, 0)
        said = bus.log.envelope(draft, event_id(Actor.WATCH, draft.data.name(), str(draft.about), last))
        self._shout(draft, said.id)
        try:
            self._spoken = await bus.log.append([said], expect=Expect(subject, last))
        except Conflict:
            log.info("another watch has spoken on %s", subject)
            return False
        except BusError as error:
            self._lifecycle.check("log", ok=False, detail=f"cannot say {draft.data.name()}: {error}")
            return False
        self._lifecycle.check("log", ok=True)
        return True

    def _shout(self, draft: Draft, said: str) -> None:
        """Whether or not anybody can read it in the log of the rig."""
        if said in self._shouted or not isinstance(draft.data, HaltDetected | HaltCleared):
            return
        self._shouted.add(said)
        log.log(logging.ERROR if isinstance(draft.data, HaltDetected) else logging.WARNING, "%s", summary(draft.data))

    # ── beside the log ───────────────────────────────────────────────────────

    async def see(self) -> None:
        """Who gives signs of life."""
        async with aclosing(self._bus.presence.watch()) as sights:
            async for sight in sights:
                if isinstance(sight, Seen):
                    self._fold.seen(sight.heartbeat.agent, self._bus.connection.now())
                else:
                    self._fold.gone(sight.agent)

    async def ask(self) -> None:
        """How far the read side is, as people would ask."""
        while True:
            policy = self._fold.policy
            if policy is not None and self._fold.watching is not None:
                await self._ask()
            await asyncio.sleep(IDLE_SECONDS if policy is None else policy.watch.projection_seconds / STATUS_SHARE)

    async def _ask(self) -> None:
        try:
            status = await self._bus.services.ask(
                "query", "status", StatusRequest(), Status, timeout_seconds=STATUS_SECONDS
            )
        except (NoService, Refused) as error:
            self._fold.not_read(str(error), self._bus.connection.now())
        except BusError as error:
            log.warning("the read side cannot be asked: %s", error)
        else:
            self._fold.read_to(status.position, self._bus.connection.now())

    async def deliveries(self) -> None:
        """What was delivered from outside and waits to be translated."""
        while True:
            policy = self._fold.policy
            if policy is not None:
                for role, durable in RECEIVED.items():
                    await self._deliveries(role, durable)
            await asyncio.sleep(IDLE_SECONDS if policy is None else policy.watch.decision_seconds / STATUS_SHARE)

    async def _deliveries(self, role: Actor, durable: Durable) -> None:
        try:
            waits = await backlog(self._bus.connection, durable)
        except BusError as error:
            log.warning("it cannot be seen what %s has taken in: %s", role.value, error)
        else:
            self._fold.waits_outside(role.value, waits and waits.oldest, waits.count if waits else 0)

    async def canaries(self) -> None:
        """Puts a canary in when it is time for one."""
        while True:
            fold = self._fold
            try:
                due = None if fold.policy is None else canary_due(fold, self._bus.connection.now(), fold.policy)
                if due is not None and fold.position >= self._spoken:
                    await self._put_in(due)
                    self._lifecycle.check("canary", ok=True)
            except (BusError, BadReference) as error:
                self._lifecycle.check("canary", ok=False, detail=str(error))
            await asyncio.sleep(self._pause())

    async def _put_in(self, due: CanaryDue) -> None:
        asked = AddIssue(
            request=due.request,
            repository=due.repository,
            title=f"Canary of {due.at:%FT%TZ}: try out the path from an issue to its merge",
            body=f"This issue only tries out the rig. Let the file canary.txt hold the one line `{due.at:%FT%TZ}`,"
            " whatever it holds now, and change nothing else.",
            author="watch",
            priority=Priority.LOW,
            labels=("canary",),
        )
        added = await self._bus.services.ask("local", "add_issue", asked, IssueAdded, timeout_seconds=FORGE_SECONDS)
        await self._say(Draft(about=FLEET, data=CanaryIssued(issue=added.issue)))

    async def show(self) -> None:
        """Shows that somebody watches."""
        while True:
            try:
                async with self._bus.leases.hold(LEASE, ttl_seconds=LEASE_SECONDS) as lease:
                    self._shown.set()
                    await lease.lost.wait()
            except BusError as error:
                self._shown.set()
                log.debug("not shown by this one: %s", error)
                await asyncio.sleep(LEASE_SECONDS / 10)
