"""Versions: what an older release wrote is read as the newest class, step by step."""

import json
from datetime import UTC, datetime
from importlib import import_module
from typing import ClassVar

import pytest

from schemas import BY_TYPE, EVENTS, Actor, Draft, IssueRef, Stopped, Undecodable, UnknownType, decode, encode, envelope
from schemas import actors as actor_table
from schemas.event import IssueEvent
from schemas.fields import Line
from schemas.upcast import UPCASTERS, Data, newest, upcast, upcasts

codec = import_module("schemas.envelope")  # the package has a function of that name
SUBJECT = "rig.issue.acme.web.42.cli.stopped"


class NewStopped(IssueEvent, frozen=True, kw_only=True):
    """What `Stopped` might be at version 3: `by` split in two, and `note` with another name."""

    schema_version: ClassVar[int] = 3

    person: Line
    role: str
    reason: str = ""

    @classmethod
    def name(cls) -> str:
        return "stopped"


def renamed(data: Data) -> Data:
    return {"by": data["by"], "reason": data.get("note", "")}


def split(data: Data) -> Data:
    person, _, role = str(data["by"]).partition("@")
    return {"person": person, "role": role, "reason": data["reason"]}


V1 = encode(
    envelope(
        Draft(about=IssueRef("acme", "web", 42), data=Stopped(by="ada@ops", note="enough"), cause="c", correlation="r"),
        id="id-1",
        actor=Actor.CLI,
        source="cli/ada",
        time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
)
NEW = NewStopped(person="ada", role="ops", reason="enough")


def document(**changed: object) -> bytes:
    return json.dumps({**json.loads(V1), **changed}).encode()


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release in which `Stopped` is at version 3, with its steps."""
    monkeypatch.delitem(BY_TYPE, "rig.issue.stopped.v1")
    monkeypatch.setitem(BY_TYPE, NewStopped.wire_type(), NewStopped)
    monkeypatch.setitem(codec._CODECS, NewStopped, codec._codec(NewStopped))
    monkeypatch.setitem(codec._BY_SUBJECT, ("issue", "stopped"), NewStopped)
    monkeypatch.setattr(codec, "_expected", codec._expected.__wrapped__)  # it remembers
    monkeypatch.setattr(actor_table, "_SAYINGS", actor_table._SAYINGS | {(Actor.CLI, NewStopped)})
    monkeypatch.setitem(UPCASTERS, "rig.issue.stopped.v1", renamed)
    monkeypatch.setitem(UPCASTERS, "rig.issue.stopped.v2", split)


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize("subject", [SUBJECT, None])
def test_an_old_document_is_read_as_the_newest_class(subject: str | None) -> None:
    event = decode(V1, subject=subject)
    assert (event.data, event.type) == (NEW, "rig.issue.stopped.v3")
    said = json.loads(V1)
    again = json.loads(encode(event))
    for name in said.keys() - {"type", "data"}:
        assert again[name] == said[name]
    assert decode(encode(event), subject=SUBJECT) == event


@pytest.mark.usefixtures("release")
def test_each_version_takes_the_steps_that_it_needs() -> None:
    second = document(type="rig.issue.stopped.v2", data={"by": "ada@ops", "reason": "enough"})
    third = document(type="rig.issue.stopped.v3", data={"person": "ada", "role": "ops", "reason": "enough"})
    assert decode(second).data == decode(third).data == NEW


@pytest.mark.usefixtures("release")
def test_of_the_newest_version_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_decode_slowly", None)
    third = document(type="rig.issue.stopped.v3", data={"person": "ada", "role": "ops"})
    assert decode(third, subject=SUBJECT).data == NewStopped(person="ada", role="ops")


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"data": {}}, r"a rig\.issue\.stopped\.v1 that cannot be read as rig\.issue\.stopped\.v3: KeyError\('by'\)"),
        ({"data": []}, "Expected `object`"),
        ({"data": {"by": "@ops"}}, "person"),
        ({"subject": "rig.issue.acme.web.42.dev-e.stopped"}, "dev-e may not say NewStopped"),
        ({"subject": "rig.issue.acme.web.42.cli.merged"}, "cannot be said on"),
    ],
)
def test_an_old_document_that_is_none_is_refused_with_the_reason(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(Undecodable, match=reason):
        decode(document(**changed))


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize("wire_type", ["rig.issue.stopped.v0", "rig.issue.stopped.v4", "rig.issue.other.v1", ""])
def test_a_version_without_a_step_is_unknown(wire_type: str) -> None:
    with pytest.raises(UnknownType):
        decode(document(type=wire_type))


def test_the_steps_are_taken_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    for version in (1, 2, 3):
        wire_type = f"rig.x.y.v{version}"
        monkeypatch.setitem(UPCASTERS, wire_type, lambda data, version=version: {**data, f"step{version}": len(data)})
    assert newest("rig.x.y.v1", {"rig.x.y.v4"}) == "rig.x.y.v4"
    assert newest("rig.x.y.v1", {"rig.x.y.v9"}) is None
    assert list(upcast("rig.x.y.v1", {}, "rig.x.y.v4").items()) == [("step1", 0), ("step2", 1), ("step3", 2)]
    assert upcast("rig.x.y.v4", {"a": 1}, "rig.x.y.v4") == {"a": 1}


def test_one_version_has_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(UPCASTERS, "rig.x.y.v1", raising=False)
    assert upcasts("rig.x.y.v1")(renamed) is renamed
    with pytest.raises(ValueError, match=r"rig\.x\.y\.v1 has an upcaster already"):
        upcasts("rig.x.y.v1")(split)
    del UPCASTERS["rig.x.y.v1"]


def test_every_older_version_of_an_event_leads_to_the_newest() -> None:
    for event in EVENTS:
        base, _, _ = event.wire_type().rpartition(".v")
        for version in range(1, event.schema_version):
            assert newest(f"{base}.v{version}", BY_TYPE) == event.wire_type()
    for wire_type in UPCASTERS:
        assert newest(wire_type, BY_TYPE) is not None, f"{wire_type} leads to no event"
