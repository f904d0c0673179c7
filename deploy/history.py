"""The commands that look back: the rig as it was, what would have been, and the read side against the log.

They put together what conductor/ knows and how bridges/terminal speaks to people, as deploy/ alone may.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from bridges.terminal import FindServer, reading
from bridges.terminal.output import say, say_json
from bridges.terminal.session import reported, run
from deploy.failures import DeployFailed
from schemas import IssueRef

if TYPE_CHECKING:
    from conductor.migrations import Migrated
    from conductor.projector.past import Past

Json = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]
When = Annotated[
    str, typer.Argument(metavar="SEQ|TIME", help="A position of the log (120), a time (2026-01-31T12:00) or age (2d).")
]


def add_history(app: typer.Typer, find_server: FindServer) -> None:
    """Adds them to `rig`."""
    own = {"obj": find_server}
    for command in (whatif, at, diff, verify, rebuild, migrate):
        app.command(context_settings=own)(command)
    app.command()(restore)


def whatif(
    context: typer.Context,
    policy: Annotated[str, typer.Option(metavar="FILE.toml", help="The other policy; - is standard input.")],
    since: Annotated[
        str,
        typer.Option(
            metavar="SEQ|TIME", help="As if adopted at this position (120), time (2026-01-31T12:00) or age (2d)."
        ),
    ] = "0",
    limit: Annotated[int, typer.Option(min=0, help="How many differences are shown; with --json all are.")] = 50,
    json: Json = False,
) -> None:
    """What the rig would have decided under another policy, on the facts as they were recorded. Changes nothing.

    It ends with 0 whether or not anything differs.
    """
    with reported():
        from bridges.terminal.policy import read
        from deploy import whatif as comparing
        from deploy.progress import progress

        wanted, start = read(policy), reading.since(since, datetime.now(UTC))
        with progress() as told:
            found = run(context, lambda bus: comparing.compare(bus, wanted, start, told))
        if json:
            say_json(found)
        else:
            say(comparing.lines(found, limit))


def at(
    context: typer.Context,
    when: When,
    issue: Annotated[str | None, typer.Option(metavar="REPO#N", help="Of this issue everything.")] = None,
    json: Json = False,
) -> None:
    """The whole rig as it was then, from the log alone."""
    with reported():
        from deploy import past as looking

        ref = None if issue is None else IssueRef.parse(issue)
        (found,) = _past(context, [when])
        if json:
            say_json(looking.moment(found, ref))
        else:
            say(looking.lines(found, ref))


def diff(
    context: typer.Context,
    before: When,
    after: When,
    json: Json = False,
) -> None:
    """What changed between two positions or times, row by row."""
    with reported():
        from deploy import past as looking

        found = looking.differences(*_past(context, [before, after]))
        if json:
            say_json(found)
        else:
            say(looking.difference_lines(found))


def _past(context: typer.Context, moments: Sequence[str]) -> list["Past"]:
    from deploy import past as looking
    from deploy.progress import progress

    now = datetime.now(UTC)
    wanted = [reading.since(moment, now) for moment in moments]
    with progress() as told:
        return [run(context, lambda bus, when=when: looking.at(bus, when, told)) for when in wanted]


def verify(context: typer.Context, json: Json = False) -> None:
    """Compare everything that the read side holds with the log. Ends with 1 when anything differs."""
    with reported(DeployFailed):
        from conductor.projector.verify import as_lines
        from conductor.projector.verify import verify as compare
        from deploy.progress import progress
        from deploy.readside import postgres_url, session_on

        url = postgres_url(os.environ)
        with progress() as told:
            found = run(context, lambda bus: session_on(url, lambda session: compare(bus, session, told)))
        if json:
            say_json(found)
        else:
            say(as_lines(found))
        if found.differs:
            raise typer.Exit(1)


def rebuild(
    context: typer.Context,
    models: Annotated[list[str] | None, typer.Argument(metavar="[MODEL]…", help="These read models; else all.")] = None,
    json: Json = False,
) -> None:
    """Make read models anew from the log, beside the live ones, and put them in their place at once."""
    with reported(DeployFailed):
        from conductor.projector.rebuild import rebuild as make_anew
        from deploy.progress import progress
        from deploy.readside import chosen, postgres_url, session_on
        from machine import garbage

        garbage.settle()  # it may take long, and keeps most of what it makes
        tables, url = chosen(models or []), postgres_url(os.environ)
        with progress() as told:
            made = run(context, lambda bus: session_on(url, lambda session: make_anew(bus, session, tables, told)))
        if json:
            say_json(made)
        else:
            say([f"position {made.position}", *(f"{table:<14}{count:>8} rows" for table, count in made.rows.items())])


def restore(
    check: Annotated[
        bool, typer.Option("--check", help="Only say what is missing; ends with 1 when anything is.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Where the log holds other events than were read: save those in a file, and put back what was read.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Put back what the log has lost, at the same positions, from the read side. Stop the rig first.

    For a log that was deleted, cut, or replaced by an older copy of its files: `rig up` refuses such a one, and says
    which positions are missing. What nobody had read yet is lost. Interrupted, it goes on when it runs again.
    """
    with reported(DeployFailed):
        from bridges.terminal.session import person
        from deploy.interrupt import run_interruptible
        from deploy.progress import progress
        from deploy.restoring import put_back
        from deploy.settings import Settings

        settings = Settings.read(os.environ)
        with progress("putting the log back") as told:
            outcome = run_interruptible(put_back(settings, told, look=check, replace=replace, by=person()))
        if json:
            say_json(outcome)
        else:
            say(outcome.lines())
        if check and outcome.loss:
            raise typer.Exit(1)


def migrate(
    context: typer.Context,
    *,
    post: Annotated[
        bool, typer.Option("--post", help="Also what waits until the read side has caught up, which it must have.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; end with 1 when there is something to do.")
    ] = False,
    json: Json = False,
) -> None:
    """Bring the tables of the read side to this version's form. Every role that uses them does so as it starts."""
    with reported(DeployFailed):
        from deploy.readside import finish, migrated, postgres_url, session_on

        url = postgres_url(os.environ)
        made = asyncio.run(migrated(url, check=check))
        if post and not check:
            later = run(context, lambda bus: session_on(url, lambda session: finish(bus, session)))
            made = type(made)((*made.applied, *later.applied), later.waiting)
        if json:
            say_json(made)
        else:
            say(_migrated(made, check=check))
        if check and (made.applied or made.waiting):
            raise typer.Exit(1)


def _migrated(made: "Migrated", *, check: bool) -> Iterator[str]:
    yield from (f"{'to do' if check else 'done':<6} {name}" for name in made.applied)
    later = "once the read side has caught up with the log: the projector sees to it, or `rig migrate --post`"
    yield from (f"later  {name}, {later}" for name in made.waiting)
    if not made.applied and not made.waiting:
        yield "the tables are as this version needs them"
