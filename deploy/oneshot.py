"""`rig agent run`: one thing that an agent is to do, said to the log, and done here where nobody else is that agent."""

import asyncio
import os
import secrets
from contextlib import suppress
from pathlib import Path

from agents.life.life import lease_of
from agents.life.role import run_agent
from bridges.terminal import Found
from bus import Bus, BusError
from deploy.embedded.servers import key_for
from deploy.redact import hide
from deploy.settings import GATEWAY, Settings
from machine.lifecycle import Lifecycle
from schemas import Actor, AgentRef, AgentRested, Draft, Invalid, Recorded, WokenBy, branch, woken

__all__ = ["do_once"]

CONNECT_SECONDS = 5.0
LOOK_SECONDS = 5.0


async def do_once(bus: Bus, name: str, file: Path, text: str, found: Found) -> AgentRested:
    """Wakes it and waits until it has come to rest. Raises what is wrong with the settings, where it is to run here.

    Who held it and died over it is not waited for: it is done here then, if that can be. What else is open of that
    agent is left to who lives.
    """
    data, said = woken(name, WokenBy.PERSON, f"run-{secrets.token_hex(8)}", text=text)
    about = AgentRef(name)
    held = await bus.leases.look(lease_of(name), role=Actor.AGENT) is not None
    settings = None if held else _settings(file)
    position = await bus.log.publish(Draft(about=about, data=data), said)
    resting = asyncio.ensure_future(_rested(bus, about, data.run, position))
    life, running = Lifecycle(), None
    try:
        while settings is None:
            await asyncio.wait((resting,), timeout=LOOK_SECONDS)
            if resting.done():
                return resting.result()
            with suppress(Invalid, BusError):
                if await bus.leases.look(lease_of(name), role=Actor.AGENT) is None:
                    settings = _settings(file)
        running = asyncio.ensure_future(_here(settings, found, name, data.run, life))
        await asyncio.wait((resting, running), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        rested = await resting
        life.stop.set()  # whoever has done it: another may have taken the agent meanwhile
        await running
        return rested
    finally:
        resting.cancel()
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await asyncio.gather(resting, return_exceptions=True)


def _settings(file: Path) -> Settings:
    return Settings.read({**os.environ, "RIG_CHARACTER": str(file)}, needs=(GATEWAY,))


async def _here(settings: Settings, found: Found, name: str, run: str, life: Lifecycle) -> None:
    if settings.character is None or settings.gateways is None or settings.secrets is None:
        raise AssertionError("they were needed")
    hide(settings.confidential)
    key = key_for(settings.home, found.url, Actor.AGENT)
    connecting = Bus.connect(
        found.url, actor=Actor.AGENT, source=f"agent/{name}", key=key, timeout_seconds=CONNECT_SECONDS
    )
    async with await connecting as bus:
        await run_agent(
            bus,
            life,
            file=settings.character,
            gateways=settings.gateways,
            secrets=settings.secrets,
            only=run,
        )


async def _rested(bus: Bus, about: AgentRef, run: str, after: int) -> AgentRested:
    subject = f"{branch(about)}.{Actor.AGENT.value}.{AgentRested.name()}"
    async with bus.log.follow([subject], after=after) as reader:
        async for item in reader:
            said = item.event.data if isinstance(item, Recorded) else None
            if isinstance(said, AgentRested) and said.run == run:
                return said
    raise AssertionError("a log is followed for ever")
