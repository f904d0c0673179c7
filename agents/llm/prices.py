"""What a call costs, by the operator's table, and what it may cost at most. Pure. What is not known stays unknown.

Budgets must hold for what nobody knows the price of, too: there it counts for what a strong model would cost.
"""

import math
from collections.abc import Sequence

from msgspec.structs import replace

from agents.llm.config import ModelFacts
from agents.llm.messages import Message, Tokens, ToolSpec

__all__ = ["ASSUMED", "assumed", "at_most", "cost", "estimated_text", "estimated_tokens", "free"]

MILLION = 1_000_000
CHARACTERS_PER_TOKEN = 3.0
"""Of English there are four, of code and of other languages fewer: an estimate rather too high."""
TOKENS_PER_MESSAGE = 8
ASSUMED = ModelFacts(input_usd=5.0, output_usd=25.0)
"""Of a model without a price, in the budgets alone."""


def cost(facts: ModelFacts, tokens: Tokens | None) -> float | None:
    """In US dollars; None when a price that it takes, or what was used, is not known."""
    if tokens is None:
        return 0.0 if free(facts) else None
    if facts.input_usd is None or (tokens.output and facts.output_usd is None):
        return None
    read = facts.input_usd if facts.cache_read_usd is None else facts.cache_read_usd
    written = facts.input_usd if facts.cache_write_usd is None else facts.cache_write_usd
    parts = (
        tokens.input * facts.input_usd,
        tokens.output * (facts.output_usd or 0.0),
        tokens.cache_read * read,
        tokens.cache_write * written,
    )
    return math.fsum(parts) / MILLION


def at_most(facts: ModelFacts, input_tokens: int, output_tokens: int) -> float | None:
    """What a call may cost; None: nobody knows."""
    if facts.input_usd is None:
        return None
    dearest = max(facts.input_usd, facts.cache_write_usd or 0.0)
    return cost(ModelFacts(input_usd=dearest, output_usd=facts.output_usd), Tokens(input_tokens, output_tokens))


def assumed(facts: ModelFacts) -> ModelFacts:
    """With a price for everything, as the budgets count it."""
    input_usd = ASSUMED.input_usd if facts.input_usd is None else facts.input_usd
    output_usd = ASSUMED.output_usd if facts.output_usd is None else facts.output_usd
    return replace(facts, input_usd=input_usd, output_usd=output_usd)


def free(facts: ModelFacts) -> bool:
    """Whether it is known to cost nothing, whatever it does."""
    return facts.input_usd == 0 and facts.output_usd == 0 and not facts.cache_read_usd and not facts.cache_write_usd


def estimated_tokens(messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> int:
    """About how much a question is, rather more than less."""
    calls = [call for message in messages for call in message.tool_calls]
    said = sum(len(message.text) for message in messages) + sum(len(call.name) + len(call.arguments) for call in calls)
    offered = sum(len(tool.name) + len(tool.description) + len(str(tool.parameters)) for tool in tools)
    return math.ceil((said + offered) / CHARACTERS_PER_TOKEN) + TOKENS_PER_MESSAGE * (len(messages) + len(tools))


def estimated_text(*texts: str) -> int:
    """The same of bare texts."""
    return math.ceil(sum(map(len, texts)) / CHARACTERS_PER_TOKEN)
