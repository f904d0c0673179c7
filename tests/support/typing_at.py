"""Somebody at a terminal: a program on a pseudo-terminal of its own, what it shows and what is typed."""

import asyncio
import os
import pty
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager


class Screen:
    """What was shown, and a keyboard."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._new = asyncio.Event()
        self.shown = ""

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65_536)
        except OSError:  # the program has left
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
        self.shown += data.decode(errors="replace")
        self._new.set()

    async def until(self, text: str) -> str:
        """Waits until that is shown behind what was waited for before; all up to there."""
        while (at := self.shown.find(text)) < 0:
            self._new.clear()
            await self._new.wait()
        seen, self.shown = self.shown[: at + len(text)], self.shown[at + len(text) :]
        return seen

    def type(self, line: str) -> None:
        os.write(self._master, f"{line}\n".encode())

    def end(self) -> None:
        """No more is typed."""
        os.write(self._master, b"\x04")


@asynccontextmanager
async def at_a_terminal(arguments: Sequence[str], env: Mapping[str, str]) -> AsyncGenerator[Screen]:
    """The program, until the end of the block."""
    master, slave = pty.openpty()
    screen = Screen(master)
    program = await asyncio.create_subprocess_exec(
        *arguments, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, **env}, start_new_session=True
    )
    os.close(slave)
    asyncio.get_running_loop().add_reader(master, screen._read)
    try:
        yield screen
    finally:
        asyncio.get_running_loop().remove_reader(master)
        if program.returncode is None:
            program.kill()
        await program.wait()
        os.close(master)
