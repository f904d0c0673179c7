"""Characters: all that is wrong is said at once, those that are shipped are right, the schema is the type's."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from agents.character import Character, Shelf, Watched, json_schema, json_schema_text, read
from agents.character.prompt import persona
from agents.character.shelf import SHIPPED
from agents.dev_e.manner import Manner, manner_of
from bridges.terminal import BadInput
from deploy.agents import found_characters
from schemas import Invalid

SHIPPED_NAMES = ["architect-e", "conductor-e", "dev-e", "monitor-e", "review-e"]


def problems(document: object, **how: object) -> tuple[str, ...]:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(Invalid) as wrong:
        read(body, **how)  # type: ignore[arg-type]
    return wrong.value.problems


def test_the_smallest_is_a_name() -> None:
    found = read(b'{"name": "ann-e"}')
    assert found == Character(name="ann-e")
    assert persona(found) == ""


@pytest.mark.parametrize("name", SHIPPED_NAMES)
def test_what_is_shipped_is_right(name: str) -> None:
    character = Shelf().load(name)
    assert character.name == name
    assert character.bio
    assert all(line in persona(character) for line in (*character.bio, *character.style))


def test_the_shelf_has_them_all_and_a_persons_own_count_for_more(tmp_path: Path) -> None:
    assert list(Shelf([tmp_path]).files()) == SHIPPED_NAMES
    own = tmp_path / "dev-e" / "character.json"
    own.parent.mkdir()
    own.write_text('{"name": "dev-e", "bio": ["Mine."]}')
    shelf = Shelf([tmp_path])
    assert list(shelf.files()) == SHIPPED_NAMES
    assert shelf.load("dev-e").bio == ("Mine.",)
    assert shelf.load(str(own)) == shelf.load(str(own.parent)) == shelf.load("dev-e")
    with pytest.raises(Invalid, match="there is no 'nobody'; there are architect-e, conductor-e"):
        shelf.load("nobody")
    with pytest.raises(Invalid, match="cannot be read: No such file"):
        shelf.load(f"{tmp_path}/none.json")


def test_everything_that_is_wrong_is_said_at_once() -> None:
    said = problems(
        {
            "name": "Conductor E",
            "bios": 1,
            "cron": [
                {"name": "a", "corn": "* * * * *", "text": 3, "missed": "never"},
                {"name": "b", "cron": "61 * * * *", "text": "t", "zone": "Nowhere/No"},
                {"name": "b", "cron": "@fortnightly", "text": "t"},
            ],
            "triggers": [{"event": "IncidentOpend"}, {"event": "IssueEscalated", "where": {"colour": "red"}}],
            "tools": ["rig_staus", "rig_status", "rig_status", {"name": "x"}],
            "mcpServers": {"files": {"comand": "mcp"}},
            "webhooks": [{"name": "pager", "secret": "not a name", "text": ""}],
            "budget": {"turns": 0},
            "zone": "Nowhere",
        }
    )
    for place, what in (
        ("name", "is not Its own in the rig, and that of its directory"),
        ("", "no such key 'bios'; did you mean bio?"),
        ("cron[0]", "cron is missing"),
        ("cron[0]", "no such key 'corn'; did you mean cron?"),
        ("cron[0].text", "3 is not of type 'string'"),
        ("cron[0].missed", "'never' is not one of ['skip', 'once', 'all']"),
        ("cron[1].cron", "'61 * * * *' is no cron expression: Bad minute"),
        ("cron[1].zone", "there is no time zone 'Nowhere/No'"),
        ("cron[2].cron", "'@fortnightly' is no cron expression: there are @hourly, @daily"),
        ("cron", "'b' is there twice"),
        ("triggers[0].event", "'IncidentOpend' is no event type; did you mean IncidentOpened"),
        ("triggers[1].where", "IssueEscalated has no field 'colour' (it has reason"),
        ("tools[0]", "'rig_staus' is not one of ['rig_status'"),
        ("tools", "'rig_status' is there twice"),
        ("tools[3]", "description is missing"),
        ("tools[3]", "url is missing"),
        ("mcpServers.files", "no such key 'comand'; did you mean command?"),
        ("webhooks[0].secret", "is not Whoever calls must know it."),
        ("budget.turns", "0 is less than the minimum of 1"),
        ("zone", "there is no time zone 'Nowhere'"),
    ):
        assert any(line.startswith(f"{place}: " if place else what) and what in line for line in said), (what, said)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "not JSON: Expecting value: line 1 column 1"),
        (b'{"name": "a",}', "not JSON: .* line 1"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff", "not UTF-8"),
        (b"[]", "is not of type 'object'"),
        (b'{"name": "a", "name": "b"}', "name: said twice"),
        (b'{"name": "a", "zone": "\\ud800"}', "half a character"),
        (b'{"name": "a", "budget": {"seconds": NaN}}', "not JSON: NaN is no number"),
        (b" " * 600_000, "600000 bytes"),
    ],
)
def test_what_is_no_document(body: bytes, what: str) -> None:
    with pytest.raises(Invalid, match=what):
        read(body)


def test_a_directory_and_its_character_have_one_name() -> None:
    assert problems({"name": "ann-e"}, directory="bob-e") == (
        "name: 'ann-e' lies in a directory 'bob-e'; they must be the same",
    )


def test_secrets_must_be_there_where_it_runs_and_nowhere_else() -> None:
    document = {"name": "a", "webhooks": [{"name": "pager", "secret": "PAGER", "text": ""}]}
    assert read(json.dumps(document).encode()).webhooks
    assert problems(document, secrets=()) == ("webhooks[0].secret: there is no secret PAGER; set RIG_SECRET_PAGER",)
    assert read(json.dumps(document).encode(), secrets=["PAGER"])


def test_the_published_schema_is_the_types() -> None:
    assert (SHIPPED / "character.schema.json").read_text() == json_schema_text(), "`rig agent schema` makes it"
    for name, schema in json_schema()["$defs"].items():
        assert schema.get("additionalProperties", schema.get("enum")) is not None, f"{name} takes anything"


def test_a_changed_file_is_in_force_and_a_wrong_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "ann-e" / "character.json"
    file.parent.mkdir()
    file.write_text('{"name": "ann-e", "bio": ["One."]}')
    watched = Watched(file)
    assert not watched.look()
    file.write_text('{"name": "ann-e", "bio": ["Two, longer."]}')
    assert watched.look()
    assert watched.current.bio == ("Two, longer.",)
    for wrong in ('{"name": "ann-e", "bio": 3}', '{"name": "bob-e"}', "{"):
        file.write_text(wrong)
        assert not watched.look()
        assert watched.problem is not None
        assert watched.current.bio == ("Two, longer.",)
    file.unlink()
    assert not watched.look()
    assert watched.current.bio == ("Two, longer.",)
    file.write_text('{"name": "ann-e", "bio": ["Two, longer."], "style": []}')
    assert not watched.look(), "the same again"
    assert watched.problem is None


def test_what_is_wrong_only_where_it_runs_does_not_come_into_force_either(tmp_path: Path) -> None:
    file = tmp_path / "ann-e" / "character.json"
    file.parent.mkdir()
    file.write_text('{"name": "ann-e"}')
    watched = Watched(file, problems=lambda character: [f"no model {model}" for model in character.llm.models])
    file.write_text('{"name": "ann-e", "llm": {"models": ["nobody/x"]}}')
    assert not watched.look()
    assert watched.current.llm.models == ()
    assert watched.problem is not None
    assert "no model nobody/x" in watched.problem
    with pytest.raises(Invalid, match="no model nobody/x"):
        Watched(file, problems=lambda character: [f"no model {model}" for model in character.llm.models])


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (
            {"name": "dev-e", "llm": {"models": ["lab/m"]}, "tools": ["rig_status"], "budget": {"tokens": 5}},
            (
                "llm: the role dev-e has no use for it: that is its coder's, as in `rig up --coder",
                "tools: the role dev-e has no use for it: that is its coder's",
                "budget.tokens: the role dev-e has no use for it; it uses costUsd, seconds, turns",
            ),
        ),
        ({"name": "dev-e", "budget": {"costUsd": 0}}, ("budget.costUsd: a coder that may use nothing cannot work",)),
        (
            {
                "name": "review-e",
                "messaging": {"mention": True},
                "memory": {"keepFactsDays": 3},
                "budget": {"turns": 3},
            },
            (
                "messaging: the role review-e has no use for it; it uses $schema, bio,",
                "budget.turns: the role review-e has no use for it; it uses costUsd, seconds",
                "memory.keepFactsDays: the role review-e has no use for it; it uses keepDays, learn, recall",
            ),
        ),
    ],
)
def test_a_role_refuses_what_its_work_has_no_use_for(document: dict[str, object], said: tuple[str, ...]) -> None:
    found = problems(document)
    assert [line.startswith(begin) for line, begin in zip(found, said, strict=True)] == [True] * len(said), found
    other = {**document, "name": "ann-e", "budget": {"turns": 3}}
    assert read(json.dumps(other).encode()).name == "ann-e", "who has no role may say all of it"


def test_a_role_is_no_agent_like_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIG_CHARACTERS", str(tmp_path))
    with pytest.raises(BadInput, match="dev-e is a role of the rig, and no agent like others: rig up --coder"):
        found_characters(["dev-e", "monitor-e"])
    assert list(found_characters(["monitor-e"])) == ["monitor-e"]


def test_only_the_limits_that_a_character_names_are_dev_es(tmp_path: Path) -> None:
    assert manner_of(Shelf().find("dev-e")).persona == persona(Shelf().load("dev-e"))
    file = tmp_path / "dev-e" / "character.json"
    file.parent.mkdir()
    file.write_text('{"name": "dev-e", "budget": {"seconds": 60}, "memory": {"keepDays": 3}}')
    assert manner_of(file) == Manner(seconds=60, keep=timedelta(days=3))
    file.write_text('{"name": "dev-e", "bios": []}')
    with pytest.raises(Invalid, match="no such key 'bios'"):
        manner_of(file)
