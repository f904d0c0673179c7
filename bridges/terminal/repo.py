"""`rig repo add`: puts a repository on this disk under the rig, and waits until the local forge has looked at it."""

import asyncio
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import structs

from bridges.terminal import lookup, reading
from bridges.terminal.errors import BadInput, Failed
from bridges.terminal.output import say, say_json
from bridges.terminal.session import person, reported, run
from bridges.terminal.views import Json
from schemas import (
    Actor,
    Draft,
    Environment,
    Invalid,
    Recorded,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryLine,
    RepositoryRemoved,
    build,
    event_id,
    everything_about,
    override_contradictions,
)

if TYPE_CHECKING:
    from bus import Bus

FORGE_SECONDS = 20.0
"""How long the forge may take to look at a repository."""


def add(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="A git repository on this disk: bare, or a checkout.")],
    *,
    check: Annotated[
        str | None,
        typer.Option(help="The command that must pass before a merge, run by /bin/sh; else `test` of .rig-agent.yaml."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="OWNER/REPO", help="What it is called here; else local/DIRECTORY.")
    ] = None,
    base: Annotated[str | None, typer.Option(metavar="BRANCH", help="Where work is merged to; else HEAD's.")] = None,
    reviewer: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Who must pass a change before it is merged.")
    ] = None,
    capability: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="What a replica must have to work here.")
    ] = None,
    in_progress_max: Annotated[
        int | None, typer.Option(metavar="N", help="How many issues are worked on at once; else what the policy says.")
    ] = None,
    day_usd: Annotated[
        float | None, typer.Option(metavar="USD", help="What may be spent here on a day; else what the policy says.")
    ] = None,
    deployment: Annotated[
        Environment | None,
        typer.Option(help="Where it must be live before an issue is done; else what the policy says."),
    ] = None,
    json: Json = False,
) -> None:
    """Serve a repository with the local forge. Said again with other options, it is changed."""
    with reported():
        where = path.expanduser().absolute()
        repository = RepoRef.parse(name) if name is not None else _called(where)
        delivery = None if deployment is None else {"environment": deployment}
        overrides = {"in_progress_max": in_progress_max, "day_usd": day_usd, "delivery": delivery}
        values: dict[str, object] = {
            "clone_url": str(where),
            "check": asyncio.run(_test(where, base)) if check is None else check,
            "base_branch": base,
            "reviewers": reviewer or [],
            "capabilities": capability or [],
            "overrides": {key: value for key, value in overrides.items() if value is not None} or None,
            "by": person(),
        }
        added = _added(values)
        base_branch = asyncio.run(_look(where, added.base_branch))[0]
        configured = run(context, lambda bus: serve(bus, repository, added, base_branch))
        line = RepositoryLine(
            repository=repository,
            configured=True,
            base_branch=configured.base_branch,
            clone_url=configured.clone_url,
            check=configured.check,
            reviewers=configured.reviewers,
        )
        if json:
            say_json(line)
        else:
            say([f"{repository}: {configured.base_branch} at {configured.base_sha[:9]} is under the rig"])


def _called(path: Path) -> RepoRef:
    """`/srv/my shop.git` → local/my-shop."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.name.removesuffix(".git")).strip("-.")
    if not name:
        raise BadInput(f"{path}: say what to call it with --name OWNER/REPO")
    return RepoRef.parse(f"local/{name[:100]}")


def _added(values: dict[str, object]) -> RepositoryAdded:
    problems = reading.unspeakable(values)
    try:
        added = build(RepositoryAdded, values)
    except Invalid as error:
        raise BadInput.of("repository", [*problems, *error.problems]) from None
    if problems:
        raise BadInput.of("repository", problems)
    return added


async def _look(path: Path, base: str | None) -> tuple[str, str | None]:
    """The branch that work is merged to, and the check that the repository itself names.

    Raises BadInput where the forge could not serve what is there.
    """
    from bridges.local.repository import BadAgentFile, RepositoryError, inspect, said_by

    try:
        found = await inspect(path, base)
        return found.base_branch, (await said_by(path, found.base_sha)).test
    except BadAgentFile as error:
        raise BadInput.of(error.what, error.problems) from None
    except RepositoryError as error:
        raise BadInput(str(error)) from None


async def _test(path: Path, base: str | None) -> str:
    test = (await _look(path, base))[1]
    if test is None:
        raise BadInput("say with --check what must pass before a merge: no `test` stands in .rig-agent.yaml")
    return test


async def serve(bus: "Bus", repository: RepoRef, added: RepositoryAdded, base_branch: str) -> RepositoryConfigured:
    """Says it, unless it is so already, and waits for the forge's word.

    Raises BadInput where nothing could ever be done there under the policy in force, Failed where that word is missing.
    """
    if added.overrides is not None:
        wrong = override_contradictions(added.overrides, await lookup.policy_in_force(bus))
        if wrong:
            raise BadInput.of("repository", [f"overrides.{problem}" for problem in wrong])
    about = everything_about(repository)
    asked, known = _known(await bus.log.history([about]))
    if asked is not None and known is not None and known.base_branch == base_branch and _same(asked, added):
        return known
    draft = Draft(about=repository, data=added)
    position = await bus.log.publish(draft, event_id(Actor.CLI, uuid.uuid4().hex))
    try:
        async with asyncio.timeout(FORGE_SECONDS), bus.log.follow([about], after=position) as reader:
            async for said in reader:
                if isinstance(said, Recorded) and isinstance(said.event.data, RepositoryConfigured):
                    return said.event.data
    except TimeoutError:
        pass
    raise Failed(
        f"{repository} was added (position {position}), but the local forge has said nothing for {FORGE_SECONDS:g} s;"
        " its log says why: see `rig status`, and the directory that `rig up` printed"
    )


def _known(history: list[Recorded]) -> tuple[RepositoryAdded | None, RepositoryConfigured | None]:
    """What was asked for last, and what the forge has said to that; None: nothing."""
    asked: RepositoryAdded | None = None
    known: RepositoryConfigured | None = None
    for said in history:
        match said.event.data:
            case RepositoryConfigured() as data:
                known = data
            case RepositoryAdded() as data:
                asked, known = data, None
            case RepositoryRemoved():
                asked = known = None
            case _:
                pass
    return asked, known


def _same(asked: RepositoryAdded, added: RepositoryAdded) -> bool:
    """Whether that was asked for already, whoever did; of the base branch, what has become of it counts."""
    return structs.replace(asked, by="", base_branch=None) == structs.replace(added, by="", base_branch=None)
