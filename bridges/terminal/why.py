"""`rig why REPO#N`: how an issue got where it is, and what it waits for now. From the log alone: Postgres may be away.

It reads by subject: the issue, what was said of its repository and of the rig as a whole, what it depends on. A cause
that stands elsewhere (an agent's word, another issue's) is looked for just before its effect, then with the agents that
took part, then further back.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from bridges.standing import Standing
from bridges.terminal import fleet, lookup, names, show
from bridges.terminal.chain import Known, Missing, chain
from bridges.terminal.explain import Facts, Why, explain
from bridges.terminal.output import say, say_json
from bridges.terminal.session import reported, run
from bridges.terminal.views import Json
from schemas import (
    AgentRef,
    IssueRef,
    Recorded,
    WorkStarted,
    everything_about,
    one_line,
)

if TYPE_CHECKING:
    from bus import Bus

NEAR: Final = 1_000
"""Positions before an effect that are searched first."""
FAR: Final = 20_000
"""And at last."""
DEPENDENCIES_MAX: Final = 50
LOOKUPS_MAX: Final = 100


def why(
    context: typer.Context,
    issue: Annotated[str, typer.Argument(metavar="REPO#N", help="Like acme/web#42.")],
    json: Json = False,
) -> None:
    """Why an issue stands where it stands: what led there, step by step, and what it waits for now."""

    async def asking(bus: "Bus") -> Why:
        return await of(bus, await names.issue(bus, issue), datetime.now(UTC))

    with reported():
        names.check_issue(issue)
        answer = run(context, asking)
        say_json(answer) if json else say(lines(answer))


async def of(bus: "Bus", issue: IssueRef, now: datetime) -> Why:
    """The answer about one issue. Raises Failed for one that nobody has approved, or BusError."""
    filters = [everything_about(issue), *lookup.about_repository(issue.repository), *fleet.filters()]
    history = await bus.log.history(filters)
    it = lookup.must_stand(lookup.standings_in(history, [issue])[issue], issue)
    others = await lookup.standings(bus, it.depends_on[:DEPENDENCIES_MAX])
    repository = lookup.served(said for said in history if said.event.about == issue.repository)
    facts = Facts(fleet=fleet.fleet(history), repository=repository.configured, depends_on=others)
    links, missing = await _causes(bus, it, Known(history), history)
    return explain(it, links, missing, facts, now)


async def _causes(
    bus: "Bus", it: Standing, known: Known, history: Sequence[Recorded]
) -> tuple[list[Recorded], Missing | None]:
    """The chain of causes, with those that were found elsewhere."""
    links, missing = chain(it.last, known)
    for _ in range(LOOKUPS_MAX):
        if missing is None:
            break
        found = await _look_for(bus, missing, history)
        if found is None:
            break
        known.add([found])
        links, missing = chain(it.last, known)
    return links, missing


async def _look_for(bus: "Bus", missing: Missing, history: Sequence[Recorded]) -> Recorded | None:
    async for said in _elsewhere(bus, missing, history):
        if said.event.id == missing.id and said.position < missing.before:
            return said
    return None


async def _elsewhere(bus: "Bus", missing: Missing, history: Sequence[Recorded]) -> AsyncIterator[Recorded]:
    """Events among which a cause may be, the likeliest first."""
    near, far = max(missing.before - 1 - NEAR, 0), max(missing.before - 1 - FAR, 0)
    agents = {said.event.data.agent for said in history if isinstance(said.event.data, WorkStarted)}
    for filters, after, until in (
        (["rig.>"], near, missing.before - 1),
        ([everything_about(AgentRef(agent)) for agent in sorted(agents)], 0, near),
        (["rig.>"], far, near),
    ):
        if filters and after < until:
            async for said in bus.log.replay(filters, after=after, until=until):
                if isinstance(said, Recorded):
                    yield said


def lines(answer: Why) -> Iterator[str]:
    """The answer for people."""
    yield f"{typer.style(str(answer.issue), bold=True)}  {one_line(answer.title, 300)}"
    yield f"{show.state_words(answer.state)} since {show.clock(answer.since)}"
    yield ""
    yield "because"
    if answer.unknown_cause is not None:
        yield f"  … what came before is not in the log near here (its id is {one_line(answer.unknown_cause, 100)})"
    for step in answer.because:
        where = "" if step.about == str(answer.issue) else f"{one_line(step.about, 60)}: "
        yield f"{step.position:>6}  {show.clock(step.time)}  {step.actor:<9}  {where}{step.summary}"
    yield ""
    yield "now"
    yield from show.table([(wait.what, wait.text) for wait in answer.now], indent="  ")
    if answer.next:
        yield ""
        yield "what you can do"
        yield from (f"  {command}" for command in answer.next)
