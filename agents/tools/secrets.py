"""The secrets that tools need: by name in a character, by value in the environment of whoever runs it.

    RIG_SECRET_STATUS=…           or the content of the file that RIG_SECRET_STATUS_FILE names
    "Bearer ${secret:STATUS}"     in a character's headers, or a variable of an MCP server

What a tool answers is searched for them: a server that repeats a header must not tell the model.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from schemas import Invalid

__all__ = ["Secrets", "read"]

_VARIABLE: Final = re.compile(r"RIG_SECRET_([A-Z][A-Z0-9_]{0,60}?)(_FILE)?")
_REFERENCE: Final = re.compile(r"\$\{secret:([A-Z][A-Z0-9_]{0,60})\}")
_HIDDEN: Final = "(a secret)"
_SHORTEST: Final = 6
"""Characters of a value that is hidden wherever it stands: a shorter one is in many words."""


class Secrets(Struct, frozen=True):
    """Values by name."""

    values: dict[str, str]

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self.values))})"

    @property
    def confidential(self) -> tuple[str, ...]:
        """What no log and no screen may show."""
        return tuple(self.values.values())

    def put_in(self, text: str) -> str:
        """The text with the values in place of their names; each name is known."""
        return _REFERENCE.sub(lambda found: self.values[found[1]], text)

    def taken_out(self, text: str, *, cut: bool = False) -> str:
        """The text without any of the values; where it was `cut`, also without the beginning of one at its end."""
        values = [value for value in sorted(self.values.values(), key=len, reverse=True) if len(value) >= _SHORTEST]
        for value in values:
            text = text.replace(value, _HIDDEN)
        ends = (size for value in values for size in range(1, len(value)) if text.endswith(value[:size]))
        return text[: len(text) - max(ends, default=0)] if cut else text


def read(environ: Mapping[str, str]) -> Secrets:
    """Every secret of the environment. Raises Invalid with all that is wrong."""
    values: dict[str, str] = {}
    problems: list[str] = []
    for variable, text in environ.items():
        found = _VARIABLE.fullmatch(variable)
        if found is None:
            continue
        name, file = found[1], found[2] is not None
        if name in values:
            problems.append(f"RIG_SECRET_{name} and RIG_SECRET_{name}_FILE are both set; unset one")
            continue
        value = text
        if file:
            try:
                value = Path(text).read_text()
            except (OSError, UnicodeDecodeError) as error:
                problems.append(f"{variable}: {text} cannot be read: {error}")
                continue
        value = value.strip()
        if not value or any(sign in value for sign in "\r\n\0"):
            problems.append(f"{variable}: is empty, or more than one line")
        values[name] = value
    if problems:
        raise Invalid("secrets", problems)
    return Secrets(values)
