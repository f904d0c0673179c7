"""Deliveries from outside, as they came: stored before anybody interprets them, each once, and kept for 7 days.

    inbox.<role>.delivery.<id>              a delivery: its headers, and its body
    inbox.<role>.outcome.<id>.<revision>    what a revision of the translator made of it

One word on a subject, and the first one stays: the server itself refuses what comes again, for as long as it remembers.
A body that is too large for a message is put among the objects first, under its digest, and the message names it.
What a delivery says is for others: here it is bytes.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import aclosing
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from bus.connection import MAX_PAYLOAD, Connection, frame_size
from bus.consume import consume
from bus.delivery import Delivery
from bus.errors import NoStream, ObjectCorrupt, ObjectMissing, ObjectTooLarge
from bus.intake import Intake
from bus.objects import Objects
from bus.outcomes import Drop, Key, Outcome
from bus.replay import replay
from bus.stored import Stored
from bus.topology import INBOX, RECEIVED, Durable
from schemas import MALFORMED, Actor, escape, unescape

N = TypeVar("N", bound=Struct)

PATIENCE_SECONDS: Final = 8.0
"""Who delivers waits for the answer: GitHub for ten seconds."""
OBJECT: Final = "Rig-Object"
"""Header of a delivery whose body is an object: its name."""
ROOM: Final = MAX_PAYLOAD - 1_024
"""Bytes of a delivery with its headers that are one message; the rest is for the headers of its batch."""
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_OURS: Final = ("nats-", "rig-")


class Arrived(Struct, frozen=True):
    """A delivery from outside."""

    delivery: str
    """Its id, as who sent it says it."""
    headers: dict[str, str]
    body: bytes
    position: int
    """In RIG_INBOX."""
    stored_at: datetime


class _Page(Struct, frozen=True):
    subjects: dict[str, int] = {}


class _State(Struct, frozen=True):
    state: _Page
    total: int = 0


class Inbox:
    """The deliveries of one role."""

    def __init__(self, connection: Connection, actor: Actor, objects: Objects) -> None:
        self._connection = connection
        self._actor = actor
        self._objects = objects
        self._intake = Intake(connection, INBOX)
        self._deliveries = f"inbox.{actor.value}.delivery"

    async def store(
        self, delivery: str, headers: Mapping[str, str], body: bytes, *, timeout_seconds: float = PATIENCE_SECONDS
    ) -> bool:
        """Stores a delivery once; when this returns it is on disk. False: its id was there already.

        Of one id the first stays, whatever the second says. Raises BadSubject, ValueError for a header that no message
        can hold, ObjectTooLarge, ServerRefused, or Unavailable at the deadline: then it may be stored nevertheless.
        """
        subject = f"{self._deliveries}.{escape(delivery)}"
        kept = {name: _checked(name, value) for name, value in headers.items()}
        if self._intake.knows(subject):
            return False
        if frame_size(body, kept) > ROOM:
            clock = asyncio.get_running_loop().time
            until = clock() + timeout_seconds
            name = f"delivery-{sha256(body).hexdigest()}"
            await self._objects.put(name, body, timeout_seconds=timeout_seconds)
            kept[OBJECT], body, timeout_seconds = name, b"", until - clock()
        return await self._intake.store(subject, body, kept, timeout_seconds=timeout_seconds)

    async def note(self, delivery: str, revision: int, note: Struct) -> None:
        """What a revision of the translator made of a delivery; the first word stays. Raises as `store`."""
        subject = f"inbox.{self._actor.value}.outcome.{escape(delivery)}.{revision}"
        body = msgspec.json.encode(note)
        if len(body) > ROOM:
            raise ObjectTooLarge(f"a note about {delivery} has {len(body)} bytes, {ROOM} fit")
        await self._intake.store(subject, body, {}, timeout_seconds=PATIENCE_SECONDS)

    async def known(self, deliveries: Collection[str]) -> set[str]:
        """Which of these ids are there. Raises BadSubject, Unavailable or ServerRefused."""
        wanted = {f"{self._deliveries}.{escape(delivery)}": delivery for delivery in deliveries}
        found, offset, total = set[str](), 0, 1
        while wanted and offset < total:
            asked = {"subjects_filter": f"{self._deliveries}.>", "offset": offset}
            answer = await self._connection.api(f"$JS.API.STREAM.INFO.{INBOX.name}", asked, timeout_seconds=30.0)
            page = msgspec.json.decode(answer, type=_State)
            found.update(wanted[subject] for subject in page.state.subjects if subject in wanted)
            offset, total = offset + len(page.state.subjects), page.total if page.state.subjects else 0
        return found

    async def work(
        self,
        handler: Callable[[Arrived], Awaitable[Outcome]],
        *,
        slots: int,
        stop: asyncio.Event,
        key: Key | None = None,
    ) -> None:
        """Hands every delivery to `handler`, as `consume` does; replicas of the role share them.

        Raises what ends the work for good: LogChanged, TopologyDrift.
        """

        async def handle(message: Delivery) -> Outcome:
            try:
                arrived = await self._arrived(message)
            except (ObjectMissing, ObjectCorrupt) as error:
                return Drop(str(error))
            return await handler(arrived)

        await consume(self._connection, self._durable(), handle, slots=slots, stop=stop, key=key)

    async def replay(
        self, *, after: int = 0, until: int | None = None, since: datetime | None = None
    ) -> AsyncGenerator[Arrived]:
        """Every delivery that is stored by now: behind a position, up to one, not before a time.

        Close it when you stop early (`contextlib.aclosing`). Raises as `replay` of the log; ObjectMissing,
        ObjectCorrupt.
        """
        filters = (f"{self._deliveries}.>",)
        found = replay(self._connection, filters, stream=INBOX, after=after, until=until, since=since)
        async with aclosing(found) as batches:
            async for batch in batches:
                for message in batch:
                    yield await self._arrived(message)

    async def noted(self, kind: type[N]) -> AsyncGenerator[N]:
        """What was noted of the deliveries that are stored by now, in that order; what is no such note is left out.

        Close it when you stop early (`contextlib.aclosing`). Raises as `replay` of the log.
        """
        found = replay(self._connection, (f"inbox.{self._actor.value}.outcome.>",), stream=INBOX)
        async with aclosing(found) as batches:
            async for batch in batches:
                for message in batch:
                    try:
                        note = msgspec.json.decode(message.body, type=kind)
                    except MALFORMED:
                        continue
                    yield note

    async def close(self) -> None:
        """Takes nothing more. Who still waits for the server's word gets Unavailable."""
        await self._intake.close()

    async def _arrived(self, message: Delivery | Stored) -> Arrived:
        headers, body = message.headers or {}, message.body
        if (name := headers.get(OBJECT)) is not None:
            async with aclosing(self._objects.get(name)) as chunks:
                body = b"".join([chunk async for chunk in chunks])
        kept = {name: value for name, value in headers.items() if not name.lower().startswith(_OURS)}
        delivery = unescape(message.subject.rpartition(".")[2])
        return Arrived(delivery, kept, body, message.position, message.stored_at)

    def _durable(self) -> Durable:
        try:
            return RECEIVED[self._actor]
        except KeyError:
            raise NoStream(f"{self._actor.value} takes in no deliveries: see RECEIVED in bus.topology") from None


@lru_cache(maxsize=256)
def _is_theirs(name: str) -> bool:
    """Whether it is a name, and none that the server or this file would act on."""
    return _NAME.fullmatch(name) is not None and not name.lower().startswith(_OURS)


def _checked(name: str, value: str) -> str:
    """One line of plain text, as it is; else ValueError."""
    if not _is_theirs(name) or not (value.isascii() and value.isprintable()):
        raise ValueError(f"no header of a delivery: {name[:100]!r}")
    return value
