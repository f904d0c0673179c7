"""What a run prints, on its way to whoever watches: gathered, and sent on a few times a second.

It is a convenience: while the bus is away output is dropped, and the run goes on.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from bus import Bus, BusError

log = logging.getLogger(__name__)

EVERY_SECONDS = 0.25
PATIENCE_SECONDS = 1.0
"""With a bus that does not answer: the run, or whoever stops it, is waiting."""
MOST_BYTES = 256 * 1024
"""Of one message; what is printed beyond it in that time is counted and left out."""


class RunOutput:
    """Takes what a run prints, and sends it. Make one with `sent`."""

    def __init__(self, bus: Bus, run: str) -> None:
        self._bus = bus
        self._run = run
        self._gathered = bytearray()
        self._left_out = 0
        self._something = asyncio.Event()
        self._lost = False

    @classmethod
    @asynccontextmanager
    async def sent(cls, bus: Bus, run: str) -> AsyncGenerator["RunOutput"]:
        """An output that is sent while the block runs, and the rest of it at its end."""
        output = cls(bus, run)
        pump = asyncio.create_task(output._pump())
        try:
            yield output
        finally:
            pump.cancel()
            await asyncio.wait((pump,))
            await output._send()

    def add(self, chunk: bytes) -> None:
        """Something was printed."""
        room = MOST_BYTES - len(self._gathered)
        self._gathered += chunk[:room]
        self._left_out += max(0, len(chunk) - room)
        self._something.set()

    async def _pump(self) -> None:
        while True:
            await self._something.wait()
            await self._send()
            await asyncio.sleep(EVERY_SECONDS)

    async def _send(self) -> None:
        chunk, left_out = bytes(self._gathered), self._left_out
        self._gathered.clear()
        self._left_out = 0
        self._something.clear()
        if left_out:
            chunk += f"\n… {left_out} bytes left out …\n".encode()
        if not chunk:
            return
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._bus.runs.write(self._run, chunk)
        except (BusError, TimeoutError) as error:
            if not self._lost:
                log.warning("output of %s is lost: %s", self._run, error or "the bus does not answer")
            self._lost = True
