"""What is wrong with what a character says about its tools, beyond the types: all of it at once. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from agents.tools.config import Egress, HttpMethod, HttpTool, McpServer, OwnTool, Place, placeholders, secret_names
from agents.tools.egress import allowed
from agents.tools.schema import wrong_schema

__all__ = ["problems"]

_ODD_REFERENCE: Final = re.compile(r"\$\{(?!secret:[A-Z][A-Z0-9_]{0,60}\})")
_RESERVED: Final = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection"})
"""Headers that are not a tool's to set."""
_SERVER: Final = re.compile(r"[A-Za-z0-9-]{1,24}")


def problems(
    tools: Iterable[HttpTool], servers: Mapping[str, McpServer], egress: Egress, secrets: Iterable[str]
) -> Iterator[str]:
    """Everything that is wrong beyond the types; `secrets` are the names of those there are."""
    known = frozenset(secrets)
    seen: set[str] = set()
    for tool in tools:
        where = f"tools.{tool.name}"
        if tool.name in seen or tool.name in set(OwnTool):
            yield f"{where}: another tool has this name"
        seen.add(tool.name)
        for name, parameter in tool.parameters.items():
            if (wrong := wrong_schema(parameter.schema)) is not None:
                yield f"{where}.parameters.{name}.schema: {wrong}"
        yield from (f"{where}.{problem}" for problem in _wrong_template(tool))
        yield from (f"{where}.{problem}" for problem in _wrong_url(tool.url, egress))
        yield from (f"{where}.{problem}" for problem in _wrong_references("headers", tool.headers, known))
    for name, server in servers.items():
        where = f"mcpServers.{name}"
        if _SERVER.fullmatch(name) is None:
            yield f"{where}: a server's name is 1 to 24 letters, digits, -"
        if (server.command is None) == (server.url is None):
            yield f"{where}: give command or url, and not both"
        if server.url is not None:
            yield from (f"{where}.{problem}" for problem in _wrong_url(server.url, egress))
        yield from (f"{where}.{problem}" for problem in _wrong_references("headers", server.headers, known))
        yield from (f"{where}.{problem}" for problem in _wrong_references("env", server.env, known))
        if odd := set(secret_names(server.args)):
            yield f"{where}.args: everybody sees the secret {', '.join(sorted(odd))} there; put it in env"


def _wrong_template(tool: HttpTool) -> Iterator[str]:
    named = placeholders(tool.url)
    in_path = [name for name, parameter in tool.parameters.items() if parameter.place is Place.PATH]
    for name in named:
        if name not in in_path:
            yield f"url: {{{name}}} is no parameter with in: path"
    for name in in_path:
        if name not in named:
            yield f"parameters.{name}: in: path, and {{{name}}} is not in the url"
        elif not tool.parameters[name].required:
            yield f"parameters.{name}: what is in the path is required"
    if tool.method is HttpMethod.GET:
        for name, parameter in tool.parameters.items():
            if parameter.place is Place.BODY:
                yield f"parameters.{name}: a GET has no body"
    for name, parameter in tool.parameters.items():
        sent_as = (parameter.sent_as or name).lower()
        if parameter.place is Place.HEADER and (sent_as in _RESERVED or sent_as in {h.lower() for h in tool.headers}):
            yield f"parameters.{name}: the header {sent_as} is not for a model to choose"
    for header in tool.headers:
        if header.lower() in _RESERVED:
            yield f"headers.{header}: is not a tool's to set"


def _wrong_url(url: str, egress: Egress) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        host, port_is_one = parts.hostname, parts.port != 0
    except ValueError:
        host, port_is_one, parts = None, False, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or not port_is_one:
        yield f"url: {url[:100]!r} is no URL like https://api.example.com/things/{{name}}"
        return
    if parts.username is not None or parts.fragment:
        yield "url: has neither a login nor a fragment; a secret goes into a header"
    if placeholders(parts.netloc):
        yield "url: where a request goes is not for a model to choose"
    elif placeholders(parts.query):
        yield "url: {…} stands in the path alone; for the query there are parameters with in: query"
    elif not allowed(egress, host):
        yield f"url: permissions.egress does not name {host}"
    if secret_names([url]) or _ODD_REFERENCE.search(url):
        yield "url: a secret there would stand in every log on the way; put it in a header"


def _wrong_references(what: str, texts: Mapping[str, str], known: frozenset[str]) -> Iterator[str]:
    for name, text in texts.items():
        if _ODD_REFERENCE.search(text):
            yield f"{what}.{name}: a secret is written ${{secret:NAME}}"
        if "\n" in text or "\r" in text or "\0" in text:
            yield f"{what}.{name}: holds a line break"
        for secret in sorted(secret_names([text]) - known):
            yield f"{what}.{name}: there is no secret {secret}; set RIG_SECRET_{secret} or RIG_SECRET_{secret}_FILE"
