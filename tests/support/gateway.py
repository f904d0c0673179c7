"""A gateway on a real HTTP server, with two models, a/one and b/two, that do what a test wants."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from msgspec.structs import replace

from agents.llm.config import LlmConfig, ModelFacts, Route
from agents.llm.endpoint import Waits
from agents.llm.gateway import Gateway
from agents.llm.messages import (
    Message,
    Reply,
    Speaker,
    TaskKind,
    Tokens,
)
from agents.llm.standing import Standing
from tests.support.clock import HOURS
from tests.support.models import (
    Does,
    ModelServer,
    TestClock,
    TestPurse,
    gateways,
    says,
    served,
)

ASKED = [Message(Speaker.SYSTEM, "You are terse."), Message(Speaker.USER, "Hello?")]
PATIENT = Waits(connect_seconds=HOURS, silence_seconds=HOURS, answer_seconds=HOURS)
USED = Tokens(input=400, output=100, cache_read=600)


class Rig:
    """A gateway with two models, a/one and b/two, and all that stands around it."""

    def __init__(self, server: ModelServer, gateway: Gateway, purse: TestPurse, clock: TestClock, standing: Standing):
        self.server = server
        self.gateway = gateway
        self.purse = purse
        self.clock = clock
        self.standing = standing

    async def chat(self, **more: object) -> Reply:
        return await self.gateway.chat(ASKED, **{"task": TaskKind.CHAT, **more})  # type: ignore[arg-type]


@asynccontextmanager
async def rig(
    *first: Does,
    second: Does | None = None,
    llm: LlmConfig | None = None,
    usd: float = 1_000.0,
    facts: Mapping[str, ModelFacts] | None = None,
    names: tuple[str, ...] = ("a/one", "b/two"),
    embedding: str | None = None,
    routes: Mapping[Route, tuple[str, ...]] | None = None,
    waits: Waits = PATIENT,
) -> AsyncGenerator[Rig]:
    async with served() as server:
        server.does["one"] = list(first)
        server.does["two"] = [second or says("Two.")]
        purse, clock, standing = TestPurse(usd), TestClock(), Standing()
        found = replace(gateways(server.url, *names, facts=facts, embedding=embedding), routes=dict(routes or {}))
        config = llm or LlmConfig(patience_seconds=2 * HOURS)
        async with Gateway.opened(found, config, purse, standing=standing, waits=waits, clock=clock) as gateway:
            yield Rig(server, gateway, purse, clock, standing)
        assert not purse.open, "of every call it is known what it cost"
