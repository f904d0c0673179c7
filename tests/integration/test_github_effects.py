"""What the bridge does at GitHub: a real log, a stateful GitHub, webhooks over HTTP."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager

import pytest
from msgspec import structs

from bridges.github import shell
from bridges.github.config import GitHubConfig
from deploy.embedded.nats import NatsServer
from schemas import (
    Actor,
    ChecksPassed,
    MergeConflicted,
    MergeRefusal,
    MergeRefused,
    PullRequestOpened,
    RepoRef,
)
from tests.support.acting import Connect, Voices, commit, configured
from tests.support.forge import Life
from tests.support.hub import Hub, answer, hub
from tests.support.servers import connected

pytestmark = pytest.mark.peer


REPOSITORIES = ("shop", "two", "forbidden", "refused", "token", "dirty")


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Generator[Hub]:
    """One for all of them, each with a repository of its own: it takes seconds to start."""
    names = [f"acme/{name}" for name in REPOSITORIES]
    with hub(tmp_path_factory.mktemp("git"), repositories=names, files={"total.txt": "broken\n"}) as running:
        yield running


@asynccontextmanager
async def bridge(nats: NatsServer, github: Hub, config: GitHubConfig) -> AsyncGenerator[Life]:
    """At work until the end of the block; webhooks go to it."""
    async with await connected(nats, Actor.GITHUB) as bus:
        life = Life()
        task = asyncio.create_task(shell.run(bus, life, config, grace_seconds=0))
        up = asyncio.create_task(life.up.wait())
        await asyncio.wait([task, up], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        github.deliver_to(f"http://{config.http}/webhooks/github")
        yield life
        github.deliver_to(None)
        life.stop.set()
        await asyncio.wait([task])
        task.result()


async def test_a_push_becomes_a_pull_request_that_is_merged_and_its_issue_is_closed(
    nats: NatsServer, connect: Connect, github: Hub
) -> None:
    async with bridge(nats, github, configured(github)):
        voices = await Voices.of(connect, github, RepoRef("acme", "shop"))
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
        maria = github.person("maria")
        assert maria.get(f"{voices.path}/pulls/{opened.pull_request}")["merge_commit_sha"] == merged.merge_sha
        await voices.finish(merged)
        closed = await voices.recorded("issue_closed")
        assert not closed.outcome.startswith("refused")
        assert maria.get(f"{voices.path}/issues/{voices.issue.number}")["state"] == "closed"


async def test_of_two_bridges_one_acts(nats: NatsServer, connect: Connect, github: Hub) -> None:
    async with bridge(nats, github, configured(github)), bridge(nats, github, configured(github)):
        voices = await Voices.of(connect, github, RepoRef("acme", "two"))
        await voices.add_repository()
        await voices.approve()
        await voices.work()
        merged = await voices.merge()
        await voices.finish(merged)
        await voices.recorded("issue_closed")
        await voices.recorded("label", "rig: done")
        assert len(await voices.everything(PullRequestOpened)) == 1
        calls = github.faults.calls
        made = [path for method, path in calls if method in ("POST", "PUT") and path.startswith(voices.path)]
        assert sum(path.endswith("/pulls") for path in made) == 1
        assert sum(path.endswith("/comments") for path in made) == 1
        assert sum(path.endswith("/merge") for path in made) == 1


async def test_what_github_forbids_is_told_once_and_done_once_a_person_has_mended_it(
    nats: NatsServer, connect: Connect, github: Hub
) -> None:
    forbidden = answer(403, "Resource not accessible by integration")
    github.faults.instead("POST", r"/pulls$", forbidden)
    github.faults.instead("POST", r"/issues/\d+/labels$", forbidden)
    async with bridge(nats, github, configured(github)) as life:
        voices = await Voices.of(connect, github, RepoRef("acme", "forbidden"))
        await voices.add_repository()
        await voices.approve()
        await voices.work()
        told = await voices.recorded("ShowPush")
        assert told.outcome.startswith("refused: POST")
        assert "Resource not accessible" in told.outcome
        check = life.checks[f"github {voices.issue}"]
        assert not check.ok
        await voices.hear(PullRequestOpened)
        await voices.hear(ChecksPassed)
        assert (await voices.recorded("label")).outcome.startswith("refused: Resource not accessible")


async def test_githubs_own_words_say_why_it_does_not_merge(nats: NatsServer, connect: Connect, github: Hub) -> None:
    words = "Squash merges are not allowed on this repository."
    github.faults.instead("PUT", r"/merge$", answer(405, words))
    async with bridge(nats, github, configured(github)):
        voices = await Voices.of(connect, github, RepoRef("acme", "refused"))
        await voices.add_repository()
        await voices.approve()
        await voices.work()
        opened, passed = await voices.hear(PullRequestOpened), await voices.hear(ChecksPassed)
        await voices.ask_merge(passed, opened.pull_request)
        refused = await voices.hear(MergeRefused)
        assert (refused.reason, refused.detail) == (MergeRefusal.PROTECTED, words)
        await voices.merge()


async def test_with_a_token_the_rigs_word_on_a_head_is_a_commit_status(
    nats: NatsServer, connect: Connect, github: Hub
) -> None:
    config = structs.replace(configured(github), app_id=None, app_key=None, token=github.person("maria").token)
    async with bridge(nats, github, config):
        voices = await Voices.of(connect, github, RepoRef("acme", "token"))
        await voices.add_repository()
        await voices.approve()
        head = await voices.work()
        await voices.recorded("status")
        statuses = github.person("maria").get(f"{voices.path}/commits/{head}/statuses")
        assert [(status["context"], status["state"]) for status in statuses] == [("rig", "pending")]


async def test_work_that_does_not_merge_any_more_is_told_of_without_any_check(
    nats: NatsServer, connect: Connect, github: Hub
) -> None:
    async with bridge(nats, github, configured(github)):
        voices = await Voices.of(connect, github, RepoRef("acme", "dirty"))
        await voices.add_repository()
        await voices.approve()
        base = commit(github.path("acme/dirty"), "main", {"total.txt": "another\n"}, upon="main")
        head = await voices.work(upon="main~1")
        conflicted = await voices.hear(MergeConflicted)
        assert (conflicted.head_sha, conflicted.base_sha) == (head, base)
        assert await voices.everything(ChecksPassed) == []
