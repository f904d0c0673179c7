"""Runs the roles of a rig on one machine: each a process in a session of its own, started again when it dies.

What it promises:
- A role counts as ready when it says so (sd_notify's READY=1), not when it was started.
- A role that dies is started again, later each time it dies young; nothing of its session works on beside the new one.
- A role that ends with code 2 says that it cannot run with what it was given. It stays down, and `wait` says so.
- After `stop` no process of any session is left. Were this process killed, the roles see their standard input end.

It knows nothing of what the roles do: see `machine.lifecycle` for their side of the contract.
"""

import asyncio
import os
import shutil
import signal
import socket
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deploy.failures import RoleFailed
from deploy.logs import open_log, tail
from machine import sessions

__all__ = [
    "Crashed",
    "Failed",
    "Ready",
    "Report",
    "Restarting",
    "RoleSpec",
    "Started",
    "Stopped",
    "Supervisor",
    "pause",
]

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 30.0
SETTLED_SECONDS = 10.0
"""Who has run for this long did not die of its start: the next pause is a first one again."""
STOP_SECONDS = 6.0
"""With the servers' own it is less than ten: what `rig up` takes to stop, whatever state its parts are in."""
MISCONFIGURED = 2


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """A role to run. `env` is the whole environment of the process, to which the supervisor adds its own two names."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Started:
    role: str
    pid: int

    def __str__(self) -> str:
        return f"{self.role} started (process {self.pid})"


@dataclass(frozen=True, slots=True)
class Ready:
    role: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.role} ready after {self.seconds:.1f} s"


@dataclass(frozen=True, slots=True)
class Crashed:
    """It ended without being asked to, be it with code 0. A negative code is the number of a signal."""

    role: str
    code: int

    def __str__(self) -> str:
        return f"{self.role} {_how(self.code)}"


@dataclass(frozen=True, slots=True)
class Restarting:
    role: str
    in_seconds: float

    def __str__(self) -> str:
        return f"{self.role} starts again in {self.in_seconds:g} s"


@dataclass(frozen=True, slots=True)
class Failed:
    """It stays down."""

    role: str
    failure: RoleFailed

    def __str__(self) -> str:
        return str(self.failure)


@dataclass(frozen=True, slots=True)
class Stopped:
    role: str

    def __str__(self) -> str:
        return f"{self.role} stopped"


Report = Started | Ready | Crashed | Restarting | Failed | Stopped


def pause(previous: float, ran_seconds: float) -> float:
    """Seconds to wait before the next start of a role that ran for `ran_seconds` after a pause of `previous`."""
    if previous == 0 or ran_seconds >= SETTLED_SECONDS:
        return FIRST_PAUSE_SECONDS
    return min(previous * 2, LONGEST_PAUSE_SECONDS)


class Supervisor:
    """`async with Supervisor(roles, logs): …` starts every role, and leaves when all have stopped.

    Each role writes to `<log_dir>/<role>.log`. `report` hears of every change, in the event loop: it must be quick.
    `keep_open` are descriptors that the roles inherit (the lock of the data directory).
    """

    def __init__(
        self,
        roles: Sequence[RoleSpec],
        log_dir: Path,
        *,
        report: Callable[[Report], None] = lambda _: None,
        keep_open: Sequence[int] = (),
    ) -> None:
        self._roles = roles
        self._log_dir = log_dir
        self._report = report
        self._keep_open = keep_open
        self._processes: dict[str, Process] = {}
        self._log_starts: dict[str, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._ready: set[str] = set()
        self._all_ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._notices = Path()

    async def __aenter__(self) -> Self:
        self._notices = Path(tempfile.mkdtemp(prefix="rig-"))  # mode 0700, and short: a socket's path must be
        self._tasks = [asyncio.create_task(self._keep(role)) for role in self._roles]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def wait_ready(self, timeout: float) -> None:
        """Wait until all roles are ready at once. Raises RoleFailed, for one that never will be or is not in time."""
        began = time.monotonic()
        ready = asyncio.ensure_future(self._all_ready.wait())
        try:
            await asyncio.wait((ready, *self._tasks), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        self._raise_failure()
        late = [role.name for role in self._roles if role.name not in self._ready]
        if late:
            seconds = time.monotonic() - began
            raise RoleFailed(", ".join(late), f"not ready after {seconds:.1f} s", self._log_tail(late[0]))

    async def wait(self) -> None:
        """Wait until a role has failed for good, and raise its RoleFailed; or until `stop`, and return."""
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        self._raise_failure()

    async def stop(self) -> None:
        """Ask every role to stop, end those that do not within STOP_SECONDS; no process of theirs is left."""
        self._stopping.set()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        shutil.rmtree(self._notices, ignore_errors=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, RoleFailed):
                raise outcome  # a defect of ours; failures of roles have been reported

    def pid(self, role: str) -> int | None:
        """The process of `role`; None while it is down."""
        process = self._processes.get(role)
        return None if process is None else process.pid

    async def _keep(self, role: RoleSpec) -> None:
        waited = 0.0
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self._live(role)
            if self._stopping.is_set():
                break
            self._report(Crashed(role.name, code))
            if code == MISCONFIGURED:
                raise self._failed(role, "cannot run with what it was given (exit code 2)")
            waited = pause(waited, time.monotonic() - began)
            self._report(Restarting(role.name, waited))
            with suppress(TimeoutError):
                async with asyncio.timeout(waited):
                    await self._stopping.wait()
        self._report(Stopped(role.name))

    async def _live(self, role: RoleSpec) -> int:
        """One life of a role, from its start until nothing of its session is left; its exit code."""
        with self._notice(role.name) as address, _lifeline() as stdin:
            try:
                process = await self._spawn(role, stdin, {"NOTIFY_SOCKET": address, "RIG_SUPERVISED": "1"})
            except OSError as problem:
                raise self._failed(role, f"cannot be started: {problem}") from None
            self._processes[role.name] = process
            ended = asyncio.ensure_future(process.wait())
            asked = asyncio.ensure_future(self._stopping.wait())
            try:
                self._report(Started(role.name, process.pid))
                await asyncio.wait((ended, asked), return_when=asyncio.FIRST_COMPLETED)
                if not ended.done():
                    with suppress(ProcessLookupError):  # it ended in the same moment
                        os.kill(process.pid, signal.SIGTERM)
                    await asyncio.wait((ended,), timeout=STOP_SECONDS)
            finally:
                asked.cancel()
                del self._processes[role.name]
                self._ready.discard(role.name)
                self._all_ready.clear()
                await sessions.sweep(process.pid)
                await ended
            return ended.result()

    async def _spawn(self, role: RoleSpec, stdin: int, more: Mapping[str, str]) -> Process:
        with open_log(self._log(role.name)) as log:
            self._log_starts[role.name] = log.tell()
            return await asyncio.create_subprocess_exec(
                *role.argv,
                stdin=stdin,
                stdout=log,
                stderr=log,
                env={**role.env, **more},
                start_new_session=True,
                pass_fds=self._keep_open,
            )

    @contextmanager
    def _notice(self, role: str) -> Generator[str]:
        """Listens for one life of a role to say that it is ready; yields the address for it to say so."""
        address = str(self._notices / role)
        began = time.monotonic()
        loop = asyncio.get_running_loop()

        def hear() -> None:
            said = channel.recv(4096).split(b"\n")
            if b"READY=1" in said and role not in self._ready:
                self._ready.add(role)
                if len(self._ready) == len(self._roles):
                    self._all_ready.set()
                self._report(Ready(role, time.monotonic() - began))

        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.bind(address)
            loop.add_reader(channel, hear)
            try:
                yield address
            finally:
                loop.remove_reader(channel)
                Path(address).unlink()

    def _failed(self, role: RoleSpec, problem: str) -> RoleFailed:
        failure = RoleFailed(role.name, problem, self._log_tail(role.name))
        self._report(Failed(role.name, failure))
        return failure

    def _raise_failure(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()

    def _log(self, role: str) -> Path:
        return self._log_dir / f"{role}.log"

    def _log_tail(self, role: str) -> str:
        return tail(self._log(role), since=self._log_starts.get(role, 0))


@contextmanager
def _lifeline() -> Generator[int]:
    """A pipe's reading end, for a child's standard input: it ends when this process does, whatever happens."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


def _how(code: int) -> str:
    if code < 0:
        return f"was killed by signal {-code} ({signal.strsignal(-code)})"
    return f"ended with code {code}"
