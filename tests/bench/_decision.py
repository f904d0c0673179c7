"""How long a decision takes: from an approval stored to its assignment stored, with fsync on.

A real nats-server and a real conductor, each a process of its own; issues are approved one after another, and the two
times compared are the server's. Beside it, in the same run, one bare durable publish.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles

from bus import Bus
from deploy.embedded.nats import embedded_nats
from deploy.supervisor import RoleSpec, Supervisor
from schemas import (
    Actor,
    Budget,
    IssueAssigned,
    Policy,
    Recorded,
    RolePolicy,
)
from tests.bench._report import Row
from tests.support.at_once import approve, set_the_scene
from tests.support.servers import connected, reaching

ISSUES = 500
WARM_UP = 20
UNBOUNDED = Policy(
    budget=Budget(issue_usd=None, repository_day_usd=None, day_usd=None), roles={"dev-e": RolePolicy(day_usd=None)}
)
"""More runs than a day may cost."""


async def measure(directory: Path) -> list[Row]:
    began = time.monotonic()
    async with embedded_nats(directory) as server:
        local, cli = await connected(server, Actor.LOCAL), await connected(server, Actor.CLI)
        agent = await connected(server, Actor.DEV_E, "dev-e/dev-e-1")
        await set_the_scene(cli, local, agent, slots=2 * ISSUES, policy=UNBOUNDED)
        environment = {**os.environ, **reaching(server, "conductor")}
        conductor = RoleSpec("conductor", (sys.executable, "-m", "deploy.roles", "conductor"), environment)
        async with Supervisor([conductor], directory) as supervisor:
            await supervisor.wait_ready(20)
            decided = await decisions(local)
        bare = await bare_publishes(local)
        for bus in (local, cli, agent):
            await bus.close()
    return [
        Row("approved_to_assigned_p50_ms", percentile(decided, 50), "ms", bar=10.0),
        Row("approved_to_assigned_p99_ms", percentile(decided, 99), "ms", bar=50.0),
        Row("bare_publish_p50_ms", percentile(bare, 50), "ms"),
        Row("bare_publish_p99_ms", percentile(bare, 99), "ms"),
        Row("decision_vs_bare_publish_p50", percentile(decided, 50) / percentile(bare, 50), "×"),
        Row("whole_run_seconds", time.monotonic() - began, "s", bar=45.0),
    ]


async def decisions(local: Bus) -> list[float]:
    """Milliseconds from each approval to its assignment, by the server's clock."""
    taken: list[float] = []
    async with local.log.follow(["rig.issue.*.*.*.conductor.assigned.dev-e"]) as reader:
        for number in range(1, ISSUES + WARM_UP + 1):
            position = await approve(local, number)
            assigned = (await reader.next()).decoded()
            approved = await local.log.at(position)
            assert isinstance(approved, Recorded)
            assert isinstance(assigned, Recorded)
            assert isinstance(assigned.event.data, IssueAssigned)
            assert assigned.event.about == approved.event.about
            taken.append((assigned.stored_at - approved.stored_at).total_seconds() * 1_000)
    return taken[WARM_UP:]


async def bare_publishes(bus: Bus) -> list[float]:
    """Milliseconds of one awaited publish of 500 bytes, with its acknowledgement."""
    taken: list[float] = []
    for number in range(ISSUES):
        start = time.perf_counter()
        headers = {"Nats-Msg-Id": f"bench-{number}"}
        await bus.connection.request("rig.repo.bench.bench.local.configured", b"x" * 500, headers=headers)
        taken.append((time.perf_counter() - start) * 1_000)
    return taken


def percentile(values: Sequence[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1]
