"""What is sent to an endpoint: OpenAI's chat completions and embeddings, as everybody speaks them. Pure.

Sources: platform.openai.com/docs/api-reference/chat and /embeddings; docs.openclaw.ai, "OpenAI chat completions".
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec
from msgspec import structs

from agents.llm.messages import Message, Schema, Speaker, ToolCall, ToolSpec

__all__ = ["ADAPTABLE", "chat_body", "embeddings_body"]

ADAPTABLE: Final = frozenset({"max_tokens", "temperature", "stream_options", "response_format"})
"""What not every endpoint knows, and can be done without, or said otherwise."""
_OBJECT: Final = msgspec.json.Decoder(dict[str, object])


def chat_body(
    model: str,
    messages: Sequence[Message],
    *,
    tools: Sequence[ToolSpec] = (),
    max_tokens: int,
    temperature: float | None = None,
    schema: Schema | None = None,
    stream: bool = False,
    without: AbstractSet[str] = frozenset(),
) -> bytes:
    """A request for an answer; `without` are those of ADAPTABLE that this endpoint does not know."""
    body: dict[str, object] = {"model": model, "messages": [_message(message) for message in messages]}
    if tools:
        body["tools"] = [{"type": "function", "function": structs.asdict(tool)} for tool in tools]
    body["max_completion_tokens" if "max_tokens" in without else "max_tokens"] = max_tokens
    if temperature is not None:
        body["temperature"] = temperature
    if schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {
                "name": "answer",
                "schema": schema,
                "strict": schema.get("additionalProperties") is False,  # else it would be refused for being open
            },
        }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return _encoded({name: value for name, value in body.items() if name == "max_tokens" or name not in without})


def embeddings_body(model: str, texts: Sequence[str]) -> bytes:
    """A request for vectors."""
    return _encoded({"model": model, "input": [_sendable(text) or " " for text in texts], "encoding_format": "float"})


def _message(message: Message) -> dict[str, object]:
    said: dict[str, object] = {"role": message.speaker.value, "content": _sendable(message.text)}
    if message.speaker is Speaker.TOOL:
        said["tool_call_id"] = message.answers or ""
    if message.tool_calls:
        said["content"] = said["content"] or None
        said["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}
            for call in message.tool_calls
        ]
    return said


def _arguments(call: ToolCall) -> str:
    """Some refuse a whole conversation for one call in it whose arguments are no JSON."""
    try:
        _OBJECT.decode(_sendable(call.arguments))
    except (msgspec.DecodeError, RecursionError):
        return "{}"
    return _sendable(call.arguments)


def _encoded(body: dict[str, object]) -> bytes:
    return msgspec.json.encode(body)


def _sendable(text: str) -> str:
    """Half a character, as a program may print it, cannot be sent."""
    return text.encode("utf-8", "replace").decode()
