"""Every event ever released still decodes, to the same values; and what a change may not do to it is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from schemas import EVENTS, decode, encode
from schemas.compatibility import incompatible, merged, shapes
from tests.support import golden

DOCUMENTS = [path for paths in golden.documents().values() for path in paths]


def within(part: Any, whole: Any) -> bool:
    """Whether every value of the part stands in the whole, which may have fields that came later."""
    match part:
        case dict():
            return isinstance(whole, dict) and all(name in whole and within(part[name], whole[name]) for name in part)
        case list():
            return isinstance(whole, list) and len(part) == len(whole) and all(map(within, part, whole))
        case _:
            return type(part) is type(whole) and part == whole


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_what_was_released_decodes_and_says_the_same_again(path: Path) -> None:
    body = path.read_bytes()
    document = json.loads(body)
    assert document["type"] == path.stem.partition("+")[0]
    event = decode(body, subject=document["subject"])
    assert type(event.data) in EVENTS
    if event.type == document["type"]:  # an older one has become the newest
        assert within(document, json.loads(encode(event))), "it does not come out as it went in"


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_every_field_of_every_event_stands_in_a_document(event: type) -> None:
    missing = golden.unset(event)
    assert not missing, f"tests/golden/events/ has no {event.__name__} with {sorted(missing)}: run `{golden.COMMAND}`"


def test_nothing_that_was_released_is_taken_no_more() -> None:
    problems = incompatible(golden.released(), shapes())
    assert not problems, "\n".join(problems)


def test_the_released_shapes_are_current() -> None:
    released = golden.released()
    changed = [wire_type for wire_type, shape in shapes().items() if released.get(wire_type) != shape]
    assert not changed, f"tests/golden/schemas.json does not know {changed} as they are: run `{golden.COMMAND}`"


# ── the command ──────────────────────────────────────────────────────────────


def test_what_is_missing_is_written_once_and_never_again(tmp_path: Path) -> None:
    problems, written = golden.renew(tmp_path)
    assert problems == []
    assert len(written) == len(EVENTS) + 1
    ours = tmp_path / "events" / "rig.issue.stopped.v1.json"
    changed = ours.read_bytes().replace(b"golden:stopped", b"golden:other")
    ours.write_bytes(changed)
    (tmp_path / "events" / "rig.issue.merged.v1.json").unlink()
    assert golden.renew(tmp_path) == ([], ["rig.issue.merged.v1.json"])
    assert golden.renew(tmp_path) == ([], [])
    assert ours.read_bytes() == changed


def test_a_field_that_came_later_stands_in_a_document_of_its_own(tmp_path: Path) -> None:
    golden.renew(tmp_path)
    first = tmp_path / "events" / "rig.issue.stopped.v1.json"
    first.write_bytes(first.read_bytes().replace(b'"note"', b'"other"'))
    assert golden.renew(tmp_path) == ([], ["rig.issue.stopped.v1+2.json"])


def test_an_incompatible_change_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    golden.renew(tmp_path)
    table = tmp_path / "schemas.json"
    released = json.loads(table.read_bytes())
    released["rig.issue.stopped.v1"]["properties"]["why"] = {"type": "string"}
    released["rig.issue.forgotten.v1"] = {"type": "object"}
    table.write_text(json.dumps(released))
    before = table.read_bytes()
    (tmp_path / "events" / "rig.issue.merged.v1.json").unlink()
    renew = golden.renew
    monkeypatch.setattr(golden, "renew", lambda: renew(tmp_path))
    assert golden.main() == 1
    said = capsys.readouterr().err
    assert "refused: rig.issue.stopped.v1: why: is gone" in said
    assert "refused: rig.issue.forgotten.v1: gone, and no upcaster reads" in said
    assert table.read_bytes() == before
    assert not (tmp_path / "events" / "rig.issue.merged.v1.json").exists()


def test_what_is_gone_from_the_code_stays_in_the_table() -> None:
    old = shapes(EVENTS[:2])
    assert merged(old, shapes(EVENTS[1:3])) == shapes(EVENTS[:3])
