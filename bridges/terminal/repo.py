"""`rig repo add`: puts a repository on this disk under the rig, and waits until the local forge has looked at it."""

import asyncio
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridges.terminal import reading
from bridges.terminal.errors import BadInput, Failed
from bridges.terminal.output import say, say_json
from bridges.terminal.session import person, reported, run
from bridges.terminal.views import Json
from schemas import (
    Actor,
    Draft,
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
)

if TYPE_CHECKING:
    from bus import Bus

FORGE_SECONDS = 20.0
"""How long the forge may take to look at a repository."""


def add(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="A git repository on this disk: bare, or a checkout.")],
    *,
    check: Annotated[str, typer.Option(help="The command that must pass before a merge, run by /bin/sh.")],
    name: Annotated[
        str | None, typer.Option(metavar="OWNER/REPO", help="What it is called here; else local/DIRECTORY.")
    ] = None,
    base: Annotated[str | None, typer.Option(metavar="BRANCH", help="Where work is merged to; else HEAD's.")] = None,
    reviewer: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Who must pass a change before it is merged.")
    ] = None,
    json: Json = False,
) -> None:
    """Serve a repository with the local forge. Said again with other options, it is changed."""
    with reported():
        where = path.expanduser().absolute()
        repository = RepoRef.parse(name) if name is not None else _called(where)
        added = _added(where, check, base, reviewer or [])
        base_branch = asyncio.run(_base_branch(where, added.base_branch))
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


def _added(path: Path, check: str, base: str | None, reviewers: list[str]) -> RepositoryAdded:
    values = {"clone_url": str(path), "check": check, "base_branch": base, "reviewers": reviewers, "by": person()}
    problems = reading.unspeakable(values)
    try:
        added = build(RepositoryAdded, values)
    except Invalid as error:
        raise BadInput.of("repository", [*problems, *error.problems]) from None
    if problems:
        raise BadInput.of("repository", problems)
    return added


async def _base_branch(path: Path, base: str | None) -> str:
    """The branch that work is merged to. Raises BadInput where the forge could not serve what is there."""
    from bridges.local.repository import RepositoryError, inspect

    try:
        return (await inspect(path, base)).base_branch
    except RepositoryError as error:
        raise BadInput(str(error)) from None


async def serve(bus: "Bus", repository: RepoRef, added: RepositoryAdded, base_branch: str) -> RepositoryConfigured:
    """Says it, unless it is so already, and waits for the forge's word. Raises Failed where that does not come."""
    about = everything_about(repository)
    known = _known(await bus.log.history([about]))
    if known is not None and _same(known, added, base_branch):
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


def _known(history: list[Recorded]) -> RepositoryConfigured | None:
    """What holds of the repository now, as the forge said; None: nothing, or something else was asked for since."""
    known: RepositoryConfigured | None = None
    for said in history:
        match said.event.data:
            case RepositoryConfigured() as data:
                known = data
            case RepositoryAdded() as data if known is not None and not _same(known, data, data.base_branch):
                known = None
            case RepositoryRemoved():
                known = None
            case _:
                pass
    return known


def _same(known: RepositoryConfigured, added: RepositoryAdded, base_branch: str | None) -> bool:
    """Whether the forge, which says what changes and nothing else, would have nothing to say."""
    asked = (base_branch or known.base_branch, added.clone_url, added.check, added.reviewers)
    return asked == (known.base_branch, known.clone_url, known.check, known.reviewers)
