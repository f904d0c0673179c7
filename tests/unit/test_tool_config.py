"""What a character says about its tools: everything that is wrong with it is said at once."""

from pathlib import Path

import msgspec
import pytest

from agents.tools.config import Egress, HttpTool, McpServer
from agents.tools.problems import problems
from agents.tools.schema import complaints, plain_complaints, wrong_schema
from agents.tools.secrets import Secrets, read
from schemas import Invalid

GOOD = {
    "name": "incidents",
    "description": "Open incidents of a team.",
    "url": "https://status.example.com/teams/{team}/incidents",
    "parameters": {
        "team": {"in": "path", "schema": {"type": "string"}},
        "since": {"in": "query", "schema": {"type": "string"}, "required": False},
    },
    "headers": {"Authorization": "Bearer ${secret:STATUS}"},
}
EGRESS = Egress(hosts=("*.example.com",))


def found(*tools: dict[str, object], servers: dict[str, object] | None = None) -> list[str]:
    read_tools = msgspec.convert(list(tools), list[HttpTool])
    read_servers = msgspec.convert(servers or {}, dict[str, McpServer])
    return list(problems(read_tools, read_servers, EGRESS, ["STATUS"]))


def test_nothing_is_wrong() -> None:
    servers: dict[str, object] = {
        "files": {"command": "node", "args": ["server.js"], "env": {"TOKEN": "${secret:STATUS}"}},
        "wiki": {"url": "https://wiki.example.com/mcp", "headers": {"Authorization": "${secret:STATUS}"}},
    }
    assert found(GOOD, servers=servers) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"url": "https://{team}.example.com/"}, "url: where a request goes is not for a model to choose"),
        ({"url": "https://evil.net/{team}"}, "url: permissions.egress does not name evil.net"),
        ({"url": "ftp://status.example.com/{team}"}, "is no URL like"),
        ({"url": "https://ann:pw@status.example.com/{team}"}, "url: has neither a login nor a fragment"),
        ({"url": "https://status.example.com/{team}/{day}"}, "url: {day} is no parameter with in: path"),
        ({"url": "https://status.example.com/"}, "parameters.team: in: path, and {team} is not in the url"),
        ({"url": "https://status.example.com/{team}?d={since}"}, "stands in the path alone"),
        ({"url": "https://status.example.com/{team}/${secret:STATUS}"}, "url: a secret there would stand in every log"),
        ({"headers": {"X": "${secret:OTHER}"}}, "headers.X: there is no secret OTHER; set RIG_SECRET_OTHER"),
        ({"headers": {"X": "${STATUS}"}}, "headers.X: a secret is written ${secret:NAME}"),
        ({"headers": {"Host": "evil.net"}}, "headers.Host: is not a tool's to set"),
        ({"headers": {"X": "a\r\nY: b"}}, "headers.X: holds a line break"),
        ({"name": "remember"}, "another tool has this name"),
        ({"parameters": {"team": {"in": "path", "schema": {"type": "strin"}}}}, "schema: 'strin' is not valid"),
        ({"parameters": {"team": {"in": "path", "schema": {}, "required": False}}}, "what is in the path is required"),
        (
            {"parameters": {"team": {"in": "path", "schema": {}}, "b": {"in": "body", "schema": {}}}},
            "a GET has no body",
        ),
        (
            {"parameters": {"team": {"in": "path", "schema": {}}, "authorization": {"in": "header", "schema": {}}}},
            "the header authorization is not for a model to choose",
        ),
    ],
)
def test_what_is_wrong_with_a_tool(change: dict[str, object], problem: str) -> None:
    (said, *_) = [line for line in found({**GOOD, **change}) if problem in line]
    assert said.startswith("tools.")


def test_what_is_wrong_with_servers() -> None:
    servers: dict[str, object] = {
        "a b": {"command": "x", "url": "https://wiki.example.com/"},
        "none": {},
        "far": {"url": "http://10.0.0.1/mcp"},
        "told": {"command": "x", "args": ["--token=${secret:STATUS}"], "env": {"A": "${secret:B}"}},
    }
    assert found(servers=servers) == [
        "mcpServers.a b: a server's name is 1 to 24 letters, digits, -",
        "mcpServers.a b: give command or url, and not both",
        "mcpServers.none: give command or url, and not both",
        "mcpServers.far.url: permissions.egress does not name 10.0.0.1",
        "mcpServers.told.env.A: there is no secret B; set RIG_SECRET_B or RIG_SECRET_B_FILE",
        "mcpServers.told.args: everybody sees the secret STATUS there; put it in env",
    ]


def test_secrets_come_from_the_environment_and_are_never_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    secrets = read({"RIG_SECRET_A": "plain", "RIG_SECRET_B_FILE": str(tmp_path / "token"), "OTHER": "x"})
    assert secrets.put_in("${secret:A} ${secret:B} ${C}") == "plain from-a-file ${C}"
    assert secrets.taken_out("it is from-a-file, plain") == "it is (a secret), plain"
    assert repr(secrets) == "Secrets(A, B)"
    with pytest.raises(Invalid) as wrong:
        read({"RIG_SECRET_A": "", "RIG_SECRET_B": "x\ny", "RIG_SECRET_C_FILE": str(tmp_path / "none")})
    assert len(wrong.value.problems) == 3
    assert repr(Secrets({})) == "Secrets()"


# ── JSON Schema ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "schema",
    [
        [],
        {"type": "banana"},
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"properties": {"a": {"$ref": "file:///etc/passwd"}}},
        {"description": "x" * 70_000},
        {"pattern": "("},
        {"required": "a"},
    ],
)
def test_schemas_that_cannot_be_used(schema: object) -> None:
    assert wrong_schema(schema) is not None


def test_a_schema_nested_without_end_is_wrong() -> None:
    schema: dict[str, object] = {}
    for _ in range(100):
        schema = {"items": schema}
    assert wrong_schema(schema) == "nested more than 40 deep"


def test_the_whole_schema_is_followed_for_the_operators_own() -> None:
    schema = {"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"pattern": "^x"}}}
    assert wrong_schema(schema) is None
    assert complaints(schema, {"a": 1, "b": "xy"}) == []
    assert len(complaints(schema, {"a": "one", "b": "y"})) == 2
    assert complaints({"$ref": "#"}, {}) == ["it cannot be checked: RecursionError"]
    assert complaints({"$ref": "http://127.0.0.1:1/"}, {}) == ["it cannot be checked: _WrappedReferencingError"]


def test_of_somebody_elses_schema_nothing_is_followed_that_takes_long() -> None:
    bomb: dict[str, object] = {"type": "object"}
    bomb["$defs"] = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(60)
    }
    bomb["properties"] = {"a": {"$ref": "#/$defs/d0"}, "b": {"pattern": "^(a+)+$"}, "c": {"uniqueItems": True}}
    assert plain_complaints(bomb, {"a": 1, "b": "a" * 60 + "!", "c": [{}] * 5_000}) == []
    assert plain_complaints(bomb, []) == ["[] is not of type 'object'"]


@pytest.mark.parametrize(
    ("schema", "value", "fits"),
    [
        ({"required": ["a"]}, {}, False),
        ({"properties": {"pattern": {"type": "integer"}}}, {"pattern": "x"}, False),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, [], False),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, 1, True),
        ({"anyOf": [{"type": "integer"}], "oneOf": [{"minimum": 3}]}, 2, False),
        ({"not": {"type": "integer"}}, 1, True),
        ({"additionalProperties": False}, {"a": 1}, False),
        ({"additionalProperties": False, "patternProperties": {"a": {}}}, {"a": 1}, True),
        ({"items": {"enum": [1, 2]}}, [3], False),
        ({"items": False}, [3], False),
        ({"type": "banana"}, 1, False),
    ],
)
def test_what_is_followed_of_it(schema: dict[str, object], value: object, fits: bool) -> None:
    assert (plain_complaints(schema, value) == []) is fits
