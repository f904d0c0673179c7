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
    Actor,
    Envelope,
    IssueAssigned,
    IssueDone,
    Ownership,
    Recorded,
)
from tests.conftest import Connect
from tests.support.at_once import agent_works, approve, forge_answers, issue, set_the_scene

ISSUES = 50
SLOTS = 3


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
    await set_the_scene(cli, local, agent, slots=SLOTS)
    lives = [Lifecycle(), Lifecycle()]
    conductors = [
        asyncio.create_task(run_conductor(await connect(Actor.CONDUCTOR, f"conductor/{number}"), life))
        for number, life in enumerate(lives, start=1)
    ]
    others = [asyncio.create_task(agent_works(agent)), asyncio.create_task(forge_answers(local))]

    await asyncio.gather(*(approve(local, number) for number in range(1, ISSUES)))
    log = await until_done(cli, ISSUES - 1)
    decided = [item.event.source for item in log if item.event.actor == "conductor"]
    quicker = 0 if decided[-1] == "conductor/1" else 1
    lives[quicker].stop.set()
    await conductors[quicker]
    await approve(local, ISSUES)
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
    await set_the_scene(cli, local, agent, slots=SLOTS)
    await approve(local, 1)
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
    await set_the_scene(cli, local, agent, slots=SLOTS)
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
            await approve(local, number)
            item = (await assigned.next()).decoded()
            assert isinstance(item, Recorded)
            assert item.event.about == issue(number)
    life.stop.set()
    await conductor
    assert died
