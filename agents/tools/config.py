"""What a character may say about its tools: `tools`, `mcpServers` and `permissions.egress` in its character.json. Pure.

A tool over HTTP is a template: everything that a model chooses is a parameter with a JSON Schema and a place, and the
host is none of it. A secret stands there by name, `${secret:NAME}`, in a header's value or a variable of an MCP server;
its value is RIG_SECRET_NAME's or in the file that RIG_SECRET_NAME_FILE names (see secrets).

    {"name": "incidents", "description": "Open incidents of a team.",
     "method": "GET", "url": "https://status.example.com/teams/{team}/incidents",
     "parameters": {"team": {"in": "path", "schema": {"type": "string"}},
                    "since": {"in": "query", "schema": {"type": "string", "format": "date"}, "required": false}},
     "headers": {"Authorization": "Bearer ${secret:STATUS}"}}
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct, field

__all__ = [
    "Egress",
    "HttpMethod",
    "HttpTool",
    "McpServer",
    "OwnTool",
    "Parameter",
    "Place",
    "ToolName",
    "placeholders",
    "secret_names",
]

ToolName: TypeAlias = Annotated[
    str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z", description="a tool's name: 1 to 64 letters, digits, _ -")
]
HeaderName: TypeAlias = Annotated[
    str, Meta(pattern=r"\A[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}\Z", description="the name of an HTTP header")
]
HostPattern: TypeAlias = Annotated[
    str,
    Meta(
        max_length=253,
        pattern=r"\A(?:\*\.)?[a-z0-9._:-]+\Z",
        description="a host in small letters, like api.example.com, *.example.com or 10.0.0.7",
    ),
]
JsonSchema: TypeAlias = Annotated[
    dict[str, Annotated[object, Meta(extra_json_schema={"description": "of JSON Schema"})]],
    Meta(description="a JSON Schema", extra_json_schema={"additionalProperties": True}),
]
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=3_600)]

_SECRET: Final = re.compile(r"\$\{secret:([A-Z][A-Z0-9_]{0,60})\}")
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")


class OwnTool(StrEnum):
    """Tools of the rig itself, by which a character names them."""

    RIG_STATUS = "rig_status"
    RIG_ISSUES = "rig_issues"
    RIG_ISSUE = "rig_issue"
    RIG_AGENTS = "rig_agents"
    RIG_SPEND = "rig_spend"
    RIG_DEAD_LETTERS = "rig_dead_letters"
    SEARCH_MEMORY = "search_memory"
    REMEMBER = "remember"
    FORGET = "forget"
    ASK_PERSON = "ask_person"
    ASK_ADVISOR = "ask_advisor"
    OFFER_COMMAND = "offer_command"


class HttpMethod(StrEnum):
    """What is done there."""

    GET = "GET"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


class Place(StrEnum):
    """Where a parameter goes."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"
    BODY = "body"
    """A field of the JSON object that is the body."""


class Parameter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Something that the model chooses."""

    place: Place = field(name="in")
    schema: JsonSchema
    """JSON Schema of its value."""
    required: bool = True
    sent_as: str | None = None
    """What the server calls it, where that is not the parameter's own name."""


class HttpTool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """One request that a model may have made."""

    name: ToolName
    description: Annotated[str, Meta(min_length=1, max_length=4_000)]
    method: HttpMethod = HttpMethod.GET
    url: Annotated[str, Meta(max_length=2_000)]
    parameters: dict[ToolName, Parameter] = field(default_factory=dict[ToolName, Parameter])
    headers: dict[HeaderName, str] = field(default_factory=dict[HeaderName, str])
    timeout_seconds: Seconds = 30.0
    max_bytes: Annotated[int, Meta(ge=1, le=16 * 1024 * 1024)] = 256 * 1024
    """Of an answer; the rest is not read."""
    risky: bool = False
    """A person must agree to each call."""
    safe: bool | None = None
    """Whether it may run beside others; None: if it is a GET."""


class McpServer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A server of tools: a program (`command`) that speaks on its standard streams, or a `url`."""

    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict[str, str])
    """On top of PATH, HOME and the like: nothing else of ours reaches it."""
    url: str | None = None
    headers: dict[HeaderName, str] = field(default_factory=dict[HeaderName, str])
    tools: tuple[str, ...] = ()
    """Only these of its tools; none: all."""
    safe: tuple[str, ...] = ()
    """Tools that may run beside others; what a server says of itself is not believed."""
    risky: tuple[str, ...] = ()
    """Tools of which each call needs a person's leave."""
    start_seconds: Seconds = 30.0
    timeout_seconds: Seconds = 60.0


class Egress(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Where a character's tools may reach."""

    hosts: tuple[HostPattern, ...] = ()
    """Public addresses of these."""
    private: tuple[HostPattern, ...] = ()
    """These, whatever their addresses: this machine, the network around it."""


def placeholders(url: str) -> tuple[str, ...]:
    """Names of the parameters that stand in a URL, in order."""
    return tuple(_PLACEHOLDER.findall(url))


def secret_names(texts: Iterable[str]) -> frozenset[str]:
    """Names of the secrets that these refer to."""
    return frozenset(name for text in texts for name in _SECRET.findall(text))
