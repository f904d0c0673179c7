"""Facts of a forge and of reviewers. Verdicts are kept by head: one may come before its pull request is known.

Of two facts of one facet the source's later time wins, at equal time the later position. A review counts when the
repository names its reviewer.
"""

from datetime import datetime

from conductor.evolve.index import NO_POLICY
from conductor.evolve.moves import enter
from conductor.evolve.work import judge
from conductor.policy import CODE, kind_of
from conductor.state import Delivered, Issue, Repository, Review, State, Trust, Verdict
from schemas import (
    AssignReason,
    ChecksFailed,
    ChecksPassed,
    Envelope,
    IssueState,
    MergeConflicted,
    Merged,
    MergeRefusal,
    MergeRefused,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    Reverted,
    ReviewAbstained,
    ReviewDisputed,
    ReviewPassed,
)


def fold_forge(state: State, issue: Issue, event: Envelope) -> bool:
    """Known by its id; what is told again under another id, by the source's own time."""
    if event.id in issue.heard:
        return False
    issue.heard.add(event.id)
    if not _heard(state, issue, event):
        return False
    if issue.judged:
        judge(issue)
    return True


def _heard(state: State, issue: Issue, event: Envelope) -> bool:
    match event.data:
        case PullRequestOpened() | PullRequestUpdated() as shown:
            return _shown(state, issue, shown, event.time)
        case PullRequestClosed(pull_request=number, superseded_by=superseded_by):
            return _closed(issue, number, superseded_by, event.time)
        case ChecksPassed() | ChecksFailed() as checks:
            return _checked(issue, checks, event.time)
        case ReviewPassed() | ReviewDisputed() | ReviewAbstained() as review:
            return _reviewed(issue, state.repositories.get(issue.ref.repository), review, event.time)
        case MergeConflicted() as conflicted:
            return _conflicted(issue, conflicted, event.time)
        case MergeRefused() as refused:
            return _refused(issue, refused, event.time)
        case Merged(head_sha=head, merge_sha=merge_sha):
            return _merged(issue, head, merge_sha)
        case Reverted() as reverted:
            return _reverted(state, issue, reverted, event.id)
        case _:
            return False


def _shown(state: State, issue: Issue, data: PullRequestOpened | PullRequestUpdated, time: datetime) -> bool:
    """The pull request, as it was last shown."""
    if issue.shown is not None and time < issue.shown:
        return False
    shown = (data.pull_request, data.head_sha, data.changes)
    if (issue.pull_request, issue.pull_request_head, issue.changes) == shown:
        return False
    issue.pull_request, issue.pull_request_head, issue.changes = shown
    issue.shown, issue.pull_request_closed, issue.forge_retries = time, False, 0
    if isinstance(data, PullRequestOpened):
        issue.pull_request_author = data.author
        for review in issue.reviews.values():
            review.verdicts.pop(data.author, None)  # heard before anybody knew whose work it is
    issue.kind = kind_of(data.changes, (state.policy or NO_POLICY).tiers)
    return True


def _closed(issue: Issue, number: int, superseded_by: int | None, time: datetime) -> bool:
    """One that another takes the place of withdraws nothing."""
    if number != issue.pull_request or issue.merge_sha is not None or (issue.shown is not None and time < issue.shown):
        return False
    issue.pull_request, issue.pull_request_head, issue.changes, issue.shown = superseded_by, None, None, time
    if superseded_by is None and issue.judged:
        issue.pull_request_closed = True
    elif issue.judged and issue.state is not IssueState.IN_REVIEW:
        enter(issue, IssueState.IN_REVIEW)
    return True


def _checked(issue: Issue, said: ChecksPassed | ChecksFailed, time: datetime) -> bool:
    if said.head_sha == issue.head and issue.base_moved is not None and time < issue.base_moved:
        return False  # on a base that is no more
    failed = said.failed if isinstance(said, ChecksFailed) else ()
    findings = "\n".join(f"{check.name}: {check.conclusion}\n{check.excerpt}".strip() for check in failed)
    if not _hear(issue.checks, said.head_sha, Verdict(isinstance(said, ChecksPassed), time, findings, said.base_sha)):
        return False
    if said.head_sha == issue.head:
        issue.forge_retries = 0
    return True


def _hear(verdicts: dict[str, Verdict], facet: str, verdict: Verdict) -> bool:
    known = verdicts.get(facet)
    if known is not None and (known == verdict or known.time > verdict.time):
        return False
    verdicts[facet] = verdict
    return True


def _reviewed(
    issue: Issue,
    repository: Repository | None,
    said: ReviewPassed | ReviewDisputed | ReviewAbstained,
    time: datetime,
) -> bool:
    if repository is None or said.reviewer not in repository.reviewers or said.reviewer in authors(issue):
        return False
    review = issue.reviews.setdefault(said.head_sha, Review())
    match said:
        case ReviewPassed(summary=summary):
            return _hear(review.verdicts, said.reviewer, Verdict(True, time, summary))
        case ReviewDisputed(summary=summary, comments=comments):
            return _hear(review.verdicts, said.reviewer, Verdict(False, time, "\n".join((summary, *comments))))
        case ReviewAbstained():
            if said.reviewer in review.abstained:
                return False
            review.abstained.add(said.reviewer)
            return True


def authors(issue: Issue) -> frozenset[str]:
    """Whoever's work it is: nobody reviews his own."""
    return frozenset({*issue.workers, issue.pull_request_author})


def _conflicted(issue: Issue, said: MergeConflicted, time: datetime) -> bool:
    if said.head_sha != issue.head or not issue.judged or not _answers(issue, said, time):
        return False
    issue.conflicts += 1
    issue.findings = "the work conflicts with the base branch" + (f" in {', '.join(said.paths)}" if said.paths else "")
    issue.reason = AssignReason.MERGE_CONFLICTED
    enter(issue, IssueState.MERGE_CONFLICT)
    return True


def _refused(issue: Issue, refused: MergeRefused, time: datetime) -> bool:
    head = refused.head_sha
    if head != issue.head or issue.state is not IssueState.MERGING or not _answers(issue, refused, time):
        return False
    issue.findings = f"merge refused: {refused.reason}" + (f": {refused.detail}" if refused.detail else "")
    if refused.reason is MergeRefusal.BASE_MOVED:
        known = issue.checks.get(head)
        if known is not None and known.base == refused.base_sha:
            del issue.checks[head]  # they were of a base that is no more; the forge checks again and says so
        issue.base_moved, issue.forge_retries = time, 0
        enter(issue, IssueState.IN_REVIEW)
    else:
        issue.deadline = None  # a person must mend it; the request is made again after a while
        issue.merge_refused = True
    return True


def _answers(issue: Issue, said: MergeConflicted | MergeRefused, time: datetime) -> bool:
    """Whether the forge says something new with it: not older than its last answer, and not said just then already."""
    if issue.answered is not None and time < issue.answered:
        return False
    if time != issue.answered:
        issue.answered, issue.answers = time, set()
    known = said in issue.answers
    issue.answers.add(said)
    return not known


def _merged(issue: Issue, head: str, merge_sha: str) -> bool:
    """From any state: what is merged is merged, whoever did it. What the rig did not ask for earns it no trust."""
    if merge_sha in issue.merges:
        return False
    issue.merges.add(merge_sha)
    if issue.merge_sha is not None:
        issue.delivered = Delivered(deployed=issue.delivered.deployed)
    if issue.state is not IssueState.MERGING or head != issue.head:
        issue.bypassed = True
    issue.merge_sha, issue.reverted, issue.pull_request_closed = merge_sha, False, False
    enter(issue, IssueState.DEPLOYING)
    return True


def _reverted(state: State, issue: Issue, reverted: Reverted, known_as: str) -> bool:
    """It lowers the trust in such changes; whether the issue is to be done again, a person says."""
    if reverted.merge_sha != issue.merge_sha or issue.reverted:
        return False
    issue.reverted = True
    if not issue.role:
        return True  # nobody of the rig's made it
    subject = (issue.role, issue.kind or CODE)
    trust = state.trust.setdefault(subject, Trust())
    trust.lost.append((issue.ref, f"{reverted.by} took {reverted.merge_sha[:9]} out again", known_as))
    state.unsettled_trust.add(subject)
    return True
