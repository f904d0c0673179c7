"""Ctrl-C, SIGTERM and a closed terminal as an orderly end: work is cancelled once, and puts everything away itself."""

import asyncio
import logging
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

import typer

from machine.lifecycle import ends

__all__ = ["Interrupted", "interruptible", "run_interruptible"]

T = TypeVar("T")


class Interrupted(Exception):
    """The work was ended by a signal, in order."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"ended by {number.name}")
        self.exit_code = 128 + number
        """What a shell expects of a program that a signal ended."""


async def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work`. The first of `ends()` cancels it; later ones do not disturb its putting away.

    Raises Interrupted when it was ended so.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    caught: list[signal.Signals] = []

    def asked(number: signal.Signals) -> None:
        caught.append(number)
        if len(caught) == 1:
            task.cancel()

    numbers = ends()
    for number in numbers:
        loop.add_signal_handler(number, asked, number)
    try:
        return await task
    except asyncio.CancelledError:
        if caught:
            raise Interrupted(caught[0]) from None
        raise
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def run_interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Runs a command's work. Where a signal ended it, in order, the command has the exit code that a shell expects."""
    logging.getLogger("bus").addHandler(logging.NullHandler())  # what fails is said once, in words of our own
    try:
        return asyncio.run(interruptible(work))
    except Interrupted as signalled:
        raise typer.Exit(signalled.exit_code) from None
