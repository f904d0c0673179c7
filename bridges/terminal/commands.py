"""The commands of the terminal, put into the application that somebody else composes."""

import typer

from bridges.terminal import dead, events, issue, publish, repo, tail, views
from bridges.terminal.session import FindServer


def add_commands(app: typer.Typer, find_server: FindServer) -> None:
    """Adds repo, issue, issues, status, agents, publish, tail, dead, events and asyncapi.

    `find_server` tells them where the rig is.
    """
    settings = {"obj": find_server}
    for name, command in {
        "status": views.status,
        "issues": views.issues,
        "agents": views.agents,
        "publish": publish.publish,
        "tail": tail.tail,
        "events": events.events,
        "asyncapi": events.asyncapi,
    }.items():
        app.command(name, context_settings=settings)(command)
    of_issue = typer.Typer(
        cls=issue.IssueGroup, context_settings=settings, help="An issue: REPO#N shows it.", no_args_is_help=True
    )
    of_issue.command("add")(issue.add)
    of_issue.command("show")(views.issue)
    app.add_typer(of_issue, name="issue")
    of_repo = typer.Typer(context_settings=settings, help="Repositories under the rig.", no_args_is_help=True)
    of_repo.callback()(_group)
    of_repo.command("add")(repo.add)
    app.add_typer(of_repo, name="repo")
    of_dead = typer.Typer(context_settings=settings, help="What could not be handled.", no_args_is_help=True)
    for name, command in {"list": dead.list_, "show": dead.show_, "retry": dead.retry, "drop": dead.drop}.items():
        of_dead.command(name)(command)
    app.add_typer(of_dead, name="dead")


def _group() -> None:
    """Repositories under the rig."""
