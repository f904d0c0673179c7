"""The `rig` command: the rooms' own commands, put together, and those that run the rig on this machine.

Every command here checks what was typed, and hands over to a module of its own. Starting is quick: what a command needs
is imported when it runs. Exit codes: 0 done, 1 failed, 2 asked wrongly, 130 Ctrl-C.
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from bridges.terminal import BadInput, Found, NoRig, add_commands
from bridges.terminal.output import say, say_json
from bridges.terminal.session import reported
from deploy.agents import add_agents, found_characters
from deploy.failures import DeployFailed
from deploy.github import add_account
from deploy.history import add_history
from schemas import Actor, Invalid, IssueState

__all__ = ["app"]

Json = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]
Coder = Annotated[
    str | None, typer.Option(metavar="CODER", help="Who writes code: command:PROGRAM ARGUMENT… or scripted:PATH.")
]

app = typer.Typer(
    name="rig",
    help="A team of software agents that turns approved issues into merged changes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help, and half the time to print it
)


@app.callback()
def _traced(context: typer.Context) -> None:
    # `rig run` is a role, and those have traces of their own; and looking closer takes the whole bus.
    if context.invoked_subcommand != "run" and any(name.startswith("OTEL_") for name in os.environ):
        from deploy.telemetry import telemetry

        context.with_resource(telemetry("rig-cli", os.environ))


@app.command()
def demo(
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Make the demo's repository here, and leave it. Must be empty.")
    ] = None,
    coder: Annotated[
        str, typer.Option(metavar="CODER", help="scripted (plays the demo's own script), or as for `rig up`.")
    ] = "scripted",
    json: Json = False,
) -> None:
    """See it work: a small project, one issue, two tries, one merge. Touches no rig of yours."""
    with reported(DeployFailed):
        from deploy.demo.project import check_free

        place = None if keep is None else keep.expanduser().absolute()
        if place is not None:
            check_free(place)
        line = None if coder == "scripted" else coder
        if line is not None:
            _provider(line)
        from deploy.demo.play import play  # here, since it takes a moment: what is wrong is said at once
        from deploy.demo.show import Show
        from deploy.interrupt import run_interruptible

        with Show(quiet=json) as show:
            outcome = run_interruptible(play(show, keep=place, coder=line))
        if json:
            say_json(outcome)
        else:
            say(outcome.lines())
        if outcome.state is not IssueState.DONE:
            raise typer.Exit(1)


@app.command()
def up(
    coder: Coder = None,
    agents: Annotated[int, typer.Option(min=0, max=64, help="How many agents (dev-e-1, dev-e-2, …).")] = 1,
    slots: Annotated[int | None, typer.Option(help="How many issues each agent works on at once.")] = None,
    *,
    reviewers: Annotated[
        int, typer.Option(min=0, max=64, help="How many reviewers (review-e-1, …), on the models of RIG_GATEWAY_….")
    ] = 0,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.toml",
            help="Adopt this policy, where it differs from the one in force. Without it none is read: that one stays.",
        ),
    ] = None,
    agent: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Run this agent too, as `rig agent list` names it; may be given again."),
    ] = None,
    json: Json = False,
) -> None:
    """Run the whole rig on this machine, until Ctrl-C; with RIG_GITHUB_… set, the bridge to GitHub too."""
    with reported(DeployFailed):
        from bridges.terminal.policy import read
        from deploy.interrupt import run_interruptible
        from deploy.redact import hide
        from deploy.screen import Screen
        from deploy.settings import GATEWAY, Settings
        from deploy.up import running_rig

        options = {"RIG_CODER": coder, "RIG_SLOTS": None if slots is None else str(slots)}
        settings = Settings.read(os.environ, options, needs=(GATEWAY,) if reviewers or agent else ())
        characters = found_characters(agent or ())
        wanted = None if policy is None else read(policy)
        provider = None if settings.coder is None else _provider(settings.coder)
        hide(settings.confidential)
        screen = Screen(as_json=json)

        async def run() -> None:
            if settings.coder is not None:
                await _check_coder(settings.coder)
            async with running_rig(
                settings.home,
                coder=settings.coder,
                agents=agents,
                reviewers=reviewers,
                slots=settings.slots,
                capabilities=settings.capabilities,
                sandboxing=settings.sandboxing,
                disk_bytes=settings.disk_bytes,
                characters=characters,
                policy=wanted,
                nats_url=settings.nats_url,
                nats_replicas=settings.nats_replicas,
                postgres_url=settings.postgres_url,
                github=settings.github,
                report=screen.news,
            ) as rig:
                screen.ready(rig, provider)
                await rig.unless_failed(asyncio.Event().wait())

        with suppress(typer.Exit):  # being asked to stop is how it ends
            run_interruptible(run())
        screen.stopped()


@app.command()
def cluster(json: Json = False) -> None:
    """Run three NATS servers as one cluster, for development, until Ctrl-C."""
    with reported(DeployFailed):
        from deploy.cluster import run_cluster
        from deploy.home import Home
        from deploy.interrupt import run_interruptible
        from deploy.screen import Screen

        screen = Screen(as_json=json)
        with suppress(typer.Exit):  # being asked to stop is how it ends
            run_interruptible(run_cluster(Home.find(os.environ), screen))
        screen.stopped()


@app.command("run")
def run_role(
    role: Annotated[
        str,
        typer.Argument(
            metavar="ROLE", help="conductor, projector, query, local, github, watch, dev-e, review-e or agent."
        ),
    ],
) -> None:
    """Run one role by itself, until Ctrl-C.

    The servers are those that RIG_NATS_URL and (projector, query) RIG_POSTGRES_URL name; dev-e needs RIG_CODER too,
    and each of its replicas a name of its own in RIG_AGENT; github needs RIG_GITHUB_TOKEN, or RIG_GITHUB_APP_ID and
    RIG_GITHUB_APP_KEY, and RIG_GITHUB_WEBHOOK_SECRET; review-e and agent
    need RIG_GATEWAY_URL or RIG_GATEWAYS, agent RIG_CHARACTER too. RIG_HEALTH=HOST:PORT serves /livez and /readyz.
    """
    from deploy import roles

    with reported(DeployFailed):
        if role not in set(roles.Role):
            raise BadInput(f"{role!r} is no role; there are {', '.join(roles.Role)}")
    raise typer.Exit(roles.run(roles.Role(role), os.environ))


@app.command()
def doctor(json: Json = False) -> None:
    """Can the rig run here? What is wrong, how to mend it."""
    with reported(DeployFailed):
        from deploy.doctor import examine
        from deploy.interrupt import run_interruptible

        report = run_interruptible(examine(os.environ))
        if json:
            say_json(report)
        else:
            say(report.lines())
        if not report.well:
            raise typer.Exit(1)


keys = typer.Typer(help="The keys of the roles, for a NATS server of your own.", no_args_is_help=True)
app.add_typer(keys, name="keys")


@keys.callback()
def _keys() -> None:
    """The keys of the roles, for a NATS server of your own."""


@keys.command("init")
def keys_init(
    directory: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where they are kept: in the data directory, if you do not say.")
    ] = None,
    rotate: Annotated[
        list[str] | None, typer.Option(metavar="ROLE", help="Replace this role's key; may be given again.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace every key.")] = False,
) -> None:
    """Make the keys that are missing, and the server's account file.

    Keys that are there are kept. The account file holds no secret and is written anew, as this version needs it: give
    it to the server again after an upgrade. A server goes by it from its next start on: until then it lets in a key
    that was replaced, and refuses the new one. Where a rig runs on these keys, standard error says so (exit code 0).
    """
    with reported(DeployFailed):
        from bus.permissions import PRINCIPALS
        from deploy.home import Home
        from deploy.renewal import renew

        for role in rotate or ():
            if role not in PRINCIPALS:
                raise BadInput(f"--rotate: {role!r} has no key; there are {', '.join(PRINCIPALS)}")
        home = Home.find(os.environ)
        if directory is None:
            home.create()
        place = home.keys if directory is None else directory.expanduser().absolute()
        made = renew(home, place, rotate=PRINCIPALS if force else rotate or ())
        say([str(made.accounts)])
        for line in made.restart:
            typer.echo(line, err=True)


def find_server() -> Found:
    """Where the terminal's commands find the rig: RIG_NATS_URL, else the one that runs on the data directory.

    Their key is RIG_NATS_KEY, else the one in the data directory.
    """
    from deploy.embedded.servers import key_for
    from deploy.home import Home
    from deploy.settings import nats_server

    given, key = nats_server(os.environ)
    home = Home.find(os.environ)
    if given is not None:
        return Found(given, "RIG_NATS_URL", key or key_for(home, given, Actor.CLI))
    if (running := home.running()) is None:
        raise NoRig(f"nothing runs on {home.path}")
    return Found(running.nats_url, None, key_for(home, running.nats_url, Actor.CLI))


add_commands(app, find_server)
add_account(app, find_server)
add_agents(app, find_server)
add_history(app, find_server)


async def _check_coder(line: str) -> None:
    """Before anything is started: without its coder the rig would only wait. Raises BadInput."""
    from agents.coders.coder import coder
    from agents.coders.driver import CoderUnavailable

    try:
        await coder(line).check()
    except CoderUnavailable as error:
        raise BadInput(f"--coder: {error}") from None


def _provider(line: str) -> str:
    """The name of the coder that a line means. Raises BadInput."""
    from agents.coders.coder import coder

    try:
        return coder(line).provider
    except Invalid as error:
        raise BadInput(f"--coder: {str(error).removeprefix('coder: ')}") from None
