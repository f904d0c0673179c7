"""Which driver a line of configuration (`RIG_CODER`) means.

scripted:PATH        the steps of a script
command:PROGRAM …    any program, its arguments split as a shell would split them, and no shell
metered:PROGRAM …    one that ends with a record of what it used (usage.py says which), and no model's words beside it
claude               Claude Code; after a colon what it is to use: `claude: model=opus program=/opt/claude mcp=FILE`
"""

import shlex
import shutil
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct, structs

from agents.coders import scripted
from agents.coders.claude import ClaudeDriver, ClaudeOptions
from agents.coders.command import CommandDriver
from agents.coders.driver import Driver
from agents.coders.scripted import ScriptedDriver
from schemas import Invalid

T = TypeVar("T", bound=Struct)


def coder(line: str) -> Driver:
    """The driver that `line` names. Raises Invalid with all that is wrong about it."""
    kind, _, rest = line.partition(":")
    match kind.strip():
        case "scripted" if rest.strip():
            path = Path(rest.strip()).absolute()
            return ScriptedDriver(path, scripted.load(path))
        case "command" | "metered" as how if rest.strip():
            return _command(rest, metered=how == "metered")
        case "claude":
            options = _options(rest, ClaudeOptions)
            return ClaudeDriver(structs.replace(options, program=_found(options.program), mcp=_file(options.mcp)))
        case _:
            raise Invalid(
                "coder", [f"{line!r} names no coder; write claude, scripted:PATH or command:PROGRAM ARGUMENT…"]
            )


def _command(line: str, *, metered: bool) -> CommandDriver:
    program, *arguments = _words(line)
    return CommandDriver([_found(program), *arguments], metered=metered)


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise Invalid("coder", [f"{line.strip()!r} cannot be split into arguments: {error}"]) from None


def _found(program: str) -> str:
    # Found now and made absolute: later, in the worktree, a relative path would name a file of the repository.
    found = shutil.which(program)
    if found is None:
        raise Invalid("coder", [f"there is no program {program!r} on the PATH; install it or give its whole path"])
    return str(Path(found).absolute())


def _file(path: str) -> str:
    if path and not Path(path).is_file():
        raise Invalid("coder", [f"there is no file {path!r}"])
    return str(Path(path).absolute()) if path else ""


def _options(line: str, shape: type[T]) -> T:
    """Words like `model=opus`, as what a driver takes."""
    problems: list[str] = []
    given: dict[str, str] = {}
    known = [field.name for field in structs.fields(shape)]
    for word in _words(line):
        key, equals, value = word.partition("=")
        if not equals or not value or key not in known:
            problems.append(f"{word!r} is none of {', '.join(f'{name}=…' for name in known)}")
        given[key] = value
    if problems:
        raise Invalid("coder", problems)
    return msgspec.convert(given, shape)
