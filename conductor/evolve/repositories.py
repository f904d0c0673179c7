"""Repositories under the rig, and whether their base branches are well."""

from conductor.awaits import lacks_review
from conductor.evolve.index import index
from conductor.evolve.moves import enter
from conductor.state import Branch, Repository, State
from schemas import (
    Envelope,
    IssueState,
    MainChecksFailed,
    MainChecksPassed,
    Overrides,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryRemoved,
)


def fold_repository(state: State, ref: RepoRef, event: Envelope) -> None:
    data = event.data
    if event.id in state.heard:
        return
    state.heard.add(event.id)
    if isinstance(data, MainChecksFailed | MainChecksPassed):
        _checked(state, ref, data, event)
        return
    match data:
        case RepositoryAdded():
            known = state.repositories.setdefault(ref, Repository())
            known.reviewers, known.overrides = data.reviewers, data.overrides or Overrides()
            known.capabilities |= frozenset(data.capabilities)
        case RepositoryConfigured():
            state.repositories[ref] = Repository(
                configured=True,
                reviewers=data.reviewers,
                capabilities=frozenset(data.capabilities),
                escalate=data.escalate,
                overrides=data.overrides or Overrides(),
            )
        case RepositoryRemoved():
            state.repositories.pop(ref, None)
        case _:
            return
    _reconsider(state, ref, event)


def _reconsider(state: State, ref: RepoRef, event: Envelope) -> None:
    """What this means for the issues there."""
    repository = state.repositories.get(ref)
    for issue in state.issues.values():
        if issue.ref.repository != ref:
            continue
        stood = issue.state
        if stood is IssueState.REFUSED and not issue.cycle and repository is not None:
            enter(issue, IssueState.QUEUED)  # it was refused for want of this repository
        if issue.judged and issue.state is not IssueState.IN_REVIEW and lacks_review(issue, repository):
            enter(issue, IssueState.IN_REVIEW)  # a reviewer was named after everything else was there
        if issue.state is not stood:
            issue.cause, issue.since = event.id, event.time
        index(state, issue)


def fingerprint(ref: RepoRef, workflow: str) -> str:
    """What makes two failures one incident."""
    return f"{ref}: {workflow}"[:300]


def _checked(state: State, ref: RepoRef, data: MainChecksFailed | MainChecksPassed, event: Envelope) -> None:
    """Red is what failed and was not red on the parent already; a run that was cancelled or skipped says nothing."""
    key = fingerprint(ref, data.workflow)
    known = state.branches.get(key)
    if known is not None and known.time > event.time:
        return
    red = isinstance(data, MainChecksFailed) and data.conclusion.red
    if isinstance(data, MainChecksFailed) and not red:
        return
    if red and (known is None or not known.red):
        was_red = data.previous_conclusion is not None and data.previous_conclusion.red
        if was_red:
            return
    if known is None:
        known = state.branches[key] = Branch(ref, data.workflow, event.time, red, data.sha, data.url, event.id)
    elif known.red != red:
        known.sha, known.url, known.cause = data.sha, data.url, event.id
    known.time, known.red = event.time, red
    index_branch(state, key)


def index_branch(state: State, key: str) -> None:
    """Whether something is due: an incident to open, to close, or to tell people of."""
    branch = state.branches[key]
    if branch.red == (branch.opened is not None):
        state.unsettled_branches.discard(key)
    else:
        state.unsettled_branches.add(key)
