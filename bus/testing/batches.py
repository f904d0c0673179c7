"""Atomic batches: messages of one id that are held back until the last of them comes, then stored all or none."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from bus.testing.core import SECOND
from bus.testing.message import Packet
from bus.testing.words import Refusal

if TYPE_CHECKING:
    from bus.testing.stream import Stream

__all__ = ["Batches"]

LARGEST: Final = 1_000
OPEN: Final = 5_000
"""Batches of one stream under way at a time: as the rig's own servers are told, in deploy/."""
IDLE_SECONDS: Final = 2
"""As they are told, too."""


class _Batch(Struct):
    packets: list[Packet]
    given_up: asyncio.TimerHandle


class Batches:
    """The batches under way on one stream. None survives a restart of the server."""

    def __init__(self, stream: "Stream") -> None:
        self._stream = stream
        self._open: dict[str, _Batch] = {}

    def forget(self) -> None:
        for batch in self._open.values():
            batch.given_up.cancel()
        self._open.clear()

    def take(self, packet: Packet) -> None:
        """One message of a batch. Raises Refusal."""
        headers = packet.headers or {}
        identity, number, commit = self._read(headers)
        batch = self._open.get(identity)
        if number != (len(batch.packets) if batch else 0) + 1:
            self._give_up(identity, "incomplete")
            raise Refusal(400, 10176, "atomic publish batch is incomplete")
        if batch is None:
            if len(self._open) >= OPEN and not commit:
                raise Refusal(429, 10210, "atomic publish too many inflight")
            batch = self._open[identity] = _Batch([], self._idle(identity))
        if number > LARGEST:
            self._give_up(identity, "large")
            raise Refusal(400, 10199, f"atomic publish batch is too large: {LARGEST}")
        if commit != "eob":
            batch.packets.append(packet)
        if commit:
            self._close(identity)
            self._store(packet, identity, batch.packets)
            return
        batch.given_up.cancel()
        batch.given_up = self._idle(identity)
        self._stream.core.say(packet.reply)  # an empty answer: so far so good

    def _read(self, headers: Mapping[str, str]) -> tuple[str, int, str]:
        if not self._stream.config.allow_atomic:
            raise Refusal(400, 10174, "atomic publish is disabled")
        identity, commit = headers["Nats-Batch-Id"], headers.get("Nats-Batch-Commit", "")
        if not 0 < len(identity) <= 64:
            raise Refusal(400, 10179, "atomic publish batch ID is invalid")
        number = headers.get("Nats-Batch-Sequence", "")
        if not number.isdecimal():
            raise Refusal(400, 10175, "atomic publish sequence is missing")
        if commit not in ("", "1", "eob"):
            self._close(identity)
            raise Refusal(400, 10200, "atomic publish batch commit is invalid")
        return identity, int(number), commit

    def _store(self, last: Packet, identity: str, packets: list[Packet]) -> None:
        checks, ids = self._stream.checks, set[str]()
        for index, packet in enumerate(packets):
            message_id = (packet.headers or {}).get("Nats-Msg-Id", "")
            checks.permitted(packet)
            if checks.duplicate_of(message_id) is not None or message_id in ids:
                raise Refusal(400, 10201, "atomic publish batch contains duplicate message id")
            checks.expected(packet, packets[:index])
            checks.room(packet, index)
            ids |= {message_id} - {""}
        seq = 0
        for packet in packets:
            if packet is packets[-1]:
                packet.headers = {**(packet.headers or {}), "Nats-Batch-Commit": "1"}
            seq = self._stream.append(packet).seq
        self._stream.acknowledge(last, seq=seq, batch=identity, count=len(packets))

    def _idle(self, identity: str) -> asyncio.TimerHandle:
        core = self._stream.core
        return core.at(core.now() + IDLE_SECONDS * SECOND, lambda: self._give_up(identity, "timeout"))

    def _close(self, identity: str) -> bool:
        batch = self._open.pop(identity, None)
        if batch is not None:
            batch.given_up.cancel()
        return batch is not None

    def _give_up(self, identity: str, reason: str) -> None:
        if self._close(identity):
            name = self._stream.config.name
            subject = f"STREAM.BATCH_ABANDONED.{name}"
            self._stream.core.advise(subject, "stream_batch_abandoned", stream=name, batch=identity, reason=reason)
