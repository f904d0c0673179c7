"""A conversation that is too long: what the model is shown of it, and what is never lost."""

import pytest
from msgspec.structs import replace

from agents.llm.messages import ErrorKind, Message, ModelError, Speaker, TaskKind, ToolCall
from agents.loop.history import SUMMARY_TOKENS, fitting, flattened, tokens_of
from agents.loop.limits import Limits
from agents.loop.loop import converse
from tests.support.talking import ScriptedModel, reply, says, wants

SYSTEM = Message(Speaker.SYSTEM, "You are conductor-e.")
LIMITS = Limits(history_tokens=1_000)


def spoken(turns: int, size: int = 300) -> list[Message]:
    history = [SYSTEM]
    for turn in range(turns):
        history.append(Message(Speaker.USER, f"Question {turn}. {'q' * size}"))
        history.append(Message(Speaker.ASSISTANT, f"Answer {turn}. {'a' * size}"))
    return history


async def test_what_fits_is_shown_as_it_is() -> None:
    history = spoken(2, 10)
    model = ScriptedModel("Well.")
    await converse(model, (), history, "And now?", limits=LIMITS)
    assert model.asked[0].messages == (*history, Message(Speaker.USER, "And now?"))


async def test_the_old_is_summed_up_and_the_latest_stays() -> None:
    model = ScriptedModel("Well.", summary=["They asked ```\nfive``` things."])
    turned = await converse(model, (), spoken(12), "And now?", limits=LIMITS)
    summing, chat = model.asked
    assert summing.task is TaskKind.SUMMARY
    assert "Question 0." in summing.messages[1].text
    assert chat.messages[0] == SYSTEM
    assert chat.messages[1].text == "What was said before, summed up:\n````\nThey asked ```\nfive``` things.\n````"
    assert chat.messages[-1].text == "And now?"
    assert "Answer 11." in chat.messages[-2].text
    assert tokens_of(chat.messages) <= LIMITS.history_tokens
    assert turned.messages[1] == chat.messages[1], "it is not summed up again by the next question"
    assert turned.cost_usd == pytest.approx(0.02), "the summary counts"


@pytest.mark.parametrize("said", [ModelError(ErrorKind.OVERLOADED, "busy"), ""])
async def test_without_a_summary_the_old_is_left_out_and_that_is_said(said: str | ModelError) -> None:
    model = ScriptedModel("Well.", summary=[said])
    turned = await converse(model, (), spoken(12), "And now?", limits=LIMITS)
    assert turned.answer == "Well."
    assert "earlier messages are left out here" in model.chats[0].messages[1].text


async def test_old_answers_of_tools_go_first() -> None:
    history = [SYSTEM]
    for turn in range(3):
        history += [
            Message(Speaker.USER, f"Question {turn}"),
            Message(Speaker.ASSISTANT, "", tool_calls=(ToolCall(f"c{turn}", "look", "{}"),)),
            Message(Speaker.TOOL, f"```\n{'x' * 2_000}\n```", answers=f"c{turn}"),
            Message(Speaker.ASSISTANT, f"Answer {turn}"),
        ]
    model = ScriptedModel("Well.")
    await converse(model, (), history, "And now?", limits=LIMITS)
    (asked,) = model.asked
    assert [message.speaker for message in asked.messages] == [one.speaker for one in history] + [Speaker.USER]
    assert tokens_of(asked.messages) <= LIMITS.history_tokens
    assert "left out" in asked.messages[3].text


async def test_a_question_outlives_all_that_its_tools_say() -> None:
    many = [reply("", wants("look", {"at": turn}, id=f"c{turn}")) for turn in range(8)]
    model = ScriptedModel(*many, "Found.", summary=["It looked."] * 8)
    turned = await converse(model, (says("look", "y" * 1_200),), [SYSTEM], "Find the bug in #7", limits=LIMITS)
    assert turned.answer == "Found."
    for asked in model.chats:
        assert any(message.text == "Find the bug in #7" for message in asked.messages)
        assert tokens_of(asked.messages) <= LIMITS.history_tokens
        calls = [call.id for message in asked.messages for call in message.tool_calls]
        assert calls == [message.answers for message in asked.messages if message.speaker is Speaker.TOOL]


def looked(turns: int, size: int) -> list[Message]:
    """Questions, each with two calls and what they came to."""
    history = [SYSTEM]
    for turn in range(turns):
        ids = (f"a{turn}", f"b{turn}")
        calls = tuple(ToolCall(name, "look", "{}") for name in ids)
        history += [
            Message(Speaker.USER, f"Question {turn}"),
            Message(Speaker.ASSISTANT, "", tool_calls=calls),
            *(Message(Speaker.TOOL, f"```\n{'x' * size}\n```", answers=name) for name in ids),
        ]
    return history


@pytest.mark.parametrize("budget", range(100, 1_500, 50))
async def test_calls_and_their_answers_are_never_torn_apart(budget: int) -> None:
    model = ScriptedModel(summary=["Much was said."])
    fit = await fitting(looked(8, 380), budget, model, replied=lambda _: None)
    at = 0
    while at < len(fit):
        calls = [call.id for call in fit[at].tool_calls]
        answered = [message.answers for message in fit[at + 1 : at + 1 + len(calls)]]
        assert answered == calls
        at += 1 + len(calls)
        assert at >= len(fit) or fit[at].speaker is not Speaker.TOOL


async def test_what_people_said_stays_while_tools_are_shortened_the_longest_first() -> None:
    long, short = "q" * 900, "```\nshort\n```"
    history = looked(4, 2_000)
    history[1] = Message(Speaker.USER, long)
    history[3] = Message(Speaker.TOOL, short, answers="a0")
    history[-1] = Message(Speaker.TOOL, short, answers="b3")
    fit = await fitting(history, 2_000, ScriptedModel(), replied=lambda _: None)
    assert tokens_of(fit) <= 2_000
    assert fit[1].text == long
    assert (fit[3].text, fit[-1].text) == (short, short)
    last = looked(1, 20_000)
    last[-1] = Message(Speaker.TOOL, short, answers="b0")
    fit = await fitting(last, 2_000, ScriptedModel(summary=[""]), replied=lambda _: None)
    assert tokens_of(fit) <= 2_000
    assert "left out" in fit[-2].text
    assert fit[-1].text == short


@pytest.mark.parametrize("letter", ["a", "ж", "語", "🙂"])
async def test_what_is_to_be_summed_up_fits_too_and_has_something_of_everything(letter: str) -> None:
    model = ScriptedModel(summary=["Much was said."])
    history = [replace(message, text=message.text.replace("a", letter)) for message in spoken(20, 3_000)]
    fit = await fitting(history, 10_000, model, replied=lambda _: None)
    (summing,) = model.asked
    assert tokens_of(summing.messages[1:]) + SUMMARY_TOKENS < 10_000 + 100, "beside what it is told to do"
    gone = [n for n in range(20) if not any(f"Question {n}." in message.text for message in fit)]
    assert len(gone) > 14
    assert all(f"Question {n}." in summing.messages[1].text for n in gone)


async def test_what_is_too_long_for_a_model_is_made_shorter_for_it() -> None:
    too_long = ModelError(ErrorKind.TOO_LONG, "at most 4096 tokens")
    model = ScriptedModel(too_long, "Well.", summary=["Much was said."])
    turned = await converse(model, (), spoken(12), "And now?", limits=Limits(history_tokens=100_000))
    assert turned.answer == "Well."
    first, second = model.chats
    assert tokens_of(second.messages) <= tokens_of(first.messages) // 2
    never = ScriptedModel(*[too_long] * 4, summary=["Much was said."] * 4)
    with pytest.raises(ModelError):
        await converse(never, (), spoken(12), "And now?", limits=Limits(history_tokens=100_000))


def test_without_tools_calls_are_told_as_text() -> None:
    flat = flattened(
        [
            Message(Speaker.ASSISTANT, "Let me see.", tool_calls=(ToolCall("c", "look", '{"at": "```"}'),)),
            Message(Speaker.TOOL, "```\nthere\n```", answers="c"),
        ]
    )
    assert flat == [
        Message(Speaker.ASSISTANT, 'Let me see.\n\nI called these tools:\n````\nlook {"at": "```"}\n````'),
        Message(Speaker.USER, "A tool answered:\n```\nthere\n```"),
    ]
