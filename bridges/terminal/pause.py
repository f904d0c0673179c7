"""`rig pause`, `rig resume`: whether new work begins, everywhere, in a repository, or for a role."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from bridges.terminal import fleet, lookup, names, spoken
from bridges.terminal.errors import BadInput, Failed
from bridges.terminal.fleet import Fleet
from bridges.terminal.output import say, say_json
from bridges.terminal.session import person, reported, run
from bridges.terminal.spoken import Spoken, wish
from bridges.terminal.views import Json
from schemas import FLEET, Paused, RepoRef, Resumed, is_pause_scope

if TYPE_CHECKING:
    from bus import Bus

ALL = "all"
Scope = Annotated[str, typer.Argument(metavar="[all|REPO|role:NAME]", help="all, acme/web or role:dev-e.")]
Note = Annotated[str, typer.Option(metavar="TEXT", help="Why; it is recorded.")]


def pause(context: typer.Context, scope: Scope = ALL, note: Note = "", json: Json = False) -> None:
    """Begin no new work there. What is under way goes on; `rig issue stop` stops that."""
    _say(context, scope, note, lambda bus: paused(bus, scope, note), json=json)


def resume(context: typer.Context, scope: Scope = ALL, note: Note = "", json: Json = False) -> None:
    """Begin new work there again. Fails where nothing is paused."""
    _say(context, scope, note, lambda bus: resumed(bus, scope, note), json=json)


async def paused(bus: "Bus", scope: str, note: str = "") -> Spoken:
    """Says it, unless it is paused already. Raises BadInput for what is not here."""
    where = await _where(bus, scope)
    known = await lookup.whole_fleet(bus, fleet.PAUSES)
    if (said := known.paused.get(where)) is not None:
        return spoken.before(said)
    await _check_known(bus, where)
    return await spoken.say(bus, FLEET, wish(Paused, scope=where, by=person(), note=note), _anchor(known, where))


async def resumed(bus: "Bus", scope: str, note: str = "") -> Spoken:
    """Says it. Raises Failed where nothing is paused."""
    where = await _where(bus, scope)
    known = await lookup.whole_fleet(bus, fleet.PAUSES)
    if where not in known.paused:
        raise Failed(not_paused(where, known))
    return await spoken.say(bus, FLEET, wish(Resumed, scope=where, by=person(), note=note), _anchor(known, where))


def _say(
    context: typer.Context, scope: str, note: str, work: Callable[["Bus"], Awaitable[Spoken]], *, json: bool
) -> None:
    with reported():
        pause_scope(scope)
        wish(Paused, scope=ALL, by=person(), note=note)  # is the note fit to be said at all?
        said = run(context, work)
        say_json(said) if json else say([str(said)])


def pause_scope(typed: str) -> str | None:
    """What is meant, as events say it; None: a repository by its short name. Raises BadInput."""
    for scope in (typed, f"repository:{typed}"):
        if is_pause_scope(scope):
            return scope
    if ":" in typed:
        raise BadInput(f"{typed[:60]!r} cannot be paused: write all, a repository like acme/web, or role:dev-e")
    names.check_repository(typed)
    return None


def not_paused(where: str, known: Fleet) -> str:
    """Why there is nothing to resume, and what there would be."""
    others = f"; paused are {', '.join(sorted(known.paused))}" if known.paused else ", and nothing else is"
    return f"{where} is not paused{others}"


async def _where(bus: "Bus", typed: str) -> str:
    return pause_scope(typed) or f"repository:{await names.repository(bus, typed)}"


async def _check_known(bus: "Bus", where: str) -> None:
    """Raises BadInput for what is not here: pausing it would stop nothing, and nobody would notice."""
    kind, _, what = where.partition(":")
    if kind == "role":
        await lookup.check_role(bus, what)
    elif kind == "repository":
        await names.check_under_the_rig(bus, RepoRef.parse(what))


def _anchor(known: Fleet, where: str) -> str:
    """Id of the last word about whether it is paused."""
    said = known.switched.get(where)
    return "" if said is None else said.event.id
