"""The commands of the terminal, put into the application that somebody else composes."""

import typer

from bridges.terminal import (
    budget,
    chat,
    dead,
    events,
    gate,
    issue,
    memory,
    pause,
    policy,
    publish,
    repo,
    spend,
    tail,
    talk,
    views,
    why,
    wishes,
)
from bridges.terminal.session import FindServer


def add_commands(app: typer.Typer, find_server: FindServer) -> None:
    """Adds every command that is about what the rig says and does; `find_server` tells them where it is."""
    settings = {"obj": find_server}
    for name, command in {
        "status": views.status,
        "issues": views.issues,
        "agents": views.agents,
        "spend": spend.spend,
        "why": why.why,
        "publish": publish.publish,
        "tail": tail.tail,
        "events": events.events,
        "asyncapi": events.asyncapi,
        "pause": pause.pause,
        "resume": pause.resume,
    }.items():
        app.command(name, context_settings=settings)(command)
    of_issue = typer.Typer(
        cls=issue.IssueGroup, context_settings=settings, help="An issue: REPO#N shows it.", no_args_is_help=True
    )
    of_issue.command("add")(issue.add)
    of_issue.command("show")(views.issue)
    for wish in (wishes.stop, wishes.retry, wishes.priority, wishes.assign, wishes.answer, wishes.withdraw):
        of_issue.command(wish.__name__)(wish)
    app.add_typer(of_issue, name="issue")
    of_gate = typer.Typer(
        context_settings=settings, help="What a person must let through before it is merged.", no_args_is_help=True
    )
    of_gate.command("list")(gate.list_)
    for answer in (gate.approve, gate.reject, gate.bypass):
        of_gate.command(answer.__name__)(answer)
    app.add_typer(of_gate, name="gate")
    of_repo = typer.Typer(context_settings=settings, help="Repositories under the rig.", no_args_is_help=True)
    of_repo.callback()(_group)
    of_repo.command("add")(repo.add)
    app.add_typer(of_repo, name="repo")
    of_budget = typer.Typer(
        context_settings=settings, help="What may be spent and what was; allowing more.", invoke_without_command=True
    )
    of_budget.callback()(budget.budget)
    of_budget.command("raise")(budget.raise_)
    app.add_typer(of_budget, name="budget")
    of_policy = typer.Typer(
        context_settings=settings,
        help="The rig's numbers: how often, how long, how much, and who.",
        no_args_is_help=True,
    )
    for name, command in {"show": policy.show_, "adopt": policy.adopt_, "default": policy.default}.items():
        of_policy.command(name)(command)
    app.add_typer(of_policy, name="policy")
    of_memory = typer.Typer(context_settings=settings, help="What the rig remembers.", no_args_is_help=True)
    for name, command in {
        "search": memory.search,
        "add": memory.add,
        "list": memory.list_,
        "forget": memory.forget,
    }.items():
        of_memory.command(name)(command)
    app.add_typer(of_memory, name="memory")
    of_chat = typer.Typer(
        cls=chat.ChatGroup,
        context_settings=settings,
        help="Talk with an agent: `rig chat NAME`. Conversations on chat platforms, as they were said.",
        no_args_is_help=True,
    )
    for name, command in {"list": chat.list_, "show": chat.show_, "forget": chat.forget, "with": talk.with_}.items():
        of_chat.command(name)(command)
    app.add_typer(of_chat, name="chat")
    of_dead = typer.Typer(context_settings=settings, help="What could not be handled.", no_args_is_help=True)
    for name, command in {"list": dead.list_, "show": dead.show_, "retry": dead.retry, "drop": dead.drop}.items():
        of_dead.command(name)(command)
    app.add_typer(of_dead, name="dead")


def _group() -> None:
    """Repositories under the rig."""
