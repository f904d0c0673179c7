"""Which driver a line of configuration (`RIG_CODER`) means.

scripted:PATH        the steps of a script
command:PROGRAM …    any program, its arguments split as a shell would split them, and no shell
metered:PROGRAM …    one that ends with a record of what it used (usage.py says which), and no model's words beside it
claude               Claude Code; after a colon what it is to use: `claude: model=opus program=/opt/claude mcp=FILE`
codex                Codex: `codex: model=gpt-5-codex program=/opt/codex sandbox=danger-full-access`, issuer=https://HOST
opencode             OpenCode: `opencode: model=anthropic/claude-sonnet-4-5 program=/opt/opencode`
chain: A | B …       several of these: the next takes over while one before it has no login, no quota or no answer
"""

import shlex
import shutil
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct, structs

from agents.coders import scripted
from agents.coders.chain import Chain
from agents.coders.claude import ClaudeDriver, ClaudeOptions
from agents.coders.codex import CodexDriver, CodexOptions
from agents.coders.command import CommandDriver
from agents.coders.driver import Driver
from agents.coders.opencode import OpenCodeDriver, OpenCodeOptions
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
        case "codex":
            options = _options(rest, CodexOptions)
            return CodexDriver(structs.replace(options, program=_found(options.program)))
        case "opencode":
            options = _options(rest, OpenCodeOptions)
            return OpenCodeDriver(structs.replace(options, program=_found(options.program)))
        case "chain" if rest.strip():
            return _chain(rest)
        case _:
            known = "claude, codex, opencode, chain: A | B, scripted:PATH or command:PROGRAM ARGUMENT…"
            raise Invalid("coder", [f"{line!r} names no coder; write {known}"])


def _chain(line: str) -> Chain:
    drivers: list[Driver] = []
    problems: list[str] = []
    for part in line.split(" | "):
        try:
            drivers.append(coder(part.strip()))
        except Invalid as error:
            problems += error.problems
    if problems:
        raise Invalid("coder", problems)
    return Chain(drivers)


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
