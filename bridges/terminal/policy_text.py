"""A policy as TOML, as a person writes it: read with everything that is wrong with it at once, and written. Pure.

Keys are those of schemas.Policy, its parts are tables; what is absent has its default. TOML has no null: where the
policy may say nothing (no limit, no environment), the text says "none". A table of one's own (gates.sensitive, say)
takes the place of the default one as a whole.
"""

import json
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, TypeAlias, cast, get_args

import msgspec
from msgspec import Struct, inspect

from schemas import Invalid, Policy, contradictions
from schemas.described import described
from schemas.docs import meaning, notes

FILE: Final = "rig.toml"
"""What the file is called where nobody says otherwise."""
NONE: Final = "none"
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_WIDTH: Final = 118
_UNITS: Final = {"seconds": " of seconds", "schedules": " of seconds"}
"""By the last word of a key, or of the table that it stands in."""
_Table: TypeAlias = Mapping[str, object]


# ── reading ──────────────────────────────────────────────────────────────────


def parse(text: str, what: str) -> Policy:
    """The policy of a text, called `what` where it is wrong. Raises Invalid with every problem, by its full key."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Invalid(what, [f"is not TOML: {error}"]) from None
    except RecursionError:
        raise Invalid(what, ["is not TOML: nested too deeply"]) from None
    reader = _Reader()
    policy = msgspec.convert(reader.struct(table, Policy, ""), Policy)
    wrong = [problem.partition(":")[0] for problem in reader.problems]
    problems = [*reader.problems, *(found for found in contradictions(policy) if not _touches(found, wrong))]
    if problems:
        raise Invalid(what, problems)
    return policy


def _touches(contradiction: str, wrong: list[str]) -> bool:
    """Whether it is about a key that is wrong already, so that the default stood in for it."""
    words = set(re.findall(r"[\w.-]*\w", contradiction))
    key = contradiction.partition(":")[0]
    return any(name in words or name.startswith(f"{key}.") for name in wrong)


class _Reader:
    """Goes through a table, keeps what is right, and gathers what is not."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def struct(self, table: _Table, kind: type[Struct], prefix: str) -> dict[str, object]:
        """The part of a policy that a table is."""
        fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
        right: dict[str, object] = {}
        for key, value in table.items():
            if key not in fields:
                self.problems.append(f"{prefix}{_key(key)}: {_unknown(key, prefix, list(fields))}")
            elif (found := self.value(value, fields[key], f"{prefix}{key}")) is not _WRONG:
                right[key] = found
        return right

    def value(self, value: object, wanted: Any, name: str) -> object:
        """The value as a policy has it, or _WRONG."""
        info = inspect.type_info(wanted)
        if isinstance(info, inspect.StructType | inspect.DictType):
            if not isinstance(value, dict):
                return self.wrong(f"{name}: expected a table, got {_shown(value)}")
            table = cast("_Table", value)
            return (
                self.struct(table, info.cls, f"{name}.")
                if isinstance(info, inspect.StructType)
                else (self.table(table, get_args(wanted), name))
            )
        if value == NONE and _optional(info):
            return None
        if _fits(value, wanted):
            return value
        return self.wrong(f"{name}: expected {_expected(name, info)}, got {_shown(value)}")

    def table(self, table: _Table, types: tuple[Any, ...], name: str) -> dict[str, object]:
        """A table whose keys a person chooses; types of its keys and values."""
        key_type, value_type = types
        right: dict[str, object] = {}
        for key, value in table.items():
            if not _fits(key, key_type):
                self.wrong(f"{name}.{_key(key)}: expected {described(inspect.type_info(key_type))}")
            elif (found := self.value(value, value_type, f"{name}.{_key(key)}")) is not _WRONG:
                right[key] = found
        return right

    def wrong(self, problem: str) -> object:
        self.problems.append(problem)
        return _WRONG


_WRONG: Final = object()


def _fits(value: object, wanted: Any) -> bool:
    try:
        msgspec.convert(value, wanted)
    except (msgspec.ValidationError, OverflowError):
        return False
    return True


# ── what was expected ────────────────────────────────────────────────────────


def _unknown(key: str, prefix: str, known: list[str]) -> str:
    where = f"[{prefix[:-1]}]" if prefix else "a policy"
    stem = key.rpartition("_")[0]
    in_another_unit = [name for name in known if stem and name.rpartition("_")[0] == stem]
    near = in_another_unit or get_close_matches(key, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else f" (it has {', '.join(known)})"
    return f"{where} has no such key{hint}"


def _expected(name: str, info: inspect.Type) -> str:
    said, kind = described(info), _kind(info)
    if kind == "a number":
        words = [part.rpartition("_")[2] for part in name.split(".")]
        kind += next((_UNITS[word] for word in words if word in _UNITS), "")
    words = said if said.startswith(("a ", "an ", "one ")) else f"{kind} ({said})" if said else kind
    return f'{words}, or "{NONE}"' if _optional(info) else words


def _kind(info: inspect.Type) -> str:
    match info:
        case inspect.Metadata():
            return _kind(info.type)
        case inspect.UnionType():
            return _kind(next(part for part in info.types if not isinstance(part, inspect.NoneType)))
        case inspect.EnumType(cls=cls):
            return f"one of {', '.join(str(member.value) for member in cls)}"
        case inspect.VarTupleType():
            return "a list of strings"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number"
        case inspect.FloatType():
            return "a number"
        case _:
            return "a string"


def _optional(info: inspect.Type) -> bool:
    return isinstance(info, inspect.UnionType) and info.includes_none


def _shown(value: object) -> str:
    shown = _value(value) if isinstance(value, str | bool) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"


# ── writing ──────────────────────────────────────────────────────────────────


def document(policy: Policy, *, commented: bool = False) -> Iterator[str]:
    """The whole policy as lines of TOML, which `parse` takes back; where it differs from the default, it says so.

    `commented`: with what each key means.
    """
    yield from _section(policy, Policy(), "", commented=commented)


def _section(part: Struct, default: Struct, name: str, *, commented: bool) -> Iterator[str]:
    """Values first, then tables, as TOML demands."""
    tables: list[tuple[str, object, object]] = []
    said = notes(type(part))
    annotations = {field.name: field.type for field in msgspec.structs.fields(part)}
    for field in msgspec.structs.fields(part):
        value: object = getattr(part, field.name)
        usual: object = getattr(default, field.name)
        if isinstance(value, Struct | dict):
            tables.append((field.name, cast("object", value), usual))
            continue
        if commented:
            yield from _comment(f"{said.get(field.name, '')} {_choices(inspect.type_info(field.type))}")
        yield f"{field.name} = {_value(value)}{'' if value == usual else f'  # default: {_value(usual)}'}"
    for key, value, usual in tables:
        full = f"{name}{key}"
        match value, usual:
            case Struct(), Struct():
                yield from _head(full, meaning(type(value)), commented=commented)
                yield from _section(value, usual, f"{full}.", commented=commented)
            case dict(), dict() if (kind := _of_structs(annotations[key])) is not None:
                for one, inner in cast("Mapping[str, Struct]", value).items():
                    yield from _head(f"{full}.{_key(one)}", meaning(kind), commented=commented)
                    yield from _section(inner, kind(), f"{full}.{_key(one)}.", commented=commented)
                if commented and not value:
                    sample = [f"[{full}.NAME]", *_section(kind(), kind(), f"{full}.NAME.", commented=False)]
                    yield from ("", *_comment(meaning(kind)), *(f"# {line}" for line in sample))
            case _:
                yield from _head(full, said.get(key, ""), commented=commented)
                yield from _entries(cast("_Table", value), cast("_Table", usual))


def _head(name: str, said: str, *, commented: bool) -> Iterator[str]:
    yield ""
    if commented:
        yield from _comment(said)
    yield f"[{name}]"


def _entries(table: _Table, usual: _Table) -> Iterator[str]:
    for key, value in table.items():
        if key not in usual:
            differs = "  # not in the default"
        else:
            differs = "" if value == usual[key] else f"  # default: {_value(usual[key])}"
        yield f"{_key(key)} = {_value(value)}{differs}"
    yield from (f"# without {_key(key)} = {_value(value)}" for key, value in usual.items() if key not in table)


def _of_structs(annotation: Any) -> type[Struct] | None:
    """What a table of tables consists of; None: it consists of values."""
    match inspect.type_info(get_args(annotation)[1]):
        case inspect.StructType(cls=cls):
            return cls
        case _:
            return None


def _choices(info: inspect.Type) -> str:
    kind = _kind(info)
    words = [f"{kind[0].upper()}{kind[1:]}."] if kind.startswith("one of") else []
    return " ".join(words)


def _comment(said: str) -> Iterator[str]:
    yield from (f"# {line}" for line in textwrap.wrap(said.replace("None:", f'"{NONE}":').strip(), _WIDTH - 2))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _value(value: object) -> str:
    match value:
        case None:
            return _string(NONE)
        case bool():
            return str(value).lower()
        case str():
            return _string(value)
        case float() if value.is_integer():
            return str(int(value))
        case tuple():
            return f"[{', '.join(map(_value, cast('tuple[object, ...]', value)))}]"
        case _:
            return str(value)


def _string(text: str) -> str:
    """A basic string of TOML: JSON's, but for one control character more."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


# ── comparing ────────────────────────────────────────────────────────────────


def changes(before: Policy, after: Policy) -> list[str]:
    """What differs, one line a key, by its full name."""
    old, new = dict(_flat(before, "")), dict(_flat(after, ""))
    return [
        f"{key}: {_value(old[key]) if key in old else 'nothing'} → {_value(new[key]) if key in new else 'nothing'}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key, _ABSENT) != new.get(key, _ABSENT)
    ]


_ABSENT: Final = object()


def _flat(part: Struct, prefix: str) -> Iterator[tuple[str, object]]:
    for field in msgspec.structs.fields(part):
        yield from _leaves(getattr(part, field.name), f"{prefix}{field.name}")


def _leaves(value: object, name: str) -> Iterator[tuple[str, object]]:
    match value:
        case Struct():
            yield from _flat(value, f"{name}.")
        case dict():
            for key, inner in cast("_Table", value).items():
                yield from _leaves(inner, f"{name}.{_key(key)}")
        case _:
            yield name, value
