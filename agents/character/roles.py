"""Characters of the roles that the rig works with, dev-e and review-e: what of a character their work uses. Pure.

They are woken by the conductor and by nothing else, and have no tools besides their work's: what a character says of
such things would be silently passed over, and so is refused.
"""

from collections.abc import Iterator, Mapping
from typing import Final, cast

from msgspec import Struct

__all__ = ["CODED", "OF_ROLES", "RUN_BY", "problems"]

CODED: Final = "dev-e"
"""The one that has a coder's models, and none of the gateway's."""
RUN_BY: Final = {CODED: "rig up --coder …", "review-e": "rig up --reviewers N"}
"""How these roles are run, by their name."""
_WHO: Final = frozenset(
    {"$schema", "name", "bio", "personality", "lore", "style", "messageExamples", "memory", "budget"}
)
_CODERS: Final = "that is its coder's, as in `rig up --coder 'claude: model=… mcp=…'`"


class _Uses(Struct, frozen=True):
    keys: frozenset[str]
    budget: frozenset[str]
    instead: Mapping[str, str] = {}
    """Where else such a thing is said."""


OF_ROLES: Final = {
    CODED: _Uses(
        _WHO,
        frozenset({"turns", "seconds", "costUsd"}),
        {"llm": _CODERS, "tools": _CODERS, "mcpServers": _CODERS},
    ),
    "review-e": _Uses(_WHO | {"llm"}, frozenset({"seconds", "costUsd"})),
}
_MEMORY: Final = frozenset({"recall", "learn", "keepDays"})


def problems(document: Mapping[str, object]) -> Iterator[str]:
    """What a character of such a name says that its work has no use for."""
    name = document.get("name")
    uses = OF_ROLES.get(name) if isinstance(name, str) else None
    if uses is None:
        return
    budget = document.get("budget")
    if name == CODED and isinstance(budget, dict) and cast("dict[str, object]", budget).get("costUsd") == 0:
        yield "budget.costUsd: a coder that may use nothing cannot work"
    said = [(key, key, uses.keys) for key in document]
    for part, known in (("budget", uses.budget), ("memory", _MEMORY)):
        inner = document.get(part)
        if isinstance(inner, dict):
            said += [(f"{part}.{key}", key, known) for key in cast("dict[str, object]", inner)]
    for where, key, known in said:
        if key not in known:
            instead = f": {uses.instead[key]}" if key in uses.instead else f"; it uses {', '.join(sorted(known))}"
            yield f"{where}: the role {name} has no use for it{instead}"
