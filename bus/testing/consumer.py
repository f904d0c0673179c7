"""A pull consumer in memory: it hands messages to whoever asks, and again to another when no acknowledgement comes.

Pull only: Rig has no push consumer, and a request for one is refused.
"""

import asyncio
import itertools
from collections import deque
from heapq import heappop, heappush
from typing import Final

import msgspec
from msgspec import Struct

from bus.testing.core import SECOND, moment
from bus.testing.message import Packet
from bus.testing.store import Stored
from bus.testing.stream import Stream
from bus.testing.subjects import matches
from bus.testing.words import Refusal, parse_moment

__all__ = ["Consumer", "ConsumerConfig"]

MOST_WAITING: Final = 512
SAVE_NANOSECONDS: Final = SECOND // 10
"""How long the server may take to write down what was handed out and acknowledged. Measured: `sync_interval: always`
does not hold for that, and a crash right after an acknowledgement undoes it."""
AT_ONCE: Final = 0
"""When a message is due again that nobody has to wait for."""


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


class _Asked(Struct, forbid_unknown_fields=True):
    batch: int = 1
    expires: int = 0
    no_wait: bool = False
    idle_heartbeat: int = 0


class _Waiting:
    """A request that waits for messages."""

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


class Consumer:
    """One consumer of one stream."""

    def __init__(self, stream: Stream, config: ConsumerConfig) -> None:
        self.stream = stream
        self.core = stream.core
        self.config = config
        self.created = self.core.stamp()
        self.filters = config.filter_subjects or ((config.filter_subject,) if config.filter_subject else (">",))
        self._cursor = self._start()
        self._order = 0
        self._unsent = self._count()
        self._waiting: deque[_Waiting] = deque()
        self._unacknowledged: dict[int, int] = {}  # position → when it is due again
        self._attempts: dict[int, int] = {}
        self._deadlines: list[tuple[int, int, int]] = []
        self._again: deque[int] = deque()
        self._saved = self._cursor, 0, dict[int, int]()
        self._saving: asyncio.TimerHandle | None = None
        self._tie = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
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
        endpoints = {f"$JS.API.CONSUMER.MSG.NEXT.{place}": self._asked, f"$JS.ACK.{place}.>": self._settled}
        self._listening = [(subject, self.core.listen(subject, heard)) for subject, heard in endpoints.items()]
        self._quiet()

    def close(self, said: str = "") -> None:
        """Ends; those who wait are told when there is something to say."""
        for subject, key in self._listening:
            self.core.forget(subject, key)
        for timer in (self._timer, self._inactive, self._saving):
            if timer is not None:
                timer.cancel()
        for pull in list(self._waiting):
            if said:
                self.core.status(pull.reply, 409, said)
        self._stop_waiting()
        self.stream.watchers.remove(self)

    def lose_memory(self) -> None:
        """The server crashed: nobody waits any more, and what happened since the last save has not happened."""
        self._stop_waiting()
        self._cursor, self._order, self._attempts = self._saved
        self._unsent = self._count()
        self._again.clear()
        self._deadlines.clear()
        self._unacknowledged.clear()
        for seq in self._attempts:
            self._due_again(seq, self.config.ack_wait)

    def _stop_waiting(self) -> None:
        for pull in self._waiting:
            pull.forget()
        self._waiting.clear()

    def _changed(self) -> None:
        """A consumer writes down where it stands a moment later, whatever the stream's own durability."""
        if self._saving is None:
            self._saving = self.core.at(self.core.now() + SAVE_NANOSECONDS, self._save)

    def _save(self) -> None:
        self._saving = None
        self._saved = self._cursor, self._order, dict(self._attempts)

    def _count(self) -> int:
        return sum(1 for message in self.stream.store.since(self._cursor) if self._wants(message.subject))

    def update(self, config: ConsumerConfig) -> None:
        """Takes over what may change. Raises Refusal."""
        if config.deliver_policy != self.config.deliver_policy:
            raise Refusal(500, 10012, "deliver policy can not be updated")
        self.config = config
        self.filters = config.filter_subjects or ((config.filter_subject,) if config.filter_subject else (">",))
        self._unsent = self._count()
        self._serve()

    def info(self) -> dict[str, object]:
        """What the server says of it."""
        outstanding = sorted(self._unacknowledged)
        return {
            "stream_name": self.stream.config.name,
            "name": self.name,
            "created": moment(self.created),
            "config": self.config,
            "delivered": {"consumer_seq": self._order, "stream_seq": self._cursor - 1},
            "ack_floor": {"consumer_seq": 0, "stream_seq": (outstanding[0] if outstanding else self._cursor) - 1},
            "num_ack_pending": len(outstanding),
            "num_redelivered": sum(1 for seq in outstanding if self._attempts.get(seq, 0) > 1),
            "num_waiting": len(self._waiting),
            "num_pending": self._unsent,
            "ts": moment(self.core.now()),
        }

    def _quiet(self) -> None:
        """Nobody asks: an ephemeral consumer ends after a while."""
        if self._inactive is not None:
            self._inactive.cancel()
        self._inactive = None
        if self.config.inactive_threshold and not self._waiting:
            at = self.core.now() + self.config.inactive_threshold
            self._inactive = self.core.at(at, self._end_quietly)

    def _end_quietly(self) -> None:
        self.ended()

    # ── the stream's side ────────────────────────────────────────────────────

    def stored(self, message: Stored) -> None:
        if message.seq >= self._cursor and self._wants(message.subject):
            self._unsent += 1
            if self._waiting:
                self._serve()

    def removed(self, message: Stored) -> None:
        if message.seq >= self._cursor and self._wants(message.subject):
            self._unsent -= 1
        self._forget(message.seq)

    # ── who asks ─────────────────────────────────────────────────────────────

    def _asked(self, packet: Packet) -> None:
        try:
            asked = msgspec.json.decode(packet.data, type=_Asked) if packet.data else _Asked()
        except msgspec.DecodeError as error:
            self.core.status(packet.reply, 400, f"Bad Request - {error}")
            return
        if asked.expires and asked.idle_heartbeat > asked.expires // 2:
            self.core.status(packet.reply, 400, "Bad Request - heartbeat value too large")
            return
        self._drop_deaf()
        if len(self._waiting) >= self.config.max_waiting:
            self.core.status(packet.reply, 409, "Exceeded MaxWaiting")
            return
        pull = _Waiting(packet.reply, asked, self.core.now())
        self._waiting.append(pull)
        self._serve()
        if pull not in self._waiting:
            return
        if asked.no_wait:
            self._end(pull, 404, "No Messages")
            return
        if pull.ends:
            pull.end = self.core.at(pull.ends, lambda: self._timeout(pull))
        self._beat_later(pull)
        if self._inactive is not None:
            self._inactive.cancel()

    def _timeout(self, pull: _Waiting) -> None:
        self._end(pull, 408, "Request Timeout", Pending_Messages=pull.left, Pending_Bytes=0)

    def _end(self, pull: _Waiting, code: int, said: str, **more: object) -> None:
        self._waiting.remove(pull)
        pull.forget()
        self.core.status(pull.reply, code, said, **more)
        self._quiet()

    def _beat_later(self, pull: _Waiting) -> None:
        if pull.heartbeat:
            if pull.beat is not None:
                pull.beat.cancel()
            pull.beat = self.core.at(self.core.now() + pull.heartbeat, lambda: self._beat(pull))

    def _beat(self, pull: _Waiting) -> None:
        last = {"Last_Consumer": self._order, "Last_Stream": self._cursor - 1}
        self.core.status(pull.reply, 100, "Idle Heartbeat", **last)
        self._beat_later(pull)

    def _drop_deaf(self) -> None:
        """A request whose client is gone gets nothing: what it would be given waits for another."""
        for pull in [pull for pull in self._waiting if not self.core.somebody_hears(pull.reply)]:
            self._waiting.remove(pull)
            pull.forget()

    # ── handing out ──────────────────────────────────────────────────────────

    def _serve(self) -> None:
        self._drop_deaf()
        while self._waiting:
            message = self._next()
            if message is None:
                return
            pull = self._waiting[0]
            pull.left -= 1
            if pull.left <= 0:
                self._waiting.popleft()
                pull.forget()
                self._quiet()
            else:
                self._beat_later(pull)
            self._deliver(message, pull.reply)
        self._quiet()

    def _next(self) -> Stored | None:
        """What comes again goes first."""
        while self._again:
            message = self.stream.store.get(self._again.popleft())
            if message is None or self._unacknowledged.get(message.seq) != AT_ONCE:
                continue  # forgotten, settled, or kept alive since
            if 0 < self.config.max_deliver <= self._attempts.get(message.seq, 0):
                self._give_up(message.seq)
                continue
            return message
        if not self._unsent or 0 < self.config.max_ack_pending <= len(self._unacknowledged):
            return None
        return self._next_new()

    def _next_new(self) -> Stored | None:
        for message in self.stream.store.since(self._cursor):
            if self._wants(message.subject):
                self._cursor = message.seq + 1
                self._unsent -= 1
                return message
        return None

    def _deliver(self, message: Stored, reply: str) -> None:
        seq = message.seq
        attempt = self._attempts.get(seq, 0) + 1
        self._order += 1
        self._changed()
        if self.config.ack_policy != "none":
            self._attempts[seq] = attempt
            self._due_again(seq, self._patience(attempt))
        place = f"{self.stream.config.name}.{self.name}.{attempt}.{seq}.{self._order}.{message.at}.{self._unsent}"
        self.core.route(Packet(message.subject, message.data, f"$JS.ACK.{place}", message.headers), to=reply)

    def _patience(self, attempt: int) -> int:
        steps = self.config.backoff
        return steps[min(attempt, len(steps)) - 1] if steps else self.config.ack_wait

    # ── acknowledgements ─────────────────────────────────────────────────────

    def _settled(self, packet: Packet) -> None:
        """An acknowledgement counts by position, from whichever delivery it comes."""
        tokens = packet.subject.split(".")
        if len(tokens) < 9 or not tokens[5].isdecimal() or int(tokens[5]) >= self._cursor:
            return
        seq, said = int(tokens[5]), packet.data.decode(errors="replace")
        kind, _, rest = said.partition(" ")
        match kind:
            case "" | "+ACK":
                self._forget(seq)
            case "-NAK" if seq in self._unacknowledged:
                self._naked(seq, rest)
            case "+WPI" if seq in self._unacknowledged:
                self._due_again(seq, self.config.ack_wait)
            case "+TERM" if seq in self._unacknowledged:
                deliveries = self._attempts.get(seq, 0)
                self._forget(seq)
                why = {"reason": rest} if rest else {}
                self._advise("MSG_TERMINATED", "terminated", stream_seq=seq, deliveries=deliveries, **why)
            case _:
                pass
        self.core.say(packet.reply)
        self._serve()

    def _naked(self, seq: int, rest: str) -> None:
        try:
            delay = msgspec.json.decode(rest, type=dict[str, int]).get("delay", 0) if rest else 0
        except msgspec.DecodeError:
            delay = 0
        if delay > 0:
            self._due_again(seq, delay)
        else:
            self._unacknowledged[seq] = AT_ONCE
            self._again.append(seq)

    def _forget(self, seq: int) -> None:
        self._changed()
        self._attempts.pop(seq, None)
        if self._unacknowledged.pop(seq, None) is not None and self._waiting:
            self.core.loop.call_soon(self._serve)  # there is room for one more

    def _give_up(self, seq: int) -> None:
        deliveries = self._attempts.get(seq, 0)
        self._forget(seq)
        self._advise("MAX_DELIVERIES", "max_deliver", stream_seq=seq, deliveries=deliveries)

    def _advise(self, subject: str, kind: str, **facts: object) -> None:
        stream = self.stream.config.name
        self.core.advise(f"CONSUMER.{subject}.{stream}.{self.name}", kind, stream=stream, consumer=self.name, **facts)

    def _due_again(self, seq: int, after: int) -> None:
        due = self.core.now() + after
        self._unacknowledged[seq] = due
        heappush(self._deadlines, (due, next(self._tie), seq))
        if self._timer is None or self._deadlines[0][2] == seq:
            self._watch()

    def _watch(self) -> None:
        """One timer, for what is due first."""
        if self._timer is not None:
            self._timer.cancel()
        while self._deadlines and self._unacknowledged.get(self._deadlines[0][2]) != self._deadlines[0][0]:
            heappop(self._deadlines)
        self._timer = self.core.at(self._deadlines[0][0], self._overdue) if self._deadlines else None

    def _overdue(self) -> None:
        self._timer = None
        now = self.core.now()
        while self._deadlines and self._deadlines[0][0] <= now:
            due, _, seq = heappop(self._deadlines)
            if self._unacknowledged.get(seq) != due:
                continue
            if 0 < self.config.max_deliver <= self._attempts.get(seq, 0):
                self._give_up(seq)
            else:
                self._unacknowledged[seq] = AT_ONCE
                self._again.append(seq)
        self._watch()
        self._serve()
