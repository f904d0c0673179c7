"""The log as a role sees it: say, read, follow, work. The actor is fixed at connecting: nobody speaks for another."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import datetime

from bus.connection import Connection
from bus.consume import consume
from bus.delivery import Delivery, Skipped
from bus.direct import get_last, get_position
from bus.follow import Reader
from bus.outcomes import MAX_ATTEMPTS, Drop, Key, Outcome
from bus.publish import Expect, Outgoing, store_batch, store_expecting
from bus.replay import replay
from bus.topology import Durable
from bus.tracing import tracing
from bus.writer import Writer
from schemas import Actor, Draft, Envelope, Recorded, envelope


class Log:
    """The stream RIG, written as one actor."""

    def __init__(self, connection: Connection, actor: Actor, source: str) -> None:
        self._connection = connection
        self._writer = Writer(connection)
        self.actor = actor
        self.source = source

    def envelope(self, draft: Draft, id: str) -> Envelope:  # noqa: A002 - CloudEvents' name
        """The draft as this role would say it now. Raises NotAllowed or BadSubject."""
        time = draft.time or self._connection.now()
        return envelope(draft, id=id, actor=self.actor, source=self.source, time=time)

    async def publish(
        self,
        draft: Draft,
        id: str,  # noqa: A002 - CloudEvents' name
        *,
        new_subject: bool = False,
        timeout_seconds: float = 30.0,
    ) -> int:
        """Stores one event once and returns its position; said again with the same id, the position of the first.

        That is so while the server remembers the id, for the duplicate window of the stream (two minutes) and no
        longer: said again later it is stored again. `new_subject` holds for ever: it demands that nothing was said on
        its subject yet (Conflict otherwise). Many at once share one flush: see writer.py.
        Raises DuplicateMismatch when the id is stored within the window with another subject or data, ServerRefused,
        or Unavailable at the deadline: then it may be stored nevertheless.
        """
        event = self.envelope(draft, id)
        if not tracing.on:
            return await self._store(Outgoing.of(event), new_subject, timeout_seconds)
        with tracing.sending(event) as sending:
            message = Outgoing.of(sending.events[0])
            sending.encoded([message.body])
            return await self._store(message, new_subject, timeout_seconds)

    def _store(self, message: Outgoing, new_subject: bool, timeout_seconds: float) -> Awaitable[int]:
        if not new_subject:
            return self._writer.publish(message, timeout_seconds=timeout_seconds)
        expect = Expect(message.subject, 0)
        return store_expecting(self._connection, message, expect, timeout_seconds=timeout_seconds)

    async def append(self, events: Sequence[Envelope], *, expect: Expect) -> int:
        """Stores all or none if `expect` holds, and returns the position of the first; they are contiguous.

        One try. Any refusal or silence raises (Conflict, ServerRefused, Unavailable) and leaves it to the caller to
        read the log before saying anything again: the batch may have landed.
        """
        if not tracing.on:
            return await store_batch(self._connection, [Outgoing.of(event) for event in events], expect=expect)
        with tracing.sending_batch(events) as sending:
            messages = [Outgoing.of(event) for event in sending.events]
            sending.encoded([message.body for message in messages])
            return await store_batch(self._connection, messages, expect=expect)

    async def close(self) -> None:
        """Takes nothing more. Who still waits for the server's word gets Unavailable."""
        await self._writer.close()

    def follow(self, filters: Sequence[str] = ("rig.>",), *, after: int = 0) -> Reader:
        """An ordered reader of everything behind `after`; use it as `async with`."""
        return Reader(self._connection, filters, after=after)

    async def replay(
        self,
        filters: Sequence[str] = ("rig.>",),
        *,
        after: int = 0,
        until: int | None = None,
        since: datetime | None = None,
    ) -> AsyncGenerator[Recorded | Skipped]:
        """What is stored by now on these filters, fast, in order; for the range and what it raises see `replay`."""
        async for batch in replay(self._connection, filters, after=after, until=until, since=since):
            for item in batch:
                yield item.decoded()

    async def history(self, filters: Sequence[str], *, after: int = 0) -> list[Recorded]:
        """Every event stored by now on these filters, behind `after`. What cannot be decoded is left out."""
        return [item async for item in self.replay(filters, after=after) if isinstance(item, Recorded)]

    async def at(self, position: int) -> Recorded | Skipped | None:
        """What stands at one position."""
        return await get_position(self._connection, position)

    async def last(self, subject: str = "rig.>") -> Recorded | Skipped | None:
        """The newest event on a subject or filter."""
        return await get_last(self._connection, subject)

    async def work(
        self,
        durable: Durable,
        handler: Callable[[Recorded], Awaitable[Outcome]],
        *,
        slots: int,
        stop: asyncio.Event,
        key: Key | None = None,
        prefetch: int = 0,
        max_attempts: int | None = MAX_ATTEMPTS,
    ) -> None:
        """Durable work on the events of the log; see consume. What is no event goes to the dead letters."""

        async def handle(delivery: Delivery) -> Outcome:
            item = delivery.decoded()
            if isinstance(item, Skipped):
                return Drop(item.reason)
            if not tracing.on:
                return await handler(item)
            size, attempt, heard = len(delivery.body), delivery.attempt, delivery.heard
            with tracing.processing(item.event, group=durable.name, size=size, attempt=attempt, heard=heard) as span:
                outcome = await handler(item)
                span.note("rig.outcome", type(outcome).__name__.lower())
                if isinstance(outcome, Drop):
                    span.fail("Drop")
                return outcome

        await consume(
            self._connection,
            durable,
            handle,
            slots=slots,
            stop=stop,
            key=key,
            prefetch=prefetch,
            max_attempts=max_attempts,
        )
