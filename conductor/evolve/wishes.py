"""What people ask for."""

from msgspec import UNSET

from conductor.evolve.index import NO_POLICY
from conductor.evolve.moves import enter, start_over
from conductor.policy import blocking_labels
from conductor.state import Facet, Issue, State
from schemas import (
    AssignReason,
    AssignRequested,
    Envelope,
    GateReason,
    IssueApproved,
    IssueRevised,
    IssueState,
    IssueWithdrawn,
    Policy,
    PriorityChanged,
    QuestionAnswered,
    RetryRequested,
    Stopped,
    Withdrawal,
)


def fold_wish(state: State, issue: Issue, event: Envelope) -> bool:
    """Known by its id: the same wish may be uttered twice."""
    if event.id in issue.heard:
        return False
    issue.heard.add(event.id)
    match event.data:
        case IssueApproved() as approved:
            return _is_newest(issue, Facet.WANTED, event) and _approved_again(issue, approved)
        case IssueRevised() as revised:
            _revise(state, issue, revised, event)
        case IssueWithdrawn() as withdrawn:
            issue.facets[Facet.WANTED] = (event.actor, event.time)
            issue.ownership.apply(withdrawn)
            merged = issue.merge_sha is not None and withdrawn.reason is Withdrawal.CLOSED  # by its merge
            if issue.state is IssueState.DONE or merged:
                return False
            enter(issue, IssueState.WITHDRAWN)
        case Stopped() as stopped:
            issue.ownership.apply(stopped)
            if issue.state.final:
                return False
            enter(issue, IssueState.STOPPED)
        case RetryRequested():
            return _again(issue)
        case AssignRequested(to=to):
            _ask(state, issue, to)
            _again(issue)
        case PriorityChanged(priority=priority):
            if not _is_newest(issue, Facet.PRIORITY, event):
                return False
            issue.priority = priority
        case QuestionAnswered(run=run):
            if issue.question != run:
                return False
            issue.question, issue.deadline = None, None
        case _:
            return False
    return True


def _approved_again(issue: Issue, approved: IssueApproved) -> bool:
    """What was withdrawn is wanted again, as it is described now."""
    if issue.state is not IssueState.WITHDRAWN:
        return False
    issue.priority, issue.depends_on, issue.labels = approved.priority, approved.depends_on, approved.labels
    issue.requires, issue.milestone = tuple(sorted(set(approved.requires))), approved.milestone
    issue.reason = AssignReason.ASKED
    start_over(issue)
    return True


def _is_newest(issue: Issue, facet: Facet, event: Envelope) -> bool:
    """Whether nobody of that role has said anything later of this facet. Of two roles, whose clocks may differ, the
    one that is heard later counts."""
    actor, time = issue.facets.get(facet, ("", event.time))
    if actor == event.actor and event.time < time:
        return False
    issue.facets[facet] = (event.actor, event.time)
    return True


def _revise(state: State, issue: Issue, revised: IssueRevised, event: Envelope) -> None:
    if revised.priority is not UNSET and _is_newest(issue, Facet.PRIORITY, event):
        issue.priority = revised.priority
    if revised.depends_on is not UNSET and _is_newest(issue, Facet.DEPENDS_ON, event):
        issue.depends_on = revised.depends_on
    if revised.requires is not UNSET and _is_newest(issue, Facet.REQUIRES, event):
        issue.requires = tuple(sorted(set(revised.requires)))
    if revised.milestone is not UNSET and _is_newest(issue, Facet.MILESTONE, event):
        issue.milestone = revised.milestone
    if revised.labels is not UNSET and _is_newest(issue, Facet.LABELS, event):
        _label(issue, revised.labels, state.policy or NO_POLICY)
    if issue.state is IssueState.REFUSED:
        enter(issue, IssueState.QUEUED)


def _label(issue: Issue, labels: tuple[str, ...], policy: Policy) -> None:
    """What people have seen at a gate were the labels that it had: with another that holds it, they look again."""
    seen, issue.labels = set(blocking_labels(issue, policy)), labels
    holding = blocking_labels(issue, policy)
    if holding and seen.issuperset(holding):
        return
    for key in list(issue.gates):
        if key[0] is GateReason.POLICY:
            del issue.gates[key]
    if issue.state is IssueState.GATED and not issue.open_gates:
        enter(issue, IssueState.IN_REVIEW)


def _again(issue: Issue) -> bool:
    """Whether it was at an end that a person may take back, or rested."""
    if issue.backoff and not issue.state.final:
        issue.backoff, issue.retry_at, issue.deadline = False, None, None
        return True
    ended = issue.state in (IssueState.ESCALATED, IssueState.STOPPED)
    if not ended and not (issue.state is IssueState.DONE and issue.reverted):
        return False
    issue.reason = AssignReason.ASKED
    start_over(issue)
    return True


def _ask(state: State, issue: Issue, to: str) -> None:
    """Of a replica that is known by that name, or else of a role. It counts from the next assignment on."""
    agent = state.agents.get(to)
    issue.wanted_agent, issue.wanted_role = (None, to) if agent is None else (to, agent.role)
