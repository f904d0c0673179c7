"""`rig events`, `rig asyncapi`: what can be said, for people and for programs. Asks no rig, and connects to nothing.

What reads the classes is imported when one of them runs: every other command starts without it.
"""

import shutil
from typing import Annotated

import msgspec
import typer

from bridges.terminal.errors import BadInput
from bridges.terminal.output import say
from bridges.terminal.session import reported
from schemas import EVENTS, by_name

DISTRIBUTION = "rig-choreography"


def events(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="IssueApproved, issue.approved or ISSUE_APPROVED.")
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="As JSON Schema.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As the document schemas/EVENTS.md.")] = False,
) -> None:
    """What can be said: every event, who may say it, and its fields; with NAME the whole of one."""
    with reported():
        if markdown and (json or name is not None):
            raise BadInput("--markdown is about all events, and no JSON")
        event = None if name is None else by_name(name)
        from bridges.terminal import dictionary
        from schemas.catalogue import json_schema

        if markdown:
            say(dictionary.markdown())
        elif json:
            _say_json(json_schema(EVENTS if event is None else [event]))
        elif event is None:
            say(dictionary.everything(shutil.get_terminal_size((100, 24)).columns))
        else:
            say(dictionary.one(event))


def asyncapi() -> None:
    """The AsyncAPI 3 document of all that is said, as JSON."""
    with reported():
        from importlib.metadata import version

        from schemas.asyncapi import asyncapi as document

        _say_json(document(version(DISTRIBUTION)))


def _say_json(answer: object) -> None:
    say([msgspec.json.format(msgspec.json.encode(answer)).decode()])
