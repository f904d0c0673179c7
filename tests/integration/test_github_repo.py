"""`rig repo add --github`: the bridge is asked what is there, and its word awaited. The bridge here is a script."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bus import Bus, Refused
from deploy.embedded.nats import NatsServer
from schemas import (
    Actor,
    Draft,
    Forge,
    Recorded,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    ReviewScope,
)
from schemas.queries import Looked, LookRequest
from tests.conftest import Connect
from tests.support.terminal import Terminal

BASE = "b" * 40
ADD = ("repo", "add", "Acme/web", "--github")


@pytest.fixture
async def bus(connect: Connect) -> Bus:
    return await connect(Actor.GITHUB)


@pytest.fixture
def rig(nats: NatsServer, bus: Bus) -> Terminal:
    return Terminal(nats)


@pytest.fixture
async def asked(bus: Bus) -> list[LookRequest]:
    """What the bridge was asked for; it knows one repository, by its name at GitHub."""
    requests: list[LookRequest] = []

    async def look(request: LookRequest) -> Looked:
        requests.append(request)
        if request.repository.repo != "web":
            raise Refused("GitHub shows no such repository to this bridge")
        return Looked(
            repository=RepoRef("acme", "web"),
            base_branch=request.base_branch or "trunk",
            base_sha=BASE,
            clone_url="https://github.example/acme/web.git",
            test="make test" if request.base_branch is None else None,
        )

    await bus.services.serve("github", "look", LookRequest, look)
    return requests


@pytest.fixture
async def configuring(bus: Bus, asked: list[LookRequest]) -> AsyncIterator[None]:
    """The bridge says of what was added how it is configured."""

    async def configure() -> None:
        async with bus.log.follow(["rig.repo.>"]) as reader:
            async for said in reader:
                if isinstance(said, Recorded) and isinstance(added := said.event.data, RepositoryAdded):
                    data = RepositoryConfigured(
                        base_branch=added.base_branch or "trunk",
                        base_sha=BASE,
                        clone_url=added.clone_url,
                        check=added.check,
                        reviewers=added.reviewers,
                    )
                    draft = Draft(about=RepoRef("acme", "web"), data=data, cause=said.event.id)
                    await bus.log.publish(draft, f"configured-{said.position}")

    task = asyncio.create_task(configure())
    yield
    task.cancel()


async def added(bus: Bus) -> list[tuple[str, RepositoryAdded]]:
    history = await bus.log.history(["rig.repo.*.*.cli.added"])
    return [
        (str(said.event.about), said.event.data) for said in history if isinstance(said.event.data, RepositoryAdded)
    ]


@pytest.mark.usefixtures("configuring")
async def test_it_is_added_as_github_calls_it_with_what_it_says_of_itself(rig: Terminal, bus: Bus) -> None:
    said = await rig(*ADD, "--reviewer", "ann", "--reviews", "labelled")
    assert (said.code, said.out, said.err) == (0, f"acme/web: trunk at {BASE[:9]} is under the rig\n", "")
    ((about, data),) = await added(bus)
    assert (about, data.forge, data.clone_url) == ("acme/web", Forge.GITHUB, "https://github.example/acme/web.git")
    assert (data.check, data.reviewers, data.reviews) == ("make test", ("ann",), ReviewScope.LABELLED)
    again = await rig(*ADD, "--reviewer", "ann", "--reviews", "labelled", "--json")
    assert again.json()["check"] == "make test"
    assert len(await added(bus)) == 1, "what is so already is not said again"


@pytest.mark.usefixtures("configuring")
async def test_what_is_typed_counts_for_more(rig: Terminal, bus: Bus, asked: list[LookRequest]) -> None:
    typed = ("--check", "true", "--base", "next", "--clone-url", "/srv/mirror/web.git")
    assert (await rig(*ADD, *typed)).code == 0
    ((_, data),) = await added(bus)
    assert (data.check, data.base_branch, data.clone_url) == ("true", "next", "/srv/mirror/web.git")
    assert asked == [LookRequest(repository=RepoRef("Acme", "web"), base_branch="next")]


async def test_what_the_bridge_cannot_serve_is_not_added_and_it_says_why(
    rig: Terminal, bus: Bus, asked: list[LookRequest]
) -> None:
    said = await rig("repo", "add", "acme/gone", "--github")
    assert (said.code, said.err) == (2, "rig: acme/gone: GitHub shows no such repository to this bridge\n")
    said = await rig(*ADD, "--base", "next")
    assert (said.code, said.err[:15]) == (2, "rig: say with -")
    assert await added(bus) == []


async def test_wrong_options_are_said_before_anybody_is_asked(rig: Terminal, bus: Bus) -> None:
    for typed, why in (
        ((*ADD, "--name", "a/b"), "--name: a repository at GitHub is called what it is called there"),
        ((*ADD, "--base", "a b"), "repository: base_branch: expected a git branch name"),
        (("repo", "add", "web", "--github"), "'web' is not a repository: write OWNER/REPO"),
        (("repo", "add", "/srv/web", "--reviews", "all"), "--reviews: only with --github"),
    ):
        said = await rig(*typed)
        assert said.code == 2
        assert why in said.err
    assert await added(bus) == []


async def test_a_bridge_that_is_not_there_is_named(rig: Terminal, bus: Bus) -> None:
    said = await rig(*ADD)
    assert said.code == 1
    assert said.err.startswith("rig: the github service does not answer")
    assert "`rig run github`" in said.err
    assert await added(bus) == []


@pytest.mark.usefixtures("asked")
async def test_a_bridge_that_says_nothing_of_it_is_named(rig: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridges.terminal.repo.FORGE_SECONDS", 0.1)
    said = await rig(*ADD)
    assert said.code == 1
    assert "acme/web was added (position 1), but the GitHub bridge has said nothing for 0.1 s" in said.err
