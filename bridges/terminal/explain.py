"""Why an issue stands where it stands, and what it waits for now: in words, for people, and as data. Pure.

Everything it knows was read from the log and is handed in: see `why`.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from bridges.standing import WANTS_WORK, OpenGate, Standing, may_be_tried_again
from bridges.terminal.chain import Missing
from bridges.terminal.fleet import Fleet
from bridges.terminal.show import clock, gate_name, gate_why, span
from schemas import (
    BudgetExceeded,
    DeadlineKind,
    DeadlineSet,
    HaltDetected,
    IssueEscalated,
    IssueRef,
    IssueRefused,
    IssueState,
    IssueWaiting,
    Paused,
    QuestionAsked,
    Recorded,
    Refusal,
    WaitingReason,
    one_line,
    pause_scopes,
    scopes,
    summary,
)

REASONS: Final = {
    WaitingReason.DEPENDENCY: "what it depends on is not done",
    WaitingReason.CAPACITY: "every slot that may be used is in use",
    WaitingReason.CAPABILITY: "no replica has what it, or its repository, requires",
    WaitingReason.QUOTA: "whoever could do it has used up a quota, or must log in",
    WaitingReason.BUDGET: "a budget has no room for another run",
    WaitingReason.PAUSED: "new work is paused",
    WaitingReason.POLICY: "as much is under way there as the policy allows",
    WaitingReason.BACKOFF: "it rests after a run that failed for a reason that is not the work's",
    WaitingReason.REPOSITORY: "its repository is not under the rig, or the forge has not looked at it",
}
_DUE: Final = {
    DeadlineKind.WAITING: "then it is looked at again why nobody has it",
    DeadlineKind.BACKOFF: "until then it rests",
    DeadlineKind.CLAIM: "until then somebody must claim it",
    DeadlineKind.RUN: "until then the run must have reported",
    DeadlineKind.PULL_REQUEST: "until then the forge must show the pull request",
    DeadlineKind.CHECKS: "until then the checks must have ended",
    DeadlineKind.REVIEW: "until then the review must have come",
    DeadlineKind.MERGE: "until then the forge must have merged it",
    DeadlineKind.GATE: "then people are reminded",
    DeadlineKind.QUESTION: "until then a person must have answered",
    DeadlineKind.DEPLOY: "until then it must be deployed",
    DeadlineKind.SMOKE: "until then what is deployed must have answered",
    DeadlineKind.END_TO_END: "until then the tests of the whole must have ended",
    DeadlineKind.VERIFY: "until then somebody must have seen it work",
}


class Step(Struct, frozen=True, kw_only=True):
    """One event of the chain of causes."""

    position: int
    time: datetime
    actor: str
    about: str
    type: str
    id: str
    summary: str


class Wait(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that the issue waits for."""

    what: str
    """deadline, gate, question, work, dependency, waiting, paused, budget, repository, policy, halt, conductor, person
    or nothing."""
    text: str
    since: datetime | None = None
    until: datetime | None = None
    who: tuple[str, ...] = ()
    """Who may do something about it, where not everybody may."""


class Why(Struct, frozen=True, kw_only=True):
    """`rig why REPO#N`."""

    issue: IssueRef
    title: str
    state: IssueState
    since: datetime
    final: bool
    because: tuple[Step, ...]
    """Oldest first: the outside fact that started it, and what followed from it."""
    unknown_cause: str | None
    """Id of what led to the first of them, where the log does not tell."""
    now: tuple[Wait, ...]
    next: tuple[str, ...]
    """Commands for a person."""


class Facts(Struct, kw_only=True):
    """What was read from the log, beside the issue itself."""

    fleet: Fleet
    repository: bool
    """Whether the forge has looked at its repository, and serves it."""
    depends_on: Mapping[IssueRef, Standing | None] = {}


def explain(it: Standing, links: Sequence[Recorded], missing: Missing | None, facts: Facts, now: datetime) -> Why:
    """The whole answer, as of `now`."""
    final = it.state.final
    return Why(
        issue=it.issue,
        title=it.title,
        state=it.state,
        since=it.last.event.time,
        final=final,
        because=tuple(map(_step, links)),
        unknown_cause=None if missing is None else missing.id,
        now=tuple(_over(it) if final else _waits(it, facts, now)),
        next=tuple(_next(it)),
    )


def _step(said: Recorded) -> Step:
    event = said.event
    return Step(
        position=said.position,
        time=event.time,
        actor=event.actor,
        about=str(event.about),
        type=event.data.wire_type(),
        id=event.id,
        summary=summary(event.data),
    )


# ── what it waits for ────────────────────────────────────────────────────────


def _waits(it: Standing, facts: Facts, now: datetime) -> Iterator[Wait]:
    known = list(_known(it, facts, now))
    yield from known
    if not any(wait.what in _ANSWERS for wait in known):
        yield Wait(what="conductor", text="the conductor's next decision; `rig status` says how the rig stands")


_ANSWERS: Final = ("deadline", "gate", "question", "policy", "halt")
"""What leaves no doubt about whose turn it is."""


def _known(it: Standing, facts: Facts, now: datetime) -> Iterator[Wait]:
    if facts.fleet.policy is None:
        yield Wait(what="policy", text="no policy is adopted, so nothing is decided: `rig policy adopt` or `rig up`")
    if not facts.repository:
        where = it.issue.repository
        yield Wait(what="repository", text=f"{where} is not under the rig, or the forge has not looked at it yet")
    for gate in it.gates.values():
        yield _gate(gate, it.house.approvers, now)
    if it.question is not None and isinstance(it.question.event.data, QuestionAsked):
        asked = it.question
        text = f"run {it.ownership.run} asks: {one_line(it.question.event.data.question, 300)}"
        yield Wait(what="question", text=text, since=asked.event.time)
    if it.state is IssueState.IN_PROGRESS:
        text = f"{it.agent} works on it: epoch {it.ownership.epoch}, run {it.ownership.run}"
        yield Wait(what="work", text=text, since=it.last.event.time)
    if it.state in WANTS_WORK:
        yield from _before_work(it, facts, now)
    if it.deadline is not None and isinstance(it.deadline.event.data, DeadlineSet):
        yield _deadline(it.deadline.event.data, now)
    for said in facts.fleet.halts.values():
        if isinstance(said.event.data, HaltDetected):
            yield Wait(what="halt", text=summary(said.event.data), since=said.event.data.since)


def _gate(gate: OpenGate, allowed: tuple[str, ...], now: datetime) -> Wait:
    what = gate_name((gate.reason, gate.head_sha))
    why = one_line(gate_why(gate.paths, gate.detail), 300)
    who = f"{', '.join(allowed)} may let it through" if allowed else "whoever may speak to the rig may let it through"
    text = f"{what}, for {span(now - gate.since)}{f' ({why})' if why else ''}; {who}"
    return Wait(what="gate", text=text, since=gate.since, who=allowed)


def _before_work(it: Standing, facts: Facts, now: datetime) -> Iterator[Wait]:
    """What keeps an issue that wants work from getting it."""
    for ref, other in facts.depends_on.items():
        if other is None:
            yield Wait(what="dependency", text=f"{ref}: nobody has approved it yet")
        elif other.state is not IssueState.DONE or other.reverted:
            since = other.last.event.time
            stands = "done, and taken out again" if other.state is IssueState.DONE else other.words
            yield Wait(what="dependency", text=f"{ref} is {stands}, for {span(now - since)}", since=since)
    if it.waiting is not None and isinstance(it.waiting.event.data, IssueWaiting):
        said = it.waiting.event.data
        reasons = "; ".join(REASONS[reason] for reason in said.reasons)
        text = f"{reasons} (as of {clock(it.waiting.event.time)}, position {it.waiting.position})"
        yield Wait(what="waiting", text=text, since=said.since)
    policy = facts.fleet.policy_data
    role = it.role or (policy.role if policy is not None else "")
    for scope in pause_scopes(it.issue, role):
        pause = facts.fleet.paused.get(scope)
        if pause is not None and isinstance(pause.event.data, Paused):
            text = f"{summary(pause.event.data)}, {span(now - pause.event.time)} ago"
            yield Wait(what="paused", text=text, since=pause.event.time)
    for scope in scopes(it.issue, role):
        full = facts.fleet.exceeded.get(scope)
        if full is not None and isinstance(full.event.data, BudgetExceeded) and counts_today(scope, full, now):
            yield Wait(what="budget", text=summary(full.event.data), since=full.event.time)


def counts_today(scope: str, said: Recorded, now: datetime) -> bool:
    """Whether a word about a budget still holds: all but an issue's are budgets of one day (UTC)."""
    return scope.startswith("issue:") or said.event.time.date() == now.date()


def _deadline(due: DeadlineSet, now: datetime) -> Wait:
    left = due.at - now
    if left > timedelta():
        text = f"{clock(due.at)} (in {span(left)}): {_DUE[due.kind]}"
    else:
        text = (
            f"{clock(due.at)} ({span(-left)} ago): {_DUE[due.kind]}. Nobody has said yet that this is over:"
            " does the conductor run? `rig status`"
        )
    return Wait(what="deadline", text=text, until=due.at)


# ── nothing more happens by itself ───────────────────────────────────────────


def _over(it: Standing) -> Iterator[Wait]:
    data = it.last.event.data
    match it.state:
        case IssueState.DONE if it.reverted:
            yield Wait(what="person", text="what was merged for it was taken out again: should it be done anew?")
        case IssueState.DONE:
            yield Wait(what="nothing", text="it is done, and nothing more is due")
        case IssueState.ESCALATED:
            whom = data.to if isinstance(data, IssueEscalated) else "people"
            yield Wait(what="person", text=f"the rig has done what it may: {one_line(whom)} must decide")
        case IssueState.REFUSED:
            yield Wait(what="person", text="it cannot be taken as it stands, until somebody changes that")
        case IssueState.STOPPED:
            yield Wait(what="person", text="a person stopped it: it waits until one asks for another try")
        case _:
            yield Wait(what="nothing", text="nobody wants it any more; approved again, it begins anew")


def _next(it: Standing) -> Iterator[str]:
    """What a person can type."""
    issue, data = it.issue, it.last.event.data
    if may_be_tried_again(it):
        yield f"rig issue retry {issue}"
        if it.state is not IssueState.DONE:
            yield f"rig issue withdraw {issue}"
    if it.state is IssueState.REFUSED and isinstance(data, IssueRefused):
        if data.reason is Refusal.CYCLE:
            yield f"rig publish IssueRevised issue={issue} depends_on=…"
        else:
            yield f"rig repo add PATH --name {issue.repository} --check COMMAND"
    if it.state.final:
        return
    if it.gates:
        head = next((gate.head_sha for gate in it.gates.values() if gate.head_sha is not None), None)
        at = "" if head is None else f" --head {head[:12]}"
        yield f"rig gate approve|reject|bypass {issue}{at} --note TEXT"
    if it.question is not None:
        yield f"rig issue answer {issue} TEXT"
