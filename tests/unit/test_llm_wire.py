"""What endpoints answer, in the ways they take liberties; and anything at all."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.llm.answers import Answer, ErrorInstead, Malformed, Stream, read_chat, read_embeddings
from agents.llm.bodies import chat_body, embeddings_body
from agents.llm.messages import Finish, Message, Speaker, Tokens, ToolCall


def streamed(*chunks: object, done: bool = True) -> tuple[list[str], Answer | None]:
    stream = Stream()
    pieces = [stream.line(f"data: {json.dumps(chunk)}") for chunk in chunks]
    if done:
        stream.line("data: [DONE]")
    return [piece for piece in pieces if piece], stream.ended()


def delta(reason: str | None = None, **said: object) -> dict[str, object]:
    return {"choices": [{"delta": said, "finish_reason": reason}]}


def test_an_answer_without_anything_that_is_optional() -> None:
    assert read_chat(b'{"choices":[{"message":{"content":"Hi"}}]}') == Answer(text="Hi")
    assert read_chat(b'{"choices":[{"message":{}}]}') == Answer()
    nulls = (
        b'{"choices":[{"message":{"content":null,"tool_calls":null,"refusal":null},"finish_reason":null}],"usage":null}'
    )
    assert read_chat(nulls) == Answer()


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2}, Tokens(5, 2)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}, Tokens(1, 2, 4)),
        (
            {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}},
            Tokens(2, 0, 4, 3),
        ),
        ({"prompt_tokens": 1, "completion_tokens": None, "prompt_tokens_details": None}, Tokens(1)),
        ({"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 9}}, Tokens(0, 0, 9)),
        ({"prompt_tokens": -1, "completion_tokens": -5}, None),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None),
        ({"prompt_tokens": None, "total_tokens": 5}, None),
        ({}, None),
        ({"prompt_tokens": 10**30, "completion_tokens": 1}, None),
    ],
)
def test_what_was_used_is_counted_once(usage: object, tokens: Tokens | None) -> None:
    body = {"choices": [{"message": {"content": "Hi"}}], "usage": usage}
    assert read_chat(json.dumps(body).encode()).tokens == tokens


def test_an_error_in_place_of_an_answer_is_told_from_nonsense() -> None:
    with pytest.raises(ErrorInstead):
        read_chat(b'{"error":{"message":"no"}}')
    for body in (
        b'{"choices":[{"finish_reason":"error"}]}',
        b"",
        b'{"choices":[{"message":{"content":"\xff"}}]}',
        b"[]",
        b'{"choices":[]}',
        b'{"error":null}',
        b'{"choices":1}',
        b'{"choices":' * 5_000,
    ):
        with pytest.raises(Malformed) as error:
            read_chat(body)
        assert not isinstance(error.value, ErrorInstead)


def test_calls_have_ids_of_their_own_whatever_was_sent() -> None:
    calls = [{"id": "a", "function": {"name": "x", "arguments": "{}"}}] * 2 + [{"function": {"name": "y"}}]
    body = {"choices": [{"message": {"tool_calls": calls}, "finish_reason": "stop"}]}
    answer = read_chat(json.dumps(body).encode())

    assert answer.finish is Finish.TOOLS
    assert len({call.id for call in answer.tool_calls}) == 3
    assert answer.tool_calls[0] == ToolCall("a", "x", "{}")


def test_a_stream_is_put_together_also_where_calls_are_not_numbered() -> None:
    pieces, answer = streamed(
        delta(role="assistant", content=""),
        delta(content="Look"),
        delta(content="ing"),
        delta(tool_calls=[{"id": "a", "function": {"name": "find", "arguments": '{"q"'}}]),
        delta(tool_calls=[{"function": {"arguments": ":1}"}}]),
        delta(tool_calls=[{"id": "b", "function": {"name": "find", "arguments": "{}"}}]),
        delta("tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}},
    )

    assert pieces == ["Look", "ing"]
    calls = (ToolCall("a", "find", '{"q":1}'), ToolCall("b", "find", "{}"))
    assert answer == Answer(text="Looking", tool_calls=calls, finish=Finish.TOOLS, tokens=Tokens(3, 1))


def test_a_stream_has_an_end_or_has_broken_off() -> None:
    assert streamed(delta(content="Hi"), done=False)[1] is None
    assert streamed(delta(content="Hi"))[1] == Answer(text="Hi")
    assert streamed(delta("stop", content="Hi"), done=False)[1] == Answer(text="Hi")
    stream = Stream()
    stream.line('data: {"choices":[{"delta":{"content":"Hi"}}]}')
    stream.line('data: {"error":{"message":"overloaded"}}')
    assert stream.ended() is None
    assert stream.failure == b' {"error":{"message":"overloaded"}}'


def test_what_is_no_data_is_passed_over() -> None:
    stream = Stream()
    lines = ["", ": keep-alive", "event: message", "id: 1", 'data:{"choices":[{"delta":{"content":"\\u2028x"}}]}']
    assert [stream.line(line) for line in lines] == ["", "", "", "", "\u2028x"]


def test_half_a_character_does_not_keep_a_conversation_from_being_sent() -> None:
    messages = [
        Message(Speaker.TOOL, "\ud83d half", answers="a"),
        Message(Speaker.ASSISTANT, "", (ToolCall("a", "x", "\ud83d"),)),
    ]
    sent = json.loads(chat_body("m", messages, max_tokens=5))["messages"]
    assert sent[0] == {"role": "tool", "content": "? half", "tool_call_id": "a"}
    assert sent[1]["content"] is None
    assert json.loads(embeddings_body("m", ["\udc00", ""]))["input"] == ["?", " "]


def test_vectors_belong_to_their_texts_or_are_not_taken() -> None:
    def body(*items: tuple[int, list[float]]) -> bytes:
        return json.dumps({"data": [{"index": index, "embedding": vector} for index, vector in items]}).encode()

    assert read_embeddings(body((1, [2.0]), (0, [1.0])), 2) == (((1.0,), (2.0,)), None)
    for wrong in (
        body((0, [1.0])),
        body((0, [1.0]), (0, [2.0])),
        body((0, [1.0]), (1, [])),
        body((0, []), (1, [])),
        body((0, [0.0] * 9_000), (1, [0.0] * 9_000)),
        body((0, [1.0]), (1, [1e308])).replace(b"1e+308", b"1e999"),
        b"{}",
    ):
        with pytest.raises(Malformed):
            read_embeddings(wrong, 2)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "delta", "content", "tool_calls", "index", "id", "function", "usage", "error"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_anything_is_an_answer_or_malformed(said: object) -> None:
    body = json.dumps(said).encode()
    with contextlib.suppress(Malformed):
        assert isinstance(read_chat(body), Answer)
    stream = Stream()
    try:
        stream.line(f"data: {body.decode()}")
        stream.ended()
    except Malformed:
        pass


@pytest.mark.parametrize("closed", [True, False])
def test_a_shape_is_strict_where_it_can_be(closed: bool) -> None:
    schema = {"type": "object", "properties": {}, **({"additionalProperties": False} if closed else {})}
    sent = json.loads(chat_body("m", [], max_tokens=5, schema=schema))
    assert sent["response_format"]["json_schema"]["strict"] is closed
