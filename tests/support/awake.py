"""Agents that are characters, on a real log, with a mind that does what a test says."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from agents.character import Watched
from agents.life.life import live
from agents.life.mind import Occasion, Rest
from agents.life.role import run_agent
from agents.life.told import Told
from agents.llm.gateways import one
from agents.llm.messages import Message
from agents.tools.secrets import Secrets
from bus import Bus
from conductor.shell import run_conductor
from machine.lifecycle import Lifecycle
from schemas import (
    FLEET,
    AgentRef,
    AgentRested,
    AgentWoken,
    Draft,
    Event,
    Policy,
    PolicyAdopted,
    Recorded,
    Ref,
    RestOutcome,
    everything_about,
)
from tests.support.models import ModelServer
from tests.support.waiting import until

ANN = "ann-e"


class Thinking:
    """Says what it was told; or does what is given."""

    def __init__(self, does: Callable[[Told], Awaitable[str]] | None = None) -> None:
        self.told: list[Told] = []
        self.histories: list[tuple[Message, ...]] = []
        self._does = does

    async def __call__(self, occasion: Occasion) -> Rest:
        self.told.append(occasion.told)
        self.histories.append(occasion.history)
        text = f"answer {len(self.told)}" if self._does is None else await self._does(occasion.told)
        await occasion.answer(text)
        return Rest(outcome=RestOutcome.DONE, text=text, turns=1, cost_usd=0.25)


def character_file(directory: Path, **said: object) -> Path:
    """Written in one step, as an editor does."""
    file = directory / ANN / "character.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps({"name": ANN, **said}))
    draft.replace(file)
    return file


@asynccontextmanager
async def alive(bus: Bus, file: Path, mind: Thinking) -> AsyncGenerator[Lifecycle]:
    """One process of the agent, until the end of the block."""
    life = Lifecycle()
    life.running = True
    work = asyncio.create_task(live(bus, life, Watched(file), mind))
    try:
        yield life
    finally:
        life.stop.set()
        await work


async def adopt(cli: Bus, policy: Policy | None = None) -> None:
    policy = policy or Policy(heartbeat_seconds=1)
    await cli.log.publish(
        Draft(about=FLEET, data=PolicyAdopted(policy=policy, hash=policy.digest(), by="ann")), "policy"
    )


async def say(bus: Bus, about: Ref, data: Event, id: str) -> None:  # noqa: A002 - CloudEvents' name
    await bus.log.publish(Draft(about=about, data=data), id)


async def rested(bus: Bus, count: int = 1) -> list[AgentRested]:
    """Waits until so many wakes have come to rest; those that there are then."""
    found: list[AgentRested] = []
    async with bus.log.follow([everything_about(AgentRef(ANN))]) as reader:
        async for item in reader:
            if isinstance(item, Recorded) and isinstance(item.event.data, AgentRested):
                found.append(item.event.data)
                if len(found) == count:
                    break
    return found


async def wakes(bus: Bus) -> list[AgentWoken]:
    """All that it was woken for by now."""
    said = await bus.log.history([everything_about(AgentRef(ANN))])
    return [each.event.data for each in said if isinstance(each.event.data, AgentWoken)]


@asynccontextmanager
async def conducting(bus: Bus) -> AsyncGenerator[None]:
    life = Lifecycle()
    life.running = True
    work = asyncio.create_task(run_conductor(bus, life))
    try:
        await until(lambda: life.is_ready or work.done())
        yield
    finally:
        life.stop.set()
        await work


@asynccontextmanager
async def the_role(bus: Bus, file: Path, models: ModelServer) -> AsyncGenerator[None]:
    life = Lifecycle()
    life.running = True
    gateways = one(models.url, "sk-test", "m")
    work = asyncio.create_task(run_agent(bus, life, file=file, gateways=gateways, secrets=Secrets({})))
    try:
        yield
    finally:
        life.stop.set()
        await work


async def until_joined(bus: Bus) -> None:
    async with bus.log.follow([f"rig.agent.{ANN}.*.joined"]) as reader:
        async for _ in reader:
            return
