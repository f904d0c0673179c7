"""The statements of the read side, read from queries.sql: `-- name: position` and what follows up to the next name."""

import re
from functools import cache
from importlib.resources import files

from conductor.migrations import Migration

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def _statements() -> dict[str, str]:
    _, *parts = _NAME.split(files(__name__).joinpath("queries.sql").read_text(encoding="utf-8"))
    return dict(zip(parts[::2], map(str.strip, parts[1::2]), strict=True))


def statement(name: str, table: str | None = None) -> str:
    """The statement of that name, about a table where it is one for any. KeyError: queries.sql has none."""
    found = _statements()[name]
    return found if table is None else found.replace("{table}", table)


def migrations() -> list[Migration]:
    """Every migration of this version, in the order of their names."""
    folder = files(__name__).joinpath("migrations")
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return [
        Migration(entry.name, entry.read_text(encoding="utf-8")) for entry in sorted(found, key=lambda one: one.name)
    ]
