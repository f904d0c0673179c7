"""The local forge at work on a real log and a real repository, and everybody else's voice."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from bridges.local import shell
from bridges.local.numbers import ADD_ISSUE, SERVICE
from bridges.local.repository import all_branches
from bus import Bus
from deploy.embedded.nats import NatsServer
from machine.lifecycle import Lifecycle
from machine.sandbox import Sandbox
from schemas import (
    FLEET,
    Actor,
    ChecksPassed,
    Draft,
    Event,
    IssueRef,
    MergeRequested,
    Policy,
    PolicyAdopted,
    Recorded,
    Ref,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
)
from schemas.queries import AddIssue, IssueAdded
from tests.support.project import Project, new_project
from tests.support.saying import assigned, pushed, started
from tests.support.servers import connected

SHOP = RepoRef("demo", "shop")
ISSUE = IssueRef("demo", "shop", 1)
SaidT = TypeVar("SaidT", bound=Event)
Connect = Callable[[Actor], Awaitable[Bus]]


class Rig:
    """The log, with everybody's voice but the forge's."""

    def __init__(self, buses: dict[Actor, Bus], project: Project, scratch: Path) -> None:
        self._buses = buses
        self._said = 0
        self.project = project
        self.scratch = scratch

    async def say(self, actor: Actor, data: Event, about: Ref = ISSUE) -> int:
        self._said += 1
        return await self._buses[actor].log.publish(Draft(about=about, data=data), f"{actor}-{self._said}")

    async def hear(self, kind: type[SaidT], about: Ref = ISSUE, *, after: int = 0) -> Recorded:
        """The first such event behind a position, waited for."""
        async with self._buses[Actor.CLI].log.follow(after=after) as reader:
            async for item in reader:
                if isinstance(item, Recorded) and isinstance(item.event.data, kind) and item.event.about == about:
                    return item
        raise AssertionError("unreachable: a reader does not end")

    async def everything(self, kind: type[Event]) -> list[Recorded]:
        history = await self._buses[Actor.CLI].log.history(["rig.>"])
        return [item for item in history if isinstance(item.event.data, kind)]

    async def ask(self, request: AddIssue) -> IssueAdded:
        return await self._buses[Actor.CLI].services.ask(SERVICE, ADD_ISSUE, request, IssueAdded)

    def issue(self, number: int) -> IssueRef:
        return IssueRef(SHOP.owner, SHOP.repo, number)

    def has_no_branch(self, beginning: str) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            return not any(branch.startswith(beginning) for branch in await all_branches(self.project.path))

        return look

    # ── what the others do ───────────────────────────────────────────────────

    async def add_repository(self, check: str) -> None:
        added = RepositoryAdded(clone_url=str(self.project.path), check=check, by="ada")
        await self.hear(RepositoryConfigured, SHOP, after=await self.say(Actor.CLI, added, SHOP))

    async def work(self, files: dict[str, str], epoch: int = 1, run: str = "r1", about: IssueRef = ISSUE) -> int:
        """Assigned, claimed and pushed; where the push stands in the log."""
        branch = f"rig/{about.number}/{epoch}-{run}"
        await self.say(Actor.CONDUCTOR, assigned(epoch, epoch), about)
        await self.say(Actor.DEV_E, started(epoch, run, number=about.number), about)
        return await self.push(await self.project.work(branch, files), epoch, run, about)

    async def push(self, head: str, epoch: int = 1, run: str = "r1", about: IssueRef = ISSUE) -> int:
        return await self.say(Actor.DEV_E, pushed(epoch, run, head, about.number), about)

    async def ask_merge(self, passed: ChecksPassed, epoch: int = 1, about: IssueRef = ISSUE) -> int:
        return await self.say(
            Actor.CONDUCTOR,
            MergeRequested(epoch=epoch, pull_request=about.number, head_sha=passed.head_sha, base_sha=passed.base_sha),
            about,
        )


def data(recorded: Recorded, kind: type[SaidT]) -> SaidT:
    assert isinstance(recorded.event.data, kind)
    return recorded.event.data


def asking(request: str, **fields: object) -> AddIssue:
    """That an issue is added, by ada if nobody else is named."""
    given: dict[str, object] = {"repository": SHOP, "title": "Fix the total", "author": "ada", **fields}
    return AddIssue(request=request, **given)


async def new_rig(tmp_path: Path, connect: Connect, kind: str) -> Rig:
    buses = {actor: await connect(actor) for actor in (Actor.CLI, Actor.CONDUCTOR, Actor.DEV_E)}
    rig = Rig(buses, await new_project(tmp_path, kind), tmp_path / "scratch")
    policy = Policy(check_wall_seconds=60, check_output_bytes=1_000_000)
    await rig.say(Actor.CLI, PolicyAdopted(policy=policy, hash=policy.digest(), by="ada"), FLEET)
    return rig


class Life(Lifecycle):
    """A lifecycle that tells when its role was ready."""

    def __init__(self) -> None:
        super().__init__()
        self.up = asyncio.Event()

    def ready(self) -> None:
        super().ready()
        self.up.set()


class Serving:
    """A forge at work, in this process."""

    def __init__(self, life: Life, task: "asyncio.Task[None]") -> None:
        self.life = life
        self.task = task

    async def kill(self) -> None:
        """Ends it, and nothing more is said. Not SIGKILL: what is waited for is, a push under way for one."""
        self.task.cancel()
        await asyncio.wait([self.task])


@asynccontextmanager
async def forge(rig: Rig, nats: NatsServer, sandbox: Sandbox | None = None) -> AsyncGenerator[Serving]:
    async with await connected(nats, Actor.LOCAL) as bus:
        life = Life()
        task = asyncio.create_task(shell.run(bus, life, scratch=rig.scratch, sandbox=sandbox))
        await life.up.wait()
        yield Serving(life, task)
        life.stop.set()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Waits for a fact that no event tells."""
    while not await holds():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
