"""What a consumer has handed out and nobody has acknowledged: how often each was, and when it is due again."""

import asyncio
import itertools
from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

import msgspec

from bus.testing.message import Packet
from bus.testing.store import Stored

if TYPE_CHECKING:
    from bus.testing.consumer import Consumer

__all__ = ["Unacknowledged"]

AT_ONCE: Final = 0
"""When a message is due again that nobody has to wait for."""


class Unacknowledged:
    """By position. A crash undoes what the consumer has not saved."""

    def __init__(self, consumer: "Consumer") -> None:
        self._consumer = consumer
        self._core = consumer.core
        self.due: dict[int, int] = {}
        """Position → when it is due again."""
        self.attempts: dict[int, int] = {}
        """Position → how often it was handed out."""
        self._deadlines: list[tuple[int, int, int]] = []
        self._tie = itertools.count()
        self._again: deque[int] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def restore(self, attempts: dict[int, int]) -> None:
        """What was saved of it is all there is: each of them waits anew."""
        self.attempts = attempts
        self._again.clear()
        self._deadlines.clear()
        self.due.clear()
        for seq in attempts:
            self._due_again(seq, self._consumer.config.ack_wait)

    # ── handing out ──────────────────────────────────────────────────────────

    def hand_out(self, seq: int, attempt: int) -> None:
        """For the so-manyth time."""
        steps = self._consumer.config.backoff
        self.attempts[seq] = attempt
        self._due_again(seq, steps[min(attempt, len(steps)) - 1] if steps else self._consumer.config.ack_wait)

    def next(self) -> Stored | None:
        """What is to be handed out again now."""
        while self._again:
            message = self._consumer.stream.store.get(self._again.popleft())
            if message is None or self.due.get(message.seq) != AT_ONCE:
                continue  # forgotten, settled, or kept alive since
            if self._exhausted(message.seq):
                self._give_up(message.seq)
                continue
            return message
        return None

    def forget(self, seq: int) -> None:
        """Nobody has to acknowledge it any more."""
        self._consumer.changed()
        self.attempts.pop(seq, None)
        if self.due.pop(seq, None) is not None and self._consumer.pulls.waiting:
            self._core.loop.call_soon(self._consumer.serve)  # there is room for one more

    # ── acknowledgements ─────────────────────────────────────────────────────

    def settle(self, packet: Packet) -> None:
        """An acknowledgement counts by position, from whichever delivery it comes."""
        tokens = packet.subject.split(".")
        if len(tokens) < 9 or not tokens[5].isdecimal() or int(tokens[5]) >= self._consumer.cursor:
            return
        seq, said = int(tokens[5]), packet.data.decode(errors="replace")
        kind, _, rest = said.partition(" ")
        match kind:
            case "" | "+ACK":
                self.forget(seq)
            case "-NAK" if seq in self.due:
                self._give_back(seq, rest)
            case "+WPI" if seq in self.due:
                self._due_again(seq, self._consumer.config.ack_wait)
            case "+TERM" if seq in self.due:
                deliveries = self.attempts.get(seq, 0)
                self.forget(seq)
                why = {"reason": rest} if rest else {}
                self._advise("MSG_TERMINATED", "terminated", stream_seq=seq, deliveries=deliveries, **why)
            case _:
                pass
        self._core.say(packet.reply)
        self._consumer.serve()

    def _give_back(self, seq: int, rest: str) -> None:
        try:
            delay = msgspec.json.decode(rest, type=dict[str, int]).get("delay", 0) if rest else 0
        except msgspec.DecodeError:
            delay = 0
        if delay > 0:
            self._due_again(seq, delay)
        else:
            self._due_at_once(seq)

    def _exhausted(self, seq: int) -> bool:
        return 0 < self._consumer.config.max_deliver <= self.attempts.get(seq, 0)

    def _give_up(self, seq: int) -> None:
        deliveries = self.attempts.get(seq, 0)
        self.forget(seq)
        self._advise("MAX_DELIVERIES", "max_deliver", stream_seq=seq, deliveries=deliveries)

    def _advise(self, subject: str, kind: str, **facts: object) -> None:
        stream, name = self._consumer.stream.config.name, self._consumer.name
        self._core.advise(f"CONSUMER.{subject}.{stream}.{name}", kind, stream=stream, consumer=name, **facts)

    # ── deadlines ────────────────────────────────────────────────────────────

    def _due_at_once(self, seq: int) -> None:
        self.due[seq] = AT_ONCE
        self._again.append(seq)

    def _due_again(self, seq: int, after: int) -> None:
        due = self._core.now() + after
        self.due[seq] = due
        heappush(self._deadlines, (due, next(self._tie), seq))
        if self._timer is None or self._deadlines[0][2] == seq:
            self._watch()

    def _watch(self) -> None:
        """One timer, for what is due first."""
        if self._timer is not None:
            self._timer.cancel()
        while self._deadlines and self.due.get(self._deadlines[0][2]) != self._deadlines[0][0]:
            heappop(self._deadlines)
        self._timer = self._core.at(self._deadlines[0][0], self._overdue) if self._deadlines else None

    def _overdue(self) -> None:
        self._timer = None
        now = self._core.now()
        while self._deadlines and self._deadlines[0][0] <= now:
            due, _, seq = heappop(self._deadlines)
            if self.due.get(seq) != due:
                continue
            if self._exhausted(seq):
                self._give_up(seq)
            else:
                self._due_at_once(seq)
        self._watch()
        self._consumer.serve()
