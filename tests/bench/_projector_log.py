"""The log that the read side is measured on: a rig at work (see _conductor_world), until there is nothing left to do.

The mix: per issue 26 to 28 events. Three in five are the conductor's: deadlines (26 % of all), rounds (13 %; 2 % where
much is said between two), money set aside and settled (10 %), assignments (5 %), requests to merge and to review (6 %),
ends (4 %). The others': tokens used (7 %), runs begun (5 %), pushed (4 %) and failed (1 %), approvals, pull requests,
merges (4 % each), checks (5 %), reviews (2 %), gates, questions, conflicts. A third of the issues wait for others.
"""

import uuid
from collections.abc import Sequence
from typing import Final

from nats.aio.client import Client

from bus import MAX_BATCH, Stored
from schemas import Recorded
from tests.bench._conductor_cast import Cast
from tests.bench._conductor_world import World

ROUNDS_OF_ISSUE: Final = 4
"""Between two that come one by one: as many as one takes."""


def a_log(issues: int, replicas: int, *, at_first: int, spoken: Sequence[int]) -> Sequence[Stored]:
    """`at_first`: how many issues are there when it begins; the others come one by one. `spoken`: how many words of
    others come between two rounds of the conductor."""
    world = World(replicas=replicas, record=True)
    cast = Cast(world)
    world.approve(at_first)
    busy, rounds = True, 0
    while busy or len(world.approved) < issues:
        rounds += 1
        drafts = world.decide()
        world.land(drafts)
        cast.hear(drafts)
        spoke = [cast.speak() for _ in range(world.random.choice(spoken))]
        if rounds % ROUNDS_OF_ISSUE == 0 and len(world.approved) < issues:
            world.approve()
        busy = bool(drafts) or any(spoke)
    assert world.log is not None
    return world.log


def events(log: Sequence[Stored]) -> list[Recorded]:
    """All of them, decoded."""
    return [item for item in (message.decoded() for message in log) if isinstance(item, Recorded)]


async def fill(client: Client, log: Sequence[Stored]) -> None:
    """The same log as a stream, in raw atomic batches."""
    for first in range(0, len(log), MAX_BATCH):
        part, batch = log[first : first + MAX_BATCH], uuid.uuid4().hex
        for index, message in enumerate(part, start=1):
            headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(index)}
            if index < len(part):
                await client.publish(message.subject, message.body, headers=headers)
            else:
                headers["Nats-Batch-Commit"] = "1"
                answer = await client.request(message.subject, message.body, headers=headers, timeout=10)
                assert b"error" not in answer.data, answer.data
    await client.close()
