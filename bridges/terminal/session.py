"""One command: its connection to the running rig, and what its failures look like to a person.

Where the rig is, deploy/ knows: it hands in a `FindServer`, which a command finds as its context's `obj`.
"""

import asyncio
import getpass
import logging
import os
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias, TypeVar, cast

import typer

from bridges.terminal.errors import BadInput, Failed, NoRig, TerminalError
from machine.git import GitError
from machine.process import SpawnFailed
from schemas import Actor, SchemaError, printable

if TYPE_CHECKING:
    from bus import Bus

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found:
    """Where the rig is."""

    url: str
    """Of its NATS server."""
    setting: str | None
    """Where a person said so, like RIG_NATS_URL; None: the running rig said so itself."""
    key: Path | None = None
    """The file of the terminal's key, where the URL holds no login."""


FindServer: TypeAlias = Callable[[], Found]
"""Raises NoRig."""

CONNECT_SECONDS = 3.0


def run(context: typer.Context, work: Callable[["Bus"], Awaitable[T]]) -> T:
    """Connects as the terminal and does the work. Use it inside `reported`."""
    return run_at(find_server(context)(), work)


def run_at(found: Found, work: Callable[["Bus"], Awaitable[T]]) -> T:
    """The same, where the rig is."""
    logging.getLogger().addHandler(logging.NullHandler())  # what fails is said once, in words of our own
    from bus import Bus, DuplicateMismatch, Unavailable

    async def connected() -> T:
        try:
            source = f"cli/{person()}"
            bus = await Bus.connect(
                found.url, actor=Actor.CLI, source=source, key=found.key, timeout_seconds=CONNECT_SECONDS
            )
        except Unavailable as error:
            if found.setting is not None:
                raise Failed(f"{error} ({found.setting})") from None
            raise NoRig(str(error)) from None
        async with bus:
            return await work(bus)

    try:
        return asyncio.run(connected())
    except DuplicateMismatch as error:
        raise BadInput(str(error)) from None


def find_server(context: typer.Context) -> FindServer:
    """What deploy/ has handed in."""
    return cast("FindServer", context.obj)


@contextmanager
def reported(*known: type[Exception]) -> Generator[None]:
    """Turns what went wrong into a message on standard error and an exit code: 1 failed, 2 asked wrongly.

    `known` are failures of the caller's own besides those of the rooms below. What nobody knows stays a traceback.
    """
    try:
        yield
    except TerminalError as error:
        _end(error.exit_code, *error.lines)
    except SchemaError as error:
        _end(BadInput.exit_code, str(error))
    except BrokenPipeError:
        raise  # the reader of the output has left: Typer ends the command without a word
    except (*known, GitError, SpawnFailed, OSError) as error:
        _end(Failed.exit_code, *str(error).splitlines())
    except Exception as error:
        from bus import BusError

        if not isinstance(error, BusError):
            raise
        _end(Failed.exit_code, *str(error).splitlines())


def person() -> str:
    """Who types: the name of the user, as the system knows it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no entry
        return f"user-{os.getuid()}"


def _end(exit_code: int, first: str = "", *more: str) -> NoReturn:
    typer.echo(printable(f"rig: {first}"), err=True)
    for line in more:
        typer.echo(printable(f"  {line}"), err=True)
    raise typer.Exit(exit_code)
