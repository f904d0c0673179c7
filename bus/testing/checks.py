"""What a stream refuses and why, of what is published to it; looked at in the server's order.

Refusals carry nats-server 2.15.1's codes and words, taken from the server itself; tests/contract/test_wire_*.py
asks both and compares.
"""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from bus.testing.message import Packet
from bus.testing.store import Stored, header_bytes
from bus.testing.words import Refusal, lifetime

if TYPE_CHECKING:
    from bus.testing.stream import Stream

__all__ = ["EXPECTED", "Checks"]

EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"


class Checks:
    """Of one stream; and the ids that it remembers."""

    def __init__(self, stream: "Stream") -> None:
        self._stream = stream
        self._ids: dict[str, tuple[int, int]] = {}
        self._id_ages: deque[tuple[int, str]] = deque()

    def stored(self, message: Stored) -> None:
        """Its id is known from now on."""
        message_id = (message.headers or {}).get("Nats-Msg-Id")
        if message_id is not None:
            self._ids[message_id] = message.seq, message.at
            self._id_ages.append((message.at, message_id))

    def all(self, packet: Packet) -> int | None:
        """Raises Refusal; else the position of a message that has this id already. In the server's order."""
        self.permitted(packet)
        self.expected(packet)
        first = self.duplicate_of((packet.headers or {}).get("Nats-Msg-Id", ""))
        if first is None:
            self.room(packet)
        return first

    def duplicate_of(self, message_id: str) -> int | None:
        """Where an id was stored within the window of deduplication."""
        horizon = self._stream.core.now() - self._stream.config.duplicate_window
        while self._id_ages and self._id_ages[0][0] <= horizon:
            at, old = self._id_ages.popleft()
            if self._ids.get(old, (0, 0))[1] == at:
                del self._ids[old]
        return self._ids[message_id][0] if message_id in self._ids else None

    def permitted(self, packet: Packet) -> None:
        """What the stream's configuration forbids."""
        config, headers = self._stream.config, packet.headers or {}
        if 0 <= config.max_msg_size < header_bytes(headers) + len(packet.data):
            raise Refusal(400, 10054, "message size exceeds maximum allowed")
        if headers.get("Nats-Expected-Stream", config.name) != config.name:
            raise Refusal(400, 10060, "expected stream does not match")
        if "Nats-TTL" in headers:
            if not config.allow_msg_ttl:
                raise Refusal(400, 10166, "per-message TTL is disabled")
            if lifetime(headers["Nats-TTL"]) is None:
                raise Refusal(400, 10165, "invalid per-message TTL")
        if "Nats-Schedule" in headers:
            self._stream.schedules.check(packet.subject, headers)

    def expected(self, packet: Packet, before: Sequence[Packet] = ()) -> None:
        """Compare-and-set. `before`: earlier messages of a batch, which nothing may be expected of."""
        store, headers = self._stream.store, packet.headers or {}
        if "Nats-Expected-Last-Sequence" in headers:
            last = store.last + len(before)
            if headers["Nats-Expected-Last-Sequence"] != str(last):
                raise Refusal(400, 10071, f"wrong last sequence: {last}")
        watched = headers.get(f"{EXPECTED}-Subject", packet.subject)
        if EXPECTED in headers:
            if any(earlier.subject == watched for earlier in before):
                raise Refusal(400, 10164, "wrong last sequence")
            message = store.last_of(watched)
            last = message.seq if message else 0
            if headers[EXPECTED] != str(last):
                raise Refusal(400, 10071, f"wrong last sequence: {last}")
        elif f"{EXPECTED}-Subject" in headers:
            raise Refusal(400, 10193, "missing sequence for expected last sequence per subject")

    def room(self, packet: Packet, more: int = 0) -> None:
        """What is looked at last: the last id, roll-up, and the limits of a stream that discards what is new."""
        config, store, headers = self._stream.config, self._stream.store, packet.headers or {}
        if "Nats-Expected-Last-Msg-Id" in headers:
            message = store.get(store.last)
            last_id = (message.headers or {}).get("Nats-Msg-Id", "") if message else ""
            if headers["Nats-Expected-Last-Msg-Id"] != last_id:
                raise Refusal(400, 10070, f"wrong last msg ID: {last_id}")
        if "Nats-Rollup" in headers:
            if not config.allow_rollup_hdrs or config.deny_purge:
                raise Refusal(500, 10111, "rollup not permitted")
            if headers["Nats-Rollup"] not in ("sub", "all"):
                raise Refusal(500, 10111, f'rollup value invalid: "{headers["Nats-Rollup"]}"')
        if config.discard != "new":
            return
        held = len(store.by_subject.get(packet.subject, ()))
        if config.discard_new_per_subject and 0 < config.max_msgs_per_subject <= held:
            raise Refusal(503, 10077, "maximum messages per subject exceeded")
        replaces = 0 < config.max_msgs_per_subject <= held
        if 0 < config.max_msgs <= len(store) + more and not replaces:
            raise Refusal(503, 10077, "maximum messages exceeded")
        if 0 < config.max_bytes < store.bytes + len(packet.data):
            raise Refusal(503, 10077, "maximum bytes exceeded")
