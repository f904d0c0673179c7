"""Old versions of events: how data that an older release wrote is read as what it would be today.

A class has one version, the newest. When a change of it is more than a new field with a default, its `schema_version`
goes up by one, and the function that makes the older data the newer stands beside it:

    @upcasts("rig.issue.approved.v1")
    def _approved_v1(data: Data) -> Data:
        return {**data, "author": data["by"]}

Each takes one step; data of version 1 takes them all. They are pure, and meet whatever a foreign writer sent: what they
raise makes the document undecodable. The log keeps what was written; only its reading changes.
"""

from collections.abc import Callable, Container
from typing import TypeAlias

Data: TypeAlias = dict[str, object]
"""An event's data as JSON has it."""
Upcaster: TypeAlias = Callable[[Data], Data]

UPCASTERS: dict[str, Upcaster] = {}
"""By the wire type that each reads; it makes data of the next version."""


def upcasts(wire_type: str) -> Callable[[Upcaster], Upcaster]:
    """Registers the step from this wire type to the next version. Raises ValueError where it has one already."""

    def register(step: Upcaster) -> Upcaster:
        if wire_type in UPCASTERS:
            raise ValueError(f"{wire_type} has an upcaster already")
        UPCASTERS[wire_type] = step
        return step

    return register


def newest(wire_type: str, known: Container[str]) -> str | None:
    """The wire type among `known` that the steps from this one lead to; None where they lead to none."""
    while wire_type not in known:
        if wire_type not in UPCASTERS:
            return None
        wire_type = _next(wire_type)
    return wire_type


def upcast(wire_type: str, data: Data, wanted: str) -> Data:
    """The data of one version as that of another, which `newest` found."""
    while wire_type != wanted:
        data = UPCASTERS[wire_type](data)
        wire_type = _next(wire_type)
    return data


def _next(wire_type: str) -> str:
    name, _, version = wire_type.rpartition(".v")
    return f"{name}.v{int(version) + 1}"
