"""Durable work: each message is handled until its handler says what became of it; see outcomes.py.

Delivery is at least once. While a message is held here it is kept alive; when this process dies, another replica of
the same durable gets it after `ack_wait`. A late acknowledgement from a dead delivery still counts with the server, so
an acknowledgement is never proof of ownership: an epoch is.

With a key, the messages of one key are handled one at a time, in the order in which the server hands them to this
process, which is the order of the stream unless one was lost on the way or comes back from elsewhere; one that is to
be tried again is held here, and its key waits for it. Replicas know nothing of each other: two of them may handle two
messages of one key at once, in any order. Who needs more needs an epoch. Without a key a message to be tried again
goes back to the server, and any replica may get it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import structs

from bus.connection import Connection
from bus.delivery import Delivery
from bus.errors import BusError
from bus.holding import ACK, Held, Holding, Source, back
from bus.lanes import Lane, Lanes
from bus.letters import bury, resurrect
from bus.outcomes import MAX_ATTEMPTS, Done, Drop, Handler, Key, Outcome, Retry, after_failure
from bus.topology import Durable

log = logging.getLogger(__name__)

BLOCKED_MAX: Final = 1_000
"""Messages that wait here for one of their key to be tried again; with more of them nothing new is taken."""
_FETCH_SECONDS: Final = 5.0
"""When a retry is tried again whose message could not be fetched."""
_AT_A_STRETCH: Final = 64
"""Messages that one slot handles before the others and the connection get their turn, whatever the handler does."""


async def consume(
    connection: Connection,
    durable: Durable,
    handler: Handler,
    *,
    slots: int,
    stop: asyncio.Event,
    key: Key | None = None,
    prefetch: int = 0,
    max_attempts: int | None = MAX_ATTEMPTS,
) -> None:
    """Hands every message of the durable to `handler`, at most `slots` at a time, until `stop` is set.

    `prefetch` messages more may be held here: none for long work, so that other replicas get them; hundreds for quick
    handlers. After `max_attempts` tries, whatever ended them, a message is buried; None: never. The server counts
    deliveries; the tries of a message that waits here behind its key are counted in this process, and a restart
    forgets them.
    When it stops, nothing new is taken, running handlers are cancelled, and what has no outcome goes back at once.
    Raises what ends the work for good: LogChanged, TopologyDrift. A server or a durable that is away is waited for.
    """
    most = slots + prefetch
    # With more room than is prefetched a slot is idle: long work leaves one free for hours, beside those that are not.
    enough = max(1, min(most // 2, prefetch + 1))
    consumer = _Consumer(connection, durable, handler, key=key, most=most, enough=enough, max_attempts=max_attempts)
    await consumer.run(slots, stop)


class _Consumer:
    def __init__(
        self,
        connection: Connection,
        durable: Durable,
        handler: Handler,
        *,
        key: Key | None,
        most: int,
        enough: int,
        max_attempts: int | None,
    ) -> None:
        self._connection = connection
        self._durable = durable
        self._handler: Callable[[Delivery], Awaitable[object]] = handler
        """Whatever its type says, one that forgets to return gives None."""
        self._key = key
        self._most = most
        self._max_attempts = max_attempts
        self._lanes = Lanes[Held]()
        self._messages = Source(connection, durable, self._hear, self._room, enough)
        self._retries = Source(connection, durable.retries, self._hear, lambda open_: 1 - open_)
        self._holding = Holding(connection, durable.name, (self._messages, self._retries))
        self._asked: asyncio.Queue[Held] = asyncio.Queue()
        """Retries that somebody asked for, whose messages are to be fetched."""
        self._idle: deque[asyncio.Future[None]] = deque()
        self._waking = False
        self._inside: set[int] = set()
        """Slots that are inside the handler."""
        self._stopping = False

    async def run(self, slots: int, stop: asyncio.Event) -> None:
        await self._holding.begin()
        background = [
            asyncio.create_task(work)
            for work in (
                self._messages.pulls.run(),
                self._retries.pulls.run(),
                self._resurrect(),
                self._holding.keep_alive(),
            )
        ]
        at_work = [asyncio.create_task(self._work(slot)) for slot in range(slots)]
        stopped = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait((stopped, *background, *at_work), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._stopping = True
            for task in (stopped, *background, *(at_work[slot] for slot in self._inside)):
                task.cancel()
            for waiting in self._idle:
                if not waiting.done():
                    waiting.set_result(None)
            await asyncio.gather(stopped, *background, *at_work, return_exceptions=True)
            await self._holding.give_back()

    def _room(self, open_: int) -> int:
        """How many more may be held. What waits behind a retry is not counted: others must get on."""
        blocked = self._lanes.blocked
        return 0 if blocked >= BLOCKED_MAX else min(self._most, self._most + blocked - open_)

    # ── what comes ───────────────────────────────────────────────────────────

    def _hear(self, source: Source, delivery: Delivery) -> None:
        """A message has come; perhaps one that is here already."""
        known = source.held.get(delivery.position)
        if known is not None and (known.word is None or known.word == ACK):
            known.reply = delivery.reply  # what was said is said again, to the new delivery
            return
        held = source.held[delivery.position] = Held(source, delivery)
        if self._stopping:
            return
        most = self._max_attempts
        if most is not None and delivery.attempt > most:
            held.hopeless = f"delivered {delivery.attempt} times, and no outcome but to try again; {most} are enough"
        if source is self._retries:
            self._asked.put_nowait(held)
        else:
            self._queue(held)

    def _queue(self, held: Held) -> None:
        key = None
        if self._key is not None:
            try:
                key = self._key(held.delivery)
            except Exception as error:  # noqa: BLE001 - a hostile subject must not end the consumer
                held.hopeless = f"it has no key: {type(error).__name__}: {error}"
        self._lanes.add(key, held.delivery.position, held)
        self._wake()

    def _wake(self) -> None:
        """One slot at a time: it wakes the next when there is more, and a handler that never waits needs no other."""
        if not self._waking and self._lanes.ready:
            while self._idle:
                waiting = self._idle.popleft()
                if not waiting.done():
                    waiting.set_result(None)
                    self._waking = True
                    return

    async def _resurrect(self) -> None:
        """Fetches the messages that retries ask for."""
        while True:
            held = await self._asked.get()
            if held.hopeless is not None:  # a refusal may be for good
                self._queue(held)
                continue
            try:
                found = await resurrect(self._connection, self._durable, held.delivery)
            except BusError as error:
                log.info("%s: a retry cannot be fetched yet: %s", self._durable.name, error)
                await self._holding.say(held, back(_FETCH_SECONDS))
                continue
            if isinstance(found, str):
                held.hopeless = found
            else:
                held.delivery = found
            self._queue(held)

    # ── what is done ─────────────────────────────────────────────────────────

    async def _work(self, slot: int) -> None:
        """One slot: takes what is next, until we stop."""
        loop = asyncio.get_running_loop()
        handled = 0
        while not self._stopping:
            lane = self._lanes.take()
            if lane is None:
                waiting = loop.create_future()
                self._idle.append(waiting)
                await waiting
                self._waking = False
                continue
            self._wake()
            held = lane.head
            outcome = await self._outcome(held, slot)
            if isinstance(outcome, Done):
                await self._holding.say(held, ACK)
                self._lanes.done(lane)
            else:
                await self._not_done(lane, held, outcome)
            handled += 1
            if handled % _AT_A_STRETCH == 0:
                await asyncio.sleep(0)

    async def _outcome(self, held: Held, slot: int) -> Outcome:
        """Raises CancelledError, which ends the slot, only because we stop."""
        if held.hopeless is not None:
            return Drop(held.hopeless)
        self._inside.add(slot)
        try:
            outcome = await self._handler(held.delivery)
            if isinstance(outcome, Outcome):
                return outcome
            raise TypeError(f"the handler returned {type(outcome).__name__}, which is no outcome")
        except asyncio.CancelledError:
            if self._stopping:
                raise
            log.exception("%s: position %d was cancelled", self._durable.name, held.delivery.position)
            return after_failure(held.delivery.attempt)
        except Exception as error:
            if self._last(held):
                log.exception("%s: position %d failed for good", self._durable.name, held.delivery.position)
                return Drop(f"{type(error).__name__}: {error} (attempt {held.delivery.attempt})")
            outcome = after_failure(held.delivery.attempt)
            log.exception(
                "%s: position %d failed; again in %g s", self._durable.name, held.delivery.position, outcome.after
            )
            return outcome
        finally:
            self._inside.discard(slot)

    async def _not_done(self, lane: Lane[Held], held: Held, outcome: Retry | Drop) -> None:
        if isinstance(outcome, Retry) and outcome.counts and self._last(held):
            outcome = Drop(f"another try was asked for {held.delivery.attempt} times")
        if isinstance(outcome, Drop):
            log.error("%s: position %d is dead: %s", self._durable.name, held.delivery.position, outcome.reason)
            own = held.source is self._messages or held.delivery.cause is not None
            durable = self._durable if own else held.source.durable
            try:
                await bury(self._connection, durable, held.delivery, outcome.reason)
            except BusError as error:
                log.error("%s: position %d cannot be buried: %s", self._durable.name, held.delivery.position, error)
                outcome = after_failure(held.delivery.attempt)
            else:
                await self._holding.say(held, ACK)
                self._lanes.done(lane)
                return
        if self._key is None:
            await self._holding.say(held, back(outcome.after))
            self._lanes.done(lane)
        elif not self._stopping:
            attempt = held.delivery.attempt + (1 if outcome.counts else 0)
            held.delivery = structs.replace(held.delivery, attempt=attempt, heard=0)
            self._lanes.block(lane)
            if self._lanes.blocked >= BLOCKED_MAX:
                log.warning("%s: %d messages wait for retries; nothing new is taken", self._durable.name, BLOCKED_MAX)
            held.source.pulls.look()
            asyncio.get_running_loop().call_later(outcome.after, self._unblock, lane)

    def _unblock(self, lane: Lane[Held]) -> None:
        self._lanes.unblock(lane)
        self._wake()

    def _last(self, held: Held) -> bool:
        return self._max_attempts is not None and held.delivery.attempt >= self._max_attempts
