"""Commands that an agent may offer: a closed set, spelt as they are typed, and nothing hidden in one."""

import msgspec
import pytest

from bridges.terminal.offered import sound
from schemas import BadReference, IssueRef, MessageSent, Offer, Offered, RepoRef, check_offer, spelt_offer, summary

UNSEEN = "\u200b\u00ad\u034f\u115f\u17b4\u180b\u2800\u3164\ufe0f\uffa0\ue000\U000e0080\U000e0101"


def offer(command: str, *arguments: str) -> Offer:
    return msgspec.convert({"command": command, "arguments": arguments}, Offer)


@pytest.mark.parametrize(
    ("made", "about", "line"),
    [
        (offer("retry", "acme/web#42"), IssueRef("acme", "web", 42), "rig issue retry acme/web#42"),
        (offer("stop", "acme/web#42"), IssueRef("acme", "web", 42), "rig issue stop acme/web#42"),
        (offer("priority", "a/b#1", "high"), IssueRef("a", "b", 1), "rig issue priority a/b#1 high"),
        (offer("answer", "a/b#1", "Yes; do `it`."), IssueRef("a", "b", 1), "rig issue answer a/b#1 'Yes; do `it`.'"),
        (offer("pause", "acme/web"), RepoRef("acme", "web"), "rig pause acme/web"),
        (offer("resume", "all"), None, "rig resume all"),
        (offer("pause", "role:dev-e"), None, "rig pause role:dev-e"),
    ],
)
def test_what_is_offered_is_spelt_as_it_is_typed(made: Offer, about: object, line: str) -> None:
    assert (check_offer(made), spelt_offer(made)) == (about, line)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (offer("retry", "web#42"), "'web#42' is not an issue"),
        (offer("retry", "acme/web#42; rm -rf /"), "is not an issue"),
        (offer("retry", "acme/web"), "is not an issue"),
        (offer("retry", "acme/web#0"), "is not a valid name"),
        (offer("retry", "a/b#1", "now"), "retry takes 1 argument, not 2"),
        (offer("answer", "a/b#1"), "answer takes 2 arguments, not 1"),
        (offer("answer", "a/b#1", "--json"), "begins with a dash"),
        *((offer("answer", "a/b#1", f"y{unseen}es"), "cannot be seen") for unseen in UNSEEN),
        (offer("priority", "a/b#1", "urgent"), "'urgent' is no priority: write one of critical"),
        (offer("pause", "web"), "'web' cannot be paused"),
        (offer("pause", "repository:a/b"), "cannot be paused"),
        (offer("pause", "a/b/c"), "is not a repository"),
    ],
)
def test_what_nobody_could_type_is_no_offer(made: Offer, why: str) -> None:
    with pytest.raises(BadReference, match=why):
        check_offer(made)


@pytest.mark.parametrize("command", ["approve", "raise", "adopt", "withdraw", "RETRY", "retry --note x", ""])
def test_the_set_is_closed(command: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        offer(command, "acme/web#42")
    assert command not in set(Offered)


@pytest.mark.parametrize("arguments", [(), ("a/b#1", "x", "y"), ("a/b#1", "two\nlines"), ("a/b#1", "\u202edrow")])
def test_what_could_deceive_the_eye_does_not_even_decode(arguments: tuple[str, ...]) -> None:
    with pytest.raises(msgspec.ValidationError):
        offer("answer", *arguments)


def test_what_is_no_command_is_not_even_asked_about() -> None:
    good, bad = offer("retry", "acme/web#42"), offer("stop", "everything")
    sent = MessageSent(message="Shall I?", offers=(bad, good))
    assert sound(sent) == (good,)
    assert summary(sent) == "answered: Shall I?; offers: rig issue stop everything, rig issue retry acme/web#42"
