"""The tools of one character, made from what it says about them: its own over HTTP, its servers', the rig's."""

from collections.abc import Iterable, Sequence

from agents.llm.messages import Model
from agents.remember import Embed
from agents.tools.asking_rig import QUESTIONS, AskingRig
from agents.tools.config import Egress, HttpTool, OwnTool
from agents.tools.http import HttpCall
from agents.tools.mcp import Server
from agents.tools.offering import OfferCommand
from agents.tools.people import AskAdvisor, AskPerson, Person
from agents.tools.remembering import Forget, Remember, Scopes, SearchMemory
from agents.tools.secrets import Secrets
from agents.tools.tool import Tool
from bus import Bus
from schemas import Offer

__all__ = ["own_tools", "toolbox"]


def toolbox(
    tools: Iterable[OwnTool | HttpTool],
    servers: Iterable[Server] = (),
    *,
    bus: Bus,
    egress: Egress,
    secrets: Secrets,
    scopes: Scopes | None = None,
    embed: Embed | None = None,
    person: Person | None = None,
    model: Model | None = None,
    offers: list[Offer] | None = None,
) -> tuple[Tool, ...]:
    """All of them; of the servers those that they tell of now.

    A tool of the rig that has not what it needs (a person, a model, scopes, a place for offers) is not there.
    """
    named = tuple(tools)
    own = own_tools(
        [tool for tool in named if isinstance(tool, OwnTool)],
        bus=bus,
        scopes=scopes,
        embed=embed,
        person=person,
        model=model,
        offers=offers,
    )
    over_http = tuple(HttpCall(tool, egress, secrets) for tool in named if isinstance(tool, HttpTool))
    return (*own, *over_http, *(tool for server in servers for tool in server.tools))


def own_tools(
    names: Sequence[OwnTool],
    *,
    bus: Bus,
    scopes: Scopes | None = None,
    embed: Embed | None = None,
    person: Person | None = None,
    model: Model | None = None,
    offers: list[Offer] | None = None,
) -> tuple[Tool, ...]:
    """Those of the rig's own that there can be."""
    made: list[Tool] = []
    for name in dict.fromkeys(names):
        if name in QUESTIONS:
            made.append(AskingRig(name, bus))
        elif name is OwnTool.SEARCH_MEMORY and scopes is not None:
            made.append(SearchMemory(bus, scopes))
        elif name is OwnTool.REMEMBER and scopes is not None and scopes.writable:
            made.append(Remember(bus, scopes, embed))
        elif name is OwnTool.FORGET and scopes is not None and scopes.writable:
            made.append(Forget(bus, scopes))
        elif name is OwnTool.ASK_PERSON and person is not None:
            made.append(AskPerson(person))
        elif name is OwnTool.ASK_ADVISOR and model is not None:
            made.append(AskAdvisor(model))
        elif name is OwnTool.OFFER_COMMAND and offers is not None:
            made.append(OfferCommand(bus, offers))
    return tuple(made)
