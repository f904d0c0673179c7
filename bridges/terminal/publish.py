"""`rig publish`: an event that the terminal may say, typed and checked before it leaves."""

import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridges.terminal import names, reading
from bridges.terminal.errors import BadInput
from bridges.terminal.output import say
from bridges.terminal.session import reported, run
from schemas import Actor, Draft, RepositoryAdded, event_id

if TYPE_CHECKING:
    from bus import Bus


def publish(
    context: typer.Context,
    type: Annotated[  # noqa: A002 - what it is called in an envelope
        str, typer.Argument(metavar="TYPE", help="IssueApproved, issue.approved or rig.issue.approved.v1.")
    ],
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE…",
            help="What it is about (issue=OWNER/REPO#N or repo=OWNER/REPO) and its fields; tuples as a,b.",
        ),
    ] = None,
    json: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Read them from a JSON object instead; - is standard input.")
    ] = None,
    id: Annotated[  # noqa: A002 - what it is called in an envelope
        str | None, typer.Option(help="The event's id: said twice, it is stored once.")
    ] = None,
) -> None:
    """Say an event. Nothing is published unless everything about it is right."""
    with reported():
        draft = reading.draft(type, _values(values or [], json))
        known_as = event_id(Actor.CLI, uuid.uuid4().hex) if id is None else reading.event_id(id)
        position = run(context, lambda bus: _say(bus, draft, known_as))
        say([f"position {position}, id {known_as}"])


async def _say(bus: "Bus", draft: Draft, known_as: str) -> int:
    """Its position. Raises BadInput for a repository that nobody here would hear of."""
    if not isinstance(draft.data, RepositoryAdded):
        await names.check_under_the_rig(bus, draft.about)
    return await bus.log.publish(draft, known_as)


def _values(arguments: list[str], json: str | None) -> dict[str, object]:
    if json is None:
        return reading.pairs(arguments)
    if arguments:
        raise BadInput("give KEY=VALUE or --json, not both")
    return reading.json_object(read_text("--json", json))


def read_text(what: str, file: str) -> str:
    """The text of a file, or of standard input for `-`. Raises BadInput."""
    try:
        if file == "-":
            return reading.text(what, sys.stdin.buffer.read(reading.INPUT_MAX + 1))
        with Path(file).open("rb") as source:
            return reading.text(what, source.read(reading.INPUT_MAX + 1))
    except OSError as error:
        raise BadInput(f"{what}: cannot read {file}: {error.strerror}") from None
