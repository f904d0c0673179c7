"""Untrusted text on its way to GitHub: it mentions nobody, closes nothing, and is no marker of ours. Pure.

An agent's words, and an issue's, are somebody's text. In a fence GitHub reads nothing into them; a title has no
fences, so there an invisible sign stands where GitHub would begin to read.
"""

import re
from typing import Final

from schemas import one_line, printable

TITLE_MAX: Final = 240
"""Characters; GitHub takes 256 for a pull request's title, and a commit's bears its number, too."""
_BREAK: Final = "\u200b"
_READ_INTO: Final = re.compile(r"(?i)[@#\[]|GH(?=-)|:(?=//)|<(?=!--)|/(?=issues/|pull/)")
"""Where mentions, issue numbers, `GH-7`, links, comments of HTML and `[skip ci]` begin."""
_FENCE: Final = re.compile(r"`+|~+")


def line(text: str, most: int = 200) -> str:
    """One line: for titles and the first line of a commit's message. With what is put in it has TITLE_MAX at most."""
    return _READ_INTO.sub(lambda found: found[0] + _BREAK, one_line(text, most))[:TITLE_MAX]


def code(text: str, most: int = 200) -> str:
    """A name or a few words within a sentence, as code."""
    return f"`{one_line(text, most).replace('`', chr(39)) or '-'}`"


def fenced(text: str, most: int = 4_000) -> str:
    """A whole text, fenced: with a fence longer than any in it."""
    clean = printable(text).strip()
    clean = clean if len(clean) <= most else f"{clean[: most - 1]}…"
    longest = max((len(found) for found in _FENCE.findall(clean)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{clean}\n{fence}"
