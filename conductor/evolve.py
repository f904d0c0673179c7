"""evolve: one event of the log → the state after it. Pure but for the state that it owns.

Idempotent: an event known already by its natural key changes nothing. It accepts a decision on any state, since other
events may have landed between what a decision was made on and where it stands; the next round says what follows.
A failure of the state machine is a failure of the rig: nothing here raises for anything the log may hold.
"""

from collections import deque
from datetime import datetime

from msgspec import UNSET

from conductor.state import Agent, Deadline, Issue, Repository, State, Verdict, settled
from schemas import (
    AgentCapacityChanged,
    AgentJoined,
    AgentLeft,
    AgentRef,
    AssignReason,
    ChecksFailed,
    ChecksPassed,
    DeadlineKind,
    DeadlinePassed,
    DeadlineSet,
    Decided,
    Envelope,
    Event,
    FailureKind,
    IssueApproved,
    IssueAssigned,
    IssueDone,
    IssueEscalated,
    IssueEvent,
    IssueRef,
    IssueRefused,
    IssueRevised,
    IssueState,
    IssueUnassigned,
    IssueWaiting,
    IssueWithdrawn,
    MergeConflicted,
    Merged,
    MergeRefusal,
    MergeRefused,
    MergeRequested,
    PolicyAdopted,
    PriorityChanged,
    PullRequestOpened,
    PullRequestUpdated,
    RepoEvent,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryRemoved,
    RetryRequested,
    ReviewDisputed,
    ReviewPassed,
    ReviewRequested,
    Stopped,
    WorkFailed,
    WorkPushed,
    WorkStarted,
)


def evolve(state: State, event: Envelope | None, position: int) -> State:
    """Folds the event at `position`; None: a position that this version cannot read, which still counts as read.

    Returns the same state, changed.
    """
    if position <= state.position:
        return state
    state.position = position
    if event is None:
        return state
    match event.about, event.data:
        case IssueRef() as ref, IssueEvent():
            _issue(state, ref, event, position)
        case RepoRef() as ref, RepoEvent() as data:
            _repository(state, ref, data)
        case AgentRef(name), data:
            _agent(state, name, data)
        case _, Decided() as data:
            state.decided, state.decided_count, state.decided_now = position, data.count, data.now
            state.rules = max(state.rules, data.rules)
        case _, PolicyAdopted() as data:
            state.policy, state.policy_hash = data.policy, data.hash
        case _:
            pass
    return state


_OF_THE_FORGE = (DeadlineKind.PULL_REQUEST, DeadlineKind.CHECKS)

# ── repositories and agents ──────────────────────────────────────────────────


def _repository(state: State, ref: RepoRef, data: RepoEvent) -> None:
    match data:
        case RepositoryAdded(reviewers=reviewers):
            known = state.repositories.setdefault(ref, Repository())
            known.reviewers = reviewers
        case RepositoryConfigured(reviewers=reviewers):
            state.repositories[ref] = Repository(configured=True, reviewers=reviewers)
        case RepositoryRemoved():
            state.repositories.pop(ref, None)
        case _:
            return
    for issue in state.issues.values():
        if issue.ref.repository == ref:
            if issue.state is IssueState.REFUSED and not issue.cycle:
                _enter(issue, IssueState.QUEUED)  # it was refused for want of this repository
            if issue.state is IssueState.MERGING and _lacks_review(state, issue):
                _enter(issue, IssueState.IN_REVIEW)  # a reviewer was named after the merge was asked for
            _index(state, issue)


def _lacks_review(state: State, issue: Issue) -> bool:
    repository = state.repositories.get(issue.ref.repository)
    return repository is not None and bool(repository.reviewers) and not issue.reviews.get(issue.head or "")


def _agent(state: State, name: str, data: object) -> None:
    match data:
        case AgentJoined(boot=boot, role=role, slots=slots):
            state.agents[name] = Agent(boot, role, slots)
        case AgentCapacityChanged(boot=boot, slots=slots) if name in state.agents and state.agents[name].boot == boot:
            state.agents[name].slots = slots
        case AgentLeft(boot=boot) if name in state.agents and state.agents[name].boot == boot:
            del state.agents[name]
        case _:
            pass


# ── issues ───────────────────────────────────────────────────────────────────


def _issue(state: State, ref: IssueRef, event: Envelope, position: int) -> None:
    issue = state.issues.get(ref)
    if issue is None:
        if not isinstance(event.data, IssueApproved):
            return  # a word about an issue that nobody approved
        issue = state.issues[ref] = _approved(ref, event, event.data, position)
    elif isinstance(event.data, DeadlineSet | DeadlinePassed):
        _deadline(issue, event, event.data)
    else:
        before = issue.state
        repository = state.repositories.get(ref.repository)
        if _apply(issue, event, repository.reviewers if repository is not None else ()):
            issue.cause = event.id
        if issue.state is not before:
            issue.since = event.time
    if isinstance(event.data, IssueApproved | IssueRevised):
        state.named.update(issue.depends_on)
        issue.cycle = _find_cycle(state, issue) if ref in state.named else ()
    _index(state, issue)


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
        heard={event.id},
    )


def _index(state: State, issue: Issue) -> None:
    _member(state.unsettled, issue.ref, not settled(issue, state.repositories.get(issue.ref.repository)))
    _member(state.wanting, issue.ref, issue.wants_work)
    _member(state.working, issue.ref, issue.ownership.open)


def _member(index: set[IssueRef], ref: IssueRef, belongs: bool) -> None:
    if belongs:
        index.add(ref)
    else:
        index.discard(ref)


def _enter(issue: Issue, state: IssueState) -> None:
    """Leaving a state voids its deadline."""
    issue.state, issue.deadline, issue.waited, issue.waiting = state, None, 0, None


def _deadline(issue: Issue, event: Envelope, data: DeadlineSet | DeadlinePassed) -> None:
    live = issue.deadline
    if isinstance(data, DeadlineSet):
        if live is not None and live.id == event.id:
            return
        if live is not None and live.passed and live.kind is data.kind and data.kind in _OF_THE_FORGE:
            issue.forge_retries += 1
        issue.deadline = Deadline(data.kind, data.at, event.id)
    elif live is not None and (live.kind, live.at) == (data.kind, data.at):
        issue.deadline = Deadline(live.kind, live.at, live.id, passed=True)
        issue.cause = event.id
        if live.kind is DeadlineKind.BACKOFF:
            issue.backoff, issue.retry_at = False, None
        elif live.kind is DeadlineKind.WAITING:
            issue.waited += 1


def _apply(issue: Issue, event: Envelope, reviewers: tuple[str, ...]) -> bool:
    """True when the event brought the issue somewhere."""
    match event.data:
        case IssueAssigned() | WorkStarted() | WorkPushed() | WorkFailed() | IssueUnassigned():
            return _work(issue, event.data)
        case IssueApproved() | IssueRevised() | IssueWithdrawn() | Stopped() | RetryRequested() | PriorityChanged():
            if event.id in issue.heard:
                return False
            issue.heard.add(event.id)
            return _wish(issue, event.data)
        case _:
            return _decision(issue, event.data) or _forge(issue, event, reviewers)


def _wish(issue: Issue, data: IssueEvent) -> bool:
    """What a person asks for."""
    match data:
        case IssueApproved(priority=priority, depends_on=depends_on):
            if issue.state is not IssueState.WITHDRAWN:
                return False
            issue.priority, issue.depends_on, issue.reason = priority, depends_on, AssignReason.ASKED
            _start_over(issue)
        case IssueRevised(priority=priority, depends_on=depends_on):
            issue.priority = issue.priority if priority is UNSET else priority
            issue.depends_on = issue.depends_on if depends_on is UNSET else depends_on
            if issue.state is IssueState.REFUSED:
                _enter(issue, IssueState.QUEUED)
        case IssueWithdrawn():
            issue.ownership.apply(data)
            if issue.state is not IssueState.DONE:
                _enter(issue, IssueState.WITHDRAWN)
        case Stopped():
            issue.ownership.apply(data)
            if not issue.state.final:
                _enter(issue, IssueState.STOPPED)
        case RetryRequested():
            if issue.state not in (IssueState.ESCALATED, IssueState.STOPPED):
                return False
            issue.reason = AssignReason.ASKED
            _start_over(issue)
        case PriorityChanged(priority=priority):
            issue.priority = priority
        case _:
            return False
    return True


def _start_over(issue: Issue) -> None:
    issue.attempts = issue.failed_runs = issue.unassignments = issue.conflicts = issue.review_rounds = 0
    issue.forge_retries, issue.backoff = 0, False
    _enter(issue, IssueState.QUEUED)


def _work(issue: Issue, data: IssueEvent) -> bool:
    """Assignments, and what their owner says. What a non-owner says changes nothing."""
    claimed_before = issue.ownership.run is not None
    if not issue.ownership.apply(data):
        return False
    if issue.state.final:
        return True  # a decision that a withdrawal overtook; the next round takes it back
    match data:
        case IssueAssigned():
            _enter(issue, IssueState.ASSIGNED)
        case WorkStarted(agent=agent, session=session):
            if claimed_before:
                issue.unassignments += 1  # a takeover: the run before this one died
            issue.agent, issue.session = agent, session
            _enter(issue, IssueState.IN_PROGRESS)
        case WorkPushed(head_sha=head):
            if head == issue.head:
                issue.checks.pop(head, None)  # pushed again as it was: the forge checks it again and says so
            issue.head, issue.unassignments, issue.forge_retries, issue.base_moved = head, 0, 0, None
            _enter(issue, IssueState.IN_REVIEW)
            _judge(issue)
        case WorkFailed(kind=kind, detail=detail, retry_at=retry_at):
            issue.unassignments, issue.findings = 0, detail
            if kind.of_the_work:
                issue.attempts += 1
                issue.reason = AssignReason.CHECKS_FAILED if kind is FailureKind.CHECKS_FAILED else AssignReason.RETRY
            else:
                issue.failed_runs += 1
                issue.backoff, issue.retry_at, issue.reason = True, retry_at, AssignReason.RETRY
            _enter(issue, IssueState.QUEUED)
        case IssueUnassigned():
            issue.unassignments += 1
            issue.reason = AssignReason.RETRY
            _enter(issue, IssueState.QUEUED)
        case _:
            pass
    return True


def _decision(issue: Issue, data: Event) -> bool:
    """The conductor's own words that move an issue."""
    match data:
        case IssueRefused() if issue.wants_work:
            _enter(issue, IssueState.REFUSED)
        case IssueWaiting(reasons=reasons, waits_for=waits_for):
            issue.waiting = (reasons, waits_for)
            return False
        case ReviewRequested(head_sha=head) if issue.review_asked != head:
            issue.review_asked = head
        case MergeRequested(head_sha=head) if head == issue.head and issue.state is IssueState.IN_REVIEW:
            issue.merge_refused = False
            _enter(issue, IssueState.MERGING)
        case MergeRequested(head_sha=head) if head == issue.head and issue.state is IssueState.MERGING:
            issue.forge_retries += 1
            issue.merge_refused, issue.deadline = False, None
        case IssueEscalated() if not issue.state.final:
            _enter(issue, IssueState.ESCALATED)
        case IssueDone():
            _enter(issue, IssueState.DONE)
        case _:
            return False
    return True


def _forge(issue: Issue, event: Envelope, reviewers: tuple[str, ...]) -> bool:
    """Facts of a forge and of reviewers. Verdicts are kept by head: one may come before its pull request is known.

    A review counts when the repository names its reviewer.
    """
    match event.data:
        case (
            PullRequestOpened(pull_request=number, head_sha=head)
            | PullRequestUpdated(pull_request=number, head_sha=head)
        ):
            if (issue.pull_request, issue.pull_request_head) == (number, head):
                return False
            issue.pull_request, issue.pull_request_head = number, head
        case ChecksPassed(head_sha=head, base_sha=base):
            verdict = Verdict(True, event.time, "", base)
            if _outdated(issue, head, event.time) or not _hear(issue.checks, head, verdict):
                return False
        case ChecksFailed(head_sha=head, base_sha=base, failed=failed):
            findings = "\n".join(f"{check.name}: {check.conclusion}\n{check.excerpt}".strip() for check in failed)
            if not _hear(issue.checks, head, Verdict(False, event.time, findings, base)):
                return False
        case ReviewPassed(head_sha=head, summary=summary, reviewer=reviewer) if reviewer in reviewers:
            if not _hear(issue.reviews.setdefault(head, {}), reviewer, Verdict(True, event.time, summary)):
                return False
        case ReviewDisputed(head_sha=head, summary=summary, comments=comments, reviewer=reviewer) if (
            reviewer in reviewers
        ):
            findings = "\n".join((summary, *comments))
            if not _hear(issue.reviews.setdefault(head, {}), reviewer, Verdict(False, event.time, findings)):
                return False
        case MergeConflicted(head_sha=head, paths=paths):
            if head != issue.head or issue.state not in (IssueState.IN_REVIEW, IssueState.MERGING):
                return False
            issue.conflicts += 1
            issue.findings = "the work conflicts with the base branch" + (f" in {', '.join(paths)}" if paths else "")
            issue.reason = AssignReason.MERGE_CONFLICTED
            _enter(issue, IssueState.MERGE_CONFLICT)
            return True
        case MergeRefused() as refused:
            return _refused(issue, refused, event.time)
        case Merged(merge_sha=merge_sha):
            if issue.merge_sha == merge_sha:
                return False
            issue.merge_sha = merge_sha
            return True
        case _:
            return False
    if issue.state in (IssueState.IN_REVIEW, IssueState.MERGING):
        _judge(issue)
    return True


def _hear(verdicts: dict[str, Verdict], facet: str, verdict: Verdict) -> bool:
    """Of two facts of one facet the source's later time wins; at equal time the later position."""
    known = verdicts.get(facet)
    if known is not None and (known == verdict or known.time > verdict.time):
        return False
    verdicts[facet] = verdict
    return True


def _outdated(issue: Issue, head: str, time: datetime) -> bool:
    """Whether a verdict on the current head is older than the forge's word that its base has moved."""
    return head == issue.head and issue.base_moved is not None and time < issue.base_moved


def _judge(issue: Issue) -> None:
    """Sends the issue back to work when a verdict on its current head is against it."""
    if issue.head is None:
        return
    checks = issue.checks.get(issue.head)
    disputes = [review for review in issue.reviews.get(issue.head, {}).values() if not review.passed]
    if checks is not None and not checks.passed:
        issue.attempts += 1
        issue.findings, issue.reason = checks.findings, AssignReason.CHECKS_FAILED
    elif disputes:
        issue.review_rounds += 1
        issue.findings = "\n\n".join(review.findings for review in disputes)
        issue.reason = AssignReason.REVIEW_DISPUTED
    else:
        return
    _enter(issue, IssueState.CHANGES_REQUESTED)


def _refused(issue: Issue, refused: MergeRefused, time: datetime) -> bool:
    head = refused.head_sha
    if head != issue.head or issue.state is not IssueState.MERGING:
        return False
    issue.findings = f"merge refused: {refused.reason}" + (f": {refused.detail}" if refused.detail else "")
    if refused.reason is MergeRefusal.BASE_MOVED:
        known = issue.checks.get(head)
        if known is not None and known.base == refused.base_sha:
            del issue.checks[head]  # they were of a base that is no more; the forge checks again and says so
        issue.base_moved = time
        _enter(issue, IssueState.IN_REVIEW)
    else:
        issue.deadline = None  # a person must mend it; the request is made again after a while
        issue.merge_refused = True
    return True


def _find_cycle(state: State, issue: Issue) -> tuple[IssueRef, ...]:
    """The shortest path of dependencies that leads from the issue back to it; empty: there is none."""
    came_from: dict[IssueRef, IssueRef] = {}
    queue = deque([issue.ref])
    while queue:
        ref = queue.popleft()
        known = state.issues.get(ref)
        if known is None or known.state is IssueState.DONE:
            continue
        for dependency in known.depends_on:
            if dependency == issue.ref:
                path = [ref]
                while path[-1] != issue.ref:
                    path.append(came_from[path[-1]])
                return tuple(reversed(path))
            if dependency not in came_from:
                came_from[dependency] = ref
                queue.append(dependency)
    return ()
