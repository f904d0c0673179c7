"""What a character's model is told and which tools it has, as the model would see them. Nothing is called."""

from collections.abc import Iterator
from typing import cast

import msgspec

from agents.character.character import Character
from agents.character.document import secrets_of
from agents.character.prompt import persona
from agents.character.roles import RUN_BY
from agents.life.mind import system
from agents.llm.messages import Model, ToolSpec
from agents.tools.people import Person
from agents.tools.remembering import Scopes
from agents.tools.secrets import Secrets
from agents.tools.toolbox import toolbox
from bus import Bus

__all__ = ["explained", "specs"]


def specs(character: Character) -> list[ToolSpec]:
    """Its tools, but for those of its servers, which only they know."""
    scopes = Scopes(
        readable={"rig": "rig", "person": "user:…"}, writable=("rig", "person"), key="explain", agent=character.name
    )
    tools = toolbox(
        character.tools,
        bus=cast("Bus", None),  # nobody calls them
        egress=character.permissions.egress,
        secrets=Secrets(dict.fromkeys(secrets_of(character), "")),
        scopes=scopes,
        person=cast("Person", object()),
        model=cast("Model", object()),
        offers=[],
    )
    return [tool.spec for tool in tools]


def explained(character: Character) -> Iterator[str]:
    """Lines for people."""
    return _lines(character, specs(character))


def _of_role(character: Character) -> Iterator[str]:
    yield f"# A role of the rig: the conductor gives it its work; {RUN_BY[character.name]} runs it"
    yield ""
    yield "# What is said of who it is, before its work"
    yield ""
    yield from (persona(character) or "(nothing)").splitlines()


def _lines(character: Character, tools: list[ToolSpec]) -> Iterator[str]:
    if character.name in RUN_BY:
        yield from _of_role(character)
        return
    yield "# What its model is told first"
    yield ""
    yield from system(character, "the conversation it answers in").splitlines()
    yield ""
    yield f"# Its tools ({len(tools)})"
    for tool in tools:
        yield ""
        yield f"{tool.name}: {tool.description}"
        yield msgspec.json.format(msgspec.json.encode(tool.parameters), indent=2).decode()
    for name, server in character.mcp_servers.items():
        only = f", of it {', '.join(server.tools)}" if server.tools else ""
        yield ""
        yield f"{name}: what the server {server.command or server.url} offers{only}"
    yield ""
    yield "# What wakes it"
    yield from (f"- {each}" for each in character.wakes)
    yield "- who speaks to it alone: `rig chat`, `rig agent run`"
    if character.messaging.reports is not None:
        yield f"What it finds unasked it says in {character.messaging.reports}"
    models = ", ".join(character.llm.models) or "the rig's"
    budget = character.budget
    money = "" if budget.cost_usd is None else f", {budget.cost_usd:g} USD"
    yield ""
    yield f"# Models: {models}; at most {budget.turns} turns, {budget.seconds:g} s{money} from waking to resting"
