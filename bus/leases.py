"""Leases: one holder at a time of a name, for as long as it shows that it lives.

    async with bus.leases.hold("archive", ttl_seconds=10) as lease:
        ...
        lease.check()               LeaseLost once it may have run out
        await lease.write(b"…")     LeaseLost if anybody has held it since: the server compares

A lease is the last message on `lease.<role>.<name>`, which expires by itself. Taking it expects nothing there, and
renewing it expects what its holder wrote last, so the server lets one writer through. A lease saves work; it does not
make anything right: a holder that was stopped believes that it still holds. Right is what the server compares: `write`,
or an expectation on the subject that is written, or a receiver that refuses a token lower than one it has seen.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from bus.connection import Connection, raise_refusal
from bus.errors import BusError, Conflict, LeaseHeld, LeaseLost, Unavailable
from bus.stored import Stored, last
from bus.topology import LEASES
from schemas import MALFORMED, Actor, escape

log = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 0.2
"""Between two looks at a lease that somebody else holds."""
FAREWELL_SECONDS: Final = 2.0
"""How long giving a lease back may take: it runs out by itself."""


class Held(Struct, frozen=True):
    """The last word on a lease: who holds it."""

    holder: str
    """Its `source`."""
    tenure: str
    """Of one holder from taking the lease to losing it."""
    since: datetime
    written: int
    """How many words of this tenure there are."""
    token: int = 0
    """0 in the first word of a tenure, whose own position it is."""
    value: bytes = b""
    released: bool = False


class _Ack(Struct):
    seq: int


class Leases:
    """The leases of one role."""

    def __init__(self, connection: Connection, actor: Actor, source: str) -> None:
        self._connection = connection
        self._actor = actor
        self._source = source

    @asynccontextmanager
    async def hold(self, name: str, *, ttl_seconds: int, wait_seconds: float = 0.0) -> AsyncGenerator["Lease"]:
        """Takes a lease, renews it in the background at each third of its time, and gives it back at the end.

        Raises what `acquire` raises. When the lease is lost on the way, `lost` is set and the block runs on.
        """
        lease = await self.acquire(name, ttl_seconds=ttl_seconds, wait_seconds=wait_seconds)
        renewing = asyncio.create_task(lease.keep())
        try:
            yield lease
        finally:
            renewing.cancel()
            await asyncio.wait((renewing,))
            await lease.release()

    async def acquire(self, name: str, *, ttl_seconds: int, wait_seconds: float = 0.0) -> "Lease":
        """Takes a lease for that many whole seconds, waiting for it until it is free.

        Raises LeaseHeld, which names the holder, or Unavailable, each after `wait_seconds`.
        """
        subject = f"lease.{escape(self._actor)}.{escape(name)}"
        lease = Lease(self._connection, name, subject, self._source, ttl_seconds)
        deadline = self._connection.clock() + wait_seconds
        while True:
            try:
                return await lease.take()
            except (LeaseHeld, Unavailable):
                left = deadline - self._connection.clock()
                if left <= 0:
                    raise
            await asyncio.sleep(min(PAUSE_SECONDS, left))

    async def look(self, name: str, *, role: Actor | None = None) -> Held | None:
        """Who holds a lease now, of this role or another; None when nobody does. Raises Unavailable."""
        found = await last(self._connection, LEASES, f"lease.{escape(role or self._actor)}.{escape(name)}")
        held = _held(found) if found is not None else None
        if found is None or held is None or held.released:
            return None
        return held if held.token else msgspec.structs.replace(held, token=found.position)


class Lease:
    """A lease that was taken. Made by `Leases`."""

    def __init__(self, connection: Connection, name: str, subject: str, holder: str, ttl_seconds: int) -> None:
        if ttl_seconds < 1:
            raise ValueError(f"a lease of {ttl_seconds} s: 1 s is the shortest")
        self._connection = connection
        self._subject = subject
        self._ttl = ttl_seconds
        self._position = 0
        self._until = 0.0
        self._word = Held(holder, uuid.uuid4().hex, connection.now(), 0)
        self._speaking = asyncio.Lock()
        self._why: BusError | None = None
        self.name = name
        self.token = 0
        """The fencing token: higher than that of every earlier holder, the same for the whole tenure."""
        self.lost = asyncio.Event()
        """Set for good when it is not ours any more: another has it, nobody answered in its time, it was given back."""

    def check(self) -> None:
        """Raises LeaseLost when the lease is lost or may have run out, by this machine's clock.

        It counts from before the renewal that was confirmed last was asked for, so it is early rather than late. But
        whoever stops between this look and the work does not notice: see `write`.
        """
        if self.lost.is_set() or self._connection.clock() >= self._until:
            raise self._loss(self._why)

    async def write(self, value: bytes) -> None:
        """Puts a value on the lease if we still hold it: the server compares. This renews, too.

        Raises LeaseLost when the server refuses, or does not answer before the lease runs out: then the value may
        be there. The value is gone when the lease is.
        """
        await self._renew(msgspec.structs.replace(self._word, value=value))

    async def renew(self) -> None:
        """Holds it for its whole time from now on. Raises LeaseLost as `write` does."""
        await self._renew(self._word)

    async def keep(self) -> None:
        """Renews until the lease is lost."""
        while not self.lost.is_set():
            await asyncio.sleep(self._ttl / 3)
            try:
                await self.renew()
            except LeaseLost as error:
                log.warning("%s", error)
            except BusError as error:
                log.warning("the lease %s is not renewed: %s", self.name, error)

    async def release(self) -> None:
        """Gives it back, if it is still ours and the server is there; else it runs out by itself."""
        if self.lost.is_set():
            return
        try:
            async with asyncio.timeout(FAREWELL_SECONDS), self._speaking:
                # No right to purge is needed: a word that says so, and that is gone a second later.
                await self._say(msgspec.structs.replace(self._word, released=True), ttl_seconds=1)
        except (BusError, TimeoutError) as error:
            log.info("the lease %s is left to run out: %s", self.name, error or "the server does not answer")
        self.lost.set()

    async def take(self) -> "Lease":
        """One try; for `Leases.acquire`. What an earlier try may have left there is recognized as ours."""
        found = await last(self._connection, LEASES, self._subject, timeout_seconds=max(1.0, self._ttl / 3))
        held = _held(found) if found is not None else None
        if held is not None and not held.released and held.tenure != self._word.tenure:
            raise LeaseHeld(f"the lease {self.name} is held by {held.holder} since {held.since:%F %T} UTC")
        self._position = found.position if found is not None else 0
        self._until = self._connection.clock() + self._ttl
        try:
            await self._say(self._word, ttl_seconds=self._ttl)
        except Conflict:
            raise LeaseHeld(f"the lease {self.name} was taken by another at this moment") from None
        self.token = self._position
        self._word = msgspec.structs.replace(self._word, token=self.token)
        return self

    async def _renew(self, word: Held) -> None:
        async with self._speaking:
            if self.lost.is_set():
                raise self._loss(self._why)
            try:
                await self._say(word, ttl_seconds=self._ttl)
            except (Conflict, Unavailable) as error:
                self._why = error
                self.lost.set()
                raise self._loss(error) from error
            self._word = msgspec.structs.replace(word, written=self._word.written)

    async def _say(self, word: Held, *, ttl_seconds: int) -> None:
        """Compare-and-set of our subject, again and again until it is answered or the lease has run out.

        Raises Conflict when another's word is there, or none any more; Unavailable; ServerRefused.
        """
        word = msgspec.structs.replace(word, written=self._word.written + 1)
        self._word = msgspec.structs.replace(self._word, written=word.written)
        asked, said = self._connection.clock(), False
        while not said:
            try:
                said = await self._try(word, ttl_seconds)
            except Unavailable:
                if self._connection.clock() >= self._until:
                    raise
                await asyncio.sleep(0.05)
        self._until = asked + ttl_seconds

    async def _try(self, word: Held, ttl_seconds: int) -> bool:
        """Once. False: try again, behind a word of ours that we had given up and that has come after all."""
        try:
            self._position = await self._publish(word, ttl_seconds)
        except Conflict:
            found = await last(self._connection, LEASES, self._subject, timeout_seconds=self._ttl / 3)
            held = _held(found) if found is not None else None
            if found is None or held is None or held.tenure != word.tenure:
                raise
            self._position = found.position
            return held.written == word.written  # then only the acknowledgement was lost
        return True

    async def _publish(self, word: Held, ttl_seconds: int) -> int:
        headers = {"Nats-Expected-Last-Subject-Sequence": str(self._position), "Nats-TTL": f"{ttl_seconds}s"}
        body, patience = msgspec.json.encode(word), self._ttl / 3
        answer = await self._connection.request(self._subject, body, headers=headers, timeout_seconds=patience)
        raise_refusal(f"the lease {self.name}", answer)
        return msgspec.json.decode(answer, type=_Ack).seq

    def _loss(self, why: BusError | None) -> LeaseLost:
        reason = "it was given back" if self.lost.is_set() else "it may have run out"
        error = LeaseLost(f"the lease {self.name} (token {self.token}) is lost: {why or reason}")
        error.__cause__ = why
        return error


def _held(found: Stored) -> Held | None:
    """None for what is no word of a lease: nobody holds by that."""
    try:
        return msgspec.json.decode(found.body, type=Held)
    except MALFORMED as error:
        log.warning("%s: what is there is no lease: %s", found.subject, error)
        return None
