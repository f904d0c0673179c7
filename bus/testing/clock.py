"""An event loop whose clock jumps: a test with minutes of waiting runs in milliseconds, the same way each time.

When nothing is ready, the loop's time moves straight to the next timer. While something outside is under way (a thread,
a socket, a subprocess), time passes as it really does, since nobody can say how long that takes.
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

Result = TypeVar("Result")
Parameters = TypeVarTuple("Parameters")

__all__ = ["VirtualLoop", "run"]


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, which starts at 0. As a `loop_factory` of asyncio.Runner or pytest-asyncio."""

    def __init__(self) -> None:
        self._virtual = 0.0
        self._outside = 0
        super().__init__(_Jump(self))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual

    def run_in_executor(  # pyright: ignore[reportIncompatibleMethodOverride] - the stub names parameters otherwise
        self, executor: Executor | None, func: Callable[[*Parameters], Result], *args: *Parameters
    ) -> asyncio.Future[Result]:
        """As in any loop; until the call is done, time is real."""
        self._outside += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._returned)
        return future

    async def shutdown_default_executor(self) -> None:
        """As in any loop; a thread is waited for."""
        self._outside += 1
        await super().shutdown_default_executor()
        self._outside -= 1

    def _returned(self, _: asyncio.Future[Any]) -> None:
        self._outside -= 1

    def wait_outside(self, own: int) -> bool:
        """Whether anything but our own timers can wake the loop: `own` file descriptors are registered."""
        return self._outside > 0 or own > 1  # one is the loop's own pipe

    def advance(self, seconds: float) -> None:
        """Time has passed."""
        self._virtual += seconds


class _Jump(selectors.DefaultSelector):
    """Instead of waiting for the next timer it says that the time has come."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if self._loop.wait_outside(len(self.get_map())):
            began = time.monotonic()
            found = super().select(timeout)
            self._loop.advance(time.monotonic() - began)
            return found
        found = super().select(0)  # a signal, or a call from another thread
        if found:
            return found
        if timeout is None:
            raise RuntimeError("nothing is ready, no timer is set and nothing is under way: this would wait for ever")
        self._loop.advance(timeout)
        return []


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """As asyncio.run, on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
