"""What a repository asks of whoever works in it, in the files that are for that. Pure.

    AGENTS.md          how to work here, in prose (agents.md)
    .rig-agent.yaml    what it is written in, how it is built, whom to ask
    WORKFLOW.md        Symphony's: front matter of settings, then prose

They are read from the base branch, so nobody changes them without a merge; they are somebody's text all the same, and
quoted to the coder. Of the settings one is obeyed, since it can only make less: `agent.max_turns`. None of the commands
in them is run. Source of the last: Symphony's SPEC, "Workflow Specification (Repository Contract)".
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, cast

import msgspec
import yaml
from msgspec import Meta, Struct

__all__ = ["FILES", "Conventions", "Guide", "conventions"]

FILES = ("AGENTS.md", ".rig-agent.yaml", "WORKFLOW.md")
GUIDE_CHARACTERS = 16_384
"""Of one file; the rest is left out, and that is said."""
FRONT_CHARACTERS = 8_192
FENCE = "---"


class Guide(Struct, frozen=True):
    """A file, and what stands in it."""

    name: str
    text: str


class Conventions(Struct, frozen=True):
    """All of them."""

    guides: tuple[Guide, ...] = ()
    turns_max: int | None = None
    """So many turns are enough for a coder here."""


class _Agent(Struct, frozen=True):
    max_turns: Annotated[int, Meta(ge=1, le=10_000)] | None = None


class _Front(Struct, frozen=True):
    agent: _Agent | None = None


def conventions(texts: Mapping[str, str]) -> Conventions:
    """By the name of each file what it holds."""
    guides: list[Guide] = []
    turns_max = None
    for name in FILES:
        text = texts.get(name, "")
        if name == "WORKFLOW.md":
            front, text = _parted(text)
            turns_max = _turns(front)
        if text.strip():
            guides.append(Guide(name, _cut(text.strip("\n"))))
    return Conventions(tuple(guides), turns_max)


def _parted(text: str) -> tuple[str, str]:
    """Front matter and what follows; without a second fence there is none."""
    lines = text.split("\n")
    if lines[0].rstrip() != FENCE:
        return "", text
    for number, line in enumerate(lines[1:], 1):
        if line.rstrip() == FENCE:
            return "\n".join(lines[1:number]), "\n".join(lines[number + 1 :])
    return "", text


def _turns(front: str) -> int | None:
    """What cannot be read says nothing: it is a wish, and no reason not to work."""
    if not front or len(front) > FRONT_CHARACTERS:
        return None
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in _events(front)):  # a few lines of them are gigabytes
            return None
        said = msgspec.yaml.decode(front, type=_Front | None)
    except (yaml.YAMLError, msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError):
        return None
    return said.agent.max_turns if said is not None and said.agent is not None else None


def _events(text: str) -> Iterator[yaml.Event]:
    parse = cast("Callable[..., Iterator[yaml.Event]]", yaml.parse)  # pyright: ignore[reportUnknownMemberType]
    return parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _cut(text: str) -> str:
    return text if len(text) <= GUIDE_CHARACTERS else f"{text[:GUIDE_CHARACTERS]}\n… the rest is left out …"
