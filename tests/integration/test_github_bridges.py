"""Two bridges at one rig: both take webhooks in, one translates and acts, and the other takes over."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from bridges.github import shell
from bridges.github.config import GitHubConfig
from bus import Bus
from deploy.embedded.nats import NatsServer
from schemas import FLEET, Actor, BudgetRaised, Draft, Forge, RepositoryAdded
from tests.conftest import Connect
from tests.support.forge import Life, until
from tests.support.github_payloads import body, comment
from tests.support.scripted import Says, Scripted, scripted
from tests.support.servers import connected
from tests.support.translated import WEB

DELIVERIES = 12


@asynccontextmanager
async def bridge(server: NatsServer, github: Scripted, name: str) -> AsyncGenerator[Bus]:
    config = GitHubConfig(http="127.0.0.1:0", api=github.url, token="ghp_0123456789abcdefghij", secrets=("s",))
    life = Life()
    async with await connected(server, Actor.GITHUB, name) as bus:
        running = asyncio.create_task(shell.run(bus, life, config))
        try:
            await life.up.wait()
            yield bus
        finally:
            life.stop.set()
            await running


async def test_who_acts_translates_so_that_what_is_to_be_looked_at_is_looked_at(
    nats: NatsServer, connect: Connect
) -> None:
    cli = await connect(Actor.CLI)
    added = RepositoryAdded(forge=Forge.GITHUB, clone_url="https://github.com/acme/web.git", check="true", by="ada")
    await cli.log.publish(Draft(about=WEB, data=added), "added")

    async def deliver(bus: Bus, number: int) -> None:
        told = body(comment(f"/rig budget {number}", id=number))
        await bus.inbox.store(f"{number}", {"X-GitHub-Event": "issue_comment"}, told)

    async def raised() -> list[str]:
        said = [item.event for item in await cli.log.history(["rig.fleet.github.>"])]
        return [event.source for event in said if event.about == FLEET and isinstance(event.data, BudgetRaised)]

    async def all_raised() -> bool:
        return len(await raised()) == DELIVERIES

    async def taken_over() -> bool:
        return len(await raised()) == DELIVERIES + 1

    async with scripted() as github:
        github.on("GET", "/user", Says(body={"login": "rig"}))
        github.on(
            "GET", "/repos/acme/web/collaborators/bob/permission", Says(body={"permission": "write", "user": None})
        )
        async with AsyncExitStack() as first:
            one = await first.enter_async_context(bridge(nats, github, "one"))

            async def acts() -> bool:
                return await one.leases.look(shell.LEASE) is not None

            await until(acts)
            async with bridge(nats, github, "two") as two:
                for number in range(1, DELIVERIES + 1):
                    await deliver(two, number)
                await until(all_raised)
                assert set(await raised()) == {"one"}
                await first.aclose()
                await deliver(two, DELIVERIES + 1)
                await until(taken_over)
                assert (await raised())[-1] == "two"
