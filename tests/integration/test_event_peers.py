"""What the rig says of its events, judged by others: AsyncAPI's own parser, and a validator of JSON Schema."""

import json
from typing import Any

import pytest

from schemas import EVENTS, MAY_SAY
from schemas.asyncapi import asyncapi
from schemas.catalogue import address, json_schema
from tests.support import peers
from tests.support.golden import document

pytestmark = [pytest.mark.peer, pytest.mark.timeout(400)]  # the first on a machine installs them

WORSE_THAN_A_HINT = (0, 1)  # errors and warnings


def judged(said: dict[str, Any], documents: list[object]) -> Any:
    return peers.run("asyncapi.cjs", {"asyncapi": said, "schema": json_schema(), "documents": documents})


def test_the_asyncapi_parser_and_a_json_schema_validator_find_nothing_wrong() -> None:
    answer = judged(asyncapi("1.2.3"), [json.loads(document(event)) for event in EVENTS])
    assert [said for said in answer["diagnostics"] if said["severity"] in WORSE_THAN_A_HINT] == []
    assert answer["version"] == "3.0.0"
    assert answer["channels"] == [address(event) for event in EVENTS]
    assert sorted(answer["operations"]) == sorted(
        f"{actor}.{event.__name__}" for actor, events in MAY_SAY.items() for event in events
    )
    assert {event.__name__: errors for event, errors in zip(EVENTS, answer["errors"], strict=True) if errors} == {}


def test_they_do_find_what_is_wrong() -> None:
    said = asyncapi("1.2.3")
    said["operations"]["cli.Stopped"]["channel"] = {"$ref": "#/channels/Nothing"}
    right = json.loads(document(EVENTS[0]))
    wrong: list[object] = [
        {**right, "type": "rig.issue.approved.v9"},
        {**right, "subject": "rig.issue.acme.web.0.local.approved"},
        {**right, "subject": "rig.issue.acme.web.1.nobody.approved"},
        {**right, "data": {**right["data"], "title": "two\nlines"}},
        {**right, "data": {name: value for name, value in right["data"].items() if name != "author"}},
        {name: value for name, value in right.items() if name != "id"},
    ]
    answer = judged(said, [right, *wrong])
    assert any("Nothing" in each["message"] and each["severity"] == 0 for each in answer["diagnostics"]), answer
    found, *errors = answer["errors"]
    assert found == []
    assert all(errors)
