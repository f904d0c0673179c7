"""`rig gate`: what waits for a person; and that person's word, about exactly the head commit that was there to see."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from msgspec import Struct

from bridges.standing import GATE_ANSWERS, GateAnswer, GateKey, OpenGate, Standing, opens
from bridges.terminal import fleet, lookup, names, sense, show, spoken
from bridges.terminal.errors import BadInput, Failed
from bridges.terminal.output import say, say_json
from bridges.terminal.session import person, reported, run
from bridges.terminal.spoken import Spoken, wish
from bridges.terminal.views import Json
from schemas import (
    GateApproved,
    GateBypassed,
    GateReason,
    GateRejected,
    GateTriggered,
    IssueRef,
    PolicyAdopted,
    Recorded,
    RepoRef,
    escape,
    one_line,
)

if TYPE_CHECKING:
    from bus import Bus

AnswerType: TypeAlias = type[GateApproved] | type[GateRejected] | type[GateBypassed]
AT_ONCE = 50
"""Issues that are looked at together."""
HEAD_MIN = 7
DRIVEN = "for changes that a person drives (T3 in `rig policy show`) that is not enough: `rig gate bypass` is"


class GateLine(Struct, frozen=True, kw_only=True):
    """One open gate, for programs."""

    issue: IssueRef
    title: str
    reason: GateReason
    head_sha: str | None
    since: datetime
    paths: tuple[str, ...]
    detail: str


class GateLines(Struct, frozen=True, kw_only=True):
    """`rig gate list --json`."""

    gates: list[GateLine]


class Answers(Struct, frozen=True, kw_only=True):
    """`rig gate approve --json` and its like: one event for each gate."""

    said: list[Spoken]
    hint: str | None = None
    """What may stand in the way nevertheless."""


Issue = Annotated[str, typer.Argument(metavar="REPO#N", help="Like acme/web#42.")]
Which = Annotated[
    str | None,
    typer.Option("--reason", metavar="GATE", help=f"Only this gate: {', '.join(GateReason)}. Else all that are open."),
]
Head = Annotated[
    str | None, typer.Option(metavar="SHA", help="Only if this is still the head: what `rig gate list` showed.")
]
Note = Annotated[str, typer.Option(metavar="TEXT", help="What you looked at, and why you decide so; it is recorded.")]


def list_(
    context: typer.Context,
    repo: Annotated[str | None, typer.Option(metavar="REPO", help="Only of this repository.")] = None,
    json: Json = False,
) -> None:
    """What waits for a person to let it through, the oldest first."""

    async def looking(bus: "Bus") -> list[GateLine]:
        return await _open(bus, None if repo is None else await names.repository(bus, repo))

    with reported():
        if repo is not None:
            names.check_repository(repo)
        found = run(context, looking)
        say_json(GateLines(gates=found)) if json else say(lines(found, datetime.now(UTC)))


def approve(
    context: typer.Context, issue: Issue, *, note: Note, reason: Which = None, head: Head = None, json: Json = False
) -> None:
    """Let an issue through, as its head is now. A newer head opens its gates anew."""
    _answer(context, issue, GateApproved, note, reason=reason, head=head, json=json)


def reject(
    context: typer.Context, issue: Issue, *, note: Note, reason: Which = None, head: Head = None, json: Json = False
) -> None:
    """Do not let it through: back to work with your note, or, before any work, to people."""
    _answer(context, issue, GateRejected, note, reason=reason, head=head, json=json)


def bypass(
    context: typer.Context, issue: Issue, *, note: Note, reason: Which = None, head: Head = None, json: Json = False
) -> None:
    """Let it through without having looked as one should. It lowers the trust in such changes."""
    _answer(context, issue, GateBypassed, note, reason=reason, head=head, json=json)


def _answer(
    context: typer.Context,
    issue: str,
    kind: AnswerType,
    note: str,
    *,
    reason: str | None,
    head: str | None,
    json: bool,
) -> None:
    with reported():
        names.check_issue(issue)
        which = None if reason is None else _reason(reason)
        if head is not None and not (len(head) >= HEAD_MIN and set(head) <= set("0123456789abcdef")):
            raise BadInput(f"--head: {head[:80]!r} is not how a commit id begins: at least {HEAD_MIN} digits of it")
        meant = wish(kind, note=note, by=person())

        async def answering(bus: "Bus") -> Answers:
            ref = await names.issue(bus, issue)
            it = await lookup.issue_standing(bus, ref)
            _check_may(it)
            if (said := sense.answered_before(it, meant)) is not None:
                return Answers(said=[spoken.before(said)])
            gates = sense.open_gates(it, which, head)
            if kind is GateRejected:  # one no is enough
                return Answers(said=[await _say(bus, ref, meant, gates[0], which)])
            words = [await _say(bus, ref, meant, gate, gate.reason) for gate in gates]
            drives = it.house.driven and kind is GateApproved and any(gate.reason is GateReason.TIER for gate in gates)
            return Answers(said=words, hint=DRIVEN if drives else None)

        done = run(context, answering)
        say_json(done) if json else say([*map(str, done.said), *([done.hint] if done.hint else [])])


async def _say(bus: "Bus", issue: IssueRef, meant: GateAnswer, gate: OpenGate, reason: GateReason | None) -> Spoken:
    data = wish(type(meant), reason=reason, head_sha=gate.head_sha, by=meant.by, note=meant.note)
    return await spoken.say(bus, issue, data, gate.opened.event.id, cause=gate.opened)


def _reason(typed: str) -> GateReason:
    try:
        return GateReason(typed.lower().replace(" ", "_").replace("-", "_"))
    except ValueError:
        raise BadInput(f"--reason: {typed[:40]!r} is none of {', '.join(GateReason)}") from None


def _check_may(it: Standing) -> None:
    """Raises Failed for who may not: the conductor would not listen to them."""
    allowed = it.house.approvers
    if allowed and person() not in allowed:
        raise Failed(f"{person()} may not answer at the gates of {it.issue.repository}; {', '.join(allowed)} may")


async def _open(bus: "Bus", where: RepoRef | None) -> list[GateLine]:
    """Every gate that is open. Issues are read whole only where no word at the gates has closed them all."""
    place = "*.*" if where is None else f"{escape(where.owner)}.{escape(where.repo)}"
    words = [f"rig.issue.{place}.*.*.{kind.name()}" for kind in (GateTriggered, *GATE_ANSWERS)]
    repositories = [f"rig.repo.{place}.*.{kind.name()}" for kind in lookup.OF_REPOSITORY]
    history = await bus.log.history([*words, *repositories, *fleet.filters((PolicyAdopted,))])
    refs = unanswered(history)
    found: list[GateLine] = []
    for some in (refs[start : start + AT_ONCE] for start in range(0, len(refs), AT_ONCE)):
        for it in (await lookup.standings(bus, some)).values():
            found += [] if it is None else gate_lines(it)
    return sorted(found, key=lambda line: line.since)


def unanswered(history: Sequence[Recorded]) -> list[IssueRef]:
    """The issues at whose gates nobody who may has answered; they may be void all the same, by a newer head, say.

    Of these events: those at the gates, and who may answer there.
    """
    houses = lookup.houses(history)
    waiting: dict[IssueRef, set[GateKey]] = {}
    for said in history:
        match said.event.about, said.event.data:
            case IssueRef() as ref, GateTriggered(reason=reason, head_sha=head):
                others = {key for key in waiting.get(ref, ()) if key[1] == head}  # a new head leaves older gates behind
                waiting[ref] = others | {(reason, head)}
            case IssueRef() as ref, (GateApproved() | GateRejected() | GateBypassed()) as answer:
                house = houses[ref.repository]
                if not house.approvers or answer.by in house.approvers:
                    waiting[ref] = {key for key in waiting.get(ref, ()) if not opens(answer, key, house)}
            case _:
                pass
    return [ref for ref, gates in waiting.items() if gates]


def gate_lines(it: Standing) -> list[GateLine]:
    """The open gates of an issue."""
    return [
        GateLine(
            issue=it.issue,
            title=it.title,
            reason=gate.reason,
            head_sha=gate.head_sha,
            since=gate.since,
            paths=gate.paths,
            detail=gate.detail,
        )
        for gate in it.gates.values()
    ]


def lines(gates: list[GateLine], now: datetime) -> Iterator[str]:
    """`rig gate list`."""
    if not gates:
        yield "no gate is open"
        return
    rows = [("ISSUE", "GATE", "HEAD", "WAITS", "TITLE", "WHY")]
    rows += [
        (
            str(gate.issue),
            sense.spoken(gate.reason),
            (gate.head_sha or "-")[:12],
            show.span(now - gate.since),
            one_line(gate.title, 60),
            one_line(show.gate_why(gate.paths, gate.detail), 100),
        )
        for gate in gates
    ]
    yield from show.table(rows)
    yield "rig gate approve|reject|bypass REPO#N --head HEAD --note TEXT"
