"""Which models are asked for a kind of task, in order. Pure."""

import math
from collections.abc import Collection, Iterable, Iterator

from agents.llm.config import Gateways, LlmConfig, ModelName, Route, split
from agents.llm.messages import TaskKind

__all__ = ["chain", "problems", "unknown_providers"]


def chain(gateways: Gateways, llm: LlmConfig, task: TaskKind) -> tuple[ModelName, ...]:
    """The route of the task first, then the rest of the character's chain.

    Where the operator has not said which models are the cheapest, the prices do; of those without one nobody knows, and
    they come last. What is fastest or strongest is the operator's to say: else the chain stays as it is.
    """
    own = llm.models or gateways.chain
    route = llm.routes.get(task)
    if route is None:
        return own
    first = gateways.routes.get(route, ())
    if not first and route is Route.CHEAPEST:
        return tuple(sorted(own, key=lambda name: _price(gateways, name)))
    return tuple(dict.fromkeys((*first, *own)))


def problems(gateways: Gateways, llm: LlmConfig) -> Iterator[str]:
    """What is wrong with a character's models here."""
    if not llm.models and not gateways.chain:
        yield "models: it names none, and neither does the rig's configuration (RIG_GATEWAY_MODEL, or `chain`)"
    yield from unknown_providers(gateways.providers, llm.models)


def unknown_providers(providers: Collection[str], names: Iterable[ModelName]) -> Iterator[str]:
    """Those of the models that nobody provides."""
    for name in names:
        if split(name)[0] not in providers:
            yield f"{name}: there is no provider {split(name)[0]!r} (there is {', '.join(providers) or 'none'})"


def _price(gateways: Gateways, name: ModelName) -> float:
    facts = gateways.models.get(name)
    if facts is None or facts.input_usd is None or facts.output_usd is None:
        return math.inf
    return 3 * facts.input_usd + facts.output_usd  # more is read than is written
