"""The conductor's shell: reads the log, decides, appends the decision as one atomic batch, and mirrors deadlines.

Any number of conductors may run. Every round is compare-and-set on the one subject of `Decided`: one wins each round,
on everything at once, and the others read on. A restart folds the log and stands where it stood.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from bus import Bus, BusError, Causes, Conflict, Delivery, Done, Drop, Expect, Outcome, Reader, Skipped
from conductor.allowance import Counter
from conductor.decide import RULES, decide, may_decide, moment
from conductor.evolve import evolve
from conductor.state import State
from conductor.timers import Owner, Timer, live, owner_of
from machine.lifecycle import Lifecycle
from schemas import (
    ALLOWANCE,
    FLEET,
    MALFORMED,
    Actor,
    AllowanceRequest,
    Decided,
    Draft,
    Envelope,
    Policy,
    Subject,
    envelope,
    event_id,
)

log = logging.getLogger(__name__)

DECIDED_SUBJECT: Final = str(Subject(FLEET, Actor.CONDUCTOR, Decided.name()))
_RETRY_SECONDS: Final = 1.0
"""After a refusal or silence: how long to read on before deciding again on the same prefix."""


SERVICE: Final = "conductor"
"""Which agents ask for money: see allowance."""
REFUSED_ROUNDS: Final = 5
"""After so many on end that did not land, the conductor is not ready, and says why."""


async def run_conductor(bus: Bus, lifecycle: Lifecycle) -> None:
    """Decides until stopped. Raises what makes going on impossible (a log that was recreated, say)."""
    async with asyncio.TaskGroup() as group:
        conductor = Conductor(bus, lifecycle)
        tasks = [group.create_task(task) for task in (conductor.rounds(), conductor.mirror(), conductor.serve())]
        group.create_task(bus.timers.fired(conductor.fired, stop=lifecycle.stop))
        await lifecycle.stop.wait()
        for task in tasks:
            task.cancel()


class Conductor:
    """One conductor: a fold, and what it still has to mirror."""

    def __init__(self, bus: Bus, lifecycle: Lifecycle) -> None:
        self._bus = bus
        self._lifecycle = lifecycle
        self._state = State()
        self._causes = Causes()
        self._counter = Counter(self._state)
        self._refused = 0  # rounds without one that landed
        self._fresh: set[Owner] = set()
        self._to_mirror = asyncio.Event()
        self._caught_up = asyncio.Event()

    async def serve(self) -> None:
        """Answers those who ask for money, from the first time that the log is read on."""
        await self._caught_up.wait()
        while True:
            try:
                return await self._bus.services.serve(SERVICE, ALLOWANCE, AllowanceRequest, self._counter.allowance)
            except BusError as error:
                log.info("nobody can ask for money yet: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)

    async def rounds(self) -> None:
        """Reads in order; whenever it has caught up with a complete batch, decides on exactly that prefix."""
        considered = 0  # the prefix that was decided on last
        async with self._bus.log.follow() as reader:
            while True:
                policy = self._state.policy
                if reader.caught_up:
                    self._tell()
                if policy is not None and reader.caught_up and may_decide(self._state):
                    self._lifecycle.ready()
                    if self._fresh:
                        self._to_mirror.set()
                    if self._state.position > considered:
                        considered = self._state.position
                        if not await self._round(policy) and not await self._read_on(reader):
                            considered = 0
                        continue
                await self._read(reader)

    async def _read_on(self, reader: Reader) -> bool:
        """Reads until somebody's newer Decided has come. False when none came in time: decide again."""
        before = self._state.decided
        try:
            async with asyncio.timeout(_RETRY_SECONDS):
                while self._state.decided == before:
                    await self._read(reader)
        except TimeoutError:
            return False
        return True

    async def _read(self, reader: Reader) -> None:
        """Folds the next event."""
        item = (await reader.next()).decoded()
        if isinstance(item, Skipped):
            log.warning("position %d is skipped: %s", item.position, item.reason)
            evolve(self._state, None, item.position)
            self._counter.read_on()
            return
        evolve(self._state, item.event, item.position)
        self._counter.read_on(item.event.data)
        self._causes.hear(item.event)
        owner = owner_of(item.event)
        if owner is not None:
            self._fresh.add(owner)

    def _tell(self) -> None:
        """Without a policy, or under newer rules than its own, a conductor stands by and says so."""
        state = self._state
        missing = "" if state.policy is not None else "no policy adopted yet; `rig up` says it first"
        newer = "" if state.rules <= RULES else f"the log was decided under rules {state.rules}, these are {RULES}"
        self._lifecycle.check("policy", not missing, missing)
        self._lifecycle.check("rules", not newer, newer)
        self._counter.stand_by(missing or newer)
        self._caught_up.set()

    async def _round(self, policy: Policy) -> bool:
        """One round on the state as it stands. False when the batch did not land: read on, decide again."""
        state = self._state
        now = moment(state, datetime.now(UTC))
        drafts = decide(state, now, policy)
        if not drafts:
            return True
        batch = compose([self._causes.followed(draft) for draft in drafts], state, now, self._bus.log.source)
        try:
            await self._bus.log.append(batch, expect=Expect(DECIDED_SUBJECT, state.decided))
        except Conflict:
            log.info("the round on %d did not land: another conductor has decided", state.position)
            return False
        except BusError as error:
            log.info("the round on %d did not land: %s", state.position, error)
            self._refused += 1
            self._lifecycle.check("rounds", ok=self._refused < REFUSED_ROUNDS, detail=f"none lands: {error}")
            return False
        self._refused = 0
        self._lifecycle.check("rounds", ok=True)
        return True

    # ── deadlines ────────────────────────────────────────────────────────────

    async def mirror(self) -> None:
        """Keeps the live deadlines in the timer stream. It is a cache: setting again is harmless."""
        while True:
            await self._to_mirror.wait()
            self._to_mirror.clear()
            owners, self._fresh = self._fresh, set()
            for timer in sorted(
                filter(None, (live(self._state, owner) for owner in owners)), key=lambda timer: timer.name
            ):
                try:
                    await self._bus.timers.set(timer.name, timer.at, msgspec.json.encode(timer))
                except BusError as error:
                    log.warning("the deadline of %s is not mirrored yet: %s", timer.name, error)
                    self._fresh.add(timer.owner)
            if self._fresh:
                await asyncio.sleep(_RETRY_SECONDS)
                self._to_mirror.set()

    async def fired(self, delivery: Delivery) -> Outcome:
        """A firing becomes a word in the log, unless whoever hears it knows that the deadline lives no more."""
        try:
            timer = msgspec.json.decode(delivery.body, type=Timer)
            draft, owner = timer.passed(), timer.owner
        except (*MALFORMED, ValueError) as error:
            return Drop(f"not a timer of a deadline: {error}")
        now_live = live(self._state, owner)
        if self._state.position < timer.position or (now_live is not None and now_live.id == timer.id):
            await self._bus.log.publish(self._causes.followed(draft), event_id(Actor.CONDUCTOR, "passed", timer.id))
        if now_live is not None and now_live.id != timer.id:
            self._fresh.add(owner)  # a conductor that lagged may have set the older timer over the newer one
            self._to_mirror.set()
        return Done()


def compose(drafts: Sequence[Draft], state: State, now: datetime, source: str) -> list[Envelope]:
    """The batch of a round: Decided, then the decisions, each with the id (conductor, through, index)."""
    through = state.position
    decided = Decided(through=through, now=now, policy=state.policy_hash, rules=RULES, count=len(drafts))
    return [
        envelope(draft, id=event_id(Actor.CONDUCTOR, through, index), actor=Actor.CONDUCTOR, source=source, time=now)
        for index, draft in enumerate([Draft(about=FLEET, data=decided), *drafts])
    ]
