"""Two conductors, each a process of its own, on one real log with fsync on: nothing may be said twice."""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Hashable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from bus import Bus
from conductor.replay import history_of, replay
from deploy.embedded.nats import embedded_nats
from deploy.supervisor import RoleSpec, Supervisor
from schemas import Actor, Decided, IssueAssigned, IssueDone, MergeRequested, Recorded
from tests.bench._decision import UNBOUNDED
from tests.bench._report import Row
from tests.support.at_once import agent_works, approve, forge_answers, set_the_scene
from tests.support.servers import connected, reaching

ISSUES: Final = 1_000
SLOTS: Final = 20
PATIENCE_SECONDS: Final = 120


async def measure(directory: Path) -> list[Row]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(embedded_nats(directory))
        local, cli, agent = [
            await stack.enter_async_context(await connected(server, actor, source))
            for actor, source in ((Actor.LOCAL, ""), (Actor.CLI, ""), (Actor.DEV_E, "dev-e/dev-e-1"))
        ]
        await set_the_scene(cli, local, agent, slots=SLOTS, policy=UNBOUNDED)
        environment = {**os.environ, **reaching(server, "conductor")}
        command = (sys.executable, "-m", "deploy.roles", "conductor")
        conductors = [RoleSpec(f"conductor-{number}", command, environment) for number in (1, 2)]
        supervisor = await stack.enter_async_context(Supervisor(conductors, directory))
        await supervisor.wait_ready(20)
        others = [asyncio.create_task(agent_works(agent)), asyncio.create_task(forge_answers(local))]
        began = time.monotonic()
        await asyncio.gather(*(approve(local, number) for number in range(1, ISSUES + 1)))
        async with asyncio.timeout(PATIENCE_SECONDS):
            log = await until_done(cli, ISSUES)
        seconds = time.monotonic() - began
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        lost = [
            (directory / f"{spec.name}.log").read_text().count("another conductor has decided") for spec in conductors
        ]
    return rows(log, lost, seconds)


async def until_done(bus: Bus, count: int) -> list[Recorded]:
    """The whole log, up to the last issue done."""
    log: list[Recorded] = []
    done = 0
    async with bus.log.follow() as reader:
        while done < count:
            item = (await reader.next()).decoded()
            assert isinstance(item, Recorded), item
            log.append(item)
            done += isinstance(item.event.data, IssueDone)
    return log


def rows(log: Sequence[Recorded], lost: Sequence[int], seconds: float) -> list[Row]:
    """`lost`: by conductor, the rounds that the other one won."""
    facts = Counter(fact for fact in map(once, log) if fact is not None)
    again = replay(history_of(log))
    doubled = sum(times - 1 for times in facts.values())
    return [
        Row("race_doubled", doubled, "", bar=0),
        Row("race_replay_differences", len(again.differences), "", bar=0),
        Row("race_rounds_won", again.rounds, "", bar=1, at_least=True),
        Row("race_rounds_lost", sum(lost), "", bar=1, at_least=True),
        Row("race_rounds_lost_by_the_quicker", min(lost), ""),
        Row("race_issues_done_per_second", ISSUES / seconds, "/s"),
    ]


def once(item: Recorded) -> Hashable | None:
    """What may be said once in the log; None: something else."""
    about, data = item.event.about, item.event.data
    match data:
        case IssueAssigned():
            return about, "assigned", data.epoch
        case MergeRequested():
            return about, "merge", data.head_sha, data.base_sha
        case IssueDone():
            return about, "done"
        case Decided():
            return about, "decided", data.through
        case _:
            return None
