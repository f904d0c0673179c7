"""What was typed → what is meant, or everything that is wrong with it. Pure: nothing here connects or prints."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

import msgspec

from bridges.terminal.errors import BadInput
from schemas import (
    FLEET,
    Actor,
    BadReference,
    Draft,
    Event,
    Invalid,
    IssueApproved,
    IssueRef,
    IssueRevised,
    NotAllowed,
    Overrides,
    PolicyAdopted,
    Ref,
    RepoRef,
    RepositoryAdded,
    build,
    by_name,
    check_may_say,
    contradictions,
    override_contradictions,
)

INPUT_MAX = 1_000_000
"""Bytes that are read from a file or standard input."""

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_ID = re.compile(r"[\x21-\x7e]{1,160}")


def text(what: str, data: bytes) -> str:
    """Bytes of a file or of standard input → text. Raises BadInput when they are too many or no UTF-8."""
    if len(data) > INPUT_MAX:
        raise BadInput(f"{what}: more than {INPUT_MAX} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"{what}: not UTF-8 text (byte {error.start})") from None


def event_id(typed: str) -> str:
    """An id that somebody chose. Raises BadInput."""
    if not _ID.fullmatch(typed):
        raise BadInput("--id: 1 to 160 printable ASCII characters without blanks, please")
    return typed


def reason(typed: str) -> str:
    """Why somebody decided something. Raises BadInput."""
    if not typed.strip() or len(typed) > 300 or "\n" in typed or not _speakable(typed):
        raise BadInput("--reason: one line of 1 to 300 characters, please")
    return typed.strip()


def pairs(arguments: Iterable[str]) -> dict[str, object]:
    """KEY=VALUE … → values by key. Raises BadInput for an argument that is none, or a key given twice."""
    values: dict[str, object] = {}
    problems: list[str] = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or not key:
            problems.append(f"{argument[:60]!r} is not KEY=VALUE")
        elif key in values:
            problems.append(f"{key}: given twice")
        values[key] = value
    if problems:
        raise BadInput.of("arguments", problems)
    return values


def json_object(document: str) -> dict[str, object]:
    """A JSON document → values by key. Raises BadInput unless it is one object."""
    try:
        return msgspec.json.decode(document, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise BadInput(f"--json: not one JSON object: {error}") from None


def draft(type_name: str, values: Mapping[str, object]) -> Draft:
    """A type by any of its names, and values with what it is about → what to say.

    Raises UnknownType, or BadInput with everything that is wrong: about nothing, missing, extra and mistyped fields, a
    type that the terminal may not say, a dependency on itself.
    """
    event = by_name(type_name)
    problems = list[str]()
    try:
        check_may_say(Actor.CLI, event)
    except NotAllowed as error:
        problems.append(str(error))
    about, rest = _about(event, values, problems)
    data: Event | None = None
    try:
        data = build(event, rest)
    except Invalid as error:
        problems += error.problems
    if data is not None and about is not None:
        problems += _against_itself(about, data)
    problems += unspeakable(values)
    if problems or data is None or about is None:
        raise BadInput.of(event.__name__, problems)
    return Draft(about=about, data=data)


def unspeakable(values: Mapping[str, object]) -> list[str]:
    """A problem for each value that is not text: bytes of an argument that are no UTF-8. Also one in a list."""
    return [f"{name}: not UTF-8 text" for name, value in values.items() if not all(map(_speakable, _texts(value)))]


def _texts(value: object) -> list[str]:
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str)]


def _speakable(value: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in value)


def _about(
    event: type[Event], values: Mapping[str, object], problems: list[str]
) -> tuple[Ref | None, dict[str, object]]:
    """What the event is about, and the values that are its fields. Adds to `problems` where there is no telling."""
    keys = {"issue": ("issue", "owner", "repo", "number"), "repo": ("owner", "repo")}.get(event.noun, ())
    named = {key: values[key] for key in keys if key in values}
    rest = {key: value for key, value in values.items() if key not in named}
    try:
        match event.noun:
            case "issue":
                return IssueRef.parse(_issue(named)), rest
            case "repo":
                return RepoRef.parse(_repository(named)), rest
            case _:
                return FLEET, rest
    except BadReference as error:
        problems.append(f"{event.noun}: {error}")
        return None, rest


def _issue(named: Mapping[str, object]) -> str:
    """issue=, or else repo= and number=, with or without owner=."""
    if "issue" not in named:
        if not {"repo", "number"} <= named.keys():
            raise BadReference("missing; write issue=OWNER/REPO#NUMBER")
        return f"{_repository(named)}#{named['number']}"
    if len(named) > 1:
        raise BadReference(f"said twice, with {' and '.join(f'{key}=' for key in named)}")
    return str(named["issue"])


def _repository(named: Mapping[str, object]) -> str:
    if "repo" not in named:
        raise BadReference("missing; write repo=OWNER/REPO")
    return f"{named['owner']}/{named['repo']}" if "owner" in named else str(named["repo"])


def _against_itself(about: Ref, data: Event) -> Sequence[str]:
    match data:
        case IssueApproved(depends_on=tuple() as first) | IssueRevised(depends_on=tuple() as first) if about in first:
            return [f"depends_on: {about} cannot depend on itself"]
        case PolicyAdopted(policy=policy, hash=digest):
            wrong = [f"policy.{problem}" for problem in contradictions(policy)]
            return wrong if digest == policy.digest() else [*wrong, f"hash: this policy has {policy.digest()}"]
        case RepositoryAdded(overrides=Overrides() as overrides):
            return [f"overrides.{problem}" for problem in override_contradictions(overrides, None)]
        case _:
            return []


def dependencies(typed: Iterable[str], repository: RepoRef) -> tuple[IssueRef, ...]:
    """`3`, `#3` or `acme/web#3`, each once. Raises BadReference."""
    found: dict[IssueRef, None] = {}
    for one in typed:
        number = one.removeprefix("#")
        short = number.isascii() and number.isdigit()
        try:
            found[IssueRef.parse(f"{repository}#{number}" if short else one)] = None
        except BadReference:
            raise BadReference(f"{one[:60]!r} is not an issue: write N, from 1 on, or OWNER/REPO#N") from None
    return tuple(found)


def since(typed: str, now: datetime) -> int | datetime:
    """A position (`120`), a time (`2026-01-31T12:00`, the local zone unless it says one) or an age (`15m`).

    Raises BadInput.
    """
    if typed.isascii() and typed.isdigit():
        return int(typed)
    try:
        if ago := _AGO.fullmatch(typed):
            return now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
        return datetime.fromisoformat(typed).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadInput(
            f"--since: {typed[:40]!r} is no position (120), time (2026-01-31T12:00) or age (15m, 2h, 1d)"
        ) from None
