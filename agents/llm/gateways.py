"""Reads what the operator says about models: one endpoint from a few variables, or several from a file.

    RIG_GATEWAY_URL    an endpoint that speaks as OpenAI's does: http://127.0.0.1:18789/v1 is OpenClaw's
    RIG_GATEWAY_KEY    its key, or RIG_GATEWAY_KEY_FILE
    RIG_GATEWAY_MODEL  its model; of several, with commas, the next is asked when one does not answer

    RIG_GATEWAYS       in place of those, a TOML file:

    chain = ["openai/gpt-5", "local/qwen3"]           # who is asked, in this order
    embedding = "openai/text-embedding-3-small"       # one, for ever: vectors of two cannot be compared

    [routes]                                          # who is asked first where this matters most
    cheapest = ["local/qwen3"]
    strongest = ["openai/gpt-5-pro"]

    [providers.openai]
    url = "https://api.openai.com/v1"
    key_file = "/run/secrets/openai"                  # or key_env = "OPENAI_API_KEY", or key = "…"

    [providers.local]
    url = "http://127.0.0.1:11434/v1"

    [models."openai/gpt-5"]                           # US dollars for a million tokens; who is not here: see below
    input_usd = 1.25
    output_usd = 10.0
    cache_read_usd = 0.125
    context_tokens = 400_000                          # question and answer; of the answer alone: output_tokens

What a model without a price has cost nobody knows; in the budgets it counts for what a strong one costs (see prices).
One that costs nothing says so: input_usd = 0, output_usd = 0.

All problems at once. Keys are never shown.
"""

import ipaddress
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct, field

from agents.llm.chain import unknown_providers
from agents.llm.config import MODEL, Gateways, ModelFacts, ModelName, Provider, Route
from schemas import Invalid
from schemas.refs import NAME

__all__ = ["EXAMPLE", "load", "one", "variables", "wrong_url"]

EXAMPLE: Final = "http://127.0.0.1:18789/v1"
ONE: Final = "gateway"
"""The provider's name where there is one, of which only the address is said."""
_PARTS: Final = ("chain", "embedding", "routes", "providers", "models")
_INSIDE: Final = (".local", ".internal", ".lan", ".svc")
T = TypeVar("T")

HeaderName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9-]+\Z", max_length=100)]
HeaderValue = Annotated[str, Meta(pattern=r"\A[ -~]*\Z", max_length=2_000)]


class _Provider(Struct, kw_only=True, forbid_unknown_fields=True):
    url: str
    key: str | None = None
    key_file: str | None = None
    key_env: str | None = None
    key_header: HeaderName | None = None
    headers: dict[HeaderName, HeaderValue] = field(default_factory=dict[HeaderName, HeaderValue])


class _KeyElsewhere(Struct):
    key_env: str | None = None


def one(url: str, key: str | None, models: str) -> Gateways:
    """One endpoint; `models` are names with commas between. Raises Invalid."""
    names = [name.strip() for name in models.split(",") if name.strip()]
    problems = [f"RIG_GATEWAY_URL: {problem}" for problem in [wrong_url(url)] if problem]
    if not names:
        problems.append("RIG_GATEWAY_MODEL is not set: which model is to be asked, like gpt-5, or openclaw/default")
    if key is not None and not _is_key(key):
        problems.append("RIG_GATEWAY_KEY: a key has neither white space nor other signs than ASCII's")
    chain = _models([f"{ONE}/{name}" for name in names], "RIG_GATEWAY_MODEL", problems)
    if problems:
        raise Invalid("gateway", problems)
    return Gateways(providers={ONE: Provider(url=url.rstrip("/"), key=key)}, chain=chain)


def load(path: Path, environ: Mapping[str, str]) -> Gateways:
    """The file. Raises Invalid with every problem."""
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Invalid("gateways", [f"{path} cannot be read: {error}"]) from None
    problems = [f"{name}: there is no such part (there is {', '.join(_PARTS)})" for name in said if name not in _PARTS]
    providers = _table(said, "providers", problems)
    read = {name: _provider(name, table, path.parent, environ, problems) for name, table in providers.items()}
    if not read:
        problems.append("providers: there is none; write [providers.NAME] with its url")
    facts = {
        name: known
        for name, table in _table(said, "models", problems).items()
        if _models([name], "models", problems)
        and (known := _converted(table, ModelFacts, f"models.{name}", problems)) is not None
    }
    routes = {
        known: _models(names, f"routes.{name}", problems)
        for name, names in _table(said, "routes", problems).items()
        if (known := _converted(name, Route, "routes", problems)) is not None
    }
    chain = _models(said.get("chain", []), "chain", problems)
    embedding = _models([said["embedding"]], "embedding", problems) if "embedding" in said else ()
    gateways = Gateways(
        providers={name: provider for name, provider in read.items() if provider},
        chain=chain,
        routes=routes,
        models=facts,
        embedding=embedding[0] if embedding else None,
    )
    named: list[ModelName] = [*chain, *(name for names in routes.values() for name in names), *facts, *embedding]
    problems += unknown_providers(read, dict.fromkeys(named))
    if problems:
        raise Invalid(f"gateways ({path})", problems)
    return gateways


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Those that a process needs which is to read the same: ours, and those in which the file looks for keys."""
    names = {name for name in environ if name == "RIG_GATEWAYS" or name.startswith("RIG_GATEWAY_")}
    with suppress(OSError, ValueError, msgspec.ValidationError):
        said = tomllib.loads(Path(environ.get("RIG_GATEWAYS", "")).read_text(encoding="utf-8"))
        providers = msgspec.convert(said.get("providers", {}), dict[str, _KeyElsewhere])
        names |= {provider.key_env for provider in providers.values() if provider.key_env in environ}
    found = {name: environ[name] for name in names if name is not None}
    paths = {
        name: str(Path(found[name]).absolute()) for name in ("RIG_GATEWAYS", "RIG_GATEWAY_KEY_FILE") if name in found
    }
    return found | paths


def wrong_url(url: str) -> str | None:
    """Why this is no address of an endpoint. It is not shown: it may hold a login."""
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        return f"not a URL like {EXAMPLE}"
    if not host or parts.scheme not in ("http", "https") or not _is_key(url):
        return f"not a URL like {EXAMPLE}"
    if parts.username is not None or parts.query or parts.fragment:
        return "a URL without login, query and fragment: a key has a place of its own"
    if parts.scheme == "http" and not _is_inside(host):
        return f"http would send what is asked, and the key, in the clear to {host}: write https"
    return None


def _provider(
    name: str, table: object, directory: Path, environ: Mapping[str, str], problems: list[str]
) -> Provider | None:
    where = f"providers.{name}"
    if NAME.fullmatch(name) is None:
        problems.append(f"{where}: {name!r} is no name; write letters, digits, dots and dashes")
    said = _converted(table, _Provider, where, problems)
    if said is None:
        return None
    if problem := wrong_url(said.url):
        problems.append(f"{where}.url: {problem}")
    if sum(key is not None for key in (said.key, said.key_file, said.key_env)) > 1:
        problems.append(f"{where}: the key is said more than once; write one of key, key_file and key_env")
    key = said.key
    if said.key_file is not None:
        try:
            key = (directory / Path(said.key_file).expanduser()).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{where}.key_file: {said.key_file} cannot be read: {error}")
    elif said.key_env is not None:
        key = environ.get(said.key_env, "").strip()
        if not key:
            problems.append(f"{where}.key_env: {said.key_env} is not set")
    if key is not None and not _is_key(key):
        problems.append(f"{where}: a key has neither white space nor other signs than ASCII's")
    return Provider(url=said.url.rstrip("/"), key=key or None, key_header=said.key_header, headers=said.headers)


def _table(said: Mapping[str, object], name: str, problems: list[str]) -> dict[str, object]:
    return _converted(said.get(name, {}), dict[str, object], name, problems) or {}


def _models(listed: object, where: str, problems: list[str]) -> tuple[ModelName, ...]:
    """Those that are names of models; of each other a problem."""
    names = _converted(listed, tuple[str, ...], where, problems) or ()
    wrong = [name for name in names if MODEL.fullmatch(name) is None]
    problems += [f"{where}: {name!r} names no model; write PROVIDER/MODEL" for name in wrong]
    return tuple(name for name in names if name not in wrong)


def _converted(value: object, kind: type[T], where: str, problems: list[str]) -> T | None:
    """None, and one more problem, where it is none."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        problems.append(f"{where}: {error}")
        return None


def _is_inside(host: str) -> bool:
    """Whether it is this machine, or one of a network of our own."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(_INSIDE)


def _is_key(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
