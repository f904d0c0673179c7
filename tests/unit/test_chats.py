"""What the terminal makes of a conversation's events: which messages stand, and how many one word forgets."""

from datetime import UTC, datetime

import pytest

from bridges.terminal import chats
from bridges.terminal.errors import Failed
from schemas import (
    FORGOTTEN_MAX,
    Actor,
    ChatRef,
    Draft,
    Event,
    MessageReceived,
    MessagesForgotten,
    Recorded,
    envelope,
)

GENERAL, AT = ChatRef("discord", "general"), datetime(2026, 1, 1, tzinfo=UTC)


def told(*said: tuple[str, Event]) -> chats.Told:
    def recorded(position: int, known_as: str, event: Event) -> Recorded:
        draft = Draft(about=GENERAL, data=event)
        return Recorded(position, AT, envelope(draft, id=known_as, actor=Actor.DISCORD, source="discord", time=AT))

    return chats.told(recorded(position, *one) for position, one in enumerate(said, 1))


def message(known_as: str) -> tuple[str, Event]:
    return known_as, MessageReceived(author="ada", text=known_as)


def forgotten(*ids: str) -> tuple[str, Event]:
    return f"forgets-{ids[0]}", MessagesForgotten(messages=ids, by="ada")


def test_what_was_forgotten_stands_no_more_unless_it_was_said_again() -> None:
    found = told(message("a"), message("b"), forgotten("a", "c"), message("c"), message("a"), forgotten("b"))
    assert list(found.standing) == ["c", "a"]
    assert {known_as: said.position for known_as, said in found.forgotten.items()} == {"b": 6}


def test_a_long_conversation_takes_several_words() -> None:
    ids = [f"m{number}" for number in range(2 * FORGOTTEN_MAX + 1)]
    found = told(*map(message, ids))
    words = chats.to_forget(GENERAL, found, None)
    assert [len(word) for word in words] == [FORGOTTEN_MAX, FORGOTTEN_MAX, 1]
    assert [one for word in words for one in word] == ids
    assert told(*map(message, ids), *(forgotten(*word) for word in words)).standing == {}


def test_one_that_never_was_is_named_and_nothing_is_forgotten() -> None:
    found = told(message("a"), message("b"), forgotten("b"))
    assert chats.to_forget(GENERAL, found, ["b", "a"]) == [("a",)]
    with pytest.raises(Failed, match="no message 'x' in discord/general"):
        chats.to_forget(GENERAL, found, ["a", "x"])
