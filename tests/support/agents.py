"""dev-e on a real log and real git, and everybody else's voice."""

import asyncio
import shlex
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from agents.dev_e import run_dev_e
from bus import Bus, Reader, Seen
from bus.topology import RUNS
from deploy.embedded.nats import NatsServer, embedded_nats
from machine import sessions
from machine.git import Git, Identity
from machine.lifecycle import Lifecycle
from schemas import (
    FLEET,
    Actor,
    AssignReason,
    Draft,
    Event,
    Heartbeat,
    IssueApproved,
    IssueAssigned,
    IssueRef,
    Policy,
    PolicyAdopted,
    Recorded,
    Ref,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    WorkFailed,
)
from tests.support.clock import hours_pass
from tests.support.patience import impatient
from tests.support.servers import connected
from tests.support.waiting import until

SHOP = RepoRef("demo", "shop")
ISSUE = IssueRef("demo", "shop", 1)
SECOND = IssueRef("demo", "shop", 2)
CHECK = "echo looking; grep 'a + b' total.py"
POLICY = Policy(heartbeat_seconds=1)
RIGHT = '{ do = "write", path = "total.py", content = "a + b\\n" }'
WRONG = '{ do = "write", path = "total.py", content = "a * b\\n" }'
E = TypeVar("E", bound=Event)


class Rig:
    """A log, a repository on disk, and everybody but dev-e."""

    def __init__(self, tmp_path: Path, server: NatsServer, voices: dict[Actor, Bus]) -> None:
        self.tmp_path = tmp_path
        self.server = server
        self.bus = voices[Actor.DEV_E]
        self.shop = Git(tmp_path / "shop", env=Identity("Ann", "ann@example.com").environment())
        self.life = Lifecycle()
        self.running: asyncio.Task[None] | None = None
        self._voices = voices
        self._said = 0
        self._epoch = 0

    async def say(self, actor: Actor, about: Ref, data: Event) -> Recorded:
        self._said += 1
        draft = Draft(about=about, data=data, correlation="the-beginning")
        position = await self._voices[actor].log.publish(draft, f"t-{self._said}")
        recorded = await self.bus.log.at(position)
        assert isinstance(recorded, Recorded)
        return recorded

    async def adopt(self, policy: Policy = POLICY) -> None:
        await self.say(Actor.CLI, FLEET, PolicyAdopted(policy=policy, hash=policy.digest(), by="ann"))

    async def serve(self, check: str = CHECK) -> None:
        """A repository with a bug, under the rig."""
        self.shop.directory.mkdir()
        await self.shop.run("init", "--quiet", "--initial-branch=main")
        base, url = await self.commit("total.py", "a - b\n"), str(self.shop.directory)
        await self.say(Actor.CLI, SHOP, RepositoryAdded(clone_url=url, check=check, by="ann"))
        configured = RepositoryConfigured(base_branch="main", base_sha=base, clone_url=url, check=check)
        await self.say(Actor.LOCAL, SHOP, configured)

    async def commit(self, path: str, content: str) -> str:
        (self.shop.directory / path).write_text(content)
        await self.shop.run("add", "--all")
        await self.shop.run("commit", "--quiet", "--message=A change")
        return await self.shop.run("rev-parse", "HEAD")

    async def approve(self, issue: IssueRef = ISSUE) -> None:
        await self.say(Actor.CLI, issue, IssueApproved(title="Fix the total", body="It subtracts.", author="ann"))

    async def assign(
        self, issue: IssueRef = ISSUE, *, resume: str | None = None, reserved_usd: float = 0.0
    ) -> Recorded:
        """The next epoch, and with it the next attempt."""
        self._epoch += 1
        assigned = IssueAssigned(
            epoch=self._epoch,
            role="dev-e",
            attempt=self._epoch,
            resume=resume,
            reason=AssignReason.NEW,
            reserved_usd=reserved_usd,
        )
        return await self.say(Actor.CONDUCTOR, issue, assigned)

    async def ask(self) -> Recorded:
        """All of it: a policy, a repository, an issue, an assignment."""
        await self.adopt()
        await self.serve()
        await self.approve()
        return await self.assign()

    def script(self, *attempts: str) -> str:
        """A coder whose attempts do these steps."""
        path = self.tmp_path / "script.toml"
        path.write_text("[[issue]]\n" + "".join(f"[[issue.attempt]]\nstep = [{steps}]\n" for steps in attempts))
        return f"scripted:{path}"

    def hanging(self, *more: str) -> str:
        """A coder that writes, does some more, says its process id to a file, and works on until it is stopped."""
        here = (f"echo $$ > {self.pid_file}.new", f"mv {self.pid_file}.new {self.pid_file}", "sleep 60")
        return f"command: sh -c {shlex.quote('; '.join(('echo half > half.py', *more, *here)))}"

    async def coder_pid(self) -> int:
        """Of the hanging coder; waits until it works."""
        await until(self.pid_file.exists)
        return int(self.pid_file.read_text())

    @property
    def pid_file(self) -> Path:
        return self.tmp_path / "coder.pid"

    def start(
        self, coder: str, *, slots: int = 1, name: str = "dev-e-1", capabilities: tuple[str, ...] = ()
    ) -> "asyncio.Task[None]":
        """One replica, or one more."""
        data = self.tmp_path / "agents"
        self.running = asyncio.ensure_future(
            run_dev_e(
                self.bus, self.life, name=name, slots=slots, coder=coder, data_dir=data, capabilities=capabilities
            )
        )
        return self.running

    async def stop(self) -> None:
        self.life.stop.set()
        if self.running is not None:
            await self.running

    async def until(self, event: type[E], fits: Callable[[E], bool] = lambda _: True) -> tuple[Recorded, E]:
        """The first recorded event of this type that fits, and what it says; not waited for when the agent has died."""
        waiting = asyncio.ensure_future(self._until(event, fits))
        both = (waiting, self.running) if self.running is not None else (waiting,)
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if self.running is not None and self.running.done():
            self.running.result()
        return await waiting

    async def _until(self, event: type[E], fits: Callable[[E], bool]) -> tuple[Recorded, E]:
        async with self.bus.log.follow() as reader:
            async for item in reader:
                if isinstance(item, Recorded) and isinstance(item.event.data, event) and fits(item.event.data):
                    return item, item.event.data
        raise AssertionError("a reader does not end")

    async def failure(self, coder: str) -> WorkFailed:
        """How the first run with this coder fails."""
        self.start(coder)
        return (await self.until(WorkFailed))[1]

    async def failure_by_the_clock(self, coder: str, begun: Path) -> WorkFailed:
        """The same, for one whose time is up once it has made this file."""
        self.start(coder)
        await until(begun.exists)
        hours_pass()
        return (await self.until(WorkFailed))[1]

    async def said(self) -> list[str]:
        """Names of all that dev-e has said about the issue."""
        events = await self.bus.log.history(["rig.issue.demo.shop.1.dev-e.*"])
        return [recorded.event.data.name() for recorded in events]

    async def beat(self, fits: Callable[[Heartbeat], bool]) -> Heartbeat:
        """The first heartbeat that fits."""
        async with aclosing(self.bus.presence.watch()) as sights:
            async for sight in sights:
                if isinstance(sight, Seen) and fits(sight.heartbeat):
                    return sight.heartbeat
        raise AssertionError("watching does not end")

    async def output(self, run: str) -> bytes:
        """What a run has printed by now."""
        printed = b""
        async with Reader(self.bus.connection, [f"run.dev-e.{run}"], stream=RUNS) as reader:
            while not reader.caught_up:
                printed += (await reader.next()).body
        return printed

    async def branches(self) -> list[str]:
        return (await self.shop.run("for-each-ref", "--format=%(refname:short)", "refs/heads/rig")).split()

    async def show(self, revision: str, path: str = "total.py") -> str:
        return await self.shop.run("show", f"{revision}:{path}")


async def gone(pid: int) -> None:
    """Waits until the process is dead; the test's own time limit is the bound."""
    while sessions.command_line(pid) is not None:  # noqa: ASYNC110 - the kernel's fact
        await asyncio.sleep(0.005)


@asynccontextmanager
async def new_rig(tmp_path: Path) -> AsyncGenerator[Rig]:
    """A log of its own; what runs on it is stopped in the end."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(embedded_nats(tmp_path / "nats"))
        voices: dict[Actor, Bus] = {}
        for actor in (Actor.CLI, Actor.LOCAL, Actor.CONDUCTOR, Actor.DEV_E):
            connecting = connected(server, actor, f"{actor.value}/test")
            with impatient():
                voices[actor] = await stack.enter_async_context(await connecting)
        rig = Rig(tmp_path, server, voices)
        yield rig
        await rig.stop()
