"""`rig policy`: the rig's numbers as they are in force, as they could be, and adopting others."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from bridges.terminal import lookup, policy_text, show
from bridges.terminal.errors import BadInput, Failed
from bridges.terminal.output import say, say_json
from bridges.terminal.publish import read_text
from bridges.terminal.session import person, reported, run
from bridges.terminal.views import Json
from schemas import FLEET, Actor, Draft, Invalid, Policy, PolicyAdopted, Recorded, event_id, one_line

if TYPE_CHECKING:
    from bus import Bus


class InForce(Struct, frozen=True, kw_only=True):
    """The policy in force, for programs too."""

    hash: str
    by: str
    position: int
    time: datetime
    policy: Policy

    @classmethod
    def of(cls, said: Recorded | None) -> "InForce | None":
        """What the last PolicyAdopted says."""
        if said is None or not isinstance(said.event.data, PolicyAdopted):
            return None
        data = said.event.data
        return cls(hash=data.hash, by=data.by, position=said.position, time=said.event.time, policy=data.policy)

    def __str__(self) -> str:
        return f"policy {one_line(self.hash, 40)}, adopted by {one_line(self.by, 100)} at position {self.position}"


class Adoption(Struct, frozen=True, kw_only=True):
    """How adopting a policy ended."""

    hash: str
    position: int
    already: bool
    """It was in force: nothing was said."""
    by: str
    before: str | None
    """The hash of the policy that was in force; None: there was none."""
    changes: list[str]
    """One line for each key that is new or differs."""


def show_(context: typer.Context, json: Json = False) -> None:
    """The policy in force, as TOML that `rig policy adopt` takes back."""
    with reported():
        found = run(context, in_force)
        if found is None:
            raise Failed("no policy is adopted yet: `rig policy adopt` or `rig up` does that")
        say_json(found) if json else say(_shown(found))


def _shown(found: InForce) -> Iterator[str]:
    yield f"# {found}, {show.clock(found.time)}"
    yield from policy_text.document(found.policy)


def adopt_(
    context: typer.Context,
    file: Annotated[
        str,
        typer.Argument(metavar="[FILE]", help=f"TOML, {policy_text.FILE} here if you do not say; - is standard input."),
    ] = policy_text.FILE,
    json: Json = False,
) -> None:
    """Put a policy in force. One that is wrong is refused with everything that is wrong, and the old one stays."""
    with reported():
        wanted = read(file)
        done = run(context, lambda bus: adopt(bus, wanted))
        say_json(done) if json else say(_adopted(done))


def _adopted(done: Adoption) -> Iterator[str]:
    if done.already:
        yield f"policy {done.hash} is in force already (position {done.position})"
        return
    yield f"policy {done.hash} is adopted (position {done.position})"
    yield from (f"  {one_line(change, 300)}" for change in done.changes)


def default(json: Json = False) -> None:
    """The policy that holds where nobody says otherwise, as TOML with what each key means: a beginning for yours."""
    with reported():
        say_json(Policy()) if json else say(_default())


def _default() -> Iterator[str]:
    yield "# The policy of a rig: keep what should differ, and say `rig policy adopt FILE`. What is absent is as here."
    yield f'# TOML has no null: "{policy_text.NONE}" is no limit, or nothing. A table of yours replaces the one here.'
    yield from policy_text.document(Policy(), commented=True)


def read(file: str) -> Policy:
    """The policy of a file. Raises BadInput with everything that is wrong with it."""
    name = "standard input" if file == "-" else file
    try:
        return policy_text.parse(read_text("policy", file), name)
    except Invalid as error:
        raise BadInput.of(name, error.problems) from None


async def in_force(bus: "Bus") -> InForce | None:
    """The policy in force; None: there is none yet."""
    return InForce.of(await lookup.policy_adopted(bus))


async def adopt(bus: "Bus", policy: Policy) -> Adoption:
    """Says that a policy holds from here on, unless it does already."""
    before = await in_force(bus)
    if before is not None and before.policy == policy:
        return Adoption(
            hash=before.hash, position=before.position, already=True, by=before.by, before=before.hash, changes=[]
        )
    digest = policy.digest()
    # The id follows from what it replaces: an older policy may come back.
    said = event_id(Actor.CLI, "policy", digest, 0 if before is None else before.position)
    data = PolicyAdopted(policy=policy, hash=digest, by=person())
    position = await bus.log.publish(Draft(about=FLEET, data=data), said)
    return Adoption(
        hash=digest,
        position=position,
        already=False,
        by=data.by,
        before=None if before is None else before.hash,
        changes=policy_text.changes(Policy() if before is None else before.policy, policy),
    )
