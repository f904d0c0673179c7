"""One command: its connection to the running rig, and what its failures look like to a person.

Where the rig is, deploy/ knows: it hands in a `FindServer`, which a command finds as its context's `obj`.
"""

import asyncio
import getpass
import logging
import os
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TypeAlias, TypeVar, cast

import msgspec
import typer
from msgspec import Struct

from bridges.terminal.errors import BadInput, Failed, NoRig, TerminalError
from schemas import Actor, SchemaError, printable

if TYPE_CHECKING:
    from bus import Bus

T = TypeVar("T")

FindServer: TypeAlias = Callable[[], str]
"""The URL of the running rig's NATS server. Raises NoRig."""

CONNECT_SECONDS = 3.0


def run(context: typer.Context, work: Callable[["Bus"], Awaitable[T]]) -> T:
    """Connects as the terminal and does the work. Use it inside `reported`."""
    url = cast("FindServer", context.obj)()
    logging.getLogger().addHandler(logging.NullHandler())  # what fails is said once, in words of our own
    from bus import Bus, BusError, DuplicateMismatch, Unavailable

    async def connected() -> T:
        try:
            bus = await Bus.connect(url, actor=Actor.CLI, source=f"cli/{person()}", timeout_seconds=CONNECT_SECONDS)
        except Unavailable as error:
            raise NoRig(str(error)) from None
        async with bus:
            return await work(bus)

    try:
        return asyncio.run(connected())
    except DuplicateMismatch as error:
        raise BadInput(str(error)) from None
    except BusError as error:
        raise Failed(str(error)) from None


@contextmanager
def reported() -> Generator[None]:
    """Turns what went wrong into a message on standard error and an exit code: 1 failed, 2 asked wrongly."""
    try:
        yield
    except TerminalError as error:
        _end(error.exit_code, *error.lines)
    except SchemaError as error:
        _end(BadInput.exit_code, str(error))


def say(lines: Iterable[str]) -> None:
    """Prints lines; without colours where there is no terminal, or where NO_COLOR is set."""
    for line in lines:
        typer.echo(line, color=False if os.environ.get("NO_COLOR") else None)


def say_json(answer: Struct) -> None:
    """Prints one JSON document on one line."""
    typer.echo(msgspec.json.encode(answer).decode(errors="replace"))


def person() -> str:
    """Who types: the name of the user, as the system knows it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no entry
        return f"user-{os.getuid()}"


def _end(exit_code: int, first: str, *more: str) -> NoReturn:
    typer.echo(printable(f"rig: {first}"), err=True)
    for line in more:
        typer.echo(printable(f"  {line}"), err=True)
    raise typer.Exit(exit_code)
