"""Being a long-running process: stopping when asked, saying when ready, telling the truth about what one depends on.

    def main(life): …connect, life.check("nats", ok=True), life.ready(), work until life.stop is set, return
    sys.exit(lifecycle.run(main, health_address=os.environ.get("RIG_HEALTH")))

A role neither knows nor cares who started it: a terminal, systemd, a container, or Rig's own supervisor, which adds one
thing (RIG_SUPERVISED=1): standard input is held open by the supervisor, and its end means that the supervisor is dead.
Not for running others: see `process`. Logging is set up by whoever calls `run`.
"""

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from types import MappingProxyType

from machine import garbage, sessions

__all__ = ["Check", "Lifecycle", "Misconfigured", "ends", "run"]

GRACE_SECONDS = 4.0
"""From being asked to stop to being cancelled. With CANCEL_SECONDS it is less than what a supervisor allows."""
CANCEL_SECONDS = 1.5
KILL_SECONDS = 1.0
FAILED = 1
MISCONFIGURED = 2

log = logging.getLogger(__name__)


class Misconfigured(Exception):
    """This role cannot run with what it was given. The process ends with code 2: no restart would help."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was last seen of one dependency."""

    ok: bool
    detail: str


class Lifecycle:
    """What a role's main function is given. For the event loop's own thread."""

    def __init__(self, notify_socket: str | None = None) -> None:
        self.stop = asyncio.Event()
        """Set when the process has been asked to end: finish or put down the work at hand, and return."""
        self.running = False
        """The main function has begun and not ended."""
        self._notify_socket = notify_socket
        self._said_ready = False
        self._checks: dict[str, Check] = {}

    def ready(self) -> None:
        """Say, once and for all, that the start is over. Whether the role is ready at a moment is up to its checks."""
        if self._said_ready:
            return
        self._said_ready = True
        if self._notify_socket is not None:
            _notify(self._notify_socket, b"READY=1")

    def check(self, name: str, ok: bool, detail: str = "") -> None:
        """Record how the dependency `name` is now. A change is logged."""
        before, self._checks[name] = self._checks.get(name), Check(ok, detail)
        if not ok and (before is None or before.ok):
            log.warning("%s: lost: %s", name, detail)
        elif ok and before is not None and not before.ok:
            log.info("%s: back", name)

    @property
    def checks(self) -> Mapping[str, Check]:
        """Every dependency that was ever recorded, as it was last seen."""
        return MappingProxyType(self._checks)

    @property
    def is_ready(self) -> bool:
        """Started, not stopping, and every dependency is well."""
        return (
            self.running
            and self._said_ready
            and not self.stop.is_set()
            and all(check.ok for check in self._checks.values())
        )


def run(main: Callable[[Lifecycle], Awaitable[None]], *, health_address: str | None) -> int:
    """Run `main` until it returns; the exit code: 0, 1 when it failed or had to be cancelled, 2 when misconfigured.

    Each of `ends()` sets `stop`, and so does the end of standard input under a supervisor. `health_address`
    ("127.0.0.1:8080", port 0 for any) serves /livez and /readyz: see `health`.
    """
    # Both are taken out of the environment: a program that this role starts must not speak for it.
    notify_socket = os.environ.pop("NOTIFY_SOCKET", None)
    supervised = os.environ.pop("RIG_SUPERVISED", None) == "1"
    garbage.settle()
    try:
        return asyncio.run(_live(main, notify_socket, supervised, health_address))
    except Misconfigured as problem:
        log.error("%s", problem)
        return MISCONFIGURED
    except Exception:
        log.exception("failed")
        return FAILED
    finally:
        if supervised:
            _end_session()


def ends() -> tuple[signal.Signals, ...]:
    """The signals that ask a process to end: Ctrl-C, SIGTERM, and its terminal's end, unless nohup has that ignored."""
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM) if nohup else (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def _live(
    main: Callable[[Lifecycle], Awaitable[None]],
    notify_socket: str | None,
    supervised: bool,
    health_address: str | None,
) -> int:
    life = Lifecycle(notify_socket)
    loop = asyncio.get_running_loop()
    for number in ends():
        loop.add_signal_handler(number, life.stop.set)
    if supervised:
        threading.Thread(target=_outlive_nobody, args=(loop, life.stop), daemon=True).start()
    async with AsyncExitStack() as stack:
        if health_address is not None:
            from machine import health  # here: aiohttp takes a tenth of a second, and only who serves it pays

            await stack.enter_async_context(health.serve(life, health_address))
        work = asyncio.ensure_future(main(life))
        life.running = True
        stopped = asyncio.ensure_future(life.stop.wait())
        try:
            await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((work,), timeout=GRACE_SECONDS)
            if work.done():
                work.result()  # raises what it raised
                return 0
            log.error("did not stop within %g s; cancelled", GRACE_SECONDS)
            work.cancel()
            await asyncio.wait((work,), timeout=CANCEL_SECONDS)
            if not work.done():
                log.error("does not end when cancelled either; killed")
                os._exit(FAILED)
            with suppress(asyncio.CancelledError):
                work.result()
            return FAILED
        finally:
            life.running = False
            stopped.cancel()


def _outlive_nobody(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """In a thread of its own, since the event loop may be stuck: stop when standard input ends, die when that fails.

    Whoever would kill a role that does not stop is dead by then, so the role sees to it itself.
    """
    while os.read(0, 4096):
        pass
    with suppress(RuntimeError):  # the loop has ended in the same moment
        loop.call_soon_threadsafe(stop.set)
    time.sleep(GRACE_SECONDS + CANCEL_SECONDS + KILL_SECONDS)
    _end_session()
    os._exit(FAILED)


def _end_session() -> None:
    """What this role started ends with it, also when its supervisor is no more and cannot see to that."""
    if os.getsid(0) == os.getpid():  # our own session, as under a supervisor, and not somebody's terminal
        sessions.kill(os.getpid(), but=os.getpid())


def _notify(address: str, message: bytes) -> None:
    # https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html; a leading @ is the abstract namespace
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(message, f"\0{address[1:]}" if address.startswith("@") else address)
