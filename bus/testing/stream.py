"""A stream in memory: what it stores, what it forgets, what it says again. What it refuses: checks.py."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import msgspec

from bus import topology
from bus.testing.batches import Batches
from bus.testing.checks import EXPECTED, Checks
from bus.testing.core import Core, moment
from bus.testing.message import Packet, json
from bus.testing.schedules import Schedules
from bus.testing.store import Store, Stored
from bus.testing.subjects import has_wildcard, matches
from bus.testing.words import Refusal, duration, lifetime

__all__ = ["Config", "Stream", "Watcher"]


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
        self.checks = Checks(self)
        self.schedules = Schedules(self)
        self._arrived: deque[Packet] = deque()
        self._batches = Batches(self)
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
        self.schedules.forget()
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
        self.schedules.recover()

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
            first = self.checks.all(packet)
            if first is None:
                self.acknowledge(packet, seq=self.append(packet).seq)
            else:
                self.acknowledge(packet, seq=first, duplicate=True)
        except Refusal as refusal:
            self.core.say(packet.reply, json({"error": refusal.body(), "stream": self.config.name, "seq": 0}))

    def acknowledge(self, packet: Packet, **facts: object) -> None:
        if not self.core.faults.happens(self.core.faults.lose_ack):
            self.core.say(packet.reply, json({"stream": self.config.name, **facts}))

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
        self.checks.stored(message)
        self._make_room(message)
        self.schedules.stored(message)
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
            self.schedules.removed(message)
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
