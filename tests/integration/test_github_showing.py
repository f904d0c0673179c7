"""What is at GitHub is shown before it is put under the rig, or why it could not be served."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from bridges.github.api import GitHub
from bridges.github.config import GitHubConfig
from bridges.github.pace import Pace
from bridges.github.showing import LOOK, serve_looks
from bridges.github.tokens import Token
from bus import Refused
from bus.testing import InMemoryBus
from schemas import Actor, RepoRef
from schemas.queries import Looked, LookRequest
from tests.support.scripted import PlayedClock, Says, Scripted, scripted

WEB, HEAD = RepoRef("acme", "web"), "b" * 40
FILE = f"/repos/acme/web/contents/.rig-agent.yaml?ref={HEAD}"
Look = Callable[[LookRequest], Awaitable[Looked]]


def file(text: str) -> Says:
    content = base64.b64encode(text.encode()).decode()
    return Says(body={"type": "file", "size": len(text), "encoding": "base64", "content": content})


@pytest.fixture
async def github() -> AsyncIterator[Scripted]:
    """acme/web with one branch."""
    async with scripted() as server:
        server.on("GET", "/repos/Acme/web", Says(body={"full_name": "acme/web", "default_branch": "trunk"}))
        server.on("GET", "/repos/acme/web/git/ref/heads/trunk", Says(body={"object": {"sha": HEAD}}))
        yield server


@pytest.fixture
async def look(github: Scripted) -> AsyncIterator[Look]:
    """Asks as a person's command does."""
    memory = InMemoryBus()
    bridge, person = await memory.connect(Actor.GITHUB), await memory.connect(Actor.CLI)
    pace, config = Pace(tries=1, seed=0), GitHubConfig(api=github.url, token="ghp_x", secrets=("s",))
    async with bridge, person, GitHub.opened(github.url, Token("ghp_x"), pace=pace, clock=PlayedClock()) as client:
        await serve_looks(bridge, client, config)
        yield lambda asked: person.services.ask("github", LOOK, asked, Looked)


async def test_it_is_shown_as_github_calls_it(github: Scripted, look: Look) -> None:
    github.on("GET", FILE, file("test: make test"))
    asked = LookRequest(repository=RepoRef("Acme", "web"))
    assert await look(asked) == Looked(
        repository=WEB,
        base_branch="trunk",
        base_sha=HEAD,
        clone_url=f"{github.url}/acme/web.git",
        test="make test",
    )
    github.on("GET", FILE, Says(404))
    assert (await look(asked)).test is None


@pytest.mark.parametrize(
    ("path", "said", "base", "why"),
    [
        ("/repos/Acme/web", Says(404), None, "shows no such repository to the bridge: may its token see it"),
        ("/repos/Acme/web", Says(403, {"message": "no"}), None, "403 no"),
        ("/repos/Acme/web", Says(body={"full_name": "acme/web", "archived": True}), None, "it is archived"),
        ("/repos/acme/web/git/ref/heads/next", Says(404), "next", "it has no branch next with a commit on it"),
        (FILE, file("test: [1"), None, "not YAML"),
        (FILE, Says(503, {"message": "away"}), None, "503"),
    ],
)
async def test_what_could_not_be_served_is_refused_with_the_reason(
    github: Scripted, look: Look, *, path: str, said: Says, base: str | None, why: str
) -> None:
    github.on("GET", FILE, Says(404))
    github.on("GET", path, said)
    with pytest.raises(Refused, match=why):
        await look(LookRequest(repository=RepoRef("Acme", "web"), base_branch=base))
