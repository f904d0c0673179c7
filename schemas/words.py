"""Foreign text, made fit to print.

What people and agents wrote (titles, notes, findings) is foreign text: characters that steer a terminal or hide
what stands there are taken out here, before anybody prints it.
"""

import unicodedata

LINE_MAX = 200
"""Characters of one summary."""

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories: controls, formats (bidirectional overrides, zero-width), surrogates, line separators."""


def printable(text: str) -> str:
    """The text with what steers a terminal taken out; line breaks and tabs stay."""
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in _HIDDEN else "" for char in _newlines(text)
    )


def one_line(text: str, limit: int = LINE_MAX) -> str:
    """The printable text on one line, its blanks collapsed, cut at `limit` characters with an ellipsis."""
    line = " ".join(printable(text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
