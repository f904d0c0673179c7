"""One server process on this machine: started until it answers, stopped in order, never left behind.

What a server is (its files, its arguments, how one knows that it is ready) is a `Program`: see `nats` and `postgres`.
A `Server` runs it on 127.0.0.1, on a port that it keeps for as long as the object lives, so that clients find it again
after a restart. It dies with this process, however that dies (Linux; elsewhere the next start ends what was left).

The caller answers for one thing: that nobody else uses the directory (`Home.lock`).
"""

import asyncio
import os
import random
import secrets
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, Self

from deploy.failures import ServerFailed
from deploy.logs import open_log, tail
from machine import sessions

__all__ = ["Program", "Server", "bound", "free_port", "secret"]

READY_SECONDS = 60.0
"""PostgreSQL after a crash of the machine replays its journal first."""
STOP_SECONDS = 2.0
"""Who is killed after it loses nothing: what was acknowledged is on disk, PostgreSQL replays its journal."""
POLL_SECONDS = 0.005
ANSWER_SECONDS = 0.25
"""How long a server that starts may think about its first answer; each further one may take twice as long, since on a
slow machine none would ever come in time."""
LONGEST_ANSWER_SECONDS = 8.0
RETRY_PAUSES = (0.05, 0.2, 0.5)
PORTS = range(20000, 32768)
"""Below what Linux hands out to outgoing connections: a client that keeps trying a port of that range while the server
is away can end up connected to itself, and the server finds its own port taken."""
LAUNCHER = Path(__file__).with_name("launch.py")
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


class Program(Protocol):
    """What is run."""

    @property
    def name(self) -> str:
        """As people know it."""
        ...

    @property
    def directory(self) -> Path:
        """All that it keeps is below; its command line names something below."""
        ...

    @property
    def pid_file(self) -> Path:
        """Its process id is on the first line while it runs."""
        ...

    @property
    def stop_signal(self) -> signal.Signals:
        """Asks it to stop in order."""
        ...

    @property
    def owner(self) -> int:
        """The user id to run as, or -1 for our own."""
        ...

    async def prepare(self, port: int) -> None:
        """Make what a start needs. Raises ServerFailed."""
        ...

    def argv(self, port: int) -> Sequence[str]: ...

    async def answers(self, port: int, pid: int) -> bool:
        """This very process serves requests. Cancelled when it takes too long."""
        ...

    def url(self, port: int) -> str:
        """How clients reach it, password included."""
        ...


class Server:
    """Runs a `Program`. `async with server:` starts and stops it; start, stop and kill in any order in between."""

    def __init__(self, program: Program, log: Path) -> None:
        self._program = program
        self._log = log
        self._port = 0
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Known from the first start on, the same ever after."""
        return self._program.url(self._port)

    @property
    def pid(self) -> int:
        """Of the running process. Raises ServerFailed when there is none."""
        if self._process is None or self._process.returncode is not None:
            raise ServerFailed(self._program.name, "it is not running")
        return self._process.pid

    async def start(self) -> None:
        """Returns when the server answers. Raises ServerFailed, with the end of the log."""
        await _end_leftover(self._program)
        for pause in (*RETRY_PAUSES, None):
            if await self._start_on(self._port or free_port()):
                return
            # Someone was quicker to take the port, or what a killed predecessor left is only just going away.
            if pause is not None:
                await asyncio.sleep(pause)
        raise ServerFailed(self._program.name, "it ends as soon as it is started", tail(self._log))

    async def stop(self) -> None:
        """Stop in order; no longer after STOP_SECONDS. Nothing to do when it does not run."""
        if self._process is not None:
            await _end(self._process, self._program.stop_signal)

    async def kill(self) -> None:
        """Stop at once, as a crash would (SIGKILL). Nothing to do when it does not run."""
        if self._process is not None:
            await _end(self._process, signal.SIGKILL)

    async def wait(self) -> int:
        """Wait until the running process has ended, for whatever reason; its exit code, negative for a signal."""
        if self._process is None:
            raise ServerFailed(self._program.name, "it was never started")
        return await self._process.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _start_on(self, port: int) -> bool:
        program = self._program
        await program.prepare(port)
        with open_log(self._log) as log:
            process = await asyncio.create_subprocess_exec(
                *bound(program.argv(port), program.stop_signal, program.owner),
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                cwd=program.directory,
                env=ENVIRONMENT,
                start_new_session=True,  # a Ctrl-C at the terminal is for the rig, which stops its servers in order
            )
        ready, patience = False, ANSWER_SECONDS
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not ready and process.returncode is None:
                    await asyncio.sleep(POLL_SECONDS)
                    try:
                        async with asyncio.timeout(patience):
                            ready = await program.answers(port, process.pid)
                    except TimeoutError:
                        patience = min(2 * patience, LONGEST_ANSWER_SECONDS)
        except TimeoutError:
            raise ServerFailed(program.name, f"not ready after {READY_SECONDS:g} s", tail(self._log)) from None
        finally:
            if ready:
                self._process, self._port = process, port
            else:
                await _end(process, signal.SIGKILL)
        return ready


def bound(argv: Sequence[str], number: signal.Signals, owner: int = -1) -> list[str]:
    """`argv` as a program that gets the signal `number` when this process dies, and runs as `owner`: see `launch`."""
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER)]
    return [*launcher, str(os.getpid()), str(number.value), str(owner), *argv]


def secret(path: Path) -> str:
    """The password kept in `path`, made at first (mode 0600): other users of this machine must not speak to the rig."""
    try:
        with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(secrets.token_urlsafe(24))
    except FileExistsError:
        pass
    return path.read_text()


async def _end(process: Process, number: signal.Signals) -> None:
    if process.returncode is not None:
        return
    # Not Process.send_signal: it looks whether the process has ended, and so races the event loop for its exit code.
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        await process.wait()


async def _end_leftover(program: Program) -> None:
    """End the server of a starter that was killed: it may be stopping still, or know nothing of it."""
    try:
        pid = int(program.pid_file.read_text().partition("\n")[0])
    except (FileNotFoundError, ValueError):
        return
    command = sessions.command_line(pid)
    if command is None:
        return
    if f"{program.directory}/" not in command:
        program.pid_file.unlink()  # another program has this id now; PostgreSQL would take it for itself, and refuse
        return
    for number in (program.stop_signal, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        if await _gone(pid):
            return
    raise ServerFailed(program.name, f"process {pid} of an earlier start does not end; end it")


async def _gone(pid: int) -> bool:
    """The process is no more within STOP_SECONDS. It is not our child: the kernel does not tell us."""
    for _ in range(int(STOP_SECONDS / POLL_SECONDS)):
        if sessions.command_line(pid) is None:
            return True
        await asyncio.sleep(POLL_SECONDS)
    return False


def free_port() -> int:
    """A port on 127.0.0.1 that nobody has at this moment."""
    while True:
        port = random.choice(PORTS)  # noqa: S311 - not a secret
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
