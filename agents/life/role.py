"""The role `agent`: a process of one character, with its file watched, its models, and its webhooks taken in."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from agents.character.character import Character
from agents.character.reload import Watched
from agents.character.roles import RUN_BY
from agents.life.hooks import receiving
from agents.life.life import live
from agents.life.mind import GatewayMind
from agents.life.webhooks import problems as secret_problems
from agents.llm.chain import problems
from agents.llm.config import Gateways
from agents.tools.secrets import Secrets
from agents.tools.servers import Servers
from bus import Bus
from machine.lifecycle import Lifecycle, Misconfigured
from schemas import Invalid

__all__ = ["run_agent"]


async def run_agent(
    bus: Bus,
    life: Lifecycle,
    *,
    file: Path,
    gateways: Gateways,
    secrets: Secrets,
    http: str | None = None,
    only: str | None = None,
) -> None:
    """Is this character until `life.stop`; with `only`, for that run and until it has come to rest.

    Raises Misconfigured with all that is wrong about it, and what `live` raises.
    """

    def here(character: Character) -> Iterator[str]:
        if character.name in RUN_BY:
            yield f"{character.name} is a role of the rig, and no agent like others: {RUN_BY[character.name]}"
        yield from problems(gateways, character.llm)
        yield from secret_problems(character.webhooks, secrets.values)
        if character.webhooks and http is None and only is None:
            yield "it has webhooks: say where they come in, RIG_AGENT_HTTP=HOST:PORT"

    try:
        watched = Watched(file, secrets=secrets.values, problems=here)
    except Invalid as error:
        raise Misconfigured(str(error)) from None
    async with AsyncExitStack() as stack:
        if http is not None:
            await stack.enter_async_context(receiving(bus, watched, secrets, address=http))
        servers = await stack.enter_async_context(Servers.opened(secrets))
        mind = GatewayMind(bus, gateways, secrets, servers)
        await live(bus, life, watched, mind, only=only)
