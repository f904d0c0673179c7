"""`rig status`, `rig issues`, `rig issue REPO#N`, `rig agents`: questions to the query service."""

from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from msgspec import Struct

from bridges.standing import Standing
from bridges.terminal import lookup, names, show
from bridges.terminal.errors import BadInput
from bridges.terminal.fleet import Fleet
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
    PolicyAdopted,
    Status,
    StatusRequest,
)

if TYPE_CHECKING:
    from bus import Bus

T = TypeVar("T", bound=Struct)

Json = Annotated[bool, typer.Option("--json", help="Print the answer as one JSON document.")]


class RigStatus(Status, frozen=True, kw_only=True):
    """`rig status --json`: what the query service answers, and what the log says of the rig as a whole."""

    policy: str | None = None
    """The hash of the one in force."""
    paused: tuple[str, ...] = ()
    halts: tuple[str, ...] = ()
    incidents: tuple[str, ...] = ()


def status(context: typer.Context, json: Json = False) -> None:
    """How the rig stands: the log, the read side, what there is, what is paused, and what is wrong."""

    async def asking(bus: "Bus") -> tuple[Status, Fleet]:
        return await _ask(bus, "status", StatusRequest(), Status), await lookup.whole_fleet(bus)

    with reported():
        answer, known = run(context, asking)
        if json:
            say_json(_whole(answer, known))
        else:
            say(show.status(answer, known))


def _whole(answer: Status, known: Fleet) -> RigStatus:
    policy = known.policy.event.data if known.policy is not None else None
    return RigStatus(
        **{name: getattr(answer, name) for name in Status.__struct_fields__},
        policy=policy.hash if isinstance(policy, PolicyAdopted) else None,
        paused=tuple(known.paused),
        halts=tuple(known.halts),
        incidents=tuple(known.incidents),
    )


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

    async def asking(bus: "Bus") -> tuple[IssueDetail, Standing | None]:
        ref = await names.issue(bus, issue)
        answer = await _ask(bus, "issue", IssueRequest(issue=ref), IssueDetail)
        return answer, (await lookup.standings(bus, [ref]))[ref]

    with reported():
        names.check_issue(issue)
        answer, it = run(context, asking)
        say_json(answer) if json else say(show.issue(answer, it))


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
