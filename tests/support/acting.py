"""The GitHub bridge acting at a GitHub that runs here, and everybody else's voice on the log."""

import socket
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from msgspec import structs

from bridges.github.config import GitHubConfig
from bus import Bus
from schemas import (
    Actor,
    ChecksPassed,
    Draft,
    EffectRecorded,
    Event,
    Forge,
    IssueApproved,
    IssueDone,
    IssueRef,
    Merged,
    MergeRequested,
    PullRequestOpened,
    Recorded,
    Ref,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
)
from tests.support.hub import APP, Hub
from tests.support.saying import assigned, pushed, started

SHOP = RepoRef("acme", "shop")
SaidT = TypeVar("SaidT", bound=Event)
Connect = Callable[[Actor], Awaitable[Bus]]


def configured(github: Hub) -> GitHubConfig:
    """As the App that is installed there."""
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


class Voices:
    """The log, with everybody's voice but the bridge's; and git, as an agent pushes."""

    def __init__(self, buses: dict[Actor, Bus], github: Hub, repository: RepoRef) -> None:
        self._buses = buses
        self._said = 0
        self.github = github
        self.repository = repository
        self.path = f"/repos/{repository}"
        self.issue = IssueRef(repository.owner, repository.repo, 0)

    @classmethod
    async def of(cls, connect: Connect, github: Hub, repository: RepoRef = SHOP) -> "Voices":
        buses = {actor: await connect(actor) for actor in (Actor.CLI, Actor.CONDUCTOR, Actor.DEV_E, Actor.REVIEW_E)}
        return cls(buses, github, repository)

    async def say(self, actor: Actor, data: Event, about: Ref | None = None) -> int:
        self._said += 1
        draft = Draft(about=self.issue if about is None else about, data=data)
        return await self._buses[actor].log.publish(draft, f"{actor}-{self._said}")

    async def hear(self, kind: type[SaidT], *, after: int = 0, but: Callable[[SaidT], bool] | None = None) -> SaidT:
        """The first such event behind a position, waited for."""
        async with self._buses[Actor.CLI].log.follow(after=after) as reader:
            async for item in reader:
                data = item.event.data if isinstance(item, Recorded) else None
                if isinstance(data, kind) and not (but is not None and but(data)):
                    return data
        raise AssertionError("unreachable: a reader does not end")

    async def everything(self, kind: type[SaidT]) -> list[SaidT]:
        history = await self._buses[Actor.CLI].log.history(["rig.>"])
        return [item.event.data for item in history if isinstance(item.event.data, kind)]

    async def recorded(self, effect: str, key: str | None = None, *, after: int = 0) -> EffectRecorded:
        """The first record of an effect, of this issue's, waited for."""
        about = self.issue

        async with self._buses[Actor.CLI].log.follow(after=after) as reader:
            async for item in reader:
                data = item.event.data if isinstance(item, Recorded) and item.event.about == about else None
                if isinstance(data, EffectRecorded) and data.effect == effect and key in (None, data.key):
                    return data
        raise AssertionError("unreachable: a reader does not end")

    # ── what the others do ───────────────────────────────────────────────────

    async def add_repository(self, **more: object) -> None:
        url = f"{self.github.url}/{self.repository}.git"
        added = RepositoryAdded(forge=Forge.GITHUB, clone_url=url, check="true", by="ada", **more)
        await self.hear(RepositoryConfigured, after=await self.say(Actor.CLI, added, self.repository))

    async def approve(self, title: str = "Fix the total") -> None:
        """An issue at GitHub, approved there by its label: the webhook tells."""
        body = {"title": title, "body": "It is wrong.", "labels": ["agent-ready"]}
        made = self.github.person("maria").post(f"{self.path}/issues", body)
        self.issue = structs.replace(self.issue, number=made["number"])
        await self.say(Actor.CLI, IssueApproved(title=title, author="maria"))

    async def work(self, epoch: int = 1, run: str = "r-1", upon: str = "main") -> str:
        """Assigned, claimed and pushed; the head."""
        number = self.issue.number
        await self.say(Actor.CONDUCTOR, assigned(epoch, epoch))
        await self.say(Actor.DEV_E, started(epoch, run, number=number))
        branch, files = f"rig/{number}/{epoch}-{run}", {"total.txt": f"{epoch}\n"}
        head = commit(self.github.path(str(self.repository)), branch, files, upon=upon)
        self.github.pushed(str(self.repository))
        await self.say(Actor.DEV_E, pushed(epoch, run, head, number))
        return head

    async def ask_merge(self, passed: ChecksPassed, pull_request: int, epoch: int = 1) -> int:
        data = MergeRequested(
            epoch=epoch, pull_request=pull_request, head_sha=passed.head_sha, base_sha=passed.base_sha
        )
        return await self.say(Actor.CONDUCTOR, data)

    async def merge(self) -> Merged:
        """From a pull request that was opened to its merge."""
        opened, passed = await self.hear(PullRequestOpened), await self.hear(ChecksPassed)
        return await self.hear(Merged, after=await self.ask_merge(passed, opened.pull_request))

    async def finish(self, merged: Merged) -> int:
        return await self.say(Actor.CONDUCTOR, IssueDone(duration_minutes=1.0, attempts=1, merge_sha=merged.merge_sha))


def commit(repository: Path, branch: str, files: dict[str, str], *, upon: str = "main") -> str:
    """One commit upon another with these files, as a branch of a bare repository."""

    def git(*arguments: str, stdin: str = "") -> str:
        who = ["-c", "user.name=dev-e", "-c", "user.email=dev-e@example.invalid"]
        command = ["git", *who, *arguments]
        return subprocess.run(
            command, cwd=repository, input=stdin, text=True, capture_output=True, check=True
        ).stdout.strip()

    entries = git("ls-tree", upon).splitlines()
    kept = [entry for entry in entries if entry.partition("\t")[2] not in files]
    made = [f"100644 blob {git('hash-object', '-w', '--stdin', stdin=text)}\t{path}" for path, text in files.items()]
    tree = git("mktree", stdin="\n".join([*kept, *made]) + "\n")
    head = git("commit-tree", tree, "-p", git("rev-parse", upon), "-m", "Fix it")
    git("update-ref", f"refs/heads/{branch}", head)
    return head
