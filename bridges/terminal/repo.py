"""`rig repo add`: puts a repository under the rig, and waits until its forge has looked at it.

One on this disk is the local forge's, and looked at right here; one at GitHub is the bridge's, which is asked first.
"""

import asyncio
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from msgspec import structs

from bridges.terminal import hosted, lookup, reading
from bridges.terminal.errors import BadInput, Failed
from bridges.terminal.output import say, say_json
from bridges.terminal.session import person, reported, run
from bridges.terminal.views import Json
from schemas import (
    Actor,
    Draft,
    Environment,
    Forge,
    Invalid,
    Recorded,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryLine,
    RepositoryRemoved,
    ReviewScope,
    build,
    event_id,
    everything_about,
    override_contradictions,
)

if TYPE_CHECKING:
    from bus import Bus

FORGE_SECONDS = 20.0
"""How long the forge may take to look at a repository."""
_NO_TEST: Final = "say with --check what must pass before a merge: no `test` stands in .rig-agent.yaml"
_FORGES: Final = {Forge.LOCAL: "the local forge", Forge.GITHUB: "the GitHub bridge"}


def add(
    context: typer.Context,
    where: Annotated[
        str,
        typer.Argument(
            metavar="PATH|OWNER/REPO",
            help="A git repository on this disk: bare, or a checkout; with --github, one at GitHub.",
        ),
    ],
    *,
    github: Annotated[bool, typer.Option("--github", help="It is at GitHub: the GitHub bridge serves it.")] = False,
    check: Annotated[
        str | None,
        typer.Option(help="The command that must pass before a merge, run by /bin/sh; else `test` of .rig-agent.yaml."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="OWNER/REPO", help="What it is called here; else local/DIRECTORY.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="BRANCH", help="Where work is merged to; else HEAD's, or the default branch.")
    ] = None,
    reviewer: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Who must pass a change before it is merged: a role, or a login at GitHub."),
    ] = None,
    reviews: Annotated[
        ReviewScope | None,
        typer.Option(help="At GitHub: review the rig's pull requests, those labelled needs-review too, or all."),
    ] = None,
    clone_url: Annotated[
        str | None, typer.Option(metavar="URL", help="At GitHub: where git finds it, if not where GitHub says.")
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
    """Put a repository under the rig. Said again with other options, it is changed."""
    with reported():
        delivery = None if deployment is None else {"environment": deployment}
        overrides = {"in_progress_max": in_progress_max, "day_usd": day_usd, "delivery": delivery}
        values: dict[str, object] = {
            "base_branch": base,
            "reviewers": reviewer or [],
            "capabilities": capability or [],
            "overrides": {key: value for key, value in overrides.items() if value is not None} or None,
            "by": person(),
        }
        if check is not None:
            values["check"] = check
        if github:
            if name is not None:
                raise BadInput("--name: a repository at GitHub is called what it is called there")
            values |= {"forge": Forge.GITHUB, "reviews": reviews or ReviewScope.RIG, "clone_url": clone_url}
            repository = RepoRef.parse(where)
            _added(
                {**values, "clone_url": clone_url or "its own", "check": ":" if check is None else check}
            )  # before anybody is asked
            line = run(context, lambda bus: _hosted(bus, repository, values))
        else:
            if reviews is not None or clone_url is not None:
                raise BadInput(f"{'--reviews' if clone_url is None else '--clone-url'}: only with --github")
            path = Path(where).expanduser().absolute()
            repository = RepoRef.parse(name) if name is not None else _called(path)
            values |= {"clone_url": str(path), "check": asyncio.run(_test(path, base)) if check is None else check}
            added = _added(values)
            base_branch = asyncio.run(_look(path, added.base_branch))[0]
            line = run(context, lambda bus: serve(bus, repository, added, base_branch))
        if json:
            say_json(_line(*line))
        else:
            repository, configured = line
            say([f"{repository}: {configured.base_branch} at {configured.base_sha[:9]} is under the rig"])


async def _hosted(bus: "Bus", repository: RepoRef, values: dict[str, object]) -> tuple[RepoRef, RepositoryConfigured]:
    """What nobody typed is as GitHub has it; so is the repository's name."""
    base = values["base_branch"]
    found = await hosted.look(bus, repository, base if isinstance(base, str) else None)
    check = values.get("check", found.test)
    if check is None:
        raise BadInput(_NO_TEST)
    added = _added({**values, "check": check, "clone_url": values["clone_url"] or found.clone_url})
    return await serve(bus, found.repository, added, found.base_branch)


def _line(repository: RepoRef, configured: RepositoryConfigured) -> RepositoryLine:
    return RepositoryLine(
        repository=repository,
        configured=True,
        base_branch=configured.base_branch,
        clone_url=configured.clone_url,
        check=configured.check,
        reviewers=configured.reviewers,
    )


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
        raise BadInput(_NO_TEST)
    return test


async def serve(
    bus: "Bus", repository: RepoRef, added: RepositoryAdded, base_branch: str
) -> tuple[RepoRef, RepositoryConfigured]:
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
        return repository, known
    draft = Draft(about=repository, data=added)
    position = await bus.log.publish(draft, event_id(Actor.CLI, uuid.uuid4().hex))
    try:
        async with asyncio.timeout(FORGE_SECONDS), bus.log.follow([about], after=position) as reader:
            async for said in reader:
                if isinstance(said, Recorded) and isinstance(said.event.data, RepositoryConfigured):
                    return repository, said.event.data
    except TimeoutError:
        pass
    raise Failed(
        f"{repository} was added (position {position}), but {_FORGES[added.forge]} has said nothing for"
        f" {FORGE_SECONDS:g} s; its log says why: see `rig status`, and the directory that `rig up` printed"
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
