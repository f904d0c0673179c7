"""`.rig-agent.yaml`: what a repository says about itself to whoever works in it. Pure; where it is kept, a forge knows.

    stack: [python]                  # what it is written in
    tools: [node, docker]            # what a replica must have to work here
    test: make test                  # the check; what an operator says with `rig repo add --check` counts for more
    build: make
    escalate: the shop's team        # whom to ask when the rig is at its end

All of it may be missing. It is read from the base branch alone, so nobody changes it without a merge. What it says is
somebody's text all the same: no aliases (a few lines of them are gigabytes), no keys twice, no nesting, 64 KiB.
"""

from collections.abc import Callable, Iterator
from typing import Final, cast

import msgspec
import yaml
from msgspec import Struct

from schemas import Invalid, build, one_line
from schemas.fields import Line
from schemas.refs import Name

NAME: Final = ".rig-agent.yaml"
MAX_BYTES: Final = 64 * 1024
_DEPTH: Final = 4
"""Of nesting: what is deeper is not looked at."""
_PROBLEMS: Final = 20
"""So many are told."""


class AgentFile(Struct, frozen=True, kw_only=True):
    """What it says; a list may also be a line with commas."""

    stack: tuple[Name, ...] = ()
    tools: tuple[Name, ...] = ()
    test: Line | None = None
    build: Line | None = None
    escalate: Line | None = None


def read(body: bytes) -> AgentFile:
    """Reads the file. Raises Invalid with every problem, each on one line that may be shown."""
    try:
        return _read(body)
    except Invalid as error:
        problems = [one_line(problem) for problem in error.problems[:_PROBLEMS]]
        more = len(error.problems) - _PROBLEMS
        raise Invalid(NAME, [*problems, f"and {more} more"] if more > 0 else problems) from None


def _read(body: bytes) -> AgentFile:
    if len(body) > MAX_BYTES:
        raise Invalid(NAME, [f"{len(body)} bytes, at most {MAX_BYTES} are read"])
    try:
        if problems := list(_traps(body)):
            raise Invalid(NAME, problems)
        document = msgspec.yaml.decode(body)
        values = {} if document is None else msgspec.convert(document, dict[str, object])
    except msgspec.ValidationError as error:
        raise Invalid(NAME, [f"not a mapping of words: {error}"]) from None
    except (yaml.YAMLError, msgspec.DecodeError, ValueError, ArithmeticError) as error:  # a date that is none, say
        raise Invalid(NAME, [f"not YAML: {error}"]) from None
    return build(AgentFile, values)


def _traps(body: bytes) -> Iterator[str]:
    """What YAML allows and does harm. Found before anything is built from it. Raises yaml.YAMLError."""
    depth, turn, keys = 0, 0, set[str]()
    for event in _events(body):
        if isinstance(event, yaml.AliasEvent):
            yield f"line {_line(event)}: *{event.anchor}: aliases are not read"
            return
        if depth == 1 and isinstance(event, yaml.NodeEvent):
            turn += 1  # a key, its value, a key …
            if turn % 2 and isinstance(event, yaml.ScalarEvent):
                if event.value in keys:
                    yield f"line {_line(event)}: {event.value}: said twice"
                keys.add(event.value)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEPTH:
            yield f"line {_line(event)}: nested too deeply"
            return


def _events(body: bytes) -> Iterator[yaml.Event]:
    parse = cast("Callable[..., Iterator[yaml.Event]]", yaml.parse)  # pyright: ignore[reportUnknownMemberType]
    return parse(body, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _line(event: yaml.Event) -> int:
    return cast("yaml.Mark", event.start_mark).line + 1  # pyright: ignore[reportUnknownMemberType]
