"""How webhooks go from GitHub to who listens: each with an id, signed, in a log that can be read, lost on command.

As at GitHub: what is not taken is not sent again, and the log tells of three days what was sent, with what answer.
"""

import asyncio
import hashlib
import hmac
import json
import random
import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

__all__ = ["Deliveries", "Delivery", "Disorder", "whole_seconds"]

TIMEOUT_SECONDS = 10
_FRACTION = re.compile(rb'("\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+Z"')


def whole_seconds(body: bytes) -> bytes:
    """GitHub's instants are whole seconds; emulate's have fractions."""
    return _FRACTION.sub(rb'\1Z"', body)


@dataclass(frozen=True, slots=True)
class Disorder:
    """What a bad way does to the deliveries that were held."""

    seed: int
    drop: float = 0.5
    double: float = 0.1
    shuffle: bool = True


@dataclass(slots=True)
class Delivery:
    """One delivery, as the log has it."""

    number: int
    guid: str
    event: str
    body: bytes
    delivered_at: datetime
    redelivery: bool = False
    status_code: int = 0
    """What was answered; 0: nobody answered."""
    parsed: dict[str, Any] = field(default_factory=dict[str, Any])

    def listed(self) -> dict[str, Any]:
        """As GitHub lists it."""
        repository = self.parsed.get("repository") or {}
        return {
            "id": self.number,
            "guid": self.guid,
            "delivered_at": self.delivered_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "redelivery": self.redelivery,
            "duration": 0.05,
            "status": "OK" if 200 <= self.status_code < 300 else "failed to connect to host",
            "status_code": self.status_code or 502,
            "event": self.event,
            "action": self.parsed.get("action"),
            "installation_id": (self.parsed.get("installation") or {}).get("id"),
            "repository_id": repository.get("id"),
            "throttled_at": None,
        }

    def whole(self, headers: dict[str, str]) -> dict[str, Any]:
        """As GitHub tells one of them."""
        return self.listed() | {
            "url": "",
            "request": {"headers": headers, "payload": self.parsed},
            "response": {"headers": {}, "payload": ""},
        }


class Deliveries:
    """All of one hub. Lives in the hub's loop; what a test may call says so."""

    def __init__(self, secret: str) -> None:
        self.log: list[Delivery] = []
        self.receiver: str | None = None
        """Where they go. None: nobody listens."""
        self.holding = False
        self.hidden = False
        """Whether lists show nothing."""
        self._secret = secret.encode()
        self._held: list[Delivery] = []
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue()
        self._changed = asyncio.Condition()
        self._going = self._forwarded = 0

    # ── in the hub's loop ────────────────────────────────────────────────────

    async def take(self, event: str, body: bytes) -> None:
        """Something happened: it is written down and goes its way."""
        delivery = Delivery(
            len(self.log) + 1, str(uuid.uuid4()), event, body, datetime.now(UTC), parsed=json.loads(body)
        )
        await self._send(delivery)

    async def again(self, delivery: Delivery) -> None:
        """Redelivers, as GitHub does when asked: with the same id."""
        await self._send(
            Delivery(
                len(self.log) + 1,
                delivery.guid,
                delivery.event,
                delivery.body,
                datetime.now(UTC),
                redelivery=True,
                parsed=delivery.parsed,
            )
        )

    async def _send(self, delivery: Delivery) -> None:
        self.log.append(delivery)
        if self.holding:
            self._held.append(delivery)
        else:
            self._go(delivery)
        await self._tell()

    def _go(self, delivery: Delivery) -> None:
        self._going += 1
        self._queue.put_nowait(delivery)

    async def forward(self) -> None:
        """Sends what is queued, one after another, for ever."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)) as session:
            while True:
                delivery = await self._queue.get()
                delivery.status_code = await self._post(session, delivery)
                self._forwarded += 1
                await self._tell()

    async def _post(self, session: aiohttp.ClientSession, delivery: Delivery) -> int:
        if self.receiver is None:
            return 0
        try:
            async with session.post(self.receiver, data=delivery.body, headers=self.headers(delivery)) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    def headers(self, delivery: Delivery) -> dict[str, str]:
        return {
            "Accept": "*/*",
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/0000000",
            "X-GitHub-Delivery": delivery.guid,
            "X-GitHub-Event": delivery.event,
            "X-GitHub-Hook-ID": "1",
            "X-GitHub-Hook-Installation-Target-ID": "1",
            "X-GitHub-Hook-Installation-Target-Type": "integration",
            "X-Hub-Signature-256": self.signature(delivery.body),
        }

    def signature(self, body: bytes) -> str:
        return "sha256=" + hmac.new(self._secret, body, hashlib.sha256).hexdigest()

    async def release(self, disorder: Disorder | None) -> tuple[int, int, int]:
        """Lets go what was held, all of it or in this disorder: how many were held, dropped and doubled.

        They stay held, too, to be let go another time.
        """
        held = self._held
        if disorder is None:
            going, doubled = held, 0
        else:
            chance = random.Random(disorder.seed)  # noqa: S311 (the same disorder each time)
            lost = set(chance.sample(range(len(held)), round(len(held) * disorder.drop)))
            for number in sorted(lost):
                held[number].status_code = chance.choice((200, 0))  # a way that loses things may say that it did not
            going = [delivery for number, delivery in enumerate(held) if number not in lost]
            twice = chance.sample(going, round(len(held) * disorder.double))
            doubled = len(twice)
            going = going + twice
            if disorder.shuffle:
                chance.shuffle(going)
        for delivery in going:
            self._go(delivery)
        await self.wait_forwarded()
        return len(held), len(held) + doubled - len(going), doubled

    async def wait_logged(self, count: int) -> None:
        """Until so many have happened."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.log) >= count)

    async def wait_forwarded(self) -> None:
        """Until all that have happened, and are not held, were sent."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._forwarded >= self._going)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
