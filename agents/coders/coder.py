"""Which driver a line of configuration (`RIG_CODER`) means.

scripted:PATH        the steps of a script
command:PROGRAM …    any program, its arguments split as a shell would split them, and no shell
metered:PROGRAM …    one that ends with a record of what it used (usage.py says which), and no model's words beside it
"""

import shlex
import shutil
from pathlib import Path

from agents.coders import scripted
from agents.coders.command import CommandDriver
from agents.coders.driver import Driver
from agents.coders.scripted import ScriptedDriver
from schemas import Invalid


def coder(line: str) -> Driver:
    """The driver that `line` names. Raises Invalid with all that is wrong about it."""
    kind, _, rest = line.partition(":")
    match kind.strip():
        case "scripted" if rest.strip():
            path = Path(rest.strip()).absolute()
            return ScriptedDriver(path, scripted.load(path))
        case "command" | "metered" as how if rest.strip():
            return _command(rest, metered=how == "metered")
        case _:
            raise Invalid("coder", [f"{line!r} names no coder; write scripted:PATH or command:PROGRAM ARGUMENT…"])


def _command(line: str, *, metered: bool) -> CommandDriver:
    try:
        program, *arguments = shlex.split(line)
    except ValueError as error:
        raise Invalid("coder", [f"{line.strip()!r} cannot be split into arguments: {error}"]) from None
    # Found now and made absolute: later, in the worktree, a relative path would name a file of the repository.
    found = shutil.which(program)
    if found is None:
        raise Invalid("coder", [f"there is no program {program!r} on the PATH; install it or give its whole path"])
    return CommandDriver([str(Path(found).absolute()), *arguments], metered=metered)
