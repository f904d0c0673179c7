"""The server without JetStream: time, who listens, and how a message finds them.

Everything that listens does so here, a client's subscription and a stream alike, so that a request that nobody hears is
answered as the real server answers it (503), and so that a stream can capture what another part of the server says.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct

from bus.testing.faults import Faults
from bus.testing.message import Packet, json
from bus.testing.subjects import Interest

__all__ = ["SECOND", "Core", "moment"]

SECOND: Final = 1_000_000_000
_UNIX: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Listener(Struct, frozen=True):
    queue: str
    heard: Callable[[Packet], None]


class Core:
    """Routes messages, inside one event loop."""

    def __init__(self, epoch: datetime, faults: Faults) -> None:
        self.faults = faults
        self.loop = asyncio.get_running_loop()
        self._began = self.loop.time()
        self._epoch = (epoch - _UNIX) // timedelta(microseconds=1) * 1_000
        self._stamped = 0
        self._keys = itertools.count(1)
        self._interest: Interest[_Listener] = Interest()
        self._advised = itertools.count(1)

    # ── time ─────────────────────────────────────────────────────────────────

    def now(self) -> int:
        """Nanoseconds since 1970."""
        return self._epoch + round((self.loop.time() - self._began) * SECOND)

    def stamp(self) -> int:
        """A time that nothing else has: no two messages are stored in one microsecond, though no time passes here."""
        self._stamped = max(self._stamped + 1_000, self.now())
        return self._stamped

    def at(self, moment: int, call: Callable[[], None]) -> asyncio.TimerHandle:
        """Calls at a time in nanoseconds since 1970."""
        return self.loop.call_at(self._began + (moment - self._epoch) / SECOND, call)

    # ── messages ─────────────────────────────────────────────────────────────

    def listen(self, pattern: str, heard: Callable[[Packet], None], *, queue: str = "") -> int:
        """Hears what is said from now on; `forget` takes the key that comes back."""
        key = next(self._keys)
        self._interest.add(pattern, key, _Listener(queue, heard))
        return key

    def forget(self, pattern: str, key: int) -> None:
        self._interest.remove(pattern, key)

    def somebody_hears(self, subject: str) -> bool:
        return bool(self._interest.on(subject))

    def route(self, packet: Packet, *, to: str = "") -> bool:
        """Hands a message to everyone who listens, and to one of each queue group. Whether there was anyone.

        A consumer sends `to` an inbox what keeps the subject on which it was published.
        """
        listeners = self._interest.on(to or packet.subject)
        groups: dict[str, list[_Listener]] = {}
        for listener in listeners:
            if listener.queue:
                groups.setdefault(listener.queue, []).append(listener)
            else:
                listener.heard(packet)
        for group in groups.values():
            (group[0] if len(group) == 1 else self.faults.random.choice(group)).heard(packet)
        return bool(listeners)

    def say(self, subject: str, data: bytes = b"", *, headers: Mapping[str, str] | None = None) -> None:
        """The server says something itself; nothing when `subject` is empty, since then nobody asked."""
        if subject:
            self.route(Packet(subject, data, "", dict(headers) if headers else None))

    def status(self, subject: str, code: int, description: str, **more: object) -> None:
        """A status message: headers and no body."""
        extra = {f"Nats-{name.replace('_', '-')}": str(value) for name, value in more.items()}
        self.say(subject, headers={"Status": str(code), "Description": description, **extra})

    def advise(self, subject: str, kind: str, **facts: object) -> None:
        """An advisory, which streams can capture."""
        body = {
            "type": f"io.nats.jetstream.advisory.v1.{kind}",
            "id": f"advisory{next(self._advised):014}",
            "timestamp": moment(self.now()),
            **facts,
        }
        self.say(f"$JS.EVENT.ADVISORY.{subject}", json(body))


def moment(nanoseconds: int) -> str:
    """RFC 3339 with nanoseconds, in UTC."""
    seconds, rest = divmod(nanoseconds, SECOND)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:09}".rstrip("0").rstrip(".") + "Z"
