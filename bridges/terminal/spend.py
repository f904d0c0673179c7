"""`rig spend`: what was spent, by whom, where and when, and what a merged change cost; asked of the read side."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from bridges.terminal import names, spending
from bridges.terminal.output import say, say_json
from bridges.terminal.session import reported, run
from bridges.terminal.views import Json
from schemas import PAGE_MAX, Spend, SpendBy, SpendRequest

if TYPE_CHECKING:
    from bus import Bus

_DAY = "a day of UTC (2026-01-31) or how long ago (7d)"


def spend(
    context: typer.Context,
    *,
    by: Annotated[str, typer.Option(metavar="THING", help=f"By {', '.join(SpendBy)}.")] = SpendBy.AGENT,
    since: Annotated[str | None, typer.Option(metavar="DAY", help=f"From then on: {_DAY}.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help=f"Up to that day, and with it: {_DAY}.")] = None,
    repository: Annotated[str | None, typer.Option(metavar="REPO", help="Only of this repository.")] = None,
    after: Annotated[int, typer.Option(min=0, help="Go on behind an earlier answer.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=PAGE_MAX, help="At most so many lines.")] = 50,
    json: Json = False,
) -> None:
    """What was spent, the dearest first, and what a merged change cost. For limits see `rig budget`."""
    with reported():
        wanted, (first, last) = spending.thing(by), spending.days(since, until, datetime.now(UTC))
        if repository is not None:
            names.check_repository(repository)

        async def asking(bus: "Bus") -> Spend:
            where = None if repository is None else await names.repository(bus, repository)
            request = SpendRequest(by=wanted, since=first, until=last, repository=where, after=after, limit=limit)
            return await bus.services.ask("query", "spend", request, Spend)

        answer = run(context, asking)
        say_json(answer) if json else say(spending.lines(answer, wanted))
