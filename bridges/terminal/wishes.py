"""`rig issue stop`, `retry`, `priority`, `assign`, `answer`, `withdraw`: what a person says of an issue."""

from typing import TYPE_CHECKING, Annotated

import typer

from bridges.terminal import lookup, names, sense, spoken
from bridges.terminal.output import say, say_json
from bridges.terminal.publish import read_text
from bridges.terminal.session import person, reported, run
from bridges.terminal.spoken import Spoken, wish
from bridges.terminal.views import Json
from schemas import (
    AssignRequested,
    Event,
    IssueWithdrawn,
    PriorityChanged,
    QuestionAnswered,
    QuestionAsked,
    RetryRequested,
    Stopped,
    Withdrawal,
)

if TYPE_CHECKING:
    from bus import Bus

Issue = Annotated[str, typer.Argument(metavar="REPO#N", help="Like acme/web#42.")]
Note = Annotated[str, typer.Option(metavar="TEXT", help="Why; it is recorded.")]


def stop(context: typer.Context, issue: Issue, note: Note = "", json: Json = False) -> None:
    """Stop the work on an issue now. It waits until somebody says `rig issue retry`."""
    with reported():
        _wish(context, issue, wish(Stopped, by=person(), note=note), json=json)


def retry(context: typer.Context, issue: Issue, note: Note = "", json: Json = False) -> None:
    """Try again what is escalated or stopped, with attempts counted from nought; what rests goes on at once."""
    with reported():
        _wish(context, issue, wish(RetryRequested, by=person(), note=note), json=json)


def priority(
    context: typer.Context,
    issue: Issue,
    priority: Annotated[str, typer.Argument(metavar="PRIORITY", help="critical, high, normal or low.")],
    note: Note = "",
    json: Json = False,
) -> None:
    """Change how urgent an issue is."""
    with reported():
        _wish(context, issue, wish(PriorityChanged, priority=priority, by=person(), note=note), json=json)


def assign(
    context: typer.Context,
    issue: Issue,
    to: Annotated[str, typer.Argument(metavar="ROLE|AGENT", help="A role, like dev-e, or one replica: dev-e-2.")],
    note: Note = "",
    json: Json = False,
) -> None:
    """Ask that a certain role, or one replica, takes an issue on."""
    with reported():
        _wish(context, issue, wish(AssignRequested, to=to, by=person(), note=note), json=json)


def withdraw(context: typer.Context, issue: Issue, json: Json = False) -> None:
    """Nobody wants it any more: work on it ends, and its pull request is closed."""
    with reported():
        _wish(context, issue, wish(IssueWithdrawn, reason=Withdrawal.CANCELLED, by=person()), json=json)


def answer(
    context: typer.Context,
    issue: Issue,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The answer; - reads it from standard input.")],
    json: Json = False,
) -> None:
    """Answer what a run asks."""
    with reported():
        names.check_issue(issue)
        said = read_text("TEXT", "-") if text == "-" else text
        wish(QuestionAnswered, epoch=1, run="r", answer=said, by=person())  # is it fit to be said at all?

        _tell(run(context, lambda bus: answered(bus, issue, said)), json=json)


def _wish(context: typer.Context, issue: str, data: Event, *, json: bool) -> None:
    names.check_issue(issue)
    _tell(run(context, lambda bus: wished(bus, issue, data)), json=json)


async def wished(bus: "Bus", issue: str, data: Event) -> Spoken:
    """Says it of the issue that is meant, unless it holds already. Raises where it would change nothing."""
    ref = await names.issue(bus, issue)
    it = await lookup.issue_standing(bus, ref)
    if isinstance(data, AssignRequested):
        await lookup.check_worker(bus, data.to)
    said = sense.holds(it, data)
    if said is not None:
        return spoken.before(said)
    cause = it.last if isinstance(data, RetryRequested) else None
    return await spoken.say(bus, ref, data, it.anchor, cause=cause)


async def answered(bus: "Bus", issue: str, said: str) -> Spoken:
    """Answers the question that waits there. Raises where nobody asks anything."""
    ref = await names.issue(bus, issue)
    it = await lookup.issue_standing(bus, ref)
    found = sense.open_question(it, said, person())
    asked = found.event.data
    if not isinstance(asked, QuestionAsked):
        return spoken.before(found)
    data = wish(QuestionAnswered, epoch=asked.epoch, run=asked.run, answer=said, by=person())
    return await spoken.say(bus, ref, data, it.anchor, cause=found)


def _tell(said: Spoken, *, json: bool) -> None:
    say_json(said) if json else say([str(said)])
