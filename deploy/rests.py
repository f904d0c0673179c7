"""`rig agent show`: what an agent was woken for and what came of it, read from the log."""

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from bridges.terminal import BadInput, show
from bus import Bus
from schemas import (
    AgentJoined,
    AgentRef,
    AgentRested,
    AgentWoken,
    RestOutcome,
    WokenBy,
    branch,
    one_line,
    printable,
)

__all__ = ["Rests", "lines", "rests"]


class Woken(Struct, frozen=True, kw_only=True):
    """One wake."""

    run: str
    by: WokenBy
    key: str
    at: datetime
    text: str
    """What it was told, in short."""


class Rested(Struct, frozen=True, kw_only=True):
    """What came of one."""

    at: datetime
    position: int
    outcome: RestOutcome
    words: str
    """Its last, or why it came no further."""
    turns: int
    cost_usd: float | None
    woken: Woken | None
    """None: the log does not say what for."""


class Rests(Struct, frozen=True, kw_only=True):
    """Of one agent."""

    agent: str
    at_work: tuple[Woken, ...]
    """What it was woken for and has not rested from, the oldest first."""
    rests: tuple[Rested, ...]
    """The newest last."""


async def rests(bus: Bus, name: str, limit: int, *, known: bool) -> Rests:
    """The last so many. Raises BadInput for a name that is no character's here (`known`) and never joined."""
    about = AgentRef(name)
    said = await bus.log.history([f"{branch(about)}.*.{kind.name()}" for kind in (AgentWoken, AgentRested)])
    if not said and not known and await bus.log.last(f"{branch(about)}.*.{AgentJoined.name()}") is None:
        raise BadInput(f"there is no agent {name!r}; `rig agent list` names the characters")
    at_work: dict[str, Woken] = {}
    woken: dict[str, Woken] = {}
    found: dict[str, Rested] = {}
    for each in said:
        match each.event.data:
            case AgentWoken(run=run, by=by, key=key, text=text) if run not in woken:
                woken[run] = Woken(run=run, by=by, key=key, at=each.event.time, text=text)
                if run not in found:
                    at_work[run] = woken[run]
            case AgentRested(run=run) as rest if run not in found:  # the first one counts
                at_work.pop(run, None)
                found[run] = Rested(
                    at=each.event.time,
                    position=each.position,
                    outcome=rest.outcome,
                    words=rest.detail,
                    turns=rest.turns,
                    cost_usd=rest.cost_usd,
                    woken=woken.get(run),
                )
            case _:
                pass
    return Rests(agent=name, at_work=tuple(at_work.values()), rests=tuple(found.values())[-limit:])


def lines(found: Rests) -> Iterator[str]:
    """For people."""
    for rest in found.rests:
        cost = "" if rest.cost_usd is None else f", ${rest.cost_usd:.2f}"
        why = "" if rest.woken is None else f"  {_why(rest.woken)}"
        yield f"{show.clock(rest.at)}  {rest.outcome} ({rest.turns} turns{cost}){why}"
        yield from (f"    {line}" for line in (printable(rest.words).strip() or "(nothing)").split("\n"))
        yield ""
    yield from (f"{show.clock(wake.at)}  at work{'':2}{_why(wake)}" for wake in found.at_work)
    if not found.rests and not found.at_work:
        yield f"{found.agent} has not been woken yet"


def _why(wake: Woken) -> str:
    return one_line(f"{wake.by} {wake.key}: {wake.text}" if wake.text else f"{wake.by} {wake.key}", 120)
