"""A pull consumer in memory: it hands messages to whoever asks, and again to another when no acknowledgement comes.

Pull only: Rig has no push consumer, and a request for one is refused.
"""

import asyncio
from typing import Final

import msgspec
from msgspec import Struct

from bus.testing.core import SECOND, moment
from bus.testing.message import Packet
from bus.testing.pulls import Pulls
from bus.testing.store import Stored
from bus.testing.stream import Stream
from bus.testing.subjects import matches
from bus.testing.unacknowledged import Unacknowledged
from bus.testing.words import Refusal, parse_moment

__all__ = ["Consumer", "ConsumerConfig"]

MOST_WAITING: Final = 512
SAVE_NANOSECONDS: Final = SECOND // 10
"""How long the server may take to write down what was handed out and acknowledged. Measured: `sync_interval: always`
does not hold for that, and a crash right after an acknowledgement undoes it."""


class ConsumerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A consumer's configuration as far as Rig uses it, in the server's words and units."""

    name: str = ""
    durable_name: str = ""
    description: str = ""
    deliver_policy: str = "all"
    opt_start_seq: int = 0
    opt_start_time: str = ""
    ack_policy: str = "explicit"
    ack_wait: int = 0
    max_deliver: int = -1
    backoff: tuple[int, ...] | None = None
    filter_subject: str = ""
    filter_subjects: tuple[str, ...] = ()
    replay_policy: str = "instant"
    max_waiting: int = MOST_WAITING
    max_ack_pending: int = 0
    inactive_threshold: int = 0
    num_replicas: int = 0
    mem_storage: bool = False

    def normal(self, name: str) -> "ConsumerConfig":
        """As the server keeps it."""
        acknowledged = self.ack_policy != "none"
        return msgspec.structs.replace(
            self,
            name=self.durable_name or name,
            ack_wait=(self.ack_wait or 30 * SECOND) if acknowledged else 0,
            max_ack_pending=(self.max_ack_pending or 1_000) if acknowledged else 0,
            max_deliver=self.max_deliver or -1,
            inactive_threshold=self.inactive_threshold or (0 if self.durable_name else 5 * SECOND),
        )


class Consumer:
    """One consumer of one stream."""

    def __init__(self, stream: Stream, config: ConsumerConfig) -> None:
        self.stream = stream
        self.core = stream.core
        self.config = config
        self.created = self.core.stamp()
        self.filters = config.filter_subjects or ((config.filter_subject,) if config.filter_subject else (">",))
        self.cursor = self._start()
        """The first position that was never handed out."""
        self.order = 0
        """How often a message was handed out."""
        self._unsent = self._count()
        self.pulls = Pulls(self)
        self._unacknowledged = Unacknowledged(self)
        self._saved = self.cursor, 0, dict[int, int]()
        self._saving: asyncio.TimerHandle | None = None
        self._inactive: asyncio.TimerHandle | None = None
        self._listening: list[tuple[str, int]] = []
        self.ended = lambda: None
        """Called when nobody has asked for longer than the consumer may live."""
        stream.watchers.append(self)

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def ephemeral(self) -> bool:
        """Whether it dies with the server's memory."""
        return not self.config.durable_name or self.config.mem_storage

    def _start(self) -> int:
        store, config = self.stream.store, self.config
        match config.deliver_policy:
            case "all":
                return 1
            case "new":
                return store.last + 1
            case "last":
                newest = max((m.seq for f in self.filters if (m := store.last_of(f)) is not None), default=0)
                return newest or store.last + 1
            case "by_start_sequence":
                if not config.opt_start_seq:
                    raise Refusal(
                        400,
                        10094,
                        "consumer delivery policy is deliver by start sequence, but optional start sequence is not set",
                    )
                return config.opt_start_seq
            case "by_start_time":
                return store.at_or_after(parse_moment(config.opt_start_time) or 0)
            case other:
                raise Refusal(400, 10012, f"in memory, there is no delivery policy {other}")

    def _wants(self, subject: str) -> bool:
        return any(matches(pattern, subject) for pattern in self.filters)

    # ── life ─────────────────────────────────────────────────────────────────

    def open(self) -> None:
        """Begins to answer."""
        place = f"{self.stream.config.name}.{self.name}"
        endpoints = {
            f"$JS.API.CONSUMER.MSG.NEXT.{place}": self.pulls.ask,
            f"$JS.ACK.{place}.>": self._unacknowledged.settle,
        }
        self._listening = [(subject, self.core.listen(subject, heard)) for subject, heard in endpoints.items()]
        self.quiet()

    def close(self, said: str = "") -> None:
        """Ends; those who wait are told when there is something to say."""
        for subject, key in self._listening:
            self.core.forget(subject, key)
        for timer in (self._inactive, self._saving):
            if timer is not None:
                timer.cancel()
        self._unacknowledged.close()
        self.pulls.close(said)
        self.stream.watchers.remove(self)

    def lose_memory(self) -> None:
        """The server crashed: nobody waits any more, and what happened since the last save has not happened."""
        self.pulls.close()
        self.cursor, self.order, attempts = self._saved
        self._unsent = self._count()
        self._unacknowledged.restore(dict(attempts))

    def changed(self) -> None:
        """A consumer writes down where it stands a moment later, whatever the stream's own durability."""
        if self._saving is None:
            self._saving = self.core.at(self.core.now() + SAVE_NANOSECONDS, self._save)

    def _save(self) -> None:
        self._saving = None
        self._saved = self.cursor, self.order, dict(self._unacknowledged.attempts)

    def _count(self) -> int:
        return sum(1 for message in self.stream.store.since(self.cursor) if self._wants(message.subject))

    def update(self, config: ConsumerConfig) -> None:
        """Takes over what may change. Raises Refusal."""
        if config.deliver_policy != self.config.deliver_policy:
            raise Refusal(500, 10012, "deliver policy can not be updated")
        self.config = config
        self.filters = config.filter_subjects or ((config.filter_subject,) if config.filter_subject else (">",))
        self._unsent = self._count()
        self.serve()

    def info(self) -> dict[str, object]:
        """What the server says of it."""
        outstanding = sorted(self._unacknowledged.due)
        return {
            "stream_name": self.stream.config.name,
            "name": self.name,
            "created": moment(self.created),
            "config": self.config,
            "delivered": {"consumer_seq": self.order, "stream_seq": self.cursor - 1},
            "ack_floor": {"consumer_seq": 0, "stream_seq": (outstanding[0] if outstanding else self.cursor) - 1},
            "num_ack_pending": len(outstanding),
            "num_redelivered": sum(1 for seq in outstanding if self._unacknowledged.attempts.get(seq, 0) > 1),
            "num_waiting": len(self.pulls.waiting),
            "num_pending": self._unsent,
            "ts": moment(self.core.now()),
        }

    def quiet(self) -> None:
        """Nobody asks: an ephemeral consumer ends after a while."""
        self.busy()
        if self.config.inactive_threshold and not self.pulls.waiting:
            at = self.core.now() + self.config.inactive_threshold
            self._inactive = self.core.at(at, self._end_quietly)

    def busy(self) -> None:
        """Somebody asks."""
        if self._inactive is not None:
            self._inactive.cancel()
        self._inactive = None

    def _end_quietly(self) -> None:
        self.ended()

    # ── the stream's side ────────────────────────────────────────────────────

    def stored(self, message: Stored) -> None:
        if message.seq >= self.cursor and self._wants(message.subject):
            self._unsent += 1
            if self.pulls.waiting:
                self.serve()

    def removed(self, message: Stored) -> None:
        if message.seq >= self.cursor and self._wants(message.subject):
            self._unsent -= 1
        self._unacknowledged.forget(message.seq)

    # ── handing out ──────────────────────────────────────────────────────────

    def serve(self) -> None:
        """Hands out what there is to those who wait; what comes again goes first."""
        self.pulls.drop_deaf()
        while self.pulls.waiting:
            message = self._unacknowledged.next() or self._next_new()
            if message is None:
                return
            self._deliver(message, self.pulls.take())
        self.quiet()

    def _next_new(self) -> Stored | None:
        if not self._unsent or 0 < self.config.max_ack_pending <= len(self._unacknowledged.due):
            return None
        for message in self.stream.store.since(self.cursor):
            if self._wants(message.subject):
                self.cursor = message.seq + 1
                self._unsent -= 1
                return message
        return None

    def _deliver(self, message: Stored, reply: str) -> None:
        seq = message.seq
        attempt = self._unacknowledged.attempts.get(seq, 0) + 1
        self.order += 1
        self.changed()
        if self.config.ack_policy != "none":
            self._unacknowledged.hand_out(seq, attempt)
        place = f"{self.stream.config.name}.{self.name}.{attempt}.{seq}.{self.order}.{message.at}.{self._unsent}"
        self.core.route(Packet(message.subject, message.data, f"$JS.ACK.{place}", message.headers), to=reply)
