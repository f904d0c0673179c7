"""Thinking: one wake, from its text to its rest: recall, talk with a model that has tools, answer, learn."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeAlias
from zoneinfo import ZoneInfo

from msgspec import Struct

from agents.character.character import Character
from agents.character.prompt import persona
from agents.life.told import Told
from agents.life.wakes import Wake
from agents.llm.config import Gateways
from agents.llm.gateway import Gateway
from agents.llm.messages import Message, Speaker
from agents.llm.rig_purse import BusPurse
from agents.llm.standing import Standing
from agents.loop.loop import Turned, converse
from agents.loop.setting import setting
from agents.remember import learn, recall, reflect
from agents.remember import told as remembered
from agents.tools.people import Conversation, Leave
from agents.tools.remembering import Scopes
from agents.tools.secrets import Secrets
from agents.tools.servers import Servers
from agents.tools.toolbox import toolbox
from bus import Bus
from schemas import Offer, RestOutcome, WokenBy

__all__ = ["Answer", "GatewayMind", "Mind", "Occasion", "Rest", "system"]

RECALL_SECONDS: Final = 3.0
SCOPE_CHARACTERS: Final = 100
PERSON: Final = "person"
RIG: Final = "rig"
DETAIL_CHARACTERS: Final = 60_000


class Answer(Protocol):
    """Takes the answer, as soon as there is one."""

    async def __call__(self, text: str, offers: Sequence[Offer] = ()) -> None:
        """With the commands that it offers."""
        ...


class Rest(Struct, frozen=True, kw_only=True):
    """How it went."""

    outcome: RestOutcome
    text: str = ""
    """Its last words, or why there are none."""
    turns: int = 0
    cost_usd: float | None = None


class Occasion(Struct, frozen=True, kw_only=True):
    """A wake, and what is given to who thinks about it."""

    character: Character
    wake: Wake
    told: Told
    history: tuple[Message, ...] = ()
    """What was said before in the conversation."""
    answer: Answer
    answers: list[str]
    """Takes the ids of messages that were answers to a question."""


Mind: TypeAlias = Callable[[Occasion], Awaitable[Rest]]
"""What sees a wake through. What it raises is a failure of the wake."""


class GatewayMind:
    """One that asks the models of the rig's gateway."""

    def __init__(self, bus: Bus, gateways: Gateways, secrets: Secrets, servers: Servers) -> None:
        self._bus = bus
        self._gateways = gateways
        self._secrets = secrets
        self._servers = servers
        self._standing = Standing()

    async def __call__(self, occasion: Occasion) -> Rest:
        """A `Mind`."""
        character, wake, told = occasion.character, occasion.wake, occasion.told
        scopes = scopes_of(character, wake, told)
        person = self._person(wake, told, occasion.answers)
        offers = None if told.chat is None else list[Offer]()
        purse = BusPurse(self._bus, agent=character.name, role=character.name, cause=wake.id)
        async with Gateway.opened(self._gateways, character.llm, purse, standing=self._standing) as model:
            embed = None if self._gateways.embedding is None else model.embed
            found = await recall(
                self._bus,
                scopes=tuple(scopes.readable.values()),
                query=told.text,
                key=wake.run,
                limit=character.memory.recall,
                embed=embed,
                timeout_seconds=RECALL_SECONDS,
            )
            egress = character.permissions.egress
            async with self._servers.of(character.mcp_servers, egress) as servers:
                tools = toolbox(
                    character.tools,
                    servers,
                    bus=self._bus,
                    egress=egress,
                    secrets=self._secrets,
                    scopes=scopes,
                    embed=embed,
                    person=person,
                    model=model,
                    offers=offers,
                )
                begins = "\n\n".join(part for part in (system(character, told.channel), remembered(found)) if part)
                turned = await converse(
                    model,
                    tools,
                    [Message(Speaker.SYSTEM, begins), *occasion.history],
                    told.text,
                    limits=character.budget,
                    approve=None if person is None else Leave(person),
                )
            await occasion.answer(turned.answer, offers or ())
            if character.memory.learn and not turned.cancelled:
                learned = await reflect(model, _transcript(turned), found)
                scope = scopes.readable[scopes.writable[0]]
                keep = None if scopes.keep is None else datetime.now(UTC) + scopes.keep
                await learn(
                    self._bus, learned, found, scope=scope, key=wake.run, cause=wake.id, expires_at=keep, embed=embed
                )
        return Rest(
            outcome=RestOutcome.LIMITED if turned.limited else RestOutcome.DONE,
            text=turned.answer,
            turns=turned.turns,
            cost_usd=turned.cost_usd,
        )

    def _person(self, wake: Wake, told: Told, answers: list[str]) -> Conversation | None:
        chat, received = told.chat, told.received
        if chat is None or received is None:
            return None
        person = Conversation(
            self._bus, chat, key=wake.run, thread=received.thread, in_reply_to=wake.key, only=[received.author]
        )
        person.answers = answers
        return person


def system(character: Character, channel: str, *, now: datetime | None = None) -> str:
    """What a model is told first: who it is, when and where."""
    now = (now or datetime.now(UTC)).astimezone(ZoneInfo(character.zone))
    return setting(character.name, now=now, channel=channel, about=persona(character))


def scopes_of(character: Character, wake: Wake, told: Told) -> Scopes:
    """Where it may look and write: by the word of somebody in a chat only into what is known of them."""
    chat, received = told.chat, told.received
    readable, said_by, writable = {RIG: RIG}, "", (RIG,)
    if chat is not None and received is not None:
        readable[PERSON] = f"user:{chat.platform}:{received.author}"[:SCOPE_CHARACTERS]
        said_by, writable = f"{received.author} in {chat}", (PERSON,)
    elif wake.by is WokenBy.PERSON:
        said_by = "whoever typed `rig agent run`"
    memory = character.memory
    return Scopes(
        readable=readable,
        writable=writable,
        key=wake.run,
        agent=character.name,
        said_by=said_by,
        cause=wake.id,
        keep=None if memory.keep_days is None else timedelta(days=memory.keep_days),
        keep_facts=timedelta(days=memory.keep_facts_days),
    )


def _transcript(turned: Turned) -> str:
    """What was said and done, for who learns from it: its end."""
    lines = [
        f"{message.speaker.value}: {message.text}"
        for message in turned.messages
        if message.speaker is not Speaker.SYSTEM and message.text
    ]
    return "\n\n".join(lines)[-DETAIL_CHARACTERS:]
