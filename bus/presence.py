"""Presence: who is there now, kept out of the log. A heartbeat expires by itself when its agent falls silent.

An agent says it to RIG_BEATS, on `presence.<role>.<agent>`, with the time that it lasts. RIG_PRESENCE holds the last of
each agent, and when its time is over the server puts a marker there, which says so to everybody who watches. Nobody's
clock but the server's decides on silence; how long a silence must last to matter is for the watcher to judge.
"""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from typing import Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct

from bus.connection import Connection, Message, raise_refusal
from bus.errors import BusError, Conflict, Unavailable
from bus.stored import Stored, last, messages
from bus.topology import PRESENCE, STORED
from schemas import MALFORMED, Actor, BadSubject, Heartbeat, escape, unescape

log = logging.getLogger(__name__)

MARKER: Final = "Nats-Marker-Reason"
GRACE_SECONDS: Final = 1.0
"""How long after the end of a heartbeat's time a watcher asks, if it has not heard of either a new one or a marker."""
AUDIT_SECONDS: Final = 60.0
"""How often a watcher reads what is stored in any case: on the way to it, messages may have been lost."""
_EVERYBODY: Final = "presence.>"
_TTL: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")


class Seen(Struct, frozen=True):
    """An agent has shown that it lives."""

    heartbeat: Heartbeat


class Silent(Struct, frozen=True):
    """An agent that was seen has shown nothing for as long as it said its heartbeat lasts."""

    role: str
    agent: str


class _Ack(Struct):
    seq: int


Sight: TypeAlias = Seen | Silent


class Presence:
    """Who is there, and that we are."""

    def __init__(self, connection: Connection, actor: Actor) -> None:
        self._connection = connection
        self._actor = actor
        self._positions: dict[str, int] = {}

    async def beat(self, heartbeat: Heartbeat, *, ttl_seconds: int) -> None:
        """Says that the agent is there for that many whole seconds more. Raises Unavailable or ServerRefused."""
        await self._say(heartbeat, {"Nats-TTL": f"{max(1, ttl_seconds)}s"})

    async def leave(self, heartbeat: Heartbeat) -> None:
        """A last heartbeat: the agent is silent a second later. Raises Unavailable or ServerRefused.

        Nothing is said when another process has shown itself under this name since our last.
        """
        expected = self._positions.get(heartbeat.agent, 0)
        with suppress(Conflict):
            await self._say(heartbeat, {"Nats-TTL": "1s", "Nats-Expected-Last-Subject-Sequence": str(expected)})

    async def now(self) -> tuple[Heartbeat, ...]:
        """The heartbeats that have not expired, by agent. Raises Unavailable or ServerRefused."""
        async with aclosing(messages(self._connection, PRESENCE, _EVERYBODY)) as stored:
            found = [heartbeat async for message in stored if (heartbeat := _heartbeat(message)) is not None]
        return tuple(sorted(found, key=lambda heartbeat: (heartbeat.agent, heartbeat.role)))

    async def watch(self) -> AsyncGenerator[Sight]:
        """First everybody who is there, then each heartbeat and each silence, for ever.

        A server that is away is waited for. Whoever was seen and falls silent is said to be so, whatever was lost on
        the way. Close it when you stop (`contextlib.aclosing`).
        """
        heard: asyncio.Queue[Message] = asyncio.Queue()
        subscription = await self._connection.subscribe(f"{STORED}.{_EVERYBODY}", heard.put_nowait)
        view = _View(self._connection)
        try:
            while True:
                try:
                    async with asyncio.timeout_at(view.due):
                        message = await heard.get()
                except TimeoutError:
                    for sight in await view.read():
                        yield sight
                    continue
                for sight in view.hear(message):
                    yield sight
        finally:
            with suppress(Unavailable):
                await subscription.unsubscribe()

    async def _say(self, heartbeat: Heartbeat, headers: dict[str, str]) -> None:
        subject = f"presence.{escape(self._actor)}.{escape(heartbeat.agent)}"
        answer = await self._connection.request(subject, msgspec.json.encode(heartbeat), headers=headers)
        raise_refusal(f"the heartbeat of {heartbeat.agent}", answer)
        self._positions[heartbeat.agent] = msgspec.json.decode(answer, type=_Ack).seq


class _Known(NamedTuple):
    position: int
    expires: float
    """When, by our clock, a new heartbeat or a marker is due at the latest."""


class _View:
    """What a watcher has reported, and when it must look whether it still holds."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[str, _Known] = {}
        self._read_to = 0  # what was said up to here is in what was read
        self._audit = 0.0

    @property
    def due(self) -> float:
        """When to read what is stored."""
        return min([self._audit, *(known.expires for known in self._known.values())])

    def hear(self, message: Message) -> Iterator[Sight]:
        """What a message that the server says again tells."""
        stored = Stored.of(message)
        if stored is None:
            return  # not what the server says again
        known = self._known.get(stored.subject)
        if stored.position > self._read_to and (known is None or stored.position > known.position):
            yield from self._take(stored)

    async def read(self) -> list[Sight]:
        """What has changed since, by what is stored. Nothing while the server is away; then it is due again soon."""
        now = asyncio.get_running_loop().time()
        sights: list[Sight] = []
        try:
            async with aclosing(messages(self._connection, PRESENCE, _EVERYBODY)) as reading:
                found = {stored.subject: stored async for stored in reading}
            read_to = max((stored.position for stored in found.values()), default=0)
            for subject in self._known.keys() - found.keys():  # replaced while we read, or expired, its marker too
                stored = await last(self._connection, PRESENCE, subject)
                if stored is not None:
                    found[subject] = stored
        except BusError as error:
            log.info("who is there cannot be read yet: %s", error)
            self._postpone(now)
            return sights
        self._read_to = read_to
        sights += [self._silent(subject) for subject in sorted(self._known.keys() - found.keys())]
        for stored in found.values():
            known = self._known.get(stored.subject)
            if known is None or known.position != stored.position:
                sights += self._take(stored)
        self._postpone(now)
        self._audit = now + AUDIT_SECONDS
        return sights

    def _take(self, stored: Stored) -> Iterator[Sight]:
        heartbeat = _heartbeat(stored)
        if heartbeat is not None:
            expires = asyncio.get_running_loop().time() + _ttl(stored) + GRACE_SECONDS
            self._known[stored.subject] = _Known(stored.position, expires)
            yield Seen(heartbeat)
        elif stored.subject in self._known:
            yield self._silent(stored.subject)

    def _silent(self, subject: str) -> Silent:
        del self._known[subject]
        _, role, agent = subject.split(".")
        return Silent(unescape(role), unescape(agent))

    def _postpone(self, now: float) -> None:
        """What was due is looked at again after a pause: the server was away, or it is slower than we are."""
        for subject, known in self._known.items():
            if known.expires <= now:
                self._known[subject] = known._replace(expires=now + GRACE_SECONDS)
        self._audit = max(self._audit, now + GRACE_SECONDS)


def _heartbeat(stored: Stored) -> Heartbeat | None:
    """None for a marker, and for what is no heartbeat of the agent on whose subject it was said."""
    if MARKER in stored.headers:
        return None
    try:
        heartbeat = msgspec.json.decode(stored.body, type=Heartbeat)
        if stored.subject == f"presence.{escape(heartbeat.role)}.{escape(heartbeat.agent)}":
            return heartbeat
        log.warning("%s: a heartbeat of %s (%s)", stored.subject, heartbeat.agent, heartbeat.role)
    except (*MALFORMED, BadSubject) as error:
        log.warning("%s: no heartbeat: %s", stored.subject, error)
    return None


def _ttl(stored: Stored) -> float:
    """Seconds that a stored message lasts; without any, until the next audit asks."""
    found = _TTL.fullmatch(stored.headers.get("Nats-TTL", ""))
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found is not None else (0, 0, 0)
    return 3600 * hours + 60 * minutes + seconds or AUDIT_SECONDS
