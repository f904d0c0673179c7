"""`rig issue add`: the local forge allots a number and says the approval; and `rig issue REPO#N`, which is `show`."""

import uuid
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import structs
from typer.core import TyperGroup

from bridges.terminal import names, reading
from bridges.terminal.errors import BadInput
from bridges.terminal.output import say, say_json
from bridges.terminal.publish import read_text
from bridges.terminal.session import person, reported, run
from bridges.terminal.views import Json
from schemas import AddIssue, BadReference, Invalid, IssueAdded, RepoRef, build

if TYPE_CHECKING:
    from bus import Bus


FORGE_SECONDS = 15.0
"""How long the forge may take to allot a number."""


class IssueGroup(TyperGroup):
    """A group whose first word may be an issue instead of a command: `rig issue acme/web#42`.

    A repository alone goes the same way, since that is where it is said how to write an issue.
    """

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # pyright: ignore[reportIncompatibleMethodOverride] - typer.Context is its context
        if not any(word in self.commands for word in args[:1]) and any("#" in word or "/" in word for word in args):
            args = ["show", *args]
        return super().parse_args(ctx, args)


def add(
    context: typer.Context,
    repo: Annotated[str, typer.Argument(metavar="REPO", help="OWNER/REPO, or REPO where one alone is called so.")],
    *,
    title: Annotated[str, typer.Option(help="One line.")],
    body: Annotated[str, typer.Option(help="What is wanted; - reads it from standard input.")] = "",
    priority: Annotated[str, typer.Option(help="critical, high, normal or low.")] = "normal",
    depends_on: Annotated[
        list[str] | None, typer.Option(metavar="N", help="An issue that comes first: N, or OWNER/REPO#N elsewhere.")
    ] = None,
    requires: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="What a replica must have to work on it.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="A label; the policy says which hold a merge.")
    ] = None,
    milestone: Annotated[str | None, typer.Option(metavar="TEXT", help="The milestone that it belongs to.")] = None,
    json: Json = False,
) -> None:
    """File an issue and approve it for work."""
    with reported():
        names.check_repository(repo)
        text = read_text("--body", "-") if body == "-" else body
        asked: dict[str, object] = {
            "title": title,
            "body": text,
            "priority": priority,
            "author": person(),
            "requires": requires or [],
            "labels": label or [],
            "milestone": milestone,
        }
        wanted = _wanted(asked, depends_on or [])
        added = run(context, lambda bus: file(bus, repo, wanted, depends_on or []))
        say_json(added) if json else say([f"{added.issue} (position {added.position})"])


def _wanted(asked: dict[str, object], depends_on: list[str]) -> AddIssue:
    """What was typed, but for where and after what. Raises BadInput with everything that is wrong, also with those."""
    problems = reading.unspeakable(asked)
    somewhere = RepoRef("owner", "repo")
    for one in depends_on:
        try:
            reading.dependencies([one], somewhere)
        except BadReference as error:
            problems.append(f"depends_on: {error}")
    try:
        wanted = build(AddIssue, {**asked, "request": uuid.uuid4().hex, "repository": somewhere})
    except Invalid as error:
        raise BadInput.of("issue", [*problems, *error.problems]) from None
    if problems:
        raise BadInput.of("issue", problems)
    return wanted


async def file(bus: "Bus", typed: str, wanted: AddIssue, depends_on: list[str]) -> IssueAdded:
    """Asks the forge for an issue in the repository `typed`, short or whole. Raises BadInput, or BusError."""
    from bus import Refused

    repository = await names.repository(bus, typed)
    first = reading.dependencies(depends_on, repository)
    request = structs.replace(wanted, repository=repository, depends_on=first)
    try:
        return await bus.services.ask("local", "add_issue", request, IssueAdded, timeout_seconds=FORGE_SECONDS)
    except Refused as error:
        raise BadInput(str(error)) from None
