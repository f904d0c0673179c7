"""Asks each provider which models it has: whether it can be reached, and knows our key, before anybody needs it."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Final

import httpx
import msgspec
from msgspec import Struct, field

from agents.llm.chain import unknown_providers
from agents.llm.config import Gateways, ModelName, Provider, split
from agents.llm.endpoint import key_headers

__all__ = ["Judged", "Seen", "judge", "look"]

ANSWER_SECONDS: Final = 10.0
ANSWER_BYTES: Final = 8 * 1024 * 1024


class Seen(Struct, frozen=True, kw_only=True):
    """What one provider says."""

    provider: str
    problem: str | None = None
    """Why no model there can be asked; None: nothing is in the way."""
    models: frozenset[str] = frozenset()
    """Those that it names; empty: it names none."""
    missing: tuple[str, ...] = ()
    """Those that are to be asked and are not among them."""


class _Model(Struct):
    id: str


class _Models(Struct):
    data: list[_Model] = field(default_factory=list[_Model])


async def look(gateways: Gateways) -> AsyncGenerator[Seen]:
    """Of each provider, in order. Costs nothing: no model is asked."""
    named = [*gateways.chain, *(name for names in gateways.routes.values() for name in names)]
    if gateways.embedding is not None:
        named.append(gateways.embedding)
    async with httpx.AsyncClient(follow_redirects=False, timeout=ANSWER_SECONDS) as client:
        for name, provider in gateways.providers.items():
            wanted = [model for owner, model in map(split, dict.fromkeys(named)) if owner == name]
            yield await _seen(client, name, provider, wanted)


class Judged(Struct, frozen=True, kw_only=True):
    """Whether models can be had."""

    problems: tuple[str, ...] = ()
    """Of those that nobody here has."""
    unknown: tuple[str, ...] = ()
    """Of those of which that cannot be known now."""


async def judge(gateways: Gateways, names: Iterable[ModelName]) -> Judged:
    """Whether somebody has these; what the operator's own configuration names is there by the operator's word."""
    names = tuple(dict.fromkeys(names))
    named = {*gateways.chain, *gateways.models, *(name for route in gateways.routes.values() for name in route)}
    problems, unknown = list(unknown_providers(gateways.providers, names)), list[str]()
    async with httpx.AsyncClient(follow_redirects=False, timeout=ANSWER_SECONDS) as client:
        for owner, provider in gateways.providers.items():
            wanted = [split(name)[1] for name in names if split(name)[0] == owner and name not in named]
            if not wanted:
                continue
            seen = await _seen(client, owner, provider, wanted)
            if not seen.models:
                unknown += [f"{owner}/{model}: {owner} {seen.problem or 'names no models'}" for model in wanted]
            among = len(seen.models)
            problems += [f"{owner}/{model}: {owner} names {among} models, and not it" for model in seen.missing]
    return Judged(problems=tuple(problems), unknown=tuple(unknown))


async def _seen(client: httpx.AsyncClient, name: str, provider: Provider, wanted: list[str]) -> Seen:
    try:
        async with (
            asyncio.timeout(ANSWER_SECONDS),
            client.stream("GET", f"{provider.url}/models", headers=key_headers(provider)) as response,
        ):
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > ANSWER_BYTES:
                    break
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        return Seen(provider=name, problem=f"cannot be reached: {error or type(error).__name__}")
    if response.status_code in (401, 403):
        return Seen(provider=name, problem=f"does not take the key: HTTP {response.status_code}")
    if response.status_code >= 500:
        return Seen(provider=name, problem=f"is in trouble: HTTP {response.status_code}")
    try:
        said = msgspec.json.decode(bytes(body), type=_Models) if response.is_success else _Models()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        said = _Models()
    models = frozenset(model.id for model in said.data)
    missing = tuple(model for model in wanted if model not in models) if models else ()
    return Seen(provider=name, models=models, missing=missing)
