"""`rig …` on the server that RIG_NATS_URL names: as a program of its own, or within a test."""

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from bridges.terminal import FindServer, Found, NoRig, add_commands
from deploy.embedded.nats import NatsServer
from schemas import Actor
from tests.support.servers import reaching


def application(find_server: FindServer | None = None) -> typer.Typer:
    """The terminal's commands alone; deploy/ adds its own."""
    app = typer.Typer(name="rig", rich_markup_mode=None, pretty_exceptions_enable=False)
    add_commands(app, find_server or _find_server)
    return app


def _find_server() -> Found:
    if (url := os.environ.get("RIG_NATS_URL")) is None:
        raise NoRig("RIG_NATS_URL is not set")
    key = os.environ.get("RIG_NATS_KEY")
    return Found(url, "RIG_NATS_URL", None if key is None else Path(key))


@dataclass
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """What it printed. Fails the test when the command failed."""
        assert self.code == 0, self.err
        return json.loads(self.out)


class Terminal:
    """Somebody types, one command after the other, in a thread and so with an event loop of its own."""

    def __init__(self, server: NatsServer | str, find_server: FindServer | None = None) -> None:
        where = {"RIG_NATS_URL": server} if isinstance(server, str) else reaching(server, Actor.CLI)
        self.env = {**where, "TZ": "UTC"}
        self._app = application(find_server)

    async def __call__(self, *arguments: str, stdin: bytes = b"") -> Said:
        def invoke() -> Said:
            result = CliRunner().invoke(self._app, arguments, input=stdin, env=self.env, catch_exceptions=False)
            return Said(result.exit_code, result.stdout, result.stderr)

        return await asyncio.to_thread(invoke)


if __name__ == "__main__":
    application()()
