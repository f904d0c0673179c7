"""The server in memory: JetStream, and the connections to it, which a crash takes down and a restart brings back."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from msgspec import Struct

from bus.testing.core import Core
from bus.testing.faults import Faults, Wire
from bus.testing.grants import Grants
from bus.testing.jetstream import JetStream
from bus.testing.message import Packet

__all__ = ["Client", "Link", "MemoryServer"]

RECONNECT_SECONDS: Final = 0.2
UNSUBSCRIBE_SECONDS: Final = 1.0
"""A subscription ends within this time, whatever happens to what is on the way."""


class Client(Protocol):
    """The client's end of a connection, as the server sees it."""

    def refused(self, verb: str, subject: str) -> None: ...


class _Subscribed(Struct, eq=False):
    pattern: str
    queue: str
    heard: Callable[[Packet], None]
    key: int = 0
    alive: bool = True


class Link:
    """One client's connection. Subscriptions outlive a crash on the client's side, as a client makes them again."""

    def __init__(self, server: "MemoryServer", client: Client, grants: Grants) -> None:
        self.server = server
        self.client = client
        self.up = True
        self.restored = 0
        """How often it was lost and came back."""
        self._grants = grants
        self._up = Wire(server.faults)
        self._down = Wire(server.faults)
        self._subscribed: list[_Subscribed] = []
        self._unsent: list[Packet] = []

    def send(self, packet: Packet) -> None:
        """To the server; kept while it is away."""
        if self.up:
            self._up.send(packet.subject, lambda: self._arrived(packet))
        else:
            self._unsent.append(packet)

    def _arrived(self, packet: Packet) -> None:
        grants, core, subject = self._grants, self.server.core, packet.subject
        refused = grants.refused(subject, packet.reply, core.loop.time())
        if refused is not None:
            self._refuse("publish to", refused)
            return
        sent = Packet(subject, packet.data, grants.answers_to(packet.reply), packet.headers)
        if not core.route(sent, to=grants.goes_to(subject)):
            core.say(sent.reply, headers={"Status": "503", "Nats-Subject": subject})

    def _refuse(self, verb: str, subject: str) -> None:
        """Told in order with what else the server says."""
        self._down.send(subject, lambda: self.client.refused(verb, subject), certain=True)

    def subscribe(
        self, pattern: str, heard: Callable[[Packet], None], queue: str
    ) -> Callable[[], asyncio.Future[None]]:
        """Returns what ends it. Both in order with what is said before and after, as on one wire."""
        subscribed = _Subscribed(pattern, queue, heard)
        self._subscribed.append(subscribed)
        if self.up:
            self._up.send(pattern, lambda: self._listen(subscribed), certain=True)
        return lambda: self._unsubscribe(subscribed)

    def _unsubscribe(self, subscribed: _Subscribed) -> asyncio.Future[None]:
        """Ended when what was on the way has been heard; at once when the server is away."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def end() -> None:
            if subscribed in self._subscribed:
                self._subscribed.remove(subscribed)
            subscribed.alive = False
            if not ended.done():
                ended.set_result(None)

        def forget() -> None:
            self._forget(subscribed)
            self._down.send(subscribed.pattern, end, certain=True)

        if self.up:
            self._up.send(subscribed.pattern, forget, certain=True)
            asyncio.get_running_loop().call_later(UNSUBSCRIBE_SECONDS, end)
        else:
            end()
        return ended

    def _listen(self, subscribed: _Subscribed) -> None:
        if subscribed not in self._subscribed or subscribed.key:
            return  # ended before it began; or begun again, after a crash
        core, grants = self.server.core, self._grants
        if not grants.may_subscribe(subscribed.pattern):
            self._subscribed.remove(subscribed)
            self._refuse("subscribe to", subscribed.pattern)
            return

        def hear(packet: Packet) -> None:
            grants.asked(packet.reply, core.loop.time())
            told = Packet(grants.seen_as(packet.subject), packet.data, packet.reply, packet.headers)
            self._down.send(told.subject, lambda: self._hand_over(subscribed, told))

        subscribed.key = core.listen(grants.heard_on(subscribed.pattern), hear, queue=subscribed.queue)

    def _hand_over(self, subscribed: _Subscribed, packet: Packet) -> None:
        if subscribed.alive:
            subscribed.heard(packet)

    def _forget(self, subscribed: _Subscribed) -> None:
        if subscribed.key:
            self.server.core.forget(self._grants.heard_on(subscribed.pattern), subscribed.key)
            subscribed.key = 0

    def cut(self) -> None:
        """The connection is gone, and with it what was under way."""
        self.up = False
        self._up.cut()
        self._down.cut()
        self._grants.forget()
        for subscribed in self._subscribed:
            self._forget(subscribed)

    def restore(self) -> None:
        """Connected again: subscriptions first, then what was said meanwhile."""
        if self.up or self not in self.server.links or not self.server.running:
            return
        self.up = True
        for subscribed in list(self._subscribed):
            self._listen(subscribed)
        unsent, self._unsent = self._unsent, []
        for packet in unsent:
            self.send(packet)
        self.restored += 1

    def close(self) -> None:
        if self in self.server.links:
            self.server.links.remove(self)
        for subscribed in self._subscribed:
            self._forget(subscribed)
            subscribed.alive = False
        self._subscribed.clear()
        self._down.cut()  # what was sent still arrives


class MemoryServer:
    """One nats-server with JetStream, as far as Rig uses it. Lives in one event loop."""

    def __init__(self, *, epoch: datetime, seed: int) -> None:
        self.faults = Faults(seed)
        self.core = Core(epoch, self.faults)
        self.jetstream = JetStream(self.core)
        self.links: list[Link] = []
        self.running = True
        self._clients = 0

    def next_client(self) -> int:
        """A number of its own for each client, the same in each run."""
        self._clients += 1
        return self._clients

    def crash(self) -> None:
        """It dies at once. What is stored is safe; connections, pulls and open batches are not."""
        self.running = False
        for link in self.links:
            if link.up:
                link.cut()
        self.jetstream.lose_memory()

    def restart(self) -> None:
        """It is back; clients connect again a moment later."""
        self.running = True
        for link in self.links:
            asyncio.get_running_loop().call_later(RECONNECT_SECONDS, link.restore)
