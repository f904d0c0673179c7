"""Two conductors on one log, with agents and a forge that only talk: one decides each round, nothing is doubled."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from bus import Bus, Expect, ServerRefused, Unavailable
from conductor.replay import history_of, replay
from conductor.shell import REFUSED_ROUNDS, run_conductor
from deploy.embedded.server import Server
from machine.lifecycle import Lifecycle
from schemas import (
    FLEET,
    Actor,
    AgentJoined,
    AgentRef,
    Changes,
    ChecksPassed,
    Draft,
    Envelope,
    IssueApproved,
    IssueAssigned,
    IssueDone,
    IssueRef,
    Merged,
    MergeRequested,
    Ownership,
    Policy,
    PolicyAdopted,
    PullRequestOpened,
    Recorded,
    RepoRef,
    RepositoryConfigured,
    WorkPushed,
    WorkStarted,
    event_id,
)
from tests.conftest import Connect

ISSUES = 50
SLOTS = 3
REPOSITORY = RepoRef("demo", "shop")
BASE = "b" * 40


async def set_the_scene(cli: Bus, local: Bus, agent: Bus) -> None:
    policy = Policy()
    adopted = PolicyAdopted(policy=policy, hash=policy.digest(), by="ada")
    await cli.log.publish(Draft(about=FLEET, data=adopted), "cli:policy")
    configured = RepositoryConfigured(base_branch="main", base_sha=BASE, clone_url="x", check="true")
    await local.log.publish(Draft(about=REPOSITORY, data=configured), "local:configured")
    joined = AgentJoined(boot="b1", role="dev-e", provider="none", slots=SLOTS, version="0")
    await agent.log.publish(Draft(about=AgentRef("dev-e-1"), data=joined), "dev-e:joined")


async def agent_works(bus: Bus) -> None:
    """Claims and pushes whatever is assigned, at once."""
    async with bus.log.follow(["rig.issue.*.*.*.conductor.assigned.dev-e"]) as reader:
        async for item in reader:
            assert isinstance(item, Recorded)
            assert isinstance(item.event.data, IssueAssigned)
            epoch, about = item.event.data.epoch, item.event.about
            assert isinstance(about, IssueRef)
            run, branch = f"r-{about.number}-{epoch}", f"rig/{about.number}/{epoch}-r"
            started = WorkStarted(epoch=epoch, run=run, agent="dev-e-1", branch=branch, session="s", provider="none")
            await bus.log.publish(Draft(about=about, data=started), event_id("dev-e", run, "started"))
            head = f"{about.number:040x}"
            pushed = WorkPushed(
                epoch=epoch, run=run, branch=branch, head_sha=head, title="t", body="", files_changed=1, lines_changed=1
            )
            await bus.log.publish(Draft(about=about, data=pushed), event_id("dev-e", run, "pushed"))


async def forge_answers(bus: Bus) -> None:
    """Opens, checks and merges whatever it is asked to, at once."""
    async with bus.log.follow(["rig.issue.>"]) as reader:
        async for item in reader:
            assert isinstance(item, Recorded)
            about, data = item.event.about, item.event.data
            assert isinstance(about, IssueRef)
            if isinstance(data, WorkPushed):
                opened = PullRequestOpened(
                    pull_request=about.number,
                    url="",
                    branch="rig/x",
                    head_sha=data.head_sha,
                    author="dev-e",
                    changes=Changes(files=1, lines=1, paths=("cart.py",)),
                )
                passed = ChecksPassed(head_sha=data.head_sha, base_sha=BASE, checks=("check",))
                await bus.log.publish(Draft(about=about, data=opened), event_id("local", str(about), "opened"))
                await bus.log.publish(Draft(about=about, data=passed), event_id("local", str(about), "passed"))
            elif isinstance(data, MergeRequested):
                merged = Merged(head_sha=data.head_sha, base_sha=data.base_sha, merge_sha="c" * 40)
                await bus.log.publish(Draft(about=about, data=merged), event_id("local", str(about), "merged"))


async def until_done(bus: Bus, count: int) -> list[Recorded]:
    log: list[Recorded] = []
    done = 0
    async with bus.log.follow() as reader:
        async for item in reader:
            assert isinstance(item, Recorded)
            log.append(item)
            done += isinstance(item.event.data, IssueDone)
            if done == count:
                return log
    raise AssertionError("a reader never ends by itself")


async def test_fifty_issues_and_three_slots(connect: Connect) -> None:
    cli, local, agent = await connect(Actor.CLI), await connect(Actor.LOCAL), await connect(Actor.DEV_E)
    await set_the_scene(cli, local, agent)
    lives = [Lifecycle(), Lifecycle()]
    conductors = [
        asyncio.create_task(run_conductor(await connect(Actor.CONDUCTOR, f"conductor/{number}"), life))
        for number, life in enumerate(lives, start=1)
    ]
    others = [asyncio.create_task(agent_works(agent)), asyncio.create_task(forge_answers(local))]

    async def approve(number: int) -> None:
        approved = IssueApproved(title=f"Issue {number}", author="ada")
        draft = Draft(about=IssueRef("demo", "shop", number), data=approved)
        await local.log.publish(draft, event_id("local", number))

    await asyncio.gather(*map(approve, range(1, ISSUES)))
    log = await until_done(cli, ISSUES - 1)
    decided = [item.event.source for item in log if item.event.actor == "conductor"]
    quicker = 0 if decided[-1] == "conductor/1" else 1
    lives[quicker].stop.set()
    await conductors[quicker]
    await approve(ISSUES)
    log = await until_done(cli, ISSUES)
    for life in lives:
        life.stop.set()
    for other in others:
        other.cancel()
    await asyncio.gather(*conductors, *others, return_exceptions=True)

    epochs = Counter(
        (item.event.about, item.event.data.epoch) for item in log if isinstance(item.event.data, IssueAssigned)
    )
    assert set(epochs.values()) == {1}, "no epoch is assigned twice"
    assert len(epochs) == ISSUES
    owners: dict[object, Ownership] = {}
    most = 0
    for item in log:
        owners.setdefault(item.event.about, Ownership()).apply(item.event.data)
        most = max(most, sum(owner.open for owner in owners.values()))
    assert most == SLOTS, "as many at once as there are slots, and never more"
    again = replay(history_of(log))
    assert again.differences == ()
    assert again.rounds > 0
    deciding = {item.event.source for item in log if item.event.actor == "conductor"}
    assert deciding == {"conductor/1", "conductor/2"}, "the other went on"
    assert log[0].stored_at <= datetime.now(UTC)


async def test_a_conductor_none_of_whose_rounds_lands_is_not_ready_and_says_why(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli, local, agent = await connect(Actor.CLI), await connect(Actor.LOCAL), await connect(Actor.DEV_E)
    await set_the_scene(cli, local, agent)
    await local.log.publish(
        Draft(about=IssueRef("demo", "shop", 1), data=IssueApproved(title="Fix it", author="ada")), "local:1"
    )
    monkeypatch.setattr("conductor.shell._RETRY_SECONDS", 0.01)
    bus, life, tries = await connect(Actor.CONDUCTOR), Lifecycle(), 0
    append = bus.log.append

    async def refused(events: Sequence[Envelope], *, expect: Expect) -> int:
        nonlocal tries
        tries += 1
        if tries > REFUSED_ROUNDS:
            assert not life.checks["rounds"].ok
            assert "batch is incomplete" in life.checks["rounds"].detail
            return await append(events, expect=expect)
        raise ServerRefused("a batch", 10176, "atomic publish batch is incomplete")

    bus.log.append = refused
    deciding = asyncio.create_task(run_conductor(bus, life))
    async with cli.log.follow(["rig.issue.*.*.*.conductor.assigned.dev-e"]) as reader:
        await reader.next()
    while not life.checks["rounds"].ok:  # noqa: ASYNC110 - the answer to the append is on its way
        await asyncio.sleep(0)
    life.stop.set()
    await deciding


async def test_a_conductor_goes_on_when_the_server_dies_under_its_round(connect: Connect, nats: Server) -> None:
    """The batch landed, its acknowledgement and the reader's pull are lost: nobody may wait for ever."""
    cli, local, agent = await connect(Actor.CLI), await connect(Actor.LOCAL), await connect(Actor.DEV_E)
    await set_the_scene(cli, local, agent)
    bus = await connect(Actor.CONDUCTOR, "conductor/1")
    append, died = bus.log.append, False

    async def append_and_die(events: Sequence[Envelope], *, expect: Expect) -> int:
        nonlocal died
        position = await append(events, expect=expect)
        if not died:
            died = True
            await nats.kill()
            await nats.start()
            raise Unavailable("the acknowledgement was lost")
        return position

    bus.log.append = append_and_die
    life = Lifecycle()
    conductor = asyncio.create_task(run_conductor(bus, life))
    async with local.log.follow(["rig.issue.*.*.*.conductor.assigned.>"]) as assigned:
        for number in (1, 2):
            approval = Draft(about=IssueRef("demo", "shop", number), data=IssueApproved(title="t", author="ada"))
            await local.log.publish(approval, event_id("local", number))
            item = (await assigned.next()).decoded()
            assert isinstance(item, Recorded)
            assert item.event.about == approval.about
    life.stop.set()
    await conductor
    assert died
