"""Starts a server of ours again when it dies while the rig runs, with the same back-off as for roles."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from deploy.embedded.server import Server
from deploy.failures import ServerFailed
from deploy.supervisor import Crashed, Ready, Restarting, pause

__all__ = ["NotStarted", "ServerReport", "guard"]


@dataclass(frozen=True, slots=True)
class NotStarted:
    """A try to start a server again failed; another follows."""

    role: str
    failure: ServerFailed

    def __str__(self) -> str:
        return str(self.failure)


ServerReport: TypeAlias = Crashed | Restarting | Ready | NotStarted


async def guard(name: str, server: Server, report: Callable[[ServerReport], None]) -> None:
    """For ever: waits for a started server to end, and starts it again, at the same address."""
    waited, began = 0.0, time.monotonic()
    while True:
        report(Crashed(name, await server.wait()))
        ran = time.monotonic() - began
        while True:
            waited = pause(waited, ran)
            report(Restarting(name, waited))
            await asyncio.sleep(waited)
            began = time.monotonic()
            try:
                await server.start()
            except ServerFailed as failure:
                report(NotStarted(name, failure))
                ran = 0.0
            else:
                report(Ready(name, time.monotonic() - began))
                break
