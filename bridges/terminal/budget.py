"""`rig budget`: what may be spent, what was, what is set aside; and allowing more for a time."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from bridges.terminal import lookup, names, spoken
from bridges.terminal.budgets import (
    Budgets,
    budget_scope,
    budgets,
    duration,
    in_force,
    is_same,
    issues_to_show,
    limit_of,
    lines,
)
from bridges.terminal.errors import Failed
from bridges.terminal.ledger import MONEY, Ledger, Sum
from bridges.terminal.output import say, say_json
from bridges.terminal.session import person, reported, run
from bridges.terminal.spoken import Spoken, wish
from bridges.terminal.views import Json
from schemas import (
    FLEET,
    BudgetExceeded,
    BudgetRaised,
    Event,
    IssueAssigned,
    IssueRef,
    ModelUsed,
    Overrides,
    Policy,
    PolicyAdopted,
    Recorded,
    RepoRef,
    branch,
)
from schemas.subjects import ref_of

if TYPE_CHECKING:
    from bus import Bus

LOOK_BACK: Final = timedelta(days=2)
"""What was set aside before that, and never settled, is not seen."""


def budget(context: typer.Context, json: Json = False) -> None:
    """What may be spent, what was and what is set aside: of today (UTC), by role, repository, and issue under way."""
    if context.invoked_subcommand is not None:
        return
    with reported():
        found = run(context, lambda bus: _budgets(bus, datetime.now(UTC)))
        say_json(found) if json else say(lines(found))


def raise_(
    context: typer.Context,
    scope: Annotated[
        str, typer.Argument(metavar="SCOPE", help="day, role:dev-e, a repository (acme/web) or an issue (acme/web#42).")
    ],
    usd: Annotated[float, typer.Argument(metavar="USD", min=0, max=1_000_000, help="The limit, not what is added.")],
    *,
    for_: Annotated[str, typer.Option("--for", metavar="TIME", help="How long: 30m, 4h, 2d. Then the policy's holds.")],
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is recorded.")],
    json: Json = False,
) -> None:
    """Allow more for a time. What stood still for want of money goes on."""
    with reported():
        lasts = duration(for_)
        meant = budget_scope(scope)
        wish(BudgetRaised, scope="day", limit_usd=usd, until=datetime.now(UTC), by=person(), note=note)

        async def raising(bus: "Bus") -> Spoken:
            where = meant or (
                f"issue:{await names.issue(bus, scope)}"
                if "#" in scope
                else f"repository:{await names.repository(bus, scope)}"
            )
            return await _raise(bus, where, usd, datetime.now(UTC) + lasts, note)

        said = run(context, raising)
        say_json(said) if json else say([str(said)])


# ── looking ──────────────────────────────────────────────────────────────────


async def _budgets(bus: "Bus", now: datetime) -> Budgets:
    known = await lookup.whole_fleet(bus, (PolicyAdopted, BudgetRaised, BudgetExceeded))
    policy = known.policy_data
    if policy is None:
        raise Failed("no policy is adopted yet, so there are no budgets: `rig policy adopt` or `rig up` does that")
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    filters = [_said_on(kind) for kind in MONEY]
    lately = [said async for said in bus.log.replay(filters, since=midnight - LOOK_BACK) if isinstance(said, Recorded)]
    ledger = Ledger(lately)
    sums = {scope: total for scope, total in ledger.sums(now.date()).items() if not scope.startswith("issue:")}
    issues = issues_to_show(ledger, known, now)
    about_them = [_said_on(ModelUsed), *(f"{branch(ref)}.>" for ref in issues)]
    history = await bus.log.history(about_them) if issues else []
    of_issues = Ledger(history).sums(now.date())
    sums |= {f"issue:{ref}": of_issues.get(f"issue:{ref}", Sum()) for ref in issues}
    repositories = [RepoRef.parse(scope.partition(":")[2]) for scope in sums if scope.startswith("repository:")]
    overrides = {f"repository:{ref}": (await lookup.house_words(bus, ref)).overrides for ref in repositories}
    return budgets(sums, known, policy, overrides, now)


def _said_on(kind: type[Event]) -> str:
    """Where such an event is said, whatever it is about and whoever says it."""
    about = "*." * len(ref_of(kind.noun).__struct_fields__)
    return f"rig.{kind.noun}.{about}*.{kind.name()}{'.*' if kind is IssueAssigned else ''}"


# ── raising ──────────────────────────────────────────────────────────────────


async def _raise(bus: "Bus", scope: str, usd: float, until: datetime, note: str) -> Spoken:
    overrides = await _check_known(bus, scope)
    known = await lookup.whole_fleet(bus, (PolicyAdopted, BudgetRaised))
    policy = known.policy_data or Policy()
    data = wish(BudgetRaised, scope=scope, limit_usd=usd, until=until, by=person(), note=note)
    said = known.raised.get(scope)
    if said is not None and is_same(said, data):
        return spoken.before(said)
    raised = in_force(known, datetime.now(UTC)).get(scope)
    limit = limit_of(scope, policy, overrides)
    if limit is None:
        raise Failed(f"{scope} has no limit: there is nothing to raise")
    if raised is None and usd <= limit:
        raise Failed(f"{scope} may cost ${limit:.2f} already: to allow less, adopt another policy (`rig policy adopt`)")
    return await spoken.say(bus, FLEET, data, "" if said is None else said.event.id)


async def _check_known(bus: "Bus", scope: str) -> Overrides | None:
    """Raises BadInput or Failed for what is not here; where a repository's policy differs."""
    kind, _, name = scope.partition(":")
    match kind:
        case "role":
            await lookup.check_role(bus, name)
        case "repository":
            await names.check_under_the_rig(bus, RepoRef.parse(name))
            return (await lookup.house_words(bus, RepoRef.parse(name))).overrides
        case "issue":
            await lookup.issue_standing(bus, IssueRef.parse(name))
        case _:
            pass
    return None
