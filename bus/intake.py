"""What is stored once for each subject, for many callers at once: the first word stays, whoever says it.

That nothing is there yet is expected of the server with every message, so it decides; here is only remembered what it
said.
"""

import asyncio
import uuid
from collections.abc import Mapping
from typing import Final

from bus.connection import Connection, raise_refusal
from bus.errors import Conflict, Unavailable
from bus.publish import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, TRY_SECONDS
from bus.stored import last
from bus.topology import Stream

REMEMBERED: Final = 100_000
"""Subjects of which we know that they have their word."""
_WRITER: Final = "Rig-Writer"
_FREE: Final = {"Nats-Expected-Last-Subject-Sequence": "0"}


class Intake:
    """Everybody in a process who stores on a stream of one word for each subject."""

    def __init__(self, connection: Connection, stream: Stream, *, try_seconds: float = TRY_SECONDS) -> None:
        self._connection = connection
        self._stream = stream
        self._try_seconds = try_seconds
        self._me = uuid.uuid4().hex
        self._known: dict[str, None] = {}
        self._reconnects = 0

    def knows(self, subject: str) -> bool:
        """Whether it is known here that the subject has its word. A server that was away may have lost it."""
        if self._reconnects != self._connection.reconnects:
            self._reconnects = self._connection.reconnects
            self._known.clear()
        return subject in self._known

    async def store(self, subject: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float) -> bool:
        """Stores it if nothing is there, trying until the deadline; whether it did.

        Raises ServerRefused, or Unavailable at the deadline: then it may be stored nevertheless.
        """
        if self.knows(subject):
            return False
        pause, silence = FIRST_PAUSE_SECONDS, None
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    try:
                        new = await self._try(subject, body, {**headers, **_FREE, _WRITER: self._me}, silence)
                    except Unavailable as error:
                        silence = error
                    else:
                        self._remember(subject)
                        return new
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        except TimeoutError:
            why = silence or "the server has not answered yet"
            raise Unavailable(f"{subject} is not known to be stored: {why}") from None

    async def close(self) -> None:
        """Takes nothing more."""

    async def _try(self, subject: str, body: bytes, headers: Mapping[str, str], silence: Unavailable | None) -> bool:
        answer = await self._connection.request(subject, body, headers=headers, timeout_seconds=self._try_seconds)
        try:
            raise_refusal(f"storing on {subject}", answer)
        except Conflict:
            if silence is None:
                return False
            found = await last(self._connection, self._stream, subject)  # perhaps an earlier try of ours was the first
            return found is not None and found.headers.get(_WRITER) == self._me
        return True

    def _remember(self, subject: str) -> None:
        self._known[subject] = None
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
