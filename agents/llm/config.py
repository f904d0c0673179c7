"""Which models there are and which is asked for what: the operator's word about the rig, a character's about itself.

A model is named PROVIDER/MODEL. The chain is tried in order; a kind of task may have a route, which is tried before it.
How the operator's file looks, and how it is read: see gateways.
"""

import re
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct, field

from agents.llm.messages import TaskKind

__all__ = ["MODEL", "Gateways", "LlmConfig", "ModelFacts", "ModelName", "Provider", "Route", "split"]

MODEL: Final = re.compile(r"[A-Za-z0-9._-]+/[!-~]+")
ModelName: TypeAlias = Annotated[
    str,
    Meta(
        max_length=200,
        pattern=rf"\A{MODEL.pattern}\Z",
        description="a model as PROVIDER/MODEL, like openai/gpt-5-mini",
    ),
]
PricePerMillion: TypeAlias = Annotated[
    float, Meta(ge=0, le=10_000, description="US dollars for a million tokens, 0 to 10000")
]


class Route(StrEnum):
    """What matters most for a kind of task."""

    CHEAPEST = "cheapest"
    FASTEST = "fastest"
    STRONGEST = "strongest"


def split(name: ModelName) -> tuple[str, str]:
    """The provider's name, and the model's there."""
    provider, _, model = name.partition("/")
    return provider, model


def _routes() -> dict[TaskKind, Route]:
    return {
        TaskKind.SUMMARY: Route.CHEAPEST,
        TaskKind.LEARNING: Route.CHEAPEST,
        TaskKind.REVIEW: Route.STRONGEST,
        TaskKind.ADVICE: Route.STRONGEST,
    }


class LlmConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What a character says about its models: `llm` in its character.json."""

    models: tuple[ModelName, ...] = ()
    """Its chain; empty: the rig's."""
    routes: dict[TaskKind, Route] = field(default_factory=_routes)
    """What matters for a kind of task; of a kind that is not here: the chain as it stands."""
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    """None: the model's own."""
    answer_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] = 8_192
    """How long one answer may be."""
    patience_seconds: Annotated[float, Meta(gt=0, le=3_600)] = 600.0
    """How long one answer may take, with all that is tried for it."""


class Provider(Struct, frozen=True, kw_only=True):
    """An endpoint that speaks as OpenAI's does."""

    url: str
    """Before /chat/completions, without a slash at its end."""
    key: str | None = None
    key_header: str | None = None
    """Where the key goes; None: into Authorization, as a bearer's."""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    """Sent along. No secrets: those are keys."""

    def __repr__(self) -> str:
        return f"Provider({self.url!r}, {'a key' if self.key else 'no key'}, {len(self.headers)} headers)"


class ModelFacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a model. A price that is not here is not known, which is not the same as nothing."""

    input_usd: PricePerMillion | None = None
    output_usd: PricePerMillion | None = None
    cache_read_usd: PricePerMillion | None = None
    """None: as `input_usd`."""
    cache_write_usd: PricePerMillion | None = None
    """None: as `input_usd`."""
    context_tokens: Annotated[int, Meta(ge=1)] | None = None
    """How much fits in, question and answer together."""
    output_tokens: Annotated[int, Meta(ge=1)] | None = None
    """How long an answer may be there."""


class Gateways(Struct, frozen=True, kw_only=True):
    """Everything that the operator says about models, read and consistent."""

    providers: dict[str, Provider]
    chain: tuple[ModelName, ...]
    """Of whoever has none of its own."""
    routes: dict[Route, tuple[ModelName, ...]] = field(default_factory=dict[Route, tuple[ModelName, ...]])
    models: dict[ModelName, ModelFacts] = field(default_factory=dict[ModelName, ModelFacts])
    embedding: ModelName | None = None
    """The one model for embeddings: what two models say cannot be compared."""

    @property
    def confidential(self) -> tuple[str, ...]:
        """What no log and no screen may show."""
        return tuple(provider.key for provider in self.providers.values() if provider.key)
