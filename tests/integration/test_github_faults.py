"""The bridge at a GitHub that limits, fails, falls silent and forgets tokens: its work is done, and done once."""

import asyncio
import time
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
import pytest_asyncio

from bridges.github import api, doing, shell
from deploy.embedded.nats import NatsServer
from schemas import Actor, EffectRecorded, Merged, PullRequestOpened
from tests.support.acting import Connect, Voices, configured
from tests.support.forge import Life
from tests.support.hub import Hub, hub
from tests.support.hub.faults import answer
from tests.support.servers import connected

pytestmark = pytest.mark.peer
SHOP = "/repos/acme/shop"


class Hurried:
    """A clock that runs ahead of the machine's whenever somebody sleeps by it."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        return time.time() + self._ahead

    async def sleep(self, seconds: float) -> None:
        self._ahead += max(seconds, 0.0)
        await asyncio.sleep(0)


@pytest.fixture
def github(tmp_path: Path) -> Generator[Hub]:
    with hub(tmp_path / "git", files={"total.txt": "broken\n"}) as running:
        yield running


@pytest_asyncio.fixture
async def voices(
    nats: NatsServer, connect: Connect, github: Hub, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Voices]:
    monkeypatch.setattr(api, "WallClock", Hurried)
    monkeypatch.setattr(doing, "PAUSE_SECONDS", 0.01)
    async with await connected(nats, Actor.GITHUB) as bus:
        life, config = Life(), configured(github)
        task = asyncio.create_task(shell.run(bus, life, config, grace_seconds=0))
        await life.up.wait()
        github.deliver_to(f"http://{config.http}/webhooks/github")
        yield await Voices.of(connect, github)
        github.deliver_to(None)
        life.stop.set()
        await task


async def test_through_all_of_it_one_pull_request_and_one_merge(voices: Voices, github: Hub) -> None:
    reset = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 1)}
    used_up = answer(403, "API rate limit exceeded for installation ID 1.", reset)
    told = {"Retry-After": "1"}
    forgotten, broken, slow = answer(401, "Bad credentials"), answer(502, "Server Error"), answer(429, "", told)
    for fault in (broken, slow, forgotten, used_up):
        github.faults.instead("GET", rf"{SHOP}$", fault)
    for fault in (forgotten, slow, broken):
        github.faults.instead("GET", "/pulls", fault)
    for method, path in (("POST", f"{SHOP}/git/refs"), ("POST", f"{SHOP}/pulls$"), ("PUT", "/merge$")):
        for fault in (slow, forgotten, broken):
            github.faults.instead(method, path, fault)
        github.faults.after(method, path)  # done, and nobody hears of it
    github.faults.instead("POST", "/access_tokens", broken)
    github.faults.instead("PATCH", f"{SHOP}/issues/", broken)
    await voices.add_repository()
    await voices.approve()
    head = await voices.work()
    merged = await voices.merge()
    assert merged.head_sha == head
    await voices.finish(merged)
    await voices.hear(EffectRecorded, but=lambda effect: effect.effect != "issue_closed")
    assert [len(await voices.everything(kind)) for kind in (PullRequestOpened, Merged)] == [1, 1]
    maria = github.person("maria")
    assert len(maria.get(f"{SHOP}/pulls?state=all")) == 1
    assert maria.get(f"{SHOP}/issues/{voices.issue.number}")["state"] == "closed"
    log = maria.get(f"{SHOP}/commits?sha=main")
    assert [each["sha"] for each in log[:1]] == [merged.merge_sha]
    assert len(log) == 2
    assert len([call for call in github.faults.calls if call[1].endswith("/access_tokens")]) > 1
