"""What the rig says of its events: schemas, AsyncAPI, tables and the document, all from the classes."""

import json
import re
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import pytest
import typer
from msgspec import UNSET, Meta, UnsetType
from typer.testing import CliRunner

from bridges.terminal import add_commands, dictionary
from schemas import EVENTS, MAY_SAY, Actor, IssueApproved, PriorityChanged, by_name
from schemas.asyncapi import asyncapi
from schemas.catalogue import address, data_schemas, json_schema, said_by
from schemas.described import Field, fields_of, types_within
from schemas.docs import meaning
from schemas.event import RepoEvent
from schemas.fields import Branch, Line
from schemas.refs import Name
from tests.support.golden import document

ROOT = Path(__file__).parents[2]


def rig(*arguments: str) -> str:
    app = typer.Typer()
    add_commands(app, lambda: pytest.fail("it went on to connect"))
    result = CliRunner().invoke(app, list(arguments))
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


# ── what is said of one event ────────────────────────────────────────────────


class Colour(StrEnum):
    """What it looks like."""

    RED = "red"
    """As a rose."""
    BLUE = "blue"


class Example(RepoEvent, frozen=True, kw_only=True):
    """Only an
    example.

    With more than anybody wants to read.
    """

    colour: Colour = Colour.RED
    names: tuple[Name, ...] = ()
    """Whoever counts."""
    base_branch: Branch | None = None
    """None: the repository's own."""
    by: Line
    wait_seconds: Annotated[float, Meta(gt=0, le=3_600)]
    costs_usd: dict[str, float | None] | UnsetType = UNSET


def test_a_field_in_words() -> None:
    assert fields_of(Example) == (
        Field("colour", "Colour", "", '"red"', ""),
        Field("names", "string[]", "", "[]", "Whoever counts. Each: a name: 1 to 100 letters, digits, . _ -."),
        Field("base_branch", "string or null", "", "null", "None: the repository's own. A git branch name."),
        Field("by", "string", "", None, "One line of 1 to 300 printable characters."),
        Field("wait_seconds", "number", "seconds", None, "More than 0, at most 3,600."),
        Field("costs_usd", "number or null by string", "US dollars", "absent", ""),
    )
    assert types_within([Example]) == (Example, Colour)


def test_what_the_source_says_is_in_the_schema() -> None:
    schemas = data_schemas([Example], "#/{name}")
    assert schemas["Example"]["description"] == meaning(Example) == "Only an example."
    assert schemas["Example"]["properties"]["names"]["description"] == "Whoever counts."
    assert schemas["Colour"]["enum"] == ["red", "blue"]
    assert schemas["Colour"]["description"] == "What it looks like.\n\nred: As a rose."


def test_units_are_in_the_names() -> None:
    (policy,) = (event for event in EVENTS if event.__name__ == "PolicyAdopted")
    said = "\n".join(dictionary.one(policy))
    assert re.search(r"claim_seconds +number +seconds", said)
    assert re.search(r"coder_output_bytes +integer +bytes", said)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_every_event_is_explained_and_its_subject_is_as_said(event: type) -> None:
    assert meaning(event)
    assert said_by(event)
    said = json.loads(document(event))
    documents = json_schema([event])["$defs"]
    pattern = documents[event.wire_type()]["properties"]["subject"]["pattern"]
    assert re.search(pattern, said["subject"])
    assert not re.search(pattern, said["subject"].replace(f".{event.name()}", ".nothing"))
    assert said["subject"].count(".") == address(event).count(".")
    assert set(said["data"]) == set(documents[event.__name__]["properties"])


def test_the_schemas_of_one_event_are_no_more_than_its_own() -> None:
    assert set(json_schema([IssueApproved])["$defs"]) == {
        "CloudEvent",
        "rig.issue.approved.v1",
        "IssueApproved",
        "IssueRef",
        "Priority",
    }


def test_expressions_are_written_as_ecma_has_them() -> None:
    assert not re.search(r"\\A|\\Z", json.dumps(json_schema()).replace(r"\\", "\\"))


def test_asyncapi_has_a_channel_for_each_event_and_an_operation_for_each_who_may_say_it() -> None:
    said = asyncapi("1.2.3")
    assert said["channels"]["IssueAssigned"]["address"] == "rig.issue.{owner}.{repo}.{number}.{actor}.assigned.{role}"
    assert set(said["channels"]["IssueAssigned"]["parameters"]) == {"owner", "repo", "number", "actor", "role"}
    assert said["channels"]["IssueAssigned"]["parameters"]["actor"]["enum"] == ["conductor"]
    assert len(said["channels"]) == len(said["components"]["messages"]) == len(EVENTS)
    assert len(said["operations"]) == sum(map(len, MAY_SAY.values()))
    assert said["operations"]["dev-e.WorkPushed"]["description"].endswith(".{number}.dev-e.work_pushed")
    assert "local.WorkPushed" not in said["operations"]


def test_it_is_the_same_in_every_run() -> None:
    """The order of sets differs between runs, and must not show."""

    def said(seed: str) -> bytes:
        code = "from deploy.cli import main; main()"
        command = [sys.executable, "-c", code, "asyncapi"]
        return subprocess.run(command, check=True, capture_output=True, env={"PYTHONHASHSEED": seed}, cwd=ROOT).stdout

    assert said("1") == said("2")


# ── the commands ─────────────────────────────────────────────────────────────


def test_events_are_a_table() -> None:
    lines = rig("events").splitlines()
    assert re.match(r"TYPE +SAID BY", lines[0])
    (at,) = (number for number, line in enumerate(lines) if line.startswith("rig.issue.priority_changed.v1"))
    assert lines[at].endswith(f"  {', '.join(said_by(PriorityChanged))}")
    assert lines[at + 1 : at + 3] == [
        "    A person changes how urgent this is.",
        "    priority: Priority, by: string, note?: string",
    ]
    assert sum(line.startswith("rig.") for line in lines) == len(EVENTS)


@pytest.mark.parametrize("name", ["IssueEscalated", "issue.escalated", "ISSUE_ESCALATED", "issue_escalated"])
def test_one_event_whole_by_any_of_its_names(name: str) -> None:
    said = rig("events", name)
    assert said.startswith("IssueEscalated: The rig has done what it may")
    for expected in ("rig.issue.escalated.v1", "said by  conductor", "nobody_works", "went unclaimed", '"people"'):
        assert expected in said


def test_the_schemas_as_json() -> None:
    every = json.loads(rig("events", "--json"))
    assert len(every["oneOf"]) == len(EVENTS)
    one = json.loads(rig("events", "Stopped", "--json"))
    assert one["oneOf"] == [{"$ref": "#/$defs/rig.issue.stopped.v1"}]
    assert one["$defs"]["Stopped"]["required"] == ["by"]


def test_asyncapi_as_json() -> None:
    assert json.loads(rig("asyncapi"))["asyncapi"] == "3.0.0"


@pytest.mark.parametrize("more", [["--json"], ["Stopped"]])
def test_the_document_is_of_all_events(more: list[str]) -> None:
    app = typer.Typer()
    add_commands(app, lambda: pytest.fail("it went on to connect"))
    result = CliRunner().invoke(app, ["events", "--markdown", *more])
    assert (result.exit_code, result.stderr) == (2, "rig: --markdown is about all events, and no JSON\n")


def test_the_document_of_the_events_is_current() -> None:
    current = (ROOT / "schemas" / "EVENTS.md").read_text()
    assert current == rig("events", "--markdown"), f"schemas/EVENTS.md is old: run `{dictionary.RENEW}`"


def test_every_event_is_found_by_its_older_name_in_capitals() -> None:
    for event in EVENTS:
        older = re.sub(r"(?<!^)(?=[A-Z])", "_", event.__name__).upper()
        assert by_name(older) is by_name(older.lower()) is event


def test_actors_stand_in_their_own_order() -> None:
    assert said_by(IssueApproved) == tuple(actor for actor in Actor if IssueApproved in MAY_SAY[actor])
