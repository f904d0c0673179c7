"""What the log says, as far as effects at GitHub hang on it: the fold that plan.py looks at. Pure.

An effect is due until its record is in the log: the pull request that shows a push, the answer to a request to merge,
an `EffectRecorded` with the key of what was to be done. So a restart folds, and does what is not yet said.
"""

from msgspec import Struct, field, structs

from bridges.standing import House, Standing
from bridges.standing_fold import hear
from schemas import (
    Actor,
    ChecksFailed,
    ChecksPassed,
    EffectRecorded,
    Envelope,
    Event,
    Forge,
    IssueApproved,
    IssueAssigned,
    IssueDone,
    IssueRef,
    IssueWithdrawn,
    MergeConflicted,
    Merged,
    MergeRefused,
    MergeRequested,
    Ownership,
    Policy,
    PolicyAdopted,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    Recorded,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryRemoved,
    Reverted,
    ReviewAbstained,
    ReviewDisputed,
    ReviewPassed,
    ReviewRequested,
    ReviewWanted,
    Stopped,
    WorkPushed,
    WorkStarted,
    work_branch,
)


class Push(Struct, frozen=True):
    """Work that its owner pushed."""

    id: str
    epoch: int
    run: str
    branch: str
    head: str
    title: str
    body: str
    author: str


class PullRequest(Struct, frozen=True):
    """The pull request that the bridge made, as it was last told."""

    number: int
    branch: str
    head: str
    shows: str
    """Id of the push that it was made, or moved, for."""
    url: str = ""
    open: bool = True


class MergeAsked(Struct, frozen=True):
    """A request to merge that has no answer yet."""

    id: str
    epoch: int
    pull_request: int
    head: str
    base: str


class ReviewAsked(Struct, frozen=True):
    """A verdict that is wanted."""

    id: str
    pull_request: int
    head: str
    reviewer: str


class Verdict(Struct, frozen=True):
    """What was last said of the checks of a head."""

    id: str
    said: ChecksPassed | ChecksFailed


class Judgement(Struct, frozen=True):
    """What a reviewer of the rig's own said last; a review that was given at GitHub stands there already."""

    id: str
    said: ReviewPassed | ReviewDisputed | ReviewAbstained


class Effect(Struct, frozen=True):
    """What was last recorded of one effect."""

    id: str
    key: str
    outcome: str
    url: str


class Issue(Struct):
    """One issue."""

    ref: IssueRef
    approval: str | None = None
    """Id of its approval: what correlates all that follows."""
    cause: str = ""
    """Id of the last event about it: what is done because of where it stands names this."""
    base_branch: str | None = None
    ownership: Ownership = field(default_factory=Ownership)
    push: Push | None = None
    """The owner's push; None once a newer assignment, a stop or a withdrawal has made it count for nothing."""
    pushes: set[str] = field(default_factory=set[str])
    """Ids of all that were the owner's: a pull request for one of these is ours."""
    rejected: str | None = None
    """Id of a push that could not become a pull request."""
    pull_request: PullRequest | None = None
    checks: dict[str, Verdict] = field(default_factory=dict[str, Verdict])
    """By head."""
    asked: MergeAsked | None = None
    review: ReviewAsked | None = None
    wanted: ReviewAsked | None = None
    """For a pull request that is nobody's issue: it is told of under its own number."""
    judged: dict[str, Judgement] = field(default_factory=dict[str, Judgement])
    """By reviewer."""
    withdrawn: str | None = None
    """Id of the withdrawal, while it holds."""
    merges: set[str] = field(default_factory=set[str])
    merged: str | None = None
    """The merge that ended its work: the next assignment after it was taken out again begins anew."""
    reverted: bool = False
    done: str | None = None
    """Id of the word that it is done."""
    branches: set[str] = field(default_factory=set[str])
    """Work branches of its runs: of all `rig/…` branches only these are this rig's, whatever others are called."""
    heads: set[str] = field(default_factory=set[str])
    """Commits that its runs pushed: a pull request branch at one of these is where the bridge put it."""
    effects: dict[str, Effect] = field(default_factory=dict[str, Effect])
    """By the effect's name: what was recorded of it last."""
    standing: Standing | None = None
    """Where it stands, for people."""
    latest: dict[type[Event], Event] = field(default_factory=dict[type[Event], Event])
    """The last word of each kind."""
    heard: set[str] = field(default_factory=set[str])

    def last(self, effect: str) -> str:
        """Id of what was recorded of an effect last; empty: nothing yet."""
        return self.effects[effect].id if effect in self.effects else ""


class Repository(Struct):
    """One repository. It is served while `added` is set."""

    ref: RepoRef
    added: RepositoryAdded | None = None
    inspect: str | None = None
    """Id of the addition that was not looked at yet."""
    configured: RepositoryConfigured | None = None
    configured_by: str = "nothing"
    """Id of the event that said so."""


class Known(Struct):
    """The whole fold."""

    policy: Policy | None = None
    repositories: dict[RepoRef, Repository] = field(default_factory=dict[RepoRef, Repository])
    issues: dict[IssueRef, Issue] = field(default_factory=dict[IssueRef, Issue])

    def apply(self, recorded: Recorded) -> IssueRef | RepoRef | None:
        """Folds one event; what it was about, None for what concerns no issue and no repository."""
        event = recorded.event
        match event.about:
            case IssueRef() as ref:
                issue = self.issues.setdefault(ref, Issue(ref))
                if event.id in issue.heard:
                    return None
                issue.heard.add(event.id)
                _issue(issue, event)
                issue.standing = hear(issue.standing, recorded, ref, self._house(ref.repository))
                return ref
            case RepoRef() as ref:
                _repository(self.repositories.setdefault(ref, Repository(ref)), event)
                self._rehouse(ref)
                return ref
            case _:
                if isinstance(event.data, PolicyAdopted):
                    self.policy = event.data.policy
                    for ref in self.repositories:
                        self._rehouse(ref)
                return None

    def served(self, ref: RepoRef) -> RepositoryConfigured | None:
        """How a repository that this bridge serves is configured; None for another, or one not looked at yet."""
        repository = self.repositories.get(ref)
        return None if repository is None or repository.added is None else repository.configured

    def _house(self, ref: RepoRef) -> House:
        configured = self.served(ref)
        gates = self.policy.gates if self.policy is not None else None
        approvers = gates.approvers if gates is not None else ()
        if configured is not None and configured.overrides is not None and configured.overrides.approvers is not None:
            approvers = configured.overrides.approvers
        return House(
            approvers=approvers,
            reviewers=configured.reviewers if configured is not None else (),
            blocking=frozenset(label.lower() for label in gates.blocking_labels) if gates is not None else frozenset(),
        )

    def _rehouse(self, ref: RepoRef) -> None:
        house = self._house(ref)
        for issue in self.issues.values():
            if issue.ref.repository == ref and issue.standing is not None:
                issue.standing.house = house


def _repository(repository: Repository, event: Envelope) -> None:
    match event.data:
        case RepositoryAdded(forge=Forge.GITHUB) as added:
            repository.added, repository.inspect = added, event.id
        case RepositoryAdded() | RepositoryRemoved():
            repository.added = repository.inspect = repository.configured = None
        case RepositoryConfigured() as configured:
            repository.configured, repository.configured_by = configured, event.id
            if event.causationid == repository.inspect:
                repository.inspect = None
        case _:
            pass


def _issue(issue: Issue, event: Envelope) -> None:
    data, cause = event.data, event.causationid
    effective = issue.ownership.apply(data)
    if isinstance(data, EffectRecorded):
        issue.effects[data.effect] = Effect(event.id, data.key, data.outcome, data.url)
        return
    issue.cause, issue.latest[type(data)] = event.id, data
    match data:
        case IssueApproved(base_branch=base_branch):
            issue.approval = issue.approval or event.id
            issue.base_branch, issue.withdrawn = base_branch, None
        case IssueWithdrawn():
            issue.push = issue.review = None
            if issue.merged is None:  # else there is nothing to close any more
                issue.withdrawn = event.id
        case Stopped():
            issue.push = issue.review = None
        case IssueAssigned() if effective:
            issue.push = issue.review = None
            if issue.reverted:
                issue.merged, issue.done, issue.reverted, issue.pull_request = None, None, False, None
        case WorkStarted(epoch=epoch, run=run):
            issue.branches.add(work_branch(issue.ref.number, epoch, run))
        case WorkPushed() as pushed:
            issue.heads.add(pushed.head_sha)
            if effective:
                issue.pushes.add(event.id)
                issue.push = _push(event, pushed)
        case PullRequestOpened() | PullRequestUpdated() | PullRequestClosed():
            _pull_request(issue, data, cause)
        case ChecksPassed() | ChecksFailed() as checks:
            issue.checks[checks.head_sha] = Verdict(event.id, checks)
            shown = issue.pull_request is not None and issue.pull_request.shows == cause
            if issue.push and issue.push.id == cause and not shown:
                issue.rejected = cause
        case ReviewRequested() as asked:
            issue.review = ReviewAsked(event.id, asked.pull_request, asked.head_sha, asked.reviewer)
        case ReviewWanted() as wanted:
            issue.wanted = ReviewAsked(event.id, wanted.pull_request, wanted.head_sha, wanted.reviewer)
        case ReviewPassed() | ReviewDisputed() | ReviewAbstained() as said if event.actor != Actor.GITHUB:
            issue.judged[said.reviewer] = Judgement(event.id, said)
        case MergeRequested() as asked:
            issue.asked = MergeAsked(event.id, asked.epoch, asked.pull_request, asked.head_sha, asked.base_sha)
        case MergeConflicted() | MergeRefused():
            if issue.asked and issue.asked.id == cause:
                issue.asked = None
        case Merged() | Reverted() | IssueDone():
            _merged(issue, event.id, data)
        case _:
            pass


def _push(event: Envelope, said: WorkPushed) -> Push:
    return Push(event.id, said.epoch, said.run, said.branch, said.head_sha, said.title, said.body, event.source)


def _pull_request(
    issue: Issue, data: PullRequestOpened | PullRequestUpdated | PullRequestClosed, cause: str | None
) -> None:
    """Only our own: one that a person made for the issue is his to move and to close."""
    known = issue.pull_request
    match data:
        case PullRequestOpened(pull_request=number, url=url, branch=branch, head_sha=head) if cause in issue.pushes:
            issue.pull_request = PullRequest(number, branch, head, cause or "", url)
        case PullRequestUpdated(pull_request=number, branch=branch, head_sha=head) if cause in issue.pushes:
            url = known.url if known is not None and known.number == number else ""
            issue.pull_request = PullRequest(number, branch, head, cause or "", url)
        case (
            PullRequestOpened(pull_request=number, head_sha=head)
            | PullRequestUpdated(pull_request=number, head_sha=head)
        ) if known is not None and known.number == number:
            issue.pull_request = structs.replace(known, head=head, open=True)
        case PullRequestClosed(pull_request=number) if known is not None and known.number == number:
            issue.pull_request = structs.replace(known, open=False)
        case _:
            pass


def _merged(issue: Issue, id_: str, data: Merged | Reverted | IssueDone) -> None:
    match data:
        case Merged(head_sha=head, merge_sha=merge):
            issue.asked = None
            if merge not in issue.merges:
                issue.merges.add(merge)
                issue.merged, issue.reverted, issue.withdrawn = merge, False, None
            if (known := issue.pull_request) is not None and known.head == head:
                issue.pull_request = structs.replace(known, open=False)
        case Reverted(merge_sha=merge):
            issue.reverted = issue.reverted or merge == issue.merged
        case IssueDone(merge_sha=merge):
            if merge == issue.merged:
                issue.done = id_
