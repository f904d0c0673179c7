"""A durable of the tests' own on the log, filled and worked."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from msgspec import json

from bus import Bus, Delivery, Done, Outcome
from bus.consume import consume
from bus.topology import LOG, Durable
from tests.support.waiting import until

JOBS = Durable(stream=LOG, name="jobs", filter="rig.jobs.>", ack_wait_seconds=60.0)
HASTY = Durable(stream=LOG, name="jobs", filter="rig.jobs.>", ack_wait_seconds=0.4)
"""For what is to come again: nothing may depend on its not coming again too soon."""


def key(delivery: Delivery) -> str:
    """`rig.jobs.<key>.…`."""
    return delivery.subject.split(".")[2]


async def make(bus: Bus, durable: Durable = JOBS) -> None:
    """What `ensure` does for the durables of the rig."""
    for one in (durable, durable.retries):
        request = {"stream_name": one.stream.name, "config": one.config()}
        await bus.connection.api(f"$JS.API.CONSUMER.DURABLE.CREATE.{one.stream.name}.{one.name}", request)


async def info(bus: Bus, durable: Durable = JOBS) -> Any:
    """What the server says of it."""
    return json.decode(await bus.connection.api(f"$JS.API.CONSUMER.INFO.{durable.stream.name}.{durable.name}"))


async def nothing_left(bus: Bus) -> None:
    """Waits until the server counts every message of the jobs as acknowledged."""
    while True:
        said = await info(bus)
        if said["num_ack_pending"] == 0 and said["num_pending"] == 0:
            return


async def fill(bus: Bus, *keys: str) -> list[int]:
    """One message for each key; their positions."""
    answers = [await bus.connection.request(f"rig.jobs.{key}", key.encode()) for key in keys]
    return [json.decode(answer)["seq"] for answer in answers]


class Alive:
    """How often the server has been told of each of the jobs that somebody is at it still."""

    def __init__(self, bus: Bus) -> None:
        self._told: Counter[str] = Counter()
        self._publish = bus.connection.publish
        bus.connection.publish = self

    async def __call__(self, subject: str, body: bytes, **more: Any) -> None:
        if body == b"+WPI":
            self._told[subject.split(".")[5]] += 1
        await self._publish(subject, body, **more)

    async def told(self, jobs: int, times: int = 4) -> None:
        """Waits until it has been told so often of so many: each third of the time that it waits."""
        await until(lambda: len(self._told) >= jobs and min(self._told.values()) >= times)


class Worker:
    """A consumer at work, and what it was given."""

    def __init__(self, bus: Bus, handler: Callable[[Delivery], Awaitable[Outcome]] | None = None) -> None:
        self.bus = bus
        self.stop = asyncio.Event()
        self.began: list[Delivery] = []
        self.done: list[int] = []
        self._handler = handler
        self._task: asyncio.Task[None] | None = None

    async def handle(self, delivery: Delivery) -> Outcome:
        self.began.append(delivery)
        outcome = Done() if self._handler is None else await self._handler(delivery)
        if outcome == Done():
            self.done.append(delivery.position)
        return outcome

    @property
    def positions(self) -> list[int]:
        return [delivery.position for delivery in self.began]

    @property
    def task(self) -> asyncio.Task[None]:
        assert self._task is not None
        return self._task

    def start(self, durable: Durable = JOBS, *, slots: int = 1, **options: Any) -> None:
        consuming = consume(self.bus.connection, durable, self.handle, slots=slots, stop=self.stop, **options)
        self._task = asyncio.create_task(consuming)

    async def end(self) -> None:
        self.stop.set()
        await self.task

    async def until(self, true: Callable[[], bool]) -> None:
        """Waits for a fact, unless the consumer ends first."""
        while not true():
            if self.task.done():
                self.task.result()
                raise AssertionError("it has ended")
            await asyncio.sleep(0.005)


def working(
    bus: Bus, handler: Callable[[Delivery], Awaitable[Outcome]] | None = None, durable: Durable = JOBS, **options: Any
) -> AbstractAsyncContextManager[Worker]:
    """A consumer that works meanwhile."""

    @asynccontextmanager
    async def at_work() -> AsyncIterator[Worker]:
        worker = Worker(bus, handler)
        worker.start(durable, **options)
        try:
            yield worker
        finally:
            worker.stop.set()
            await asyncio.gather(worker.task, return_exceptions=True)

    return at_work()


async def forever(delivery: Delivery) -> Outcome:
    """A handler that never ends by itself."""
    await asyncio.Event().wait()
    return Done()
