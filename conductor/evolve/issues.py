"""Events about one issue: to whom each goes, what follows for those that depend on it, and the indexes after it."""

from collections.abc import Callable
from typing import TypeAlias

from conductor.evolve.cycles import find_cycle
from conductor.evolve.decided import fold_deadline, fold_decided
from conductor.evolve.delivery import fold_delivery
from conductor.evolve.forge import fold_forge
from conductor.evolve.gates import fold_gate
from conductor.evolve.index import index, leave_milestone
from conductor.evolve.money import close_accounts, fold_money
from conductor.evolve.wishes import fold_wish
from conductor.evolve.work import fold_work
from conductor.state import Facet, Issue, State
from schemas import (
    AssignRequested,
    BudgetReleased,
    BudgetReserved,
    BudgetSettled,
    ChecksFailed,
    ChecksPassed,
    DeadlinePassed,
    DeadlineSet,
    Deployed,
    EndToEndFailed,
    EndToEndPassed,
    Envelope,
    Event,
    GateApproved,
    GateBypassed,
    GateRejected,
    GateTriggered,
    IssueApproved,
    IssueAssigned,
    IssueDone,
    IssueEscalated,
    IssueNeedsHuman,
    IssueOrphaned,
    IssueRef,
    IssueRefused,
    IssueRevised,
    IssueUnassigned,
    IssueWaiting,
    IssueWithdrawn,
    MergeConflicted,
    Merged,
    MergeRefused,
    MergeRequested,
    PriorityChanged,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    QuestionAnswered,
    QuestionAsked,
    RetryRequested,
    Reverted,
    ReviewAbstained,
    ReviewDisputed,
    ReviewPassed,
    ReviewRequested,
    SmokeFailed,
    SmokePassed,
    Stopped,
    TokensUsed,
    Verified,
    WorkFailed,
    WorkPushed,
    WorkStarted,
)

Fold: TypeAlias = Callable[[State, Issue, Envelope], bool]
"""True when the event brought the issue somewhere."""

_FOLDS: dict[type[Event], Fold] = {
    event: fold
    for fold, events in {
        fold_wish: (
            IssueApproved,
            IssueRevised,
            IssueWithdrawn,
            Stopped,
            RetryRequested,
            AssignRequested,
            PriorityChanged,
            QuestionAnswered,
        ),
        fold_work: (IssueAssigned, IssueUnassigned, WorkStarted, WorkPushed, WorkFailed, QuestionAsked),
        fold_money: (BudgetReserved, BudgetSettled, BudgetReleased, TokensUsed),
        fold_decided: (
            IssueRefused,
            IssueWaiting,
            ReviewRequested,
            MergeRequested,
            IssueEscalated,
            IssueOrphaned,
            IssueNeedsHuman,
            IssueDone,
        ),
        fold_deadline: (DeadlineSet, DeadlinePassed),
        fold_gate: (GateTriggered, GateApproved, GateRejected, GateBypassed),
        fold_forge: (
            PullRequestOpened,
            PullRequestUpdated,
            PullRequestClosed,
            ChecksPassed,
            ChecksFailed,
            ReviewPassed,
            ReviewDisputed,
            ReviewAbstained,
            MergeConflicted,
            MergeRefused,
            Merged,
            Reverted,
        ),
        fold_delivery: (Deployed, SmokePassed, SmokeFailed, EndToEndPassed, EndToEndFailed, Verified),
    }.items()
    for event in events
}


_OF_RUNS = (fold_work, fold_money, fold_wish)
"""What may begin or end a run, or spend on one."""


def fold_issue(state: State, ref: IssueRef, event: Envelope, position: int) -> None:
    """What is not about deciding (a command that was blocked, an effect) changes nothing."""
    data = event.data
    fold = _FOLDS.get(type(data))
    if fold is None:
        return
    issue = state.issues.get(ref)
    if issue is None:
        if not isinstance(data, IssueApproved):
            return  # a word about an issue that nobody approved
        issue = state.issues[ref] = _approved(ref, event, data, position)
        _depend(state, issue, ())
    else:
        before, met, depended, milestone = issue.state, issue.met, issue.depends_on, issue.milestone
        moved = fold(state, issue, event)
        if moved:
            issue.cause = event.id
        if issue.state is not before:
            issue.since = event.time
        turned = issue.met is not met
        if turned or issue.depends_on != depended or (moved and issue.cycle):
            _depend(state, issue, depended)
        if issue.milestone != milestone:
            _leave(state, issue, milestone)
        if turned:
            _unblock(state, issue)
        if fold in _OF_RUNS:
            close_accounts(state, issue)
    index(state, issue)


def _approved(ref: IssueRef, event: Envelope, data: IssueApproved, position: int) -> Issue:
    return Issue(
        ref=ref,
        id=event.id,
        cause=event.id,
        position=position,
        approved_at=event.time,
        since=event.time,
        priority=data.priority,
        depends_on=data.depends_on,
        labels=data.labels,
        requires=tuple(sorted(set(data.requires))),
        milestone=data.milestone,
        heard={event.id},
        facets={Facet.WANTED: (event.actor, event.time)},
    )


def _depend(state: State, issue: Issue, before: tuple[IssueRef, ...]) -> None:
    """Who depends on whom has changed: it may be a cycle now, or none any more."""
    for ref in before:
        dependents = state.dependents.get(ref)
        if dependents is not None:
            dependents.discard(issue.ref)
            if not dependents:
                del state.dependents[ref]
    for ref in issue.depends_on:
        state.dependents.setdefault(ref, set()).add(issue.ref)
    issue.cycle = find_cycle(state, issue) if issue.ref in state.dependents else ()


def _unblock(state: State, issue: Issue) -> None:
    """It is done, or no longer: whoever depends on it may begin, or must wait."""
    for ref in state.dependents.get(issue.ref, ()):
        index(state, state.issues[ref])


def _leave(state: State, issue: Issue, milestone: str | None) -> None:
    now, issue.milestone = issue.milestone, milestone
    leave_milestone(state, issue)
    issue.milestone = now
