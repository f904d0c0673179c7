"""Messages on the log that need not be events, and a hand on what a connection hears."""

from collections.abc import Callable, Sequence

import pytest

from bus import Bus
from bus.connection import Connection, Heard, Message, Subscription

NOISE = "rig.fleet.local.noise"


async def say(bus: Bus, count: int, subjects: Sequence[str] = (NOISE,)) -> None:
    """Stores that many messages, on the subjects in turn."""
    for number in range(count - 1):
        await bus.connection.publish(subjects[number % len(subjects)], b"%d" % number)
    await bus.connection.request(subjects[(count - 1) % len(subjects)], b"last")


def overhear(connection: Connection, monkeypatch: pytest.MonkeyPatch, hear: Callable[[Message, Heard], None]) -> None:
    """Puts a function between the connection and those who subscribe from now on."""
    subscribe = connection.subscribe

    async def subscribing(subject: str, heard: Heard, *, queue: str = "") -> Subscription:
        return await subscribe(subject, lambda message: hear(message, heard), queue=queue)

    monkeypatch.setattr(connection, "subscribe", subscribing)
