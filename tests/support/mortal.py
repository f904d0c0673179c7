"""The GitHub bridge as a process that is killed between a call and its record, on command, and started anew.

    python -m tests.support.mortal      the process: its server and its configuration come in the environment

The GitHub of the test does what it is asked, kills who asked, and never passes its answer on.
"""

import asyncio
import logging
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bridges.github import shell
from bridges.github.config import GitHubConfig
from bus import Bus, Held
from bus.client import NatsConnection
from bus.connection import raise_refusal
from deploy.embedded.nats import NatsServer
from machine import lifecycle
from machine.lifecycle import Lifecycle
from schemas import Actor
from tests.support.hub import Hub
from tests.support.servers import reaching

_CONFIG = "RIG_TEST_GITHUB"
_ROOT = Path(__file__).parents[2]


class Mortal:
    """One bridge, again and again."""

    def __init__(self, nats: NatsServer, root: NatsConnection, github: Hub, config: GitHubConfig, log: Path) -> None:
        self._env = {
            **os.environ,
            **reaching(nats, Actor.GITHUB),
            _CONFIG: msgspec.json.encode(config).decode(),
            "PYTHONPATH": str(_ROOT),
        }
        self._root = root
        self._github = github
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self.deaths = 0

    async def _start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.support.mortal", env=self._env, stdout=log, stderr=log
            )

    def dies_after(self, method: str, path: str) -> None:
        """GitHub does the next such call, and its answer finds nobody."""
        self._github.faults.after(method, path, self._kill)

    def _kill(self) -> None:
        assert self._process is not None
        self._process.kill()

    async def live(self) -> None:
        """Lives again after each death, until cancelled. Nobody waits until the leases of a dead one have run out."""
        try:
            while True:
                await self._start()
                assert self._process is not None
                code = await self._process.wait()
                assert code == -signal.SIGKILL, f"it ended by itself: {self.said()}"
                self.deaths += 1
                await self._give_back("effects")
                await self._give_back("audit")
        finally:
            if self._process is not None and self._process.returncode is None:
                self._process.kill()
                await self._process.wait()

    async def _give_back(self, lease: str) -> None:
        """As it would have done itself, had it been asked to end."""
        word = Held(holder="the dead one", tenure="over", since=datetime.now(UTC), written=1, released=True)
        answer = await self._root.request(f"lease.github.{lease}", msgspec.json.encode(word), timeout_seconds=5)
        raise_refusal(lease, answer)

    def said(self) -> str:
        return self._log.read_text()[-4_000:]


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    config = msgspec.json.decode(os.environ[_CONFIG], type=GitHubConfig)

    async def live(life: Lifecycle) -> None:
        url, key = os.environ["RIG_NATS_URL"], Path(os.environ["RIG_NATS_KEY"])
        async with await Bus.connect(url, actor=Actor.GITHUB, source="github", key=key) as bus:
            await shell.run(bus, life, config, grace_seconds=0)

    return lifecycle.run(live, health_address=None)


if __name__ == "__main__":
    sys.exit(main())
