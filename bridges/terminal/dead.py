"""`rig dead`: what could not be handled: list it, look at one, have it tried once more, or drop it."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from msgspec import Struct

from bridges.terminal import reading, show
from bridges.terminal.output import say, say_json
from bridges.terminal.session import person, reported, run
from bridges.terminal.views import Json
from schemas import SchemaError, decode, one_line, printable, summary

if TYPE_CHECKING:
    from bus import Bus, DeadLetter

Id = Annotated[int, typer.Argument(metavar="ID", min=1, help="As `rig dead list` shows it.")]
BODY_CHARACTERS = 4_000
"""Of a message that people are shown; --json has all of the copy."""


class LetterLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One dead letter, for programs."""

    id: int
    state: str
    stream: str
    consumer: str
    position: int
    subject: str
    reason: str
    attempts: int
    time: datetime
    size: int
    body: bytes | None = None
    """In base64; `rig dead show` alone has it."""
    headers: dict[str, str] = {}
    cause: str | None = None
    by: str | None = None
    because: str | None = None
    decided: datetime | None = None


class LetterLines(Struct, frozen=True, kw_only=True):
    """`rig dead list --json`."""

    letters: list[LetterLine]


def list_(
    context: typer.Context,
    all_: Annotated[bool, typer.Option("--all", help="Those that were retried, dropped or replaced, too.")] = False,
    json: Json = False,
) -> None:
    """What could not be handled and waits for a decision, the oldest first."""
    with reported():
        letters = run(context, lambda bus: bus.dead.all())
        shown = [letter for letter in letters if all_ or letter.state == "open"]
        if json:
            say_json(LetterLines(letters=[_line(letter) for letter in shown]))
        else:
            say(_table(shown, all_=all_))


def show_(context: typer.Context, letter: Id, json: Json = False) -> None:
    """One dead letter: where it is from, why it is dead, and the message."""
    with reported():
        found = run(context, lambda bus: bus.dead.show(letter))
        say_json(_line(found, whole=True)) if json else say(_whole(found))


Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; it is recorded.")]


def retry(context: typer.Context, letter: Id, *, reason: Reason) -> None:
    """Have its consumer try it once more. A retry that fails again is a new dead letter."""
    with reported():
        why = reading.reason(reason)

        async def asking(bus: "Bus") -> int:
            return await bus.dead.retry(letter, by=person(), reason=why)

        say([f"dead letter {letter} is tried once more (RIG_DEAD:{run(context, asking)})"])


def drop(context: typer.Context, letter: Id, *, reason: Reason) -> None:
    """Record that it is not worth another try. Nothing is erased."""
    with reported():
        why = reading.reason(reason)

        async def dropping(bus: "Bus") -> int:
            return await bus.dead.drop(letter, by=person(), reason=why)

        run(context, dropping)
        say([f"dead letter {letter} is dropped"])


def _line(dead: "DeadLetter", *, whole: bool = False) -> LetterLine:
    letter, verdict = dead.letter, dead.verdict
    return LetterLine(
        id=dead.id,
        state=dead.state.value,
        stream=letter.stream,
        consumer=letter.consumer,
        position=letter.position,
        subject=letter.subject,
        reason=letter.reason,
        attempts=letter.attempts,
        time=letter.time,
        size=letter.size,
        body=letter.body if whole else None,
        headers=letter.headers if whole else {},
        cause=letter.cause,
        by=None if verdict is None else verdict.by,
        because=None if verdict is None else verdict.reason,
        decided=None if verdict is None else verdict.time,
    )


def _table(letters: "list[DeadLetter]", *, all_: bool) -> Iterator[str]:
    if not letters:
        yield "no dead letters" if all_ else "no open dead letters"
        return
    rows = [("ID", "SINCE", "FROM", "POSITION", "TRIES", *(["STATE"] if all_ else []), "WHY")]
    for dead in letters:
        letter = dead.letter
        source = one_line(f"{letter.stream} {letter.consumer}", 40)
        state = [dead.state.value] if all_ else []
        rows.append(
            (
                str(dead.id),
                show.clock(letter.time),
                source,
                str(letter.position),
                str(letter.attempts),
                *state,
                one_line(letter.reason, 80),
            )
        )
    yield from show.table(rows)


def _whole(dead: "DeadLetter") -> Iterator[str]:
    letter, verdict = dead.letter, dead.verdict
    yield f"dead letter {dead.id}, {dead.state.value}"
    if verdict is not None:
        yield f"decided    by {one_line(verdict.by, 100)}, {show.clock(verdict.time)}: {one_line(verdict.reason)}"
    yield f"from       {one_line(letter.stream)} {one_line(letter.consumer)}, position {letter.position}"
    yield f"since      {show.clock(letter.time)}, after {letter.attempts} tries"
    if letter.cause is not None:
        yield f"retried by {one_line(letter.cause)}"
    yield f"why        {one_line(letter.reason, 2_000)}"
    if not letter.subject:
        yield "message    its stream does not hold it any more, and there is no copy"
        return
    yield f"subject    {one_line(letter.subject, 1_000)}"
    yield from (f"header     {one_line(f'{name}: {value}')}" for name, value in letter.headers.items())
    yield f"message    {letter.size} bytes{_said(letter.subject, letter.body)}"
    yield from (f"  {line}" for line in _text(letter.body).split("\n"))


def _said(subject: str, body: bytes) -> str:
    try:
        return f": {summary(decode(body, subject=subject).data)}"
    except SchemaError:
        return ""


def _text(body: bytes) -> str:
    """A body as people can read it, whatever it holds."""
    try:
        text = msgspec.json.format(body, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body.decode(errors="backslashreplace")
    text = printable(text).expandtabs()
    return text if len(text) <= BODY_CHARACTERS else f"{text[:BODY_CHARACTERS]}\n… (all of it: --json)"
