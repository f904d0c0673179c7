"""`rig status`, `rig issues`, `rig issue REPO#N`, `rig agents`: questions to the query service."""

from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from msgspec import Struct

from bridges.terminal import names, show
from bridges.terminal.errors import BadInput
from bridges.terminal.output import say, say_json
from bridges.terminal.session import reported, run
from schemas import (
    PAGE_MAX,
    Agents,
    AgentsRequest,
    IssueDetail,
    IssueRequest,
    Issues,
    IssuesRequest,
    IssueState,
    Status,
    StatusRequest,
)

if TYPE_CHECKING:
    from bus import Bus

T = TypeVar("T", bound=Struct)

Json = Annotated[bool, typer.Option("--json", help="Print the answer as one JSON document.")]


def status(context: typer.Context, json: Json = False) -> None:
    """How the rig stands: the log, the read side, and what there is."""
    with reported():
        answer = run(context, lambda bus: _ask(bus, "status", StatusRequest(), Status))
        say_json(answer) if json else say(show.status(answer))


def issues(
    context: typer.Context,
    *,
    repo: Annotated[str | None, typer.Option(metavar="REPO", help="Only of this repository.")] = None,
    state: Annotated[str | None, typer.Option(help=f"Only in this state: {', '.join(IssueState)}.")] = None,
    after: Annotated[int, typer.Option(min=0, help="Go on behind an earlier answer.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=PAGE_MAX, help="At most so many.")] = 50,
    json: Json = False,
) -> None:
    """The issues, the oldest first."""

    async def asking(bus: "Bus") -> Issues:
        where = None if repo is None else await names.repository(bus, repo)
        return await _ask(
            bus, "issues", IssuesRequest(repository=where, state=wanted, after=after, limit=limit), Issues
        )

    with reported():
        wanted = None if state is None else _state(state)
        if repo is not None:
            names.check_repository(repo)
        answer = run(context, asking)
        say_json(answer) if json else say(show.issues(answer))


def issue(
    context: typer.Context,
    issue: Annotated[str, typer.Argument(metavar="REPO#N", help="Like acme/web#42.")],
    json: Json = False,
) -> None:
    """Everything about one issue, with its history."""

    async def asking(bus: "Bus") -> IssueDetail:
        return await _ask(bus, "issue", IssueRequest(issue=await names.issue(bus, issue)), IssueDetail)

    with reported():
        names.check_issue(issue)
        answer = run(context, asking)
        say_json(answer) if json else say(show.issue(answer))


def agents(context: typer.Context, json: Json = False) -> None:
    """Who works here, and on what."""
    with reported():
        answer = run(context, lambda bus: _ask(bus, "agents", AgentsRequest(), Agents))
        say_json(answer) if json else say(show.agents(answer))


async def _ask(bus: "Bus", name: str, request: Struct, answer: type[T]) -> T:
    return await bus.services.ask("query", name, request, answer)


def _state(typed: str) -> IssueState:
    try:
        return IssueState(typed.lower().replace(" ", "_").replace("-", "_"))
    except ValueError:
        raise BadInput(f"--state: {typed[:40]!r} is none of {', '.join(IssueState)}") from None
