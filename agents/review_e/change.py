"""A change as a reviewer reads it: its files, and their lines by number, so that a finding can be held to them.

Pure. What git prints of one file is parsed and nothing else is: names come from git apart from the text, and a line
that looks like a header of a diff is a line. What would show as nothing, or as something else (control characters, the
marks that turn the direction of text), is written out.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

__all__ = ["Change", "ChangedFile", "listed", "parse", "visible"]

_HUNK: Final = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_WRITTEN_OUT: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
"""Categories of Unicode."""


class ChangedFile(Struct, frozen=True, kw_only=True):
    """One file of a change."""

    path: str
    """As it is shown; of one that moved, where it is now."""
    before: str | None = None
    """Where it was, of one that moved."""
    text: str = ""
    """Its hunks with the numbers of their lines; empty of what is no text, and of a file that only moved."""
    lines: frozenset[int] = frozenset()
    """The numbers that are shown: of the file as it is now, and of one that is deleted as it was."""
    binary: bool = False
    deleted: bool = False
    mode: str = ""
    """What became of its mode, where that says something."""

    @property
    def heading(self) -> str:
        """What it is, in a line."""
        notes = (
            f"moved from {self.before}" if self.before is not None else "",
            "deleted" if self.deleted else "",
            self.mode,
            "no text: it is not shown" if self.binary else "",
        )
        said = ", ".join(note for note in notes if note)
        return f"{self.path} ({said})" if said else self.path


class Change(Struct, frozen=True, kw_only=True):
    """What a head changes of its base."""

    head_sha: str
    base_sha: str
    """The commit that they have in common."""
    files: tuple[ChangedFile, ...]
    lines_changed: int
    """Added and removed; a file that moved was removed and added."""
    files_changed: int
    """One that moved counts as two."""

    @property
    def characters(self) -> int:
        return sum(len(file.text) for file in self.files)

    def file(self, path: str) -> ChangedFile | None:
        return next((file for file in self.files if file.path == path), None)


def parse(patch: str, *, deleted: bool) -> tuple[str, frozenset[int]]:
    """The hunks of one file's patch with each line's number before it, and which numbers those are."""
    shown: list[str] = []
    numbers: set[int] = set()
    old = new = 0
    inside = False
    for line in patch.split("\n"):
        if (hunk := _HUNK.match(line)) is not None:
            inside, old, new = True, int(hunk[1]), int(hunk[2])
            shown.append("     …")
            continue
        if not inside or not line or line[0] not in " +-":
            continue  # what stands before the hunks, and "\ No newline at end of file"
        mark, number = line[0], old if deleted else new
        if mark == "-" and not deleted:
            shown.append(f"       {visible(line.rstrip(chr(13)))}")
        else:
            numbers.add(number)
            shown.append(f"{number:>6} {visible(line.rstrip(chr(13)))}")
        old += mark != "+"
        new += mark != "-"
    return "\n".join(shown), frozenset(numbers)


def visible(text: str) -> str:
    """A line in which nothing hides."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_written(character) for character in text)


def _written(character: str) -> str:
    if character == "\t" or unicodedata.category(character) not in _WRITTEN_OUT:
        return character
    return f"<U+{ord(character):04X}>"


def listed(files: Iterable[ChangedFile]) -> str:
    """All of it, as text."""
    return "\n\n".join("\n".join(part for part in (file.heading, file.text) if part) for file in files)
