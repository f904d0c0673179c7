"""What was ever released, on disk: a document of every event, and the shape of its data. They may never be changed.

    python -m tests.support.golden

writes the documents that are missing and adds to the shapes. It overwrites nothing, and refuses (exit 1, saying what)
when something that was released could no longer be read.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, inspect

from schemas import EVENTS, MAY_SAY, Actor, Draft, Event, Ref, encode, envelope
from schemas.compatibility import Released, incompatible, merged, shapes
from schemas.subjects import ref_of

GOLDEN = Path(__file__).parents[1] / "golden"
COMMAND = "python -m tests.support.golden"
AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
# ── a full document ──────────────────────────────────────────────────────────


def document(event: type[Event]) -> bytes:
    """One document of this event with every field set, and set to something else than its default where that can be."""
    data = msgspec.convert(full(inspect.type_info(event)), event)
    about: Ref = msgspec.convert(full(inspect.type_info(ref_of(event.noun))), ref_of(event.noun))
    actor = next((actor for actor in Actor if event in MAY_SAY[actor]), None)
    if actor is None:
        raise LookupError(f"nobody may say {event.__name__}: schemas/actors.py says who may")
    draft = Draft(
        about=about,
        data=data,
        cause="cause:1",
        correlation="root:1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    return encode(envelope(draft, id=f"golden:{event.name()}", actor=actor, source=f"{actor}/golden", time=AT))


def full(info: inspect.Type, name: str = "value", default: object = UNSET) -> Any:
    """A value of this type as JSON has it, with everything set that can be."""
    match info:
        case inspect.Metadata():
            return full(info.type, name, default)
        case inspect.StructType():
            return {
                field.encode_name: full(field.type, field.encode_name, msgspec.to_builtins(field.default, enc_hook=str))
                for field in info.fields
            }
        case inspect.UnionType():
            return full(next(part for part in info.types if not isinstance(part, inspect.NoneType)), name, default)
        case inspect.VarTupleType() | inspect.ListType() | inspect.SetType() | inspect.FrozenSetType():
            return [full(info.item_type, name)]
        case inspect.TupleType():
            return [full(item, name) for item in info.item_types]
        case inspect.DictType():
            return {full(info.key_type, name): full(info.value_type, name)}
        case _:
            return next(value for value in _candidates(info, name) if value != default and _fits(value, info))


def _candidates(info: inspect.Type, name: str) -> Iterator[object]:
    match info:
        case inspect.StrType():
            # What a release takes is kept for ever: so the text is not of the simplest.
            words = name.replace("_", " ")
            yield from (f"{words}: “naïve” 🙂", f"the-{name}".replace("_", "-"), "0123456789abcdef" * 4)
            yield from ("0123456789abcdef", "https://example.com/x", "issue:acme/web#42", "repository:acme/web", "a")
        case inspect.IntType():
            yield from (7, 2, 1, 0, 50, 2_048)
        case inspect.FloatType():
            yield from (7.25, 1.5, 0.5, 1, 0, 90.5)
        case inspect.BoolType():
            yield from (True, False)
        case inspect.DateTimeType():
            yield "2026-01-02T03:04:05.678901Z"
        case inspect.EnumType(cls=cls):
            yield from (member.value for member in cls)
        case inspect.LiteralType():
            yield from info.values
        case inspect.NoneType():
            yield None
        case _:
            pass
    raise LookupError(f"no value for {name}: teach tests/support/golden.py one of {info}")


def _fits(value: object, info: inspect.Type) -> bool:
    try:
        msgspec.convert(value, _as_type(info))
    except msgspec.ValidationError:
        return False
    return True


def _as_type(info: inspect.Type) -> Any:
    """The type that is described, as far as `_candidates` goes."""
    match info:
        case inspect.StrType():
            return _annotated(str, min_length=info.min_length, max_length=info.max_length, pattern=info.pattern)
        case inspect.IntType():
            return _annotated(int, gt=info.gt, ge=info.ge, lt=info.lt, le=info.le, multiple_of=info.multiple_of)
        case inspect.FloatType():
            return _annotated(float, gt=info.gt, ge=info.ge, lt=info.lt, le=info.le, multiple_of=info.multiple_of)
        case inspect.EnumType(cls=cls):
            return cls
        case _:
            return Any


def _annotated(of: type, **bounds: object) -> Any:
    return Annotated[of, msgspec.Meta(**{name: bound for name, bound in bounds.items() if bound is not None})]


# ── what is on disk ──────────────────────────────────────────────────────────


def documents(directory: Path = GOLDEN) -> dict[str, list[Path]]:
    """Wire type → its documents: `<wire type>.json`, and `<wire type>+<n>.json` with fields that came later."""
    found: dict[str, list[Path]] = {}
    for path in sorted((directory / "events").glob("*.json")):
        found.setdefault(path.stem.partition("+")[0], []).append(path)
    return found


def unset(event: type[Event], directory: Path = GOLDEN) -> set[str]:
    """The fields (`failed[].name`) of this event that no document on disk sets; the event's own name without any."""
    paths = documents(directory).get(event.wire_type(), [])
    if not paths:
        return {event.__name__}
    found = {field for path in paths for field in _fields(msgspec.json.decode(path.read_bytes())["data"])}
    return set(_fields(full(inspect.type_info(event)))) - found


def _fields(value: object, at: str = "") -> Iterator[str]:
    match value:
        case dict():
            for name, inner in value.items():
                yield f"{at}{name}"
                yield from _fields(inner, f"{at}{name}.")
        case list():
            for inner in value:
                yield from _fields(inner, f"{at.removesuffix('.')}[].")
        case _:
            pass


def released(directory: Path = GOLDEN) -> Released:
    """The shapes that were released."""
    path = directory / "schemas.json"
    return msgspec.json.decode(path.read_bytes(), type=Released) if path.exists() else {}


def renew(directory: Path = GOLDEN) -> tuple[list[str], list[str]]:
    """Writes what is missing. Returns the problems (then nothing is written), and what was written."""
    before, today = released(directory), shapes()
    if problems := incompatible(before, today):
        return problems, []
    missing: dict[Path, bytes] = {}
    for event in EVENTS:
        if unset(event, directory):
            earlier = len(documents(directory).get(event.wire_type(), []))
            name = f"{event.wire_type()}{f'+{earlier + 1}' if earlier else ''}.json"
            missing[directory / "events" / name] = msgspec.json.format(document(event)) + b"\n"
    (directory / "events").mkdir(parents=True, exist_ok=True)
    for path, body in missing.items():
        with path.open("xb") as file:
            file.write(body)
    written = [path.name for path in missing]
    after = merged(before, today)
    if after != before:
        body = msgspec.json.format(msgspec.json.encode(after, order="sorted"), indent=1)
        (directory / "schemas.json").write_bytes(body + b"\n")
        written.append("schemas.json")
    return [], written


def main() -> int:
    problems, written = renew()
    for problem in problems:
        print(f"refused: {problem}", file=sys.stderr)
    if problems:
        print(
            "what a log may hold must stay readable: make it a new version of the event, with an upcaster"
            " (schemas/upcast.py); what no release has written yet, take out of tests/golden/",
            file=sys.stderr,
        )
        return 1
    print("\n".join(written) or "nothing is missing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
