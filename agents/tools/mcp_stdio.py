"""A program that is talked with on its standard streams, as a transport of the SDK: one JSON message a line.

The SDK's own takes lines of any length, and copies what it has of one for each piece that comes: a server that prints
without end, and without a line's end, would take all our memory and time. `machine.process` runs a program to its end,
and its input is a file; this one is asked and answers. What holds there holds here: an environment by allow-list, a
group of its own, and when we are done TERM, KILL and no waiting for a pipe that somebody else holds.

https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio
"""

import asyncio
import logging
import os
import signal
from asyncio.subprocess import PIPE, Process, SubprocessStreamProtocol
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import IO, Any, Final

from machine.process import environment

__all__ = ["LINE_BYTES", "stdio"]

LINE_BYTES: Final = 16 * 1024 * 1024
GRACE_SECONDS: Final = 2.0
"""For a server to end when its input does, and again when it is told to."""

log = logging.getLogger(__name__)


@asynccontextmanager
async def stdio(argv: Sequence[str], env: Mapping[str, str], errors: IO[Any]) -> AsyncGenerator[tuple[Any, Any]]:
    """What it says, and where it is written to; both as the SDK has them. Raises OSError, ValueError."""
    import anyio
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(
        lambda: SubprocessStreamProtocol(LINE_BYTES, loop),  # with the transport in hand its pipes can be let go
        *argv,
        stdin=PIPE,
        stdout=PIPE,
        stderr=errors,
        env=environment(env),
        process_group=0,
    )
    process = Process(transport, protocol, loop)
    said, reading = anyio.create_memory_object_stream[Any](0)
    writing, asked = anyio.create_memory_object_stream[Any](0)
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise RuntimeError("a program that was started with pipes has none")

    async def read() -> None:
        async with said:
            while line := await stdout.readline():
                try:
                    message = SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
                except ValueError as error:
                    await said.send(error)
                else:
                    await said.send(message)

    async def write() -> None:
        async with asked:
            async for one in asked:
                text: str = one.message.model_dump_json(by_alias=True, exclude_unset=True)
                stdin.write(text.encode() + b"\n")
                await stdin.drain()

    both = [asyncio.create_task(_ends(read(), said)), asyncio.create_task(_ends(write(), said))]
    try:
        yield reading, writing
    finally:
        for task in both:
            task.cancel()
        for stream in (said, reading, writing, asked):
            stream.close()
        for descriptor in (0, 1):
            if (pipe := transport.get_pipe_transport(descriptor)) is not None:
                pipe.close()
        await _stopped(process)
        transport.close()
        await asyncio.wait(both)


async def _ends(work: Any, said: Any) -> None:
    """The end of either direction is the end of the conversation."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - a pipe that is closed, a line without end, a stream that is gone
        log.info("a server of tools is not talked with any more: %s: %s", type(error).__name__, str(error)[:200])
    finally:
        said.close()


async def _stopped(process: Process) -> None:
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await process.wait()
                break
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # what it has left behind in its group
