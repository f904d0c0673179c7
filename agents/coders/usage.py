"""What a metered coding CLI says at its end that it used: the one thing that is read from what it prints. Pure.

It is the result record of a CLI that prints JSON and nothing beside it, one object on a line of its own:

    {"type": "result", "total_cost_usd": 0.12, "modelUsage": {"large-1": {"costUSD": 0.12}},
     "usage": {"input_tokens": 90, "output_tokens": 8, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 5}}

Source: `claude --print --output-format json` (or stream-json), the last message. Who wants a program of his own to be
counted has it print such a line; `"model"` may name the model instead. Without one nobody knows what a run cost, and
it counts for what was set aside.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct, field

from agents.coders.driver import Usage

LINES = 50
"""From the end: what comes later is what a child of it, or its shell, had to say."""

Count: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]
Told: TypeAlias = Annotated[int, Meta(le=1_000_000_000_000)]
"""A count in a record of a stream. No model has used more; what is less than nothing is taken for nothing."""
Cost: TypeAlias = Annotated[float, Meta(ge=0, le=1_000_000)]
ModelName: TypeAlias = Annotated[str, Meta(max_length=200)]


class _Tokens(Struct, frozen=True):
    input: Count = field(default=0, name="input_tokens")
    output: Count = field(default=0, name="output_tokens")
    cache_read: Count = field(default=0, name="cache_read_input_tokens")
    cache_write: Count = field(default=0, name="cache_creation_input_tokens")


class _OfModel(Struct, frozen=True):
    input: Count = field(default=0, name="inputTokens")
    output: Count = field(default=0, name="outputTokens")
    cache_read: Count = field(default=0, name="cacheReadInputTokens")
    cache_write: Count = field(default=0, name="cacheCreationInputTokens")
    cost: Cost = field(default=0.0, name="costUSD")


class _Record(Struct, frozen=True):
    type: Literal["result"]
    usage: _Tokens
    cost: Cost | None = field(default=None, name="total_cost_usd")
    model: ModelName = ""
    models: dict[ModelName, _OfModel] = field(default_factory=dict[str, _OfModel], name="modelUsage")
    of_this: dict[ModelName, _OfModel] | None = field(default=None, name="model_usage_since_last_result")
    """Of this run alone: where a conversation goes on, `models` and `cost` count what went before once more."""


def usage_said(output: bytes) -> Usage:
    """The last record among the last lines, else nothing known. Of several models it names the dearest."""
    for line in reversed(output.splitlines()[-LINES:]):
        if not line.lstrip().startswith(b"{"):
            continue
        try:
            record = msgspec.json.decode(line, type=_Record)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        used, models = record.usage, record.models if record.of_this is None else record.of_this
        every = models.values()
        return Usage(
            model=record.model or max(models, key=lambda name: models[name].cost, default=""),
            # The record's own sum is of the main conversation, and 0 where a limit ended it.
            input=max(used.input, sum(of.input for of in every)),
            output=max(used.output, sum(of.output for of in every)),
            cache_read=max(used.cache_read, sum(of.cache_read for of in every)),
            cache_write=max(used.cache_write, sum(of.cache_write for of in every)),
            cost_usd=record.cost if record.of_this is None else sum((of.cost for of in every), 0.0),
        )
    return Usage()
