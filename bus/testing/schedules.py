"""Scheduled messages: one for each subject, said on its target when the time has come."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bus.testing.message import Packet
from bus.testing.store import Stored
from bus.testing.subjects import is_literal, matches
from bus.testing.words import Refusal, lifetime, parse_moment

if TYPE_CHECKING:
    from bus.testing.stream import Stream

__all__ = ["Schedules"]


class Schedules:
    """The schedules of one stream."""

    def __init__(self, stream: "Stream") -> None:
        self._stream = stream
        self._waiting: dict[str, tuple[int, asyncio.TimerHandle]] = {}

    def check(self, subject: str, headers: Mapping[str, str]) -> None:
        """Raises Refusal."""
        if not self._stream.config.allow_msg_schedules:
            raise Refusal(400, 10188, "message schedules is disabled")
        if _due(headers) is None:  # the server knows repeating patterns as well; Rig uses none
            raise Refusal(400, 10189, "message schedules pattern is invalid")
        if "Nats-Schedule-TTL" in headers and lifetime(headers["Nats-Schedule-TTL"]) is None:
            raise Refusal(400, 10191, "message schedules invalid per-message TTL")
        target = headers.get("Nats-Schedule-Target", "")
        ours = any(matches(pattern, target) for pattern in self._stream.config.subjects)
        if not is_literal(target) or target == subject or not ours:
            raise Refusal(400, 10190, "message schedules target is invalid")

    def stored(self, message: Stored) -> None:
        """Sets the timer of a schedule; a firing takes its schedule away."""
        headers = message.headers or {}
        if headers.get("Nats-Schedule-Next") == "purge" and "Nats-Scheduler" in headers:
            self._stream.remove(list(self._stream.store.by_subject.get(headers["Nats-Scheduler"], ())))
        due = _due(headers)
        if message.subject in self._waiting:  # moved; or cancelled, in the server's memory alone
            self._waiting.pop(message.subject)[1].cancel()
        if due is not None:
            timer = self._stream.core.at(due, lambda: self._fire(message))
            self._waiting[message.subject] = message.seq, timer

    def removed(self, message: Stored) -> None:
        """A schedule that is gone does not fire."""
        seq, timer = self._waiting.get(message.subject, (0, None))
        if seq == message.seq and timer is not None:
            timer.cancel()
            del self._waiting[message.subject]

    def recover(self) -> None:
        """The server has started again: every schedule that is stored waits again."""
        self.forget()
        for message in list(self._stream.store.since(1)):
            if _due(message.headers or {}) is not None:
                self.stored(message)

    def forget(self) -> None:
        for _, timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()

    def _fire(self, message: Stored) -> None:
        headers = dict(message.headers or {})
        target, ttl = headers["Nats-Schedule-Target"], headers.get("Nats-Schedule-TTL")
        own = {name: value for name, value in headers.items() if not name.startswith("Nats-")}
        own |= {"Nats-Scheduler": message.subject, "Nats-Schedule-Next": "purge"}
        if ttl is not None:
            own["Nats-TTL"] = ttl
        self._stream.append(Packet(target, message.data, "", own))


def _due(headers: Mapping[str, str]) -> int | None:
    kind, _, moment = headers.get("Nats-Schedule", "").partition(" ")
    return parse_moment(moment) if kind == "@at" else None
