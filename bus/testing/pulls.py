"""Who waits for messages of a consumer: requests, each for so many messages, until a time."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from bus.testing.message import Packet

if TYPE_CHECKING:
    from bus.testing.consumer import Consumer

__all__ = ["Pulls"]


class _Asked(Struct, forbid_unknown_fields=True):
    batch: int = 1
    expires: int = 0
    no_wait: bool = False
    idle_heartbeat: int = 0


class _Pull:
    """A request that waits."""

    def __init__(self, reply: str, asked: _Asked, now: int) -> None:
        self.reply = reply
        self.left = asked.batch
        self.heartbeat = asked.idle_heartbeat
        self.ends = now + asked.expires if asked.expires else 0
        self.end: asyncio.TimerHandle | None = None
        self.beat: asyncio.TimerHandle | None = None

    def forget(self) -> None:
        for timer in (self.end, self.beat):
            if timer is not None:
                timer.cancel()


class Pulls:
    """Of one consumer, in the order in which they came. None survives a crash."""

    def __init__(self, consumer: "Consumer") -> None:
        self._consumer = consumer
        self._core = consumer.core
        self.waiting: deque[_Pull] = deque()

    def close(self, said: str = "") -> None:
        """Nobody waits any more; they are told when there is something to say."""
        for pull in list(self.waiting):
            if said:
                self._core.status(pull.reply, 409, said)
        for pull in self.waiting:
            pull.forget()
        self.waiting.clear()

    def ask(self, packet: Packet) -> None:
        """Serves it, or lets it wait."""
        try:
            asked = msgspec.json.decode(packet.data, type=_Asked) if packet.data else _Asked()
        except msgspec.DecodeError as error:
            self._core.status(packet.reply, 400, f"Bad Request - {error}")
            return
        if asked.expires and asked.idle_heartbeat > asked.expires // 2:
            self._core.status(packet.reply, 400, "Bad Request - heartbeat value too large")
            return
        self.drop_deaf()
        if len(self.waiting) >= self._consumer.config.max_waiting:
            self._core.status(packet.reply, 409, "Exceeded MaxWaiting")
            return
        pull = _Pull(packet.reply, asked, self._core.now())
        self.waiting.append(pull)
        self._consumer.serve()
        if pull not in self.waiting:
            return
        if asked.no_wait:
            self._end(pull, 404, "No Messages")
            return
        if pull.ends:
            pull.end = self._core.at(pull.ends, lambda: self._timeout(pull))
        self._beat_later(pull)
        self._consumer.busy()

    def take(self) -> str:
        """Where one message more goes."""
        pull = self.waiting[0]
        pull.left -= 1
        if pull.left <= 0:
            self.waiting.popleft()
            pull.forget()
            self._consumer.quiet()
        else:
            self._beat_later(pull)
        return pull.reply

    def drop_deaf(self) -> None:
        """A request whose client is gone gets nothing: what it would be given waits for another."""
        for pull in [pull for pull in self.waiting if not self._core.somebody_hears(pull.reply)]:
            self.waiting.remove(pull)
            pull.forget()

    def _timeout(self, pull: _Pull) -> None:
        self._end(pull, 408, "Request Timeout", Pending_Messages=pull.left, Pending_Bytes=0)

    def _end(self, pull: _Pull, code: int, said: str, **more: object) -> None:
        self.waiting.remove(pull)
        pull.forget()
        self._core.status(pull.reply, code, said, **more)
        self._consumer.quiet()

    def _beat_later(self, pull: _Pull) -> None:
        if pull.heartbeat:
            if pull.beat is not None:
                pull.beat.cancel()
            pull.beat = self._core.at(self._core.now() + pull.heartbeat, lambda: self._beat(pull))

    def _beat(self, pull: _Pull) -> None:
        last = {"Last_Consumer": self._consumer.order, "Last_Stream": self._consumer.cursor - 1}
        self._core.status(pull.reply, 100, "Idle Heartbeat", **last)
        self._beat_later(pull)
