"""A rig on a small repository, as a user would set it up, and what the log and the repository say afterwards."""

import asyncio
import os
import secrets
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from bridges.github.config import GitHubConfig
from bus import Bus, NoService, Refused
from deploy.home import Home
from deploy.up import Rig, running_rig
from schemas import (
    Actor,
    Draft,
    IssueDone,
    IssueEscalated,
    IssueRef,
    IssueRefused,
    Policy,
    Recorded,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    event_id,
)
from schemas.queries import AddIssue, IssueAdded, IssueDetail, IssueRequest
from tests.support.patience import impatient

SHORT = Policy(heartbeat_seconds=1, failed_run_backoff_seconds=1, merge_retry_seconds=1)
"""Patience for tests."""
CHECK = "test \"$(cat total.txt)\" = 'right'"
SCRIPT = """
[[issue]]
[[issue.attempt]]
step = [{ do = "sleep", seconds = 0.3 }, { do = "write", path = "total.txt", content = "wrong\\n" }]
[[issue.attempt]]
step = [{ do = "sleep", seconds = 0.3 }, { do = "write", path = "total.txt", content = "right\\n" }]
"""
ENDS = (IssueDone, IssueEscalated, IssueRefused)
GIT_ENV = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    **{
        f"GIT_{who}_{what}": f"{who.lower()}@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    },
}


def git(path: Path, *arguments: str) -> str:
    """The user's own git on a repository."""
    done = subprocess.run(["git", *arguments], cwd=path, env=GIT_ENV, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def new_repository(path: Path, files: dict[str, str]) -> Path:
    """A checkout on main with one commit."""
    path.mkdir(parents=True)
    git(path, "init", "-q", "-b", "main")
    for name, text in files.items():
        (path / name).write_text(text)
    git(path, "add", "--all")
    git(path, "commit", "-q", "-m", "As it was")
    return path


class Shop:
    """A rig that is up, spoken to as a person at the terminal would."""

    def __init__(self, rig: Rig, cli: Bus) -> None:
        self.rig = rig
        self.cli = cli

    async def serve(self, repository: RepoRef, path: Path, check: str, *, reviewers: tuple[str, ...] = ()) -> None:
        """Puts a repository under the rig and waits until the forge has looked at it."""
        added = RepositoryAdded(clone_url=str(path), check=check, by="ada", reviewers=reviewers)
        position = await self.cli.log.publish(
            Draft(about=repository, data=added), event_id("cli", str(repository), "added")
        )
        await self.until(lambda item: isinstance(item.event.data, RepositoryConfigured), after=position)

    async def ask(self, repository: RepoRef, title: str, *depends_on: IssueRef) -> IssueRef:
        """Files and approves an issue."""
        asked = AddIssue(
            request=secrets.token_hex(8), repository=repository, title=title, author="ada", depends_on=depends_on
        )
        added = await self.cli.services.ask("local", "add_issue", asked, IssueAdded)
        return added.issue

    async def until(
        self, wanted: Callable[[Recorded], bool], *, after: int = 0, within_seconds: float = 150
    ) -> Recorded:
        """Waits for an event."""
        async with asyncio.timeout(within_seconds), self.cli.log.follow(after=after) as reader:
            async for item in reader:
                if isinstance(item, Recorded) and wanted(item):
                    return item
        raise AssertionError("a reader never ends by itself")

    async def end_of(self, issue: IssueRef, *, within_seconds: float = 150) -> Recorded:
        """Waits until the rig is through with an issue."""
        return await self.until(
            lambda item: item.event.about == issue and isinstance(item.event.data, ENDS), within_seconds=within_seconds
        )

    async def see(self, issue: IssueRef, position: int, *, within_seconds: float = 150) -> IssueDetail:
        """What `rig issue` shows once it is true for `position`; a read side that is away is asked again."""
        asked = IssueRequest(issue=issue, wait_for=position)
        async with asyncio.timeout(within_seconds):
            while True:
                try:
                    return await self.cli.services.ask("query", "issue", asked, IssueDetail, timeout_seconds=30)
                except (Refused, NoService):
                    await asyncio.sleep(0.1)

    async def log(self) -> Sequence[Recorded]:
        return await self.cli.log.history(["rig.>"])


@asynccontextmanager
async def _impatient(rig: AbstractAsyncContextManager[Rig], patience_seconds: float) -> AsyncIterator[Rig]:
    """What a dead agent held comes back within that time: the durables are made when the rig starts."""
    async with AsyncExitStack() as stack:
        with impatient(patience_seconds):
            up = await stack.enter_async_context(rig)
        yield up


async def cli_of(rig: Rig) -> Bus:
    """The bus of a person at the terminal."""
    return await Bus.connect(rig.servers.nats_url, actor=Actor.CLI, source="test", key=rig.servers.key(Actor.CLI))


@asynccontextmanager
async def shop(
    directory: Path,
    *,
    script: str = SCRIPT,
    coder: str | None = None,
    policy: Policy = SHORT,
    patience_seconds: float = 1.0,
    agents: int = 1,
    reviewers: int = 0,
    nats_url: str | None = None,
    postgres_url: str | None = None,
    github: GitHubConfig | None = None,
) -> AsyncIterator[Shop]:
    """A running rig with the scripted coder, or another one."""
    steps = directory / "script.toml"
    steps.write_text(script)
    rig = running_rig(
        Home(directory / "home"),
        coder=coder or f"scripted:{steps}",
        policy=policy,
        agents=agents,
        reviewers=reviewers,
        nats_url=nats_url,
        postgres_url=postgres_url,
        github=github,
    )
    async with _impatient(rig, patience_seconds) as up, await cli_of(up) as cli:
        yield Shop(up, cli)
