"""A stream in memory: what it accepts, what it refuses and why, what it forgets, what it says again.

Refusals carry nats-server 2.15.1's codes and words, taken from the server itself; tests/contract/test_wire_*.py
asks both and compares.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from bus import topology
from bus.testing.batches import Batches
from bus.testing.core import Core, moment
from bus.testing.message import Packet, json
from bus.testing.schedules import Schedules
from bus.testing.store import Store, Stored, header_bytes
from bus.testing.subjects import has_wildcard, matches
from bus.testing.words import Refusal, duration, lifetime

__all__ = ["Config", "Stream", "Watcher"]

EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"


class Config(topology.Stream, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stream's configuration as far as Rig uses it; a field that is not here is refused, not dropped in silence."""

    description: str = ""
    allow_direct: bool = False
    discard_new_per_subject: bool = False


class Watcher(Protocol):
    """Who must know what a stream stores and forgets: its consumers."""

    def stored(self, message: Stored) -> None: ...
    def removed(self, message: Stored) -> None: ...


class Stream:
    """One stream and what it holds."""

    def __init__(self, core: Core, config: Config) -> None:
        self.core = core
        self.config = config
        self.created = core.stamp()
        self.store = Store()
        self.watchers: list[Watcher] = []
        self.copies: list[Stream] = []
        """Streams that have this one as a source."""
        self._copied: dict[str, int] = {}
        self._ids: dict[str, tuple[int, int]] = {}
        self._id_ages: deque[tuple[int, str]] = deque()
        self._arrived: deque[Packet] = deque()
        self._batches = Batches(self)
        self._schedules = Schedules(self)
        self._listening: list[tuple[str, int]] = []
        self._expiry: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begins to capture its subjects."""
        self._listening = [(subject, self.core.listen(subject, self.publish)) for subject in self.config.subjects]

    def close(self) -> None:
        """Hears and does nothing more."""
        for subject, key in self._listening:
            self.core.forget(subject, key)
        self._listening = []
        self._arrived.clear()
        self._batches.forget()
        self._schedules.forget()
        if self._expiry is not None:
            self._expiry.cancel()

    def reconfigure(self, config: Config) -> None:
        """Takes over another configuration."""
        self.config = config
        for subject, key in self._listening:
            self.core.forget(subject, key)
        self.open()

    def lose_memory(self) -> None:
        """The server crashed: what was acknowledged is there, what was only begun is not."""
        self._arrived.clear()
        self._batches.forget()
        self._schedules.recover()

    # ── publishing ───────────────────────────────────────────────────────────

    def publish(self, packet: Packet) -> None:
        """One message, as it comes from a client. A stream works off its own queue, as the real one does: what was
        published before something else was asked need not be stored before that is answered."""
        self._arrived.append(packet)
        if len(self._arrived) == 1:
            self.core.loop.call_soon(self._work_off)

    def _work_off(self) -> None:
        arrived, self._arrived = self._arrived, deque()
        for packet in arrived:
            self._take(packet)

    def _take(self, packet: Packet) -> None:
        """The answer goes to the reply subject."""
        try:
            if packet.headers and "Nats-Batch-Id" in packet.headers:
                self._batches.take(packet)
                return
            first = self.check(packet)
            if first is None:
                self.acknowledge(packet, seq=self.append(packet).seq)
            else:
                self.acknowledge(packet, seq=first, duplicate=True)
        except Refusal as refusal:
            self.core.say(packet.reply, json({"error": refusal.body(), "stream": self.config.name, "seq": 0}))

    def acknowledge(self, packet: Packet, **facts: object) -> None:
        if not self.core.faults.happens(self.core.faults.lose_ack):
            self.core.say(packet.reply, json({"stream": self.config.name, **facts}))

    def check(self, packet: Packet) -> int | None:
        """Raises Refusal; else the position of a message that has this id already. In the server's order."""
        self.check_permitted(packet)
        self.check_expected(packet)
        first = self.duplicate_of((packet.headers or {}).get("Nats-Msg-Id", ""))
        if first is None:
            self.check_room(packet)
        return first

    def duplicate_of(self, message_id: str) -> int | None:
        """Where an id was stored within the window of deduplication."""
        horizon = self.core.now() - self.config.duplicate_window
        while self._id_ages and self._id_ages[0][0] <= horizon:
            at, old = self._id_ages.popleft()
            if self._ids.get(old, (0, 0))[1] == at:
                del self._ids[old]
        return self._ids[message_id][0] if message_id in self._ids else None

    def check_permitted(self, packet: Packet) -> None:
        """What the stream's configuration forbids."""
        headers = packet.headers or {}
        if 0 <= self.config.max_msg_size < header_bytes(headers) + len(packet.data):
            raise Refusal(400, 10054, "message size exceeds maximum allowed")
        if headers.get("Nats-Expected-Stream", self.config.name) != self.config.name:
            raise Refusal(400, 10060, "expected stream does not match")
        if "Nats-TTL" in headers:
            if not self.config.allow_msg_ttl:
                raise Refusal(400, 10166, "per-message TTL is disabled")
            if lifetime(headers["Nats-TTL"]) is None:
                raise Refusal(400, 10165, "invalid per-message TTL")
        if "Nats-Schedule" in headers:
            self._schedules.check(packet.subject, headers)

    def check_expected(self, packet: Packet, before: Sequence[Packet] = ()) -> None:
        """Compare-and-set. `before`: earlier messages of a batch, which nothing may be expected of."""
        headers = packet.headers or {}
        if "Nats-Expected-Last-Sequence" in headers:
            last = self.store.last + len(before)
            if headers["Nats-Expected-Last-Sequence"] != str(last):
                raise Refusal(400, 10071, f"wrong last sequence: {last}")
        watched = headers.get(f"{EXPECTED}-Subject", packet.subject)
        if EXPECTED in headers:
            if any(earlier.subject == watched for earlier in before):
                raise Refusal(400, 10164, "wrong last sequence")
            message = self.store.last_of(watched)
            last = message.seq if message else 0
            if headers[EXPECTED] != str(last):
                raise Refusal(400, 10071, f"wrong last sequence: {last}")
        elif f"{EXPECTED}-Subject" in headers:
            raise Refusal(400, 10193, "missing sequence for expected last sequence per subject")

    def check_room(self, packet: Packet, more: int = 0) -> None:
        """What is looked at last: the last id, roll-up, and the limits of a stream that discards what is new."""
        config, headers = self.config, packet.headers or {}
        if "Nats-Expected-Last-Msg-Id" in headers:
            message = self.store.get(self.store.last)
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
        held = len(self.store.by_subject.get(packet.subject, ()))
        if config.discard_new_per_subject and 0 < config.max_msgs_per_subject <= held:
            raise Refusal(503, 10077, "maximum messages per subject exceeded")
        replaces = 0 < config.max_msgs_per_subject <= held
        if 0 < config.max_msgs <= len(self.store) + more and not replaces:
            raise Refusal(503, 10077, "maximum messages exceeded")
        if 0 < config.max_bytes < self.store.bytes + len(packet.data):
            raise Refusal(503, 10077, "maximum bytes exceeded")

    # ── storing ──────────────────────────────────────────────────────────────

    def append(self, packet: Packet) -> Stored:
        """Stores a message that was checked."""
        headers = dict(packet.headers) if packet.headers else None
        if headers and "Nats-Schedule" in headers:
            headers["Nats-Rollup"] = "sub"
        before = self.store.by_subject.get(packet.subject)
        previous = before[-1] if before else 0
        message = Stored(self.store.last + 1, packet.subject, packet.data, headers, self.core.stamp(), previous)
        self.store.add(message, self._expires(message))
        if headers and "Nats-Msg-Id" in headers:
            self._ids[headers["Nats-Msg-Id"]] = message.seq, message.at
            self._id_ages.append((message.at, headers["Nats-Msg-Id"]))
        self._make_room(message)
        self._schedules.stored(message)
        self._watch_expiry()
        for watcher in list(self.watchers):
            watcher.stored(message)
        self._republish(message)
        for copy in self.copies:
            self.core.loop.call_soon(copy.copy_from, self)
        return message

    def copy_from(self, origin: "Stream") -> None:
        """Takes over what a source has stored and this stream has not."""
        for message in list(origin.store.since(self._copied.get(origin.config.name, 0) + 1)):
            self._copied[origin.config.name] = message.seq
            headers = {name: value for name, value in (message.headers or {}).items() if EXPECTED not in name}
            headers["Nats-Stream-Source"] = f"{origin.config.name} {message.seq} > > {message.subject} memory"
            self.append(Packet(message.subject, message.data, "", headers))

    def _expires(self, message: Stored) -> int:
        ttl = lifetime((message.headers or {}).get("Nats-TTL", "")) if self.config.allow_msg_ttl else None
        if ttl is not None:
            return message.at + ttl if ttl > 0 else 0
        return message.at + self.config.max_age if self.config.max_age > 0 else 0

    def _make_room(self, message: Stored) -> None:
        config, store = self.config, self.store
        match (message.headers or {}).get("Nats-Rollup"):
            case "sub":
                self.remove(store.by_subject[message.subject][:-1])
            case "all":
                self.remove([old.seq for old in store.since(1) if old.seq != message.seq])
            case _ if 0 < config.max_msgs_per_subject < len(store.by_subject[message.subject]):
                self.remove(store.by_subject[message.subject][: -config.max_msgs_per_subject])
            case _:
                pass
        while 0 < config.max_msgs < len(store) or 0 < config.max_bytes < store.bytes:
            self.remove([store.first])

    def remove(self, seqs: Sequence[int]) -> int:
        """Forgets messages; how many there were."""
        gone = [message for seq in seqs if (message := self.store.remove(seq)) is not None]
        for message in gone:
            self._schedules.removed(message)
            for watcher in list(self.watchers):
                watcher.removed(message)
        return len(gone)

    def _republish(self, message: Stored) -> None:
        rule = self.config.republish
        if rule is None or not matches(rule.src, message.subject):
            return
        # Rules are `a.>` → `b.a.>`: what `>` stands for is carried over.
        kept = message.subject.split(".")[rule.src.count(".") :]
        target = rule.dest.removesuffix(">") + ".".join(kept)
        self.core.say(target, message.data, headers=self.described(message, **{"Last-Sequence": message.previous}))

    def described(self, message: Stored, **more: object) -> dict[str, str]:
        """A message's headers with where it stands, as direct get and republishing say them."""
        place = {
            "Nats-Stream": self.config.name,
            "Nats-Subject": message.subject,
            "Nats-Sequence": str(message.seq),
            "Nats-Time-Stamp": moment(message.at),
        }
        return {**(message.headers or {}), **place, **{f"Nats-{name}": str(value) for name, value in more.items()}}

    # ── forgetting ───────────────────────────────────────────────────────────

    def _watch_expiry(self) -> None:
        """One timer, for what expires first."""
        expires = self.store.next_expiry
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = self.core.at(expires, self._expire) if expires else None

    def _expire(self) -> None:
        self._expiry = None
        for seq in self.store.due(self.core.now()):
            message = self.store.get(seq)
            if message is not None and not message.is_marker and self.store.by_subject[message.subject] == [seq]:
                self._mark(message.subject)
            self.remove([seq])
        self._watch_expiry()

    def _mark(self, subject: str) -> None:
        """Says that a subject's last message has expired."""
        ttl = self.config.subject_delete_marker_ttl
        if ttl:
            headers = {"Nats-Marker-Reason": "MaxAge", "Nats-TTL": duration(ttl), "Nats-Rollup": "sub"}
            self.append(Packet(subject, b"", "", headers))


def normal(config: Config) -> Config:
    """As the server keeps it. Raises Refusal for what it does not do."""
    if config.num_replicas > 1:
        raise Refusal(500, 10074, "replicas > 1 not supported in non-clustered mode")
    rule = config.republish
    if rule is not None and not (
        rule.src.endswith(">") and rule.dest.endswith(">") and not has_wildcard(rule.src[:-2])
    ):
        raise Refusal(500, 10052, f"in memory, republishing goes from `a.>` to `b.a.>`, not to {rule.dest}")
    if config.retention != "limits":
        raise Refusal(500, 10052, f"in memory, retention is by limits, not {config.retention}")
    if config.allow_msg_schedules or config.subject_delete_marker_ttl:  # the server switches roll-up on with them
        return msgspec.structs.replace(config, allow_rollup_hdrs=True, deny_purge=False)
    return config
