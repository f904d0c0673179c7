"""What a change of an event may not do, each kind of it, by the name of the event and the field; and what it may."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import UNSET, Meta, Struct, UnsetType

from schemas.compatibility import Released, incompatible, shapes
from schemas.event import IssueEvent
from schemas.upcast import UPCASTERS

Fields = Mapping[str, Any]


class Two(StrEnum):
    """Two words."""

    A = "a"
    B = "b"


class Three(StrEnum):
    """And one more."""

    A = "a"
    B = "b"
    C = "c"


class Part(Struct):
    """Something within."""

    name: str


class NarrowPart(Struct):
    """The same, and tighter."""

    name: Annotated[str, Meta(max_length=5)]


class LargerPart(Struct):
    """The same, and more."""

    name: str
    size: int = 0


def tried(fields: Fields, version: int = 1) -> Released:
    """The shape of an event `Tried` with these fields: a type is required, a pair is a type and its default."""
    spec = [(name, *of) if isinstance(of, tuple) else (name, of) for name, of in fields.items()]
    kind = msgspec.defstruct(
        "Tried", spec, bases=(IssueEvent,), namespace={"schema_version": version}, frozen=True, kw_only=True
    )
    return shapes([kind])


def bounded(**bounds: Any) -> Fields:
    of = str if "pattern" in bounds or any(name.endswith("length") for name in bounds) else int
    return {"x": Annotated[of, Meta(**bounds)]}


REFUSED: list[tuple[Fields, Fields, str]] = [
    ({"x": int, "y": int}, {"x": int}, "y: is gone"),
    ({"x": (int, 1)}, {"x": int}, "x: was optional, and is required"),
    ({"x": (int | UnsetType, UNSET)}, {"x": int}, "x: was optional, and is required"),
    ({}, {"x": int}, "x: is new and required"),
    ({"x": Three}, {"x": Two}, "x: 'c' is taken no more"),
    ({"x": Literal["a", "b"]}, {"x": Literal["a"]}, "x: 'b' is taken no more"),
    ({"x": str}, {"x": Two}, "x: was string, and is one of a list"),
    ({"x": int}, {"x": str}, "x: was integer, and is string"),
    ({"x": float}, {"x": int}, "x: was number, and is integer"),
    ({"x": int | None}, {"x": int}, "x: may no longer be null"),
    ({"x": int | str}, {"x": int}, "x: may no longer be string"),
    ({"x": Three | None}, {"x": Two | None}, "x: 'c' is taken no more"),
    ({"x": tuple[Three, ...]}, {"x": tuple[Two, ...]}, "x[]: 'c' is taken no more"),
    ({"x": tuple[int, ...]}, {"x": tuple[int, int]}, "x: had 0 items, and has 2"),
    ({"x": tuple[int, int]}, {"x": tuple[int, str]}, "x[1]: was integer, and is string"),
    ({"x": dict[str, int]}, {"x": dict[str, str]}, "x.*: was integer, and is string"),
    ({"x": Part}, {"x": NarrowPart}, "x.name: its greatest length is tighter than it was"),
    ({"x": tuple[Part, ...] | None}, {"x": tuple[NarrowPart, ...] | None}, "x[].name: its greatest length is tighter"),
    ({"x": LargerPart}, {"x": Part}, "x.size: is gone"),
    (bounded(ge=1), bounded(ge=2), "x: its lower bound is tighter than it was"),
    (bounded(ge=1), bounded(gt=1), "x: its lower bound is tighter than it was"),
    (bounded(), bounded(ge=1), "x: its lower bound is tighter than it was"),
    (bounded(le=2), bounded(le=1), "x: its upper bound is tighter than it was"),
    (bounded(le=2), bounded(lt=2), "x: its upper bound is tighter than it was"),
    (bounded(), bounded(multiple_of=2), "x: multiple of 2 where None was"),
    ({"x": str}, bounded(min_length=1), "x: its least length is tighter than it was"),
    (bounded(max_length=9), bounded(max_length=8), "x: its greatest length is tighter than it was"),
    ({"x": str}, bounded(pattern="a"), "x: pattern 'a' where None was"),
    (bounded(pattern="a"), bounded(pattern="b"), "x: pattern 'b' where 'a' was"),
    (
        {"x": tuple[int, ...]},
        {"x": Annotated[tuple[int, ...], Meta(min_length=1)]},
        "x: its least number of items is tighter than it was",
    ),
    (
        {"x": dict[str, int]},
        {"x": Annotated[dict[str, int], Meta(max_length=1)]},
        "x: its greatest number of items is tighter than it was",
    ),
]


@pytest.mark.parametrize(("old", "new", "problem"), REFUSED, ids=[problem for _, _, problem in REFUSED])
def test_what_old_documents_would_not_survive_is_found(old: Fields, new: Fields, problem: str) -> None:
    found, *_ = incompatible(tried(old), tried(new))
    assert found.startswith(f"rig.issue.tried.v1: {problem}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"x": int}, {"x": int, "y": (str, "")}),
        ({"x": int}, {"x": int, "y": (str | UnsetType, UNSET)}),
        ({"x": int}, {"x": (int, 1)}),
        ({"x": (int, 1)}, {"x": (int, 2)}),
        ({"x": Two}, {"x": Three}),
        ({"x": int}, {"x": int | None}),
        ({"x": Two | None}, {"x": Three | None}),
        ({"x": Part}, {"x": LargerPart}),
        (bounded(ge=1, le=5), bounded(gt=0, lt=6)),
        (bounded(gt=0), bounded(ge=0)),
        (bounded(min_length=1, max_length=5, pattern="a"), {"x": str}),
    ],
)
def test_what_takes_all_that_was_taken_is_fine(old: Fields, new: Fields) -> None:
    assert incompatible(tried(old), tried(new)) == []


def test_every_problem_is_said_at_once_and_new_events_are_none() -> None:
    old = tried({"x": int, "y": int})
    assert len(incompatible(old, tried({"x": str, "z": int}))) == 3
    assert incompatible({}, old) == []


def test_an_event_that_is_gone_needs_an_upcaster(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tried({"x": int}), tried({"x": str}, version=2)
    assert incompatible(old, new) == ["rig.issue.tried.v1: gone, and no upcaster reads what was written of it"]
    monkeypatch.setitem(UPCASTERS, "rig.issue.tried.v1", dict)
    assert incompatible(old, new) == []
