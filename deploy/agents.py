"""`rig agent`: characters, checked, explained, listed, and had do something."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from bridges.terminal import BadInput, FindServer
from bridges.terminal.output import say, say_json
from bridges.terminal.session import find_server, reported, run
from schemas import Invalid, RestOutcome, printable
from schemas.refs import NAME

if TYPE_CHECKING:
    from agents.character import Character

__all__ = ["add_agents", "found_characters", "own_characters"]

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
    group.command("explain")(explain)
    group.command("show")(show)
    group.command("run")(run_)
    group.command("schema")(schema)
    app.add_typer(group, name="agent")


def own_characters() -> list[Path]:
    """Where a person's own characters lie."""
    from deploy.settings import characters_place

    return [characters_place(os.environ)]


def list_(json: Json = False) -> None:
    """The characters that there are: those of the rig, and yours, which count for more."""
    with reported():
        from agents.character import Shelf
        from agents.character.roles import RUN_BY
        from agents.character.shelf import load

        found: list[Listed] = []
        for name, file in Shelf(own_characters()).files().items():
            try:
                wakes, problems = load(file).wakes, ()
                if name in RUN_BY:
                    wakes = (f"by the conductor, which gives it work: {RUN_BY[name]}",)
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
    """Is it right? All that is wrong with it, at once; where models are configured, whether it can have those it names.

    So are the secrets of its webhooks, where they are set. No model is asked anything: who provides them says which
    there are.
    """
    with reported():
        from agents.character import Shelf

        try:
            character = Shelf(own_characters()).load(who)
            notes, wrong = asyncio.run(_models(character))
            if problems := [*_secrets(character), *wrong]:
                raise Invalid(character.name, problems)
        except Invalid as error:
            raise BadInput.of(who, error.problems) from None
        say([f"{character.name} is right", *notes])


def _secrets(character: "Character") -> Iterator[str]:
    """What is wrong with those of its webhooks that are set here. Raises Invalid where one cannot be read."""
    from agents.life.webhooks import problems
    from agents.tools.secrets import read

    variables = {f"RIG_SECRET_{hook.secret}{end}" for hook in character.webhooks for end in ("", "_FILE")}
    known = read({key: os.environ[key] for key in variables if key in os.environ})
    yield from problems(character.webhooks, known.values)


async def _models(character: "Character") -> tuple[list[str], list[str]]:
    """What cannot be known of its models here, and what is wrong: that it can have none, or not those that it names."""
    from agents.character.roles import CODED
    from agents.llm.chain import problems
    from agents.llm.look import judge
    from deploy.settings import gateways_in

    if character.name == CODED:
        return [], []
    gateways = gateways_in(os.environ)
    if gateways is None:
        return ["its models were not judged: none are configured here (RIG_GATEWAY_URL, or RIG_GATEWAYS)"], []
    judged = await judge(gateways, character.llm.models)
    wrong = dict.fromkeys((*problems(gateways, character.llm), *judged.problems))
    return [f"not judged: {printable(each)}" for each in judged.unknown], [f"llm: {each}" for each in wrong]


def explain(who: Who) -> None:
    """What its model is told and which tools it has, as the model would see them."""
    with reported():
        from agents.character import Shelf
        from agents.character.explain import explained

        try:
            character = Shelf(own_characters()).load(who)
        except Invalid as error:
            raise BadInput.of(who, error.problems) from None
        say(explained(character))


def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The agent, as `rig agent list` names it.")],
    *,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")] = 3,
    json: Json = False,
) -> None:
    """What it was woken for last, and what came of it: its words, the newest last."""
    with reported():
        from agents.character import Shelf
        from deploy.rests import lines, rests

        if NAME.fullmatch(name) is None:
            raise BadInput(f"{name[:60]!r} is no agent's name; `rig agent list` names the characters")
        known = name in Shelf(own_characters()).files()
        found = run(context, lambda bus: rests(bus, name, limit, known=known))
        say_json(found) if json else say(lines(found))


def run_(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The agent, as `rig agent list` names it.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What it is to do.")],
    json: Json = False,
) -> None:
    """Have an agent do one thing, and wait for it. If nobody is it now, it runs here until that is done."""
    with reported():
        from agents.character import Shelf

        try:
            file = Shelf(own_characters()).find(name)
            known_as = Shelf(own_characters()).load(str(file)).name
        except Invalid as error:
            raise BadInput.of(name, error.problems) from None
        from deploy.oneshot import do_once

        rested = run(context, lambda bus: do_once(bus, known_as, file, text, find_server(context)()))
        say_json(rested) if json else say([printable(rested.detail)])
        if rested.outcome is not RestOutcome.DONE:
            typer.echo(f"rig: {known_as} came to rest: {rested.outcome}", err=True)
            raise typer.Exit(1)


def schema() -> None:
    """The JSON Schema of character.json, for editors."""
    with reported():
        from agents.character import json_schema_text

        say([json_schema_text().rstrip("\n")])


def found_characters(names: Sequence[str]) -> dict[str, Path]:
    """Their files, by name. Raises BadInput with everything that is wrong with them."""
    from agents.character import Shelf
    from agents.character.roles import RUN_BY

    shelf, found, problems = Shelf(own_characters()), dict[str, Path](), list[str]()
    listening = set[str]()
    for name in names:
        try:
            file = shelf.find(name).absolute()
            character = shelf.load(str(file))
            found[character.name] = file
            if character.webhooks:
                listening.add(character.name)
            if character.name in RUN_BY:
                problems.append(f"{name} is a role of the rig, and no agent like others: {RUN_BY[character.name]}")
        except Invalid as error:
            problems += [f"{name}: {problem}" for problem in error.problems]
    if len(listening) > 1 and os.environ.get("RIG_AGENT_HTTP"):
        apart = "run each but one by `rig run agent`, with RIG_CHARACTER and an address of its own"
        problems.append(f"{' and '.join(sorted(listening))} have webhooks, and RIG_AGENT_HTTP is one address: {apart}")
    if problems:
        raise BadInput.of("--agent", problems)
    return found
