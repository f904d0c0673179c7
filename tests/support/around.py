"""A rig in memory, on virtual time: a real conductor, and an agent, a forge and a read side that only talk."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from bus import Bus, BusError, Refused
from bus.testing import InMemoryBus
from conductor.shell import run_conductor
from machine.lifecycle import Lifecycle
from schemas import (
    FLEET,
    Actor,
    AddIssue,
    AgentJoined,
    AgentRef,
    AgentStatus,
    ChecksPassed,
    Draft,
    Event,
    Heartbeat,
    IssueAdded,
    IssueApproved,
    IssueAssigned,
    IssueRef,
    Merged,
    MergeRequested,
    Policy,
    PolicyAdopted,
    PullRequestOpened,
    Recorded,
    Ref,
    RepositoryAdded,
    RepositoryConfigured,
    Status,
    StatusRequest,
    WorkPushed,
    WorkStarted,
    event_id,
)
from schemas.policy import WatchPolicy
from tests.support.story import BASE, SHOP, SMALL

AGENT = "dev-e-1"
BEATS_SECONDS = 2
WORK_SECONDS = 3
QUICK = Policy(
    waiting_seconds=30,
    heartbeat_seconds=BEATS_SECONDS,
    watch=WatchPolicy(
        silent_seconds=10,
        issue_seconds=60,
        decision_seconds=10,
        projection_seconds=16,
        canary_every_seconds=60,
        canary_within_seconds=40,
    ),
)
"""Each second of virtual time costs a real millisecond or some: the policy's hours are minutes here."""


class World:
    """Everybody but the watch. What stands still, a test stops."""

    def __init__(self, server: InMemoryBus, buses: dict[Actor, Bus], query: Bus) -> None:
        self.server = server
        self.buses = buses
        self._query = query
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.read_to: int | None = None
        """Where the read side stands still; None: it keeps up."""
        self.asked: dict[str, IssueRef] = {}
        """Issues that the forge was asked for, by request."""

    @property
    def reader(self) -> Bus:
        return self.buses[Actor.CLI]

    async def say(self, actor: Actor, about: Ref, data: Event, id: str = "") -> int:  # noqa: A002 - CloudEvents' name
        said = id or event_id(actor, str(about), data.name())
        return await self.buses[actor].log.publish(Draft(about=about, data=data), said)

    async def approve(self, number: int) -> IssueRef:
        issue = IssueRef("demo", "shop", number)
        await self.say(Actor.CLI, issue, IssueApproved(title="Fix it", author="ada"))
        return issue

    async def heard(self, *events: type[Event]) -> list[Event]:
        """All of these that the log holds by now."""
        return [item.event.data for item in await self.reader.log.history(["rig.>"]) if type(item.event.data) in events]

    async def next(self, event: type[Event]) -> Recorded:
        """The first of these, in the log or to come."""
        async with self.reader.log.follow() as reader:
            async for item in reader:
                if isinstance(item, Recorded) and isinstance(item.event.data, event):
                    return item
        raise AssertionError("a reader never ends by itself")

    # ── the others ───────────────────────────────────────────────────────────

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self.tasks[name] = asyncio.create_task(work, name=name)

    async def stop(self, name: str) -> None:
        """It dies, without a word."""
        task = self.tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def begin(self, policy: Policy) -> None:
        await self.say(Actor.CLI, FLEET, PolicyAdopted(policy=policy, hash=policy.digest(), by="ada"))
        await self.say(Actor.CLI, SHOP, RepositoryAdded(clone_url="x", check="true", by="ada"))
        configured = RepositoryConfigured(base_branch="main", base_sha=BASE, clone_url="x", check="true")
        await self.say(Actor.LOCAL, SHOP, configured)
        joined = AgentJoined(boot="b1", role="dev-e", provider="none", slots=5, version="0")
        await self.say(Actor.DEV_E, AgentRef(AGENT), joined)
        await self._query.services.serve("query", "status", StatusRequest, self._status)
        await self.buses[Actor.LOCAL].services.serve("local", "add_issue", AddIssue, self._add)
        self.start("conductor", run_conductor(self.buses[Actor.CONDUCTOR], Lifecycle()))
        self.start("agent", self.agent())
        self.start("work", self._work())
        self.start("forge", self._forge())

    async def agent(self) -> None:
        """Gives signs of life."""
        beat = Heartbeat(agent=AGENT, role="dev-e", boot="b1", status=AgentStatus.IDLE, slots_free=1, provider="none")
        while True:
            with suppress(BusError):
                await self.buses[Actor.DEV_E].presence.beat(beat, ttl_seconds=3 * BEATS_SECONDS)
            await asyncio.sleep(BEATS_SECONDS)

    async def _work(self) -> None:
        async with self.buses[Actor.DEV_E].log.follow(["rig.issue.*.*.*.conductor.assigned.dev-e"]) as reader:
            async for item in reader:
                assert isinstance(item, Recorded)
                assert isinstance(item.event.data, IssueAssigned)
                epoch, issue = item.event.data.epoch, item.event.about
                assert isinstance(issue, IssueRef)
                run = f"r-{issue.number}-{epoch}"
                started = WorkStarted(epoch=epoch, run=run, agent=AGENT, branch="rig/x", session="s", provider="none")
                await self.say(Actor.DEV_E, issue, started, f"{run}-started")
                await asyncio.sleep(WORK_SECONDS)
                pushed = WorkPushed(
                    epoch=epoch,
                    run=run,
                    branch="rig/x",
                    head_sha=f"{issue.number:040x}",
                    title="t",
                    body="",
                    files_changed=1,
                    lines_changed=1,
                )
                await self.say(Actor.DEV_E, issue, pushed, f"{run}-pushed")

    async def _forge(self) -> None:
        async with self.buses[Actor.LOCAL].log.follow(["rig.issue.>"]) as reader:
            async for item in reader:
                assert isinstance(item, Recorded)
                issue, data = item.event.about, item.event.data
                assert isinstance(issue, IssueRef)
                number = issue.number
                if isinstance(data, WorkPushed):
                    opened = PullRequestOpened(
                        pull_request=number,
                        url="",
                        branch="rig/x",
                        head_sha=data.head_sha,
                        author="dev-e",
                        changes=SMALL,
                    )
                    await self.say(Actor.LOCAL, issue, opened)
                    await asyncio.sleep(WORK_SECONDS)
                    await self.say(
                        Actor.LOCAL, issue, ChecksPassed(head_sha=data.head_sha, base_sha=BASE, checks=("check",))
                    )
                elif isinstance(data, MergeRequested):
                    merged = Merged(head_sha=data.head_sha, base_sha=data.base_sha, merge_sha="c" * 40)
                    await self.say(Actor.LOCAL, issue, merged)

    async def _add(self, asked: AddIssue) -> IssueAdded:
        """As the local forge: the same request is the same issue."""
        if asked.request not in self.asked:
            self.asked[asked.request] = IssueRef("demo", "shop", 100 + len(self.asked))
            await self.say(
                Actor.LOCAL, self.asked[asked.request], IssueApproved(title=asked.title, author=asked.author)
            )
        return IssueAdded(issue=self.asked[asked.request], position=1)

    async def _status(self, asked: StatusRequest) -> Status:
        if self.read_to == -1:
            raise Refused("the read side is away: postgres does not answer")
        last = await self._query.log.last()
        position = (last.position if last is not None else 0) if self.read_to is None else self.read_to
        return Status(
            position=position,
            log_position=position,
            behind=0,
            skipped=0,
            issues={},
            agents=1,
            repositories=(),
        )


class _Clock:
    """The conductor's, on the server's time."""

    def __init__(self, bus: Bus) -> None:
        self.now: Callable[[object], object] = lambda _: bus.connection.now()


@asynccontextmanager
async def world(monkeypatch: pytest.MonkeyPatch, policy: Policy = QUICK) -> AsyncGenerator[World]:
    """One that is well."""
    server = InMemoryBus(seed=1)
    actors = (Actor.CLI, Actor.CONDUCTOR, Actor.LOCAL, Actor.DEV_E)
    buses = {actor: await server.connect(actor) for actor in actors}
    query = await server.connect(Actor.CONDUCTOR, "query", key="query")
    monkeypatch.setattr("conductor.shell.datetime", _Clock(query), raising=False)
    made = World(server, buses, query)
    await made.begin(policy)
    try:
        yield made
    finally:
        for name in list(made.tasks):
            await made.stop(name)
        for bus in (*buses.values(), query):
            await bus.close()
