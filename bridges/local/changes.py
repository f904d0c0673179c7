"""What a pull request changes, counted by git between the merge base and its head: rules decide on these numbers.

Nothing that an agent writes may make them smaller. So every file is counted as text, whatever a `.gitattributes` calls
it and also behind a NUL byte: a binary file has as many lines as it has newlines. The user's settings for diffs, his
submodules' and replaced objects do not count. A file that moved counts as two, where it was and where it is, but of
its lines only those that changed on the way.

A path that is too long to be said is left out, and so is what comes after PATHS_MAX of them or does not fit into a
message any more: then there are fewer paths than `files`, and whoever decides knows that he has not seen all.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from machine.git import Git, GitError, sha
from schemas import Changes
from schemas.forge import PATHS_MAX

PATH_CHARACTERS = 500
"""Of one path of `Changes`."""
_RENAMES = 400
"""How many files of unlike content, gone and new each, are compared to find what moved; more have all changed."""
_PATHS_BYTES = 128 * 1024
"""Of UTF-8, for all paths of one event; JSON may make twice as much of them."""
_COUNT = (
    *("diff-tree", "-r", "-z", "--numstat", "--find-renames=50%", f"-l{_RENAMES}"),
    *("--diff-algorithm=myers", "--ignore-submodules=none", "--end-of-options"),
)


async def count(scratch: Git, *, base: str, head: str) -> Changes:
    """Counts what `head` brings to `base` (full ids) in a scratch clone, all of it where they share no history.

    Raises GitError.
    """
    attributes = Path(await scratch.run("rev-parse", "--path-format=absolute", "--git-path", "info/attributes"))
    _all_files_are_text(attributes)
    command = (*_COUNT, await _began(scratch, base, head), sha(head))
    outcome = await scratch.outcome(*command)
    if not outcome.ok:
        raise GitError(scratch.directory, command, outcome)
    return tally(outcome.output)


def _all_files_are_text(attributes: Path) -> None:
    attributes.parent.mkdir(exist_ok=True)
    attributes.write_text("* diff\n")  # this file of git's own counts for more than any in the tree


async def _began(scratch: Git, base: str, head: str) -> str:
    """The merge base, or the empty tree."""
    command = ("merge-base", sha(base), sha(head))
    found = await scratch.outcome(*command)
    if found.exit_code not in (0, 1):
        raise GitError(scratch.directory, command, found)
    return found.output.decode().strip() or await scratch.run("hash-object", "-t", "tree", "--stdin")


def tally(numstat: bytes) -> Changes:
    """The sum of what `git diff --numstat -z` printed."""
    lines, touched = 0, set[bytes]()
    for changed, names in _entries(numstat):
        lines += changed
        touched.update(names)
    return Changes(files=len(touched), lines=lines, paths=tuple(_that_fit(sorted(map(printable_path, touched)))))


def printable_path(name: bytes) -> str:
    r"""A file's name as text, one to one: `\xff` for a byte that is no UTF-8, `\u{202e}` for a character that cannot be
    printed, `\\` for a backslash."""
    text = name.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in text)


def _entries(numstat: bytes) -> Iterator[tuple[int, tuple[bytes, ...]]]:
    """Added and removed lines of each file, and its names: two when it moved."""
    fields = iter(numstat.split(b"\0"))
    for entry in fields:
        if not entry:
            return  # behind the last NUL
        added, removed, name = entry.split(b"\t", 2)
        names = (name,) if name else (next(fields), next(fields))
        yield int(added) + int(removed), names


def _that_fit(paths: Iterable[str]) -> Iterator[str]:
    room = _PATHS_BYTES
    for path in islice((path for path in paths if len(path) <= PATH_CHARACTERS), PATHS_MAX):
        room -= len(path.encode())
        if room < 0:
            return
        yield path
