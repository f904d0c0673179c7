"""A document → a character, or everything that is wrong with it, at once; and the JSON Schema that is published. Pure.

The schema is made from the type, so what an editor accepts is what the rig accepts; what a type cannot say (that a
cron expression is one, that an event exists) is said behind it. Nothing is guessed, and no unknown key is passed over.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Any, Final, TypeVar, cast

import msgspec

from agents.character import roles
from agents.character.character import Character, Permissions
from agents.life import schedule, triggers, zones
from agents.life.schedule import Schedule
from agents.life.triggers import Trigger
from agents.life.webhooks import Webhook
from agents.tools.config import Egress, HttpTool, McpServer, OwnTool, secret_names
from agents.tools.problems import problems as tool_problems
from schemas import Invalid, one_line
from schemas.catalogue import DRAFT, Json, data_schemas

__all__ = ["MAX_BYTES", "json_schema", "json_schema_text", "read", "secrets_of"]

MAX_BYTES: Final = 512 * 1024
_PROBLEMS: Final = 40
"""So many are told."""
T = TypeVar("T")


def read(body: bytes, *, directory: str | None = None, secrets: Iterable[str] | None = None) -> Character:
    """Reads a `character.json`; `directory` is the name of where it lies, `secrets` are the names of those there are.

    None: they are not looked at, for they are elsewhere. Raises Invalid with every problem.
    """
    problems, found = _read(body, secrets)
    if found is not None and directory is not None and found.name != directory:
        problems.append(f"name: {found.name!r} lies in a directory {directory!r}; they must be the same")
    if found is None or problems:
        told = [one_line(problem, 300) for problem in problems[:_PROBLEMS]]
        more = len(problems) - _PROBLEMS
        raise Invalid("character", [*told, f"and {more} more"] if more > 0 else told)
    return found


@cache
def json_schema() -> Json:
    """The JSON Schema of `character.json`."""
    components = data_schemas([Character], "#/$defs/{name}")
    own = components.pop(Character.__name__)
    return {"$schema": DRAFT, **own, "title": "A character of the rig", "$defs": components}


def secrets_of(character: Character) -> frozenset[str]:
    """Names of the secrets that it needs."""
    over_http = [tool for tool in character.tools if isinstance(tool, HttpTool)]
    return _named(over_http, character.mcp_servers) | {hook.secret for hook in character.webhooks}


def _named(tools: Iterable[HttpTool], servers: Mapping[str, McpServer]) -> frozenset[str]:
    texts = (text for each in (*tools, *servers.values()) for text in each.headers.values())
    return secret_names([*texts, *(text for each in servers.values() for text in each.env.values())])


def json_schema_text() -> str:
    """The same as a file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


# ── reading ──────────────────────────────────────────────────────────────────


def _read(body: bytes, secrets: Iterable[str] | None) -> tuple[list[str], Character | None]:
    if len(body) > MAX_BYTES:
        return [f"{len(body)} bytes, at most {MAX_BYTES} are read"], None
    twice: list[str] = []

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        keys = [key for key, _ in pairs]
        twice.extend(f"{key}: said twice" for key in dict.fromkeys(keys) if keys.count(key) > 1)
        return dict(pairs)

    def no_number(text: str) -> object:
        raise ValueError(f"{text} is no number")

    try:
        document: object = json.loads(body.decode(), object_pairs_hook=once, parse_constant=no_number)
    except UnicodeDecodeError:
        return ["not UTF-8"], None
    except (ValueError, RecursionError) as error:
        return [f"not JSON: {error}"], None
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # written as \\ud800
        return ["it holds half a character (a surrogate by itself)"], None
    problems = [*twice, *_against_schema(document), *_beyond_types(document, secrets)]
    if problems:
        return problems, None
    try:
        return [], msgspec.convert(document, Character)
    except msgspec.ValidationError as error:  # what JSON Schema says less strictly
        return [str(error)], None


def _against_schema(document: object) -> Iterator[str]:
    from jsonschema import Draft202012Validator  # here: it takes a while, and reading is rare

    errors = cast("Any", Draft202012Validator(json_schema())).iter_errors(document)
    for error in sorted(errors, key=lambda each: [str(part) for part in each.absolute_path]):
        yield from _told(error)


def _told(error: Any) -> Iterator[str]:
    """One line for each thing that is wrong, with the place where it stands."""
    if error.validator in ("anyOf", "oneOf") and error.context:
        yield from _of_one_branch(error)
        return
    where = _place(error.absolute_path)
    match error.validator:
        case "additionalProperties":
            known = list(cast("Mapping[str, object]", error.schema.get("properties", {})))
            patterned = isinstance(error.schema["additionalProperties"], dict)
            for key in cast("list[str]", list(error.instance)) if not patterned else ():
                if key not in known:
                    near = difflib.get_close_matches(key, known, n=1)
                    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
                    yield f"{where}no such key {key!r}; {hint}"
        case "required":
            missing = [key for key in error.validator_value if key not in error.instance]
            if error.message.startswith(repr(missing[0])):  # one error for each key: all are told with the first
                yield from (f"{where}{key} is missing" for key in missing)
        case "pattern" | "minLength" | "maxLength" | "propertyNames":
            said = error.schema.get("description") or error.message
            yield f"{where}{one_line(repr(error.instance), 80)} is not {said}"
        case _:
            yield f"{where}{one_line(error.message, 240)}"


def _of_one_branch(error: Any) -> Iterator[str]:
    """Of several shapes that something may have, what is wrong by the one that it comes nearest to."""
    branches: dict[object, list[Any]] = {}
    for inner in error.context:
        branches.setdefault(inner.relative_schema_path[0], []).append(inner)
    of_that_kind = [
        inner
        for inner in branches.values()
        if not any(not each.relative_path and each.validator in ("type", "enum", "const") for each in inner)
    ]
    named = [each for inner in branches.values() for each in inner if each.validator == "enum"]
    if of_that_kind:
        for each in min(of_that_kind, key=len):
            yield from _told(each)
    elif named and isinstance(error.instance, str):
        yield from _told(named[0])
    else:
        kinds = " or ".join(dict.fromkeys(str(each.validator_value) for inner in branches.values() for each in inner))
        yield f"{_place(error.absolute_path)}{one_line(repr(error.instance), 80)} is not of type {one_line(kinds, 100)}"


def _place(path: Any) -> str:
    """`cron[0].zone: `, or nothing for the whole."""
    text = ""
    for part in path:
        text += (
            f"[{part}]" if isinstance(part, int) else f".{part}" if re.fullmatch(r"[\w$-]+", part) else f"[{part!r}]"
        )
    return f"{text.removeprefix('.')}: " if text else ""


def _beyond_types(document: object, secrets: Iterable[str] | None) -> Iterator[str]:
    """What is wrong with those parts of which every type is right, whatever the others are."""
    parts = cast("dict[str, object]", document) if isinstance(document, dict) else {}
    yield from roles.problems(parts)
    zone = parts.get("zone")
    if isinstance(zone, str) and (wrong := zones.problem(zone)):
        yield f"zone: {wrong}"
    schedules, hooks = _sound(parts, "cron", Schedule), _sound(parts, "webhooks", Webhook)
    for index, each in schedules:
        yield from (f"cron[{index}].{problem}" for problem in schedule.problems(each))
    for index, trigger in _sound(parts, "triggers", Trigger):
        yield from (f"triggers[{index}].{problem}" for problem in triggers.problems(trigger))
    over_http = [tool for _, tool in _sound(parts, "tools", HttpTool)]
    servers, egress = _servers(parts.get("mcpServers")), _egress(parts.get("permissions"))
    if secrets is None:
        secrets = _named(over_http, servers)
    else:
        for index, hook in hooks:
            if hook.secret not in secrets:
                yield f"webhooks[{index}].secret: there is no secret {hook.secret}; set RIG_SECRET_{hook.secret}"
    yield from tool_problems(over_http, servers, egress, secrets)
    for what, names in (
        ("cron", [each.name for _, each in schedules]),
        ("webhooks", [each.name for _, each in hooks]),
        ("tools", [tool.value for _, tool in _sound(parts, "tools", OwnTool)]),
    ):
        yield from (f"{what}: {name!r} is there twice" for name in dict.fromkeys(names) if names.count(name) > 1)


def _sound(parts: Mapping[str, object], key: str, kind: type[T]) -> list[tuple[int, T]]:
    """Those of a list that are of this type, with their places."""
    found: list[tuple[int, T]] = []
    items = parts.get(key)
    for index, item in enumerate(cast("list[object]", items) if isinstance(items, list) else ()):
        with suppress(msgspec.ValidationError):
            found.append((index, msgspec.convert(item, kind)))
    return found


def _servers(said: object) -> dict[str, McpServer]:
    found: dict[str, McpServer] = {}
    for name, server in cast("dict[str, object]", said).items() if isinstance(said, dict) else ():
        with suppress(msgspec.ValidationError):
            found[name] = msgspec.convert(server, McpServer)
    return found


def _egress(said: object) -> Egress:
    with suppress(msgspec.ValidationError):
        return msgspec.convert(said, Permissions).egress
    return Egress()
