"""How dev-e's git is let in at a forge: a real bridge's answer, real git over HTTP, and a coder that looks for it."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from agents.workspace import access as agents_access
from agents.workspace.cache import AgentGit
from bridges.github.api import GitHub
from bridges.github.config import GitHubConfig
from bridges.github.credentials import serve_credentials
from bridges.github.tokens import credential_of
from bus import Bus, Refused
from machine.git import Git
from schemas import (
    Actor,
    Draft,
    FailureKind,
    Forge,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryRemoved,
    WorkPushed,
)
from schemas.queries import GIT_CREDENTIAL, GitCredential, GitCredentialRequest
from tests.support.agents import CHECK, RIGHT, SHOP, Rig, new_rig
from tests.support.git_http import GitHttp, git_http
from tests.support.hub.git import Repository
from tests.support.pem import RSA_KEY
from tests.support.scripted import Asked, Says, Scripted, scripted
from tests.support.servers import connected

TOKEN = "ghs_t0psecret"
BASIC = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
INSTALLATION = "/repos/demo/shop/installation"
TOKENS = "/app/installations/77/access_tokens"


@dataclass
class Hosted:
    """A repository at a GitHub, under the rig."""

    rig: Rig
    github: Scripted
    git: GitHttp
    bus: Bus
    """The bridge's."""
    stack: AsyncExitStack

    @property
    def url(self) -> str:
        return f"{self.git.url}/shop.git"

    async def bridge(self, config: GitHubConfig | None = None) -> None:
        config = config or GitHubConfig(api=self.github.url, app_id="42", app_key=RSA_KEY)
        github = await self.stack.enter_async_context(GitHub.opened(config.api, credential_of(config)))
        await serve_credentials(self.bus, github, config)

    async def add(self, url: str | None = None, forge: Forge = Forge.GITHUB) -> None:
        added = RepositoryAdded(forge=forge, clone_url=url or self.url, check=CHECK, by="ann")
        await self.rig.say(Actor.CLI, SHOP, added)

    async def ask(self) -> GitCredential:
        asked = GitCredentialRequest(repository=SHOP)
        return await self.rig.bus.services.ask("github", GIT_CREDENTIAL, asked, GitCredential)


@pytest.fixture
async def hosted(tmp_path: Path) -> AsyncGenerator[Hosted]:
    async with AsyncExitStack() as stack:
        rig = await stack.enter_async_context(new_rig(tmp_path))
        github = await stack.enter_async_context(scripted())
        bus = await stack.enter_async_context(await connected(rig.server, Actor.GITHUB, "github/test"))
        shop = Repository(tmp_path / "shop")
        await shop.create()
        git = await stack.enter_async_context(git_http(shop=shop))

        def granted(_: Asked) -> Says:
            ends = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
            return Says(201, {"token": TOKEN, "expires_at": ends})

        github.on("GET", INSTALLATION, Says(body={"id": 77}))
        github.on("POST", TOKENS, granted)
        git.passwords.add(TOKEN)
        yield Hosted(rig, github, git, bus, stack)
        await rig.stop()


async def under_work(hosted: Hosted) -> None:
    """An assignment in a repository that has a bug."""
    rig = hosted.rig
    await rig.adopt()
    first = await rig.shop.run("hash-object", "-w", "--stdin", stdin=b"a - b\n")
    tree = await rig.shop.run("mktree", stdin=f"100644 blob {first}\ttotal.py\n".encode())
    who = Git(
        rig.shop.directory,
        env={f"GIT_{one}_{two}": "a@b" for one in ("AUTHOR", "COMMITTER") for two in ("NAME", "EMAIL")},
    )
    base = await who.run("commit-tree", "-m", "A shop", tree)
    await rig.shop.run("update-ref", "refs/heads/main", base)
    await hosted.add()
    configured = RepositoryConfigured(base_branch="main", base_sha=base, clone_url=hosted.url, check=CHECK)
    await hosted.bus.log.publish(Draft(about=SHOP, data=configured), "configured")
    await rig.approve()
    await rig.assign()


async def test_work_is_fetched_and_pushed_by_a_token_that_nobody_else_sees(hosted: Hosted, tmp_path: Path) -> None:
    await hosted.bridge()
    await under_work(hosted)
    looking = "env > env; cat /proc/$PPID/environ > parent; cp -rL $(git rev-parse --git-common-dir) cache"
    hosted.rig.start(f"command: sh -c '{looking}; echo a + b > total.py'")
    _, pushed = await hosted.rig.until(WorkPushed)
    assert await hosted.rig.shop.run("rev-parse", pushed.branch) == pushed.head_sha
    assert set(hosted.git.shown) == {TOKEN}
    assert hosted.github.times(TOKENS) == 2
    limited = b'{"repositories": ["shop"], "permissions": {"contents": "write"}}'
    assert {asked.body for asked in hosted.github.asked if asked.path == TOKENS} == {limited}
    seen = await hosted.rig.shop.run("ls-tree", "-r", "--name-only", pushed.head_sha)
    assert {"env", "parent", "cache/config"} <= set(seen.split())
    found = [(await hosted.rig.shop.outcome("show", f"{pushed.head_sha}:{name}")).output for name in seen.split()]
    found += await asyncio.to_thread(_everything_in, tmp_path)  # the log, too
    assert not any(secret.encode() in data for data in found for secret in (TOKEN, BASIC))


def _everything_in(directory: Path) -> list[bytes]:
    return [path.read_bytes() for path in directory.rglob("*") if path.is_file()]


async def test_a_token_is_on_no_command_line_and_in_the_environment_of_two_commands(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[tuple[str, bool]] = []
    outcome = AgentGit.outcome

    async def watched(git: AgentGit, *args: str, stdin: bytes = b"", held: int | None = None) -> object:
        assert not any(secret in arg for arg in args for secret in (TOKEN, BASIC))
        runs.append((args[0], any(BASIC in value for value in git._env.values())))
        return await outcome(git, *args, stdin=stdin, held=held)

    monkeypatch.setattr(AgentGit, "outcome", watched)
    await hosted.bridge()
    await under_work(hosted)
    hosted.rig.start(hosted.rig.script(RIGHT))
    await hosted.rig.until(WorkPushed)
    assert [name for name, secret in runs if secret] == ["fetch", "push"]
    assert len(runs) > 4


async def test_a_failure_tells_neither_the_url_nor_what_was_shown(hosted: Hosted) -> None:
    hosted.git.passwords.clear()
    await hosted.bridge()
    await under_work(hosted)
    failed = await hosted.rig.failure(hosted.rig.script(RIGHT))
    assert failed.kind is FailureKind.SPAWN
    assert "cannot fetch the remote" in failed.detail
    assert "remote: Not for Basic … …" in failed.detail
    assert not any(text in failed.detail for text in (TOKEN, BASIC, hosted.url, "http:"))


async def test_a_bridge_that_is_away_is_no_fault_of_the_work(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents_access, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(agents_access, "PAUSE_SECONDS", 0.0)
    await under_work(hosted)
    failed = await hosted.rig.failure(hosted.rig.script(RIGHT))
    assert failed.kind is FailureKind.SPAWN
    assert not failed.kind.of_the_work
    assert "nobody can be asked for access to demo/shop" in failed.detail
    await hosted.bridge()
    await hosted.rig.assign()
    await hosted.rig.until(WorkPushed)


async def test_what_the_bridge_refuses_is_told(hosted: Hosted) -> None:
    hosted.github.on("GET", INSTALLATION, Says(404, {"message": "Not Found"}))
    await hosted.bridge()
    await under_work(hosted)
    failed = await hosted.rig.failure(hosted.rig.script(RIGHT))
    assert failed.kind is FailureKind.SPAWN
    assert "the App is not installed in demo/shop" in failed.detail
    assert "http:" not in failed.detail


async def test_who_is_let_in_where(hosted: Hosted) -> None:
    await hosted.bridge()
    with pytest.raises(Refused, match="not a repository at GitHub"):
        await hosted.ask()
    for url in ("https://evil.example/demo/shop.git", "/srv/shop", "git@127.0.0.1:demo/shop", "ftp://127.0.0.1/shop"):
        await hosted.add(url)
        with pytest.raises(Refused, match="cloned from another place"):
            await hosted.ask()
    await hosted.add(forge=Forge.LOCAL)
    with pytest.raises(Refused, match="not a repository at GitHub"):
        await hosted.ask()
    await hosted.add()
    found = await hosted.ask()
    assert (found.url, found.username, found.password) == (hosted.url, "x-access-token", TOKEN)
    assert found.expires_at is not None
    assert TOKEN not in f"{found} {found!r}"
    await hosted.rig.say(Actor.CLI, SHOP, RepositoryRemoved(by="ann"))
    with pytest.raises(Refused, match="not a repository at GitHub"):
        await hosted.ask()


async def test_a_plain_token_is_what_there_is(hosted: Hosted) -> None:
    await hosted.bridge(GitHubConfig(api=hosted.github.url, token="ghp_plain"))
    await hosted.add()
    assert await hosted.ask() == GitCredential(url=hosted.url, username="x-access-token", password="ghp_plain")
    assert hosted.github.asked == []


@pytest.mark.parametrize(
    ("forge", "url", "ours"),
    [
        (Forge.GITHUB, "https://github.com/demo/shop.git", True),
        (Forge.LOCAL, "https://github.com/demo/shop.git", False),
        (Forge.GITHUB, "git@github.com:demo/shop.git", False),
        (Forge.GITHUB, "https://me:mine@github.com/demo/shop.git", False),
        (Forge.GITHUB, "https://[", False),
        (Forge.LOCAL, "/srv/shop", False),
    ],
)
def test_when_a_bridge_is_asked(forge: Forge, url: str, ours: bool) -> None:
    assert (agents_access.access(cast(Bus, None), SHOP, forge, url) is not None) is ours
