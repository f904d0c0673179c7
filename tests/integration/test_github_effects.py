"""What the bridge does at GitHub: a real log, a stateful GitHub, webhooks over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
import pytest_asyncio

from bridges.github import shell
from deploy.embedded.nats import NatsServer
from schemas import Actor, ChecksPassed, EffectRecorded, PullRequestOpened
from tests.support.acting import Connect, Voices, configured
from tests.support.forge import Life
from tests.support.hub import Hub, hub
from tests.support.servers import connected

pytestmark = pytest.mark.peer
SHOP = "/repos/acme/shop"


@pytest.fixture
def github(tmp_path: Path) -> Generator[Hub]:
    with hub(tmp_path / "git", files={"total.txt": "broken\n"}) as running:
        yield running


@pytest_asyncio.fixture
async def voices(nats: NatsServer, connect: Connect, github: Hub) -> AsyncIterator[Voices]:
    async with await connected(nats, Actor.GITHUB) as bus:
        life, config = Life(), configured(github)
        task = asyncio.create_task(shell.run(bus, life, config, grace_seconds=0))
        up = asyncio.create_task(life.up.wait())
        await asyncio.wait([task, up], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        github.deliver_to(f"http://{config.http}/webhooks/github")
        yield await Voices.of(connect, github)
        github.deliver_to(None)
        life.stop.set()
        await asyncio.wait([task])
        task.result()


async def test_a_push_becomes_a_pull_request_that_is_merged_and_its_issue_is_closed(voices: Voices) -> None:
    await voices.add_repository()
    await voices.approve()
    head = await voices.work()
    opened = await voices.hear(PullRequestOpened)
    assert (opened.head_sha, opened.branch) == (head, f"rig/{voices.issue.number}-fix-the-total")
    assert opened.changes is not None
    assert opened.changes.paths == ("total.txt",)
    assert (await voices.hear(ChecksPassed)).head_sha == head
    merged = await voices.merge()
    assert merged.head_sha == head
    maria = voices.github.person("maria")
    assert maria.get(f"{SHOP}/pulls/{opened.pull_request}")["merge_commit_sha"] == merged.merge_sha
    await voices.finish(merged)
    closed = await voices.hear(EffectRecorded, but=lambda effect: effect.effect != "issue_closed")
    assert not closed.outcome.startswith("refused")
    assert maria.get(f"{SHOP}/issues/{voices.issue.number}")["state"] == "closed"
