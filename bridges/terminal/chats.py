"""Conversations for people: which one was typed, what stands of it in the log, and how it is shown. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct, field

from bridges.terminal import show
from bridges.terminal.errors import BadInput, Failed
from schemas import (
    FORGOTTEN_MAX,
    ChatRef,
    ConversationLine,
    Conversations,
    MessageLine,
    Messages,
    MessagesForgotten,
    Recorded,
    one_line,
    printable,
)
from schemas.refs import NAME

# ── typed ────────────────────────────────────────────────────────────────────


def conversation(typed: str) -> ChatRef:
    """`discord/general`. Raises BadInput."""
    platform, slash, name = typed.partition("/")
    if NAME.fullmatch(platform) and slash and name.strip() and len(name) <= 100 and name == one_line(name, 100):
        return ChatRef(platform, name)
    raise BadInput(f"{one_line(typed, 60)!r} is no conversation: write PLATFORM/CONVERSATION, like discord/general")


def spelt(ref: ChatRef | ConversationLine) -> str:
    """As it is typed."""
    return f"{ref.platform}/{ref.conversation}"


# ── in the log ───────────────────────────────────────────────────────────────


class Told(Struct):
    """A conversation's events."""

    standing: dict[str, Recorded] = field(default_factory=dict[str, Recorded])
    """The messages that are not forgotten, by id, in the log's order."""
    forgotten: dict[str, Recorded] = field(default_factory=dict[str, Recorded])
    """By id of the others: what forgot them."""


def told(history: Iterable[Recorded]) -> Told:
    """What a conversation's events come to."""
    found = Told()
    for said in history:
        if isinstance(said.event.data, MessagesForgotten):
            gone = [known_as for known_as in said.event.data.messages if found.standing.pop(known_as, None)]
            found.forgotten.update(dict.fromkeys(gone, said))
        else:
            found.standing[said.event.id] = said
            found.forgotten.pop(said.event.id, None)
    return found


def to_forget(ref: ChatRef, known: Told, messages: Sequence[str] | None) -> list[tuple[str, ...]]:
    """Ids of the messages that are to be forgotten, as many together as one event takes; None: of all.

    Raises Failed for one that there never was.
    """
    if never := [one for one in messages or () if one not in known.standing and one not in known.forgotten]:
        named = ", ".join(repr(one_line(one, 100)) for one in never)
        raise Failed(f"there is no message {named} in {spelt(ref)}; `rig chat show {spelt(ref)}` shows those there are")
    chosen = [one for one in known.standing if messages is None or one in messages]
    return [tuple(chosen[first : first + FORGOTTEN_MAX]) for first in range(0, len(chosen), FORGOTTEN_MAX)]


# ── shown ────────────────────────────────────────────────────────────────────


def listed(answer: Conversations) -> Iterator[str]:
    """`rig chat list`."""
    if not answer.conversations:
        yield "no conversations"
        return
    rows = [("CONVERSATION", "MESSAGES", "FIRST", "LAST", "WHO")]
    rows += [
        (
            one_line(spelt(line), 100),
            str(line.messages),
            show.clock(line.first),
            show.clock(line.last),
            ", ".join([*(one_line(author, 40) for author in line.authors), *(["…"] if line.more_authors else [])]),
        )
        for line in answer.conversations
    ]
    yield from show.table(rows)
    if answer.next is not None:
        yield f"… and more: --after {answer.next}"


def shown(answer: Messages) -> Iterator[str]:
    """`rig chat show`."""
    if answer.earlier is not None:
        yield f"… and earlier: --before {answer.earlier}"
    for line in answer.messages:
        yield from _message(line)
    if not answer.messages:
        yield "no messages"


def _message(line: MessageLine) -> Iterator[str]:
    author, source = one_line(line.author, 60), one_line(line.source, 60)
    who = author if author == source else f"{author} (by {source})"
    facts = [f"thread {one_line(line.thread, 60)}"] if line.thread is not None else []
    facts += [f"answers {one_line(line.in_reply_to, 100)}"] if line.in_reply_to is not None else []
    yield "  ".join((f"{line.position:>6}", show.clock(line.at), who, *facts, f"id {one_line(line.id, 300)}"))
    if line.text.strip():
        yield from (f"        {text}" for text in printable(line.text).expandtabs().strip("\n").split("\n"))
    for file in line.attachments:
        yield f"        [{one_line(file.name, 100)}, {file.bytes} bytes, {one_line(file.url, 300)}]"
