"""The load: deliveries as GitHub makes them, over keep-alive connections, from a process of its own.

    python tests/bench/_github_load.py URL MODE SECONDS CONNECTIONS [PER_SECOND]

`most`: each connection sends its next delivery when the last is answered. `paced`: deliveries are due at fixed times,
and how late an answer is counts from when its delivery was due, however long that waited for a free connection.
A tenth are redeliveries, of what was answered shortly before. Prints what came of it as JSON.
"""

import asyncio
import hmac
import random
import sys
import time
import uuid
from collections import deque
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

sys.path[0] = str(Path(__file__).parents[2])

from machine import garbage  # noqa: E402 - the path is set above
from tests.support.deliveries import SECRET  # noqa: E402 - the path is set above

BODIES = 200
BODY_BYTES = 10_000
AGAIN = 0.1
RECENT = 5_000
"""A redelivery is of one of so many."""


class Told(Struct, frozen=True):
    """What came of a run."""

    seconds: float
    accepted: int
    new: int
    refused: int
    latencies_ms: list[float]
    """Of those that were paced, in order of size."""
    cpu_seconds: float


def heads_and_bodies(host: str) -> list[tuple[bytes, bytes]]:
    """Requests but for the delivery id: what stands before it, and what comes behind it."""
    dice = random.Random(11)  # noqa: S311 - the same each time
    made: list[tuple[bytes, bytes]] = []
    for number in range(BODIES):
        issue = {"number": number, "title": f"Issue {number}", "labels": [{"name": "agent-ready"}] * 5, "body": ""}
        text = "".join(dice.choices("abcdefghij klmnopqrst", k=BODY_BYTES))
        short = len(msgspec.json.encode({"action": "opened", "issue": issue}))
        body = msgspec.json.encode({"action": "opened", "issue": {**issue, "body": text[: BODY_BYTES - short]}})
        signed = hmac.digest(SECRET, body, "sha256").hex()
        head = (
            f"POST /webhooks/github HTTP/1.1\r\nHost: {host}\r\nUser-Agent: GitHub-Hookshot/044aadd\r\nAccept: */*\r\n"
            f"Content-Type: application/json\r\nX-GitHub-Event: issues\r\nX-GitHub-Hook-ID: 292430182\r\n"
            f"X-GitHub-Hook-Installation-Target-ID: 79929171\r\n"
            f"X-GitHub-Hook-Installation-Target-Type: repository\r\n"
            f"X-Hub-Signature-256: sha256={signed}\r\nContent-Length: {len(body)}\r\nX-GitHub-Delivery: "
        )
        made.append((head.encode(), b"\r\n\r\n" + body))
    return made


class Load:
    """All connections, and what they were told."""

    def __init__(self, host: str) -> None:
        self._requests = heads_and_bodies(host)
        self._dice = random.Random(uuid.uuid4().int)  # noqa: S311 - ids must not come again in another run
        self._sent: deque[bytes] = deque(maxlen=RECENT)
        self.accepted = self.new = self.refused = 0
        self.latencies: list[float] = []
        self.ends = float("inf")
        self.free: deque[Connection] = deque()
        self.due: deque[float] = deque()
        self.paced = False
        self._wanted = 0
        self._all_free = asyncio.Event()

    def request(self) -> tuple[bytes, bytes]:
        """The next, and its id."""
        dice = self._dice
        again = len(self._sent) > 100 and dice.random() < AGAIN
        delivery = (
            self._sent[dice.randrange(len(self._sent))] if again else str(uuid.UUID(int=dice.getrandbits(128))).encode()
        )
        head, rest = self._requests[dice.randrange(BODIES)]
        return head + delivery + rest, delivery

    async def all_free(self, count: int) -> None:
        """Until every connection has its last answer."""
        self._wanted = count
        if len(self.free) < count:
            await self._all_free.wait()

    def answered(self, connection: "Connection", data: bytes, delivery: bytes, began: float) -> None:
        now = time.perf_counter()
        if data.startswith(b"HTTP/1.1 202"):
            self.accepted += 1
            self.new += b'"stored":true' in data
            self._sent.append(delivery)
        else:
            self.refused += 1
        self.latencies.append((now - began) * 1000)
        if self.due:
            connection.send(self.due.popleft())
        elif not self.paced and now < self.ends:
            connection.send(now)
        else:
            self.free.append(connection)
            if len(self.free) == self._wanted:
                self._all_free.set()


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._heard = b""
        self._delivery = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, due: float) -> None:
        request, self._delivery = self._load.request()
        self._began = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        head, found, body = self._heard.partition(b"\r\n\r\n")
        if not found:
            return
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if len(body) < int(length or 0):
            return
        heard, self._heard = self._heard, b""
        self._load.answered(self, heard, self._delivery, self._began)


async def run(url: str, mode: str, seconds: float, connections: int, per_second: float) -> Told:
    parts = urlsplit(url)
    load = Load(parts.netloc)
    loop = asyncio.get_running_loop()
    made = [
        (await loop.create_connection(lambda: Connection(load), parts.hostname or "", parts.port or 0))[1]
        for _ in range(connections)
    ]
    cpu, began = time.process_time(), time.perf_counter()
    load.ends = began + seconds
    if mode == "most":
        for connection in made:
            connection.send(began)
    else:
        load.paced = True
        load.free.extend(made)
        for number in range(int(seconds * per_second)):
            due = began + number / per_second
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if load.free:
                load.free.popleft().send(due)
            else:
                load.due.append(due)
    await load.all_free(connections)
    took = time.perf_counter() - began
    latencies = sorted(load.latencies) if load.paced else []
    return Told(took, load.accepted, load.new, load.refused, latencies, time.process_time() - cpu)


if __name__ == "__main__":
    garbage.settle()
    _, to, how, lasting, wide, *rest = sys.argv
    told = asyncio.run(run(to, how, float(lasting), int(wide), float(rest[0]) if rest else 0.0))
    print(msgspec.json.encode(told).decode())
