"""The change read from git, unless it is more than one reviewer is to look at."""

from typing import Final

from agents.review_e.change import Change, ChangedFile, parse, visible
from agents.workspace.reading import Changed, Reading
from schemas.policy import Gates

__all__ = ["CHARACTERS_MAX", "TooLarge", "look"]

CHARACTERS_MAX: Final = 400_000
"""Of the text of a change: a line may be long."""
_TELLING: Final = {"100755": "executable", "120000": "a symbolic link", "160000": "another repository"}


class TooLarge(Exception):
    """A change that nobody can judge at a look; the message says by how much."""


async def look(reading: Reading, gates: Gates) -> Change:
    """All that a head changes. Raises TooLarge beyond the policy's gates, and what reading raises."""
    files, lines = await reading.size()
    if files > gates.files_max or lines > gates.lines_max:
        raise TooLarge(
            f"it changes {files} files and {lines} lines; at most {gates.files_max} files and {gates.lines_max} lines"
            " are reviewed at once: split it"
        )
    found: list[ChangedFile] = []
    characters = 0
    for changed in await reading.changed():
        file = _file(changed, await reading.patch(changed))
        characters += len(file.text)
        if characters > CHARACTERS_MAX:
            raise TooLarge(f"its text is longer than {CHARACTERS_MAX} characters, which is more than can be reviewed")
        found.append(file)
    return Change(
        head_sha=reading.head_sha,
        base_sha=reading.base_sha,
        files=tuple(found),
        files_changed=files,
        lines_changed=lines,
    )


def _file(changed: Changed, patch: str) -> ChangedFile:
    text, numbers = parse(patch, deleted=changed.deleted)
    before, now = changed.modes
    return ChangedFile(
        path=visible(changed.path),
        before=None if changed.before is None else visible(changed.before),
        text=text,
        lines=numbers,
        binary=not text and "\nBinary files " in patch,
        deleted=changed.deleted,
        mode=_TELLING.get(now, "executable no more" if before == "100755" and now == "100644" else ""),
    )
