"""`rig agent`: characters, checked, explained, listed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct

from bridges.terminal import BadInput, FindServer
from bridges.terminal.output import say, say_json
from bridges.terminal.session import reported
from schemas import Invalid

__all__ = ["add_agents", "own_characters"]

Json = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]
Who = Annotated[str, typer.Argument(metavar="NAME", help="A character's name, its directory or its file.")]


class Listed(Struct, frozen=True, kw_only=True):
    """One character."""

    name: str
    file: str
    wakes: tuple[str, ...]
    problems: tuple[str, ...]
    """With any, it is not to be used."""


class Characters(Struct, frozen=True):
    """All of them, by name."""

    characters: tuple[Listed, ...]


def add_agents(app: typer.Typer, find_server: FindServer) -> None:
    """Adds them to `rig`."""
    group = typer.Typer(
        context_settings={"obj": find_server}, help="Agents that are a character: who they are.", no_args_is_help=True
    )
    group.command("list")(list_)
    group.command("check")(check)
    group.command("schema")(schema)
    app.add_typer(group, name="agent")


def own_characters() -> list[Path]:
    """Where a person's own characters lie: $RIG_CHARACTERS, else `characters` in the data directory."""
    from deploy.home import Home

    chosen = os.environ.get("RIG_CHARACTERS")
    return [Path(chosen).expanduser() if chosen else Home.find(os.environ).path / "characters"]


def list_(json: Json = False) -> None:
    """The characters that there are: those of the rig, and yours, which count for more."""
    with reported():
        from agents.character import Shelf
        from agents.character.shelf import load

        found: list[Listed] = []
        for name, file in Shelf(own_characters()).files().items():
            try:
                wakes, problems = load(file).wakes, ()
            except Invalid as error:
                wakes, problems = (), error.problems
            found.append(Listed(name=name, file=str(file), wakes=wakes, problems=problems))
        say_json(Characters(tuple(found))) if json else say(_listed(found))


def _listed(found: list[Listed]) -> Iterator[str]:
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        yield f"{each.name:{width}}  {'; '.join(each.wakes) if not each.problems else 'WRONG: ' + each.problems[0]}"
        if each.problems:
            yield f"{'':{width}}  `rig agent check {each.name}` says it all"


def check(who: Who) -> None:
    """Is it right? All that is wrong with it, at once."""
    with reported():
        from agents.character import Shelf

        try:
            character = Shelf(own_characters()).load(who)
        except Invalid as error:
            raise BadInput.of(who, error.problems) from None
        say([f"{character.name} is right"])


def schema() -> None:
    """The JSON Schema of character.json, for editors."""
    with reported():
        from agents.character import json_schema_text

        say([json_schema_text().rstrip("\n")])
