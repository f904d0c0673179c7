"""The gateway against an endpoint that somebody else has written: a conversation with a tool, whole and in pieces."""

import pytest

from agents.llm.config import LlmConfig
from agents.llm.gateway import Gateway
from agents.llm.messages import ErrorKind, Finish, Message, ModelError, OnText, Speaker, TaskKind, Tokens, ToolSpec
from tests.support.model import model, says, uses
from tests.support.models import TestPurse, gateways

pytestmark = pytest.mark.peer
SAID = "There is käse.\u2028Done."
"""With what Unicode calls the end of a line, and a stream of events does not."""
TOOL = ToolSpec("find", "Finds things.", {"type": "object", "properties": {"what": {"type": "string"}}})
USED = Tokens(100, 10)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_conversation_with_a_tool(streamed: bool) -> None:
    heard: list[str] = []
    on_text: OnText | None = heard.append if streamed else None
    with model([uses("find", what="käse"), says(SAID)], opening="Find") as served:
        found = gateways(f"{served.url}/v1", "aimock/gpt-5", embedding="aimock/text-embedding-3-small")
        async with Gateway.opened(found, LlmConfig(), TestPurse()) as gateway:
            talk = [Message(Speaker.SYSTEM, "You find things."), Message(Speaker.USER, "Find cheese.")]
            wanted = await gateway.chat(talk, task=TaskKind.CHAT, tools=[TOOL], on_text=on_text)
            [call] = wanted.message.tool_calls
            assert (wanted.finish, call.name, call.arguments) == (Finish.TOOLS, "find", '{"what":"käse"}')

            talk += [wanted.message, Message(Speaker.TOOL, "käse", answers=call.id)]
            answer = await gateway.chat(talk, task=TaskKind.CHAT, tools=[TOOL], on_text=on_text)
            assert (answer.finish, answer.message) == (Finish.STOP, Message(Speaker.ASSISTANT, SAID))
            assert (wanted.tokens, answer.tokens) == (USED, USED)
            assert answer.cost_usd == pytest.approx((100 * 1.0 + 10 * 10.0) / 1_000_000)
            assert "".join(heard) == (SAID if streamed else "")

            with pytest.raises(ModelError, match="nothing is written") as error:
                await gateway.chat([*talk, answer.message], task=TaskKind.CHAT, tools=[TOOL], on_text=on_text)
            assert error.value.kind is ErrorKind.INVALID

            space = await gateway.embed(["one", "two"])
            assert (space.dimensions, len(space.vectors)) == (2, 2)

        sent = [message["role"] for message in served.asked()[1]["messages"]]
        assert sent == ["system", "user", "assistant", "tool"]
