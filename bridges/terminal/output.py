"""Standard output and error, of which the reader may leave, or the disk behind them be full."""

import os
import sys
from collections.abc import Iterable
from typing import TextIO

import msgspec
import typer
from msgspec import Struct

from bridges.terminal.errors import Failed

__all__ = ["mute", "say", "say_json", "tell"]


def say(lines: Iterable[str]) -> None:
    """Prints a command's answer; without colours where there is no terminal, or where NO_COLOR is set.

    Raises BrokenPipeError when its reader has left, Failed when it cannot be written.
    """
    try:
        for line in lines:
            typer.echo(line, color=False if os.environ.get("NO_COLOR") else None)
    except BrokenPipeError:
        raise
    except OSError as error:
        mute(sys.stdout)
        raise Failed(f"cannot write to standard output: {error.strerror}") from None


def say_json(answer: Struct) -> None:
    """Prints one JSON document on one line. Raises as `say` does."""
    say([msgspec.json.encode(answer).decode(errors="replace")])


def tell(stream: TextIO, line: str) -> None:
    """Prints a line of news beside work that goes on, whether or not somebody still reads it."""
    try:
        print(line, file=stream, flush=True)
    except OSError:
        mute(stream)


def mute(stream: TextIO) -> None:
    """What the stream still holds, and all that is written to it from now on, goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
