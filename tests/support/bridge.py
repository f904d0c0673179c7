"""The GitHub bridge at work in a test: the real role on a real server, and what came of it."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from typing import Any

from msgspec import json

from bridges.github import shell
from bridges.github.config import GitHubConfig
from bridges.github.heard import Heard, Told
from bus import Bus
from conductor.evolve import evolve
from conductor.state import State as Fold
from deploy.embedded.nats import NatsServer
from schemas import Actor, Draft, Forge, IssueState, Recorded, RepoRef, RepositoryAdded, RepositoryConfigured, event_id
from tests.support.forge import Life, until
from tests.support.hub import APP, Delivery, Hub
from tests.support.servers import connected

__all__ = ["SHOP", "Bridge", "State", "bridge", "config"]

State = dict[str, dict[str, object]]
"""Of each issue, what was told of it: what is empty, or not so, stands not here."""
SHOP = RepoRef("acme", "shop")


def config(github: Hub) -> GitHubConfig:
    """Of the App that is installed at this GitHub."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return GitHubConfig(
        http=f"127.0.0.1:{port}",
        api=github.url,
        app_id=str(APP),
        app_key=github.app_key,
        secrets=(github.secret,),
    )


class Bridge:
    """One bridge, and a person at the terminal beside it."""

    def __init__(self, cli: Bus, root: Bus, configured: GitHubConfig) -> None:
        self.cli = cli
        self.config = configured
        self._root = root

    async def serve(self, repository: RepoRef, clone_url: str, **more: Any) -> None:
        """Puts a repository under the rig, and waits until the bridge has looked at it."""
        added = RepositoryAdded(forge=Forge.GITHUB, clone_url=clone_url, check="true", by="ada", **more)
        position = await self.cli.log.publish(Draft(about=repository, data=added), event_id("cli", str(repository)))
        async with self.cli.log.follow(after=position) as reader:
            async for item in reader:
                if isinstance(item, Recorded) and isinstance(item.event.data, RepositoryConfigured):
                    return

    async def translated(self, deliveries: Collection[Delivery]) -> None:
        """Waits until these deliveries have come to something, or to nothing with a reason."""
        wanted = {delivery.guid for delivery in deliveries}

        async def done() -> bool:
            return wanted <= await self._outcomes()

        await until(done)

    async def arrived(self, deliveries: int) -> None:
        """Waits until so many have come to something."""

        async def done() -> bool:
            return len(await self._outcomes()) >= deliveries

        await until(done)

    async def _outcomes(self) -> set[str]:
        asked = {"subjects_filter": "inbox.github.outcome.>"}
        said = json.decode(await self._root.connection.api("$JS.API.STREAM.INFO.RIG_INBOX", asked))
        return {subject.split(".")[3] for subject in said["state"].get("subjects") or ()}

    async def state(self) -> State:
        """What the log says of each issue, as the conductor and the bridge itself read it.

        What nobody wants any more is that and no more: how it read in the end was not told, since nobody works on it.
        """
        state, heard = Fold(), Heard()
        for item in await self.cli.log.history(["rig.>"]):
            evolve(state, item.event, item.position)
            heard.apply(item)
        told: State = {}
        for ref, issue in state.issues.items():
            if issue.state is IssueState.WITHDRAWN:
                told[str(ref)] = {"state": "withdrawn"}
                continue
            known = heard.issue(ref)
            words = known.told if known is not None and known.told is not None else Told(title="")
            facts: dict[str, object] = {
                "title": words.title,
                "body": words.body,
                "state": str(issue.state),
                "priority": str(issue.priority),
                "depends_on": [str(one) for one in issue.depends_on],
                "labels": sorted(issue.labels),
                "requires": list(issue.requires),
                "milestone": issue.milestone,
                "pull_request": issue.pull_request,
                "merged": issue.merge_sha is not None,
                "reviews": [
                    {name: verdict.passed for name, verdict in review.verdicts.items()}
                    for review in issue.reviews.values()
                ],
            }
            told[str(ref)] = {name: fact for name, fact in facts.items() if fact}
        return told


@asynccontextmanager
async def bridge(server: NatsServer, github: Hub) -> AsyncGenerator[Bridge]:
    """Runs the role until the end of the block; webhooks go to it."""
    configured, life = config(github), Life()
    async with (
        await connected(server, Actor.GITHUB) as bus,
        await connected(server, Actor.CLI) as cli,
        await connected(server, Actor.CLI, free=True) as root,
    ):
        running = asyncio.create_task(shell.run(bus, life, configured))
        ready = asyncio.create_task(life.up.wait())
        try:
            await asyncio.wait((running, ready), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
            github.deliver_to(f"http://{configured.http}/webhooks/github")
            yield Bridge(cli, root, configured)
        finally:
            github.deliver_to(None)
            ready.cancel()
            life.stop.set()
            await running
