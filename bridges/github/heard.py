"""What was said of GitHub's repositories before: the fold of the log that translation compares a delivery with. Pure.

A delivery carries how a thing stands; what it says beyond this fold is news. So order, repetition and loss of
deliveries do no harm, as long as the fold has read what one delivery led to before the next of that thing is
translated. `see` keeps how new a thing was that led to nothing: the log does not tell that.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from msgspec import UNSET, Struct, field
from msgspec.structs import replace

from bridges.github.ids import tells_of_a_part
from bridges.github.payloads import PullRequest
from bridges.github.said import Seen
from schemas import (
    Actor,
    AssignRequested,
    Deployed,
    EffectRecorded,
    Envelope,
    Environment,
    Forge,
    GateTriggered,
    IssueApproved,
    IssueAssigned,
    IssueDone,
    IssueRef,
    IssueRevised,
    IssueUnassigned,
    IssueWithdrawn,
    MainChecksFailed,
    MainChecksPassed,
    Merged,
    PolicyAdopted,
    Priority,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    QuestionAnswered,
    QuestionAsked,
    Recorded,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryRemoved,
    RetryRequested,
    Reverted,
    RunConclusion,
    Stopped,
    WorkFailed,
    WorkPushed,
    work_branches,
)

ISSUE: Final = "issue"
PULL: Final = "pull"
MILESTONE: Final = "milestone"
BY_THE_API: Final = "api"
"""In place of a delivery's digest: the API told so, and it tells all there is."""
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_GATES_KEPT: Final = 20
_DELIVERIES_KEPT: Final = 50


class Told(Struct, frozen=True):
    """An issue as it was last told from GitHub."""

    title: str
    body: str = ""
    priority: Priority = Priority.NORMAL
    depends_on: tuple[IssueRef, ...] = ()
    milestone: str | None = None
    labels: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()


class Question(Struct, frozen=True):
    """What a run asked people."""

    epoch: int
    run: str
    at: datetime


class Gate(Struct, frozen=True):
    """A gate that was opened, for this head."""

    head: str | None
    at: datetime


class Issue(Struct):
    """One issue."""

    ref: IssueRef
    approval: str | None = None
    """Id of its first approval: what correlates all that follows."""
    approved_at: datetime = LONG_AGO
    """When that was."""
    withdrawn_at: datetime = LONG_AGO
    steered_at: datetime = LONG_AGO
    """When somebody last said that it is to stop, or to go on."""
    wanted: bool = False
    """Whether it was approved and not withdrawn since, by anybody."""
    asked: bool = False
    """Whether GitHub was last told of as wanting it: somebody else's withdrawal does not make a label news."""
    told: Told | None = None
    base_branch: str | None = None
    milestone_at: datetime = LONG_AGO
    """When the milestone was last told of by itself."""
    done: bool = False
    merges: dict[str, bool] = field(default_factory=dict[str, bool])
    """Merge commit → whether it is in force."""
    reverted_at: datetime = LONG_AGO
    """When the last of them was taken out again."""
    pull_request: int | None = None
    open: bool = False
    """Whether its pull request is."""
    shown_at: datetime = LONG_AGO
    """When its pull request was last told of."""
    heads: dict[str, None] = field(default_factory=dict[str, None])
    """Commits that its runs pushed."""
    question: Question | None = None
    gates: list[Gate] = field(default_factory=list[Gate])
    """The last that were opened, in the order of the log."""
    deployed: set[tuple[Environment, str]] = field(default_factory=set[tuple[Environment, str]])

    @property
    def merged(self) -> bool:
        """Whether a merge of it is in force: then closing it says nothing."""
        return any(self.merges.values())


class Landed(Struct, frozen=True):
    """A merge."""

    issues: tuple[IssueRef, ...]
    """That it ended, in the order of the log: a person's may close several."""
    at: datetime
    branch: str | None
    """That it went to; None: the repository's own."""

    def each(self) -> list[tuple[IssueRef, tuple[str, ...]]]:
        """Every issue that it ended, and what tells an id of this one from those of the others."""
        return [(ref, () if ref == self.issues[0] else (str(ref),)) for ref in self.issues]


class Run(Struct, frozen=True):
    """How a workflow last ended on the base branch."""

    conclusion: RunConclusion
    at: datetime


class Repository(Struct):
    """One repository that GitHub serves, or did."""

    ref: RepoRef
    served: bool = True
    added: str = ""
    """Id of its addition."""
    added_at: datetime = LONG_AGO
    configured: RepositoryConfigured | None = None
    issues: dict[int, Issue] = field(default_factory=dict[int, Issue])
    pulls: dict[int, IssueRef] = field(default_factory=dict[int, IssueRef])
    heads: dict[str, IssueRef] = field(default_factory=dict[str, IssueRef])
    merges: dict[str, Landed] = field(default_factory=dict[str, Landed])
    workflows: dict[str, Run] = field(default_factory=dict[str, Run])

    @property
    def base_branch(self) -> str | None:
        return None if self.configured is None else self.configured.base_branch

    def owner_of(self, pull: PullRequest) -> Issue | None:
        """The issue whose pull request this is: as the log has it, or by a branch of ours at a commit of ours.

        A branch of that name in a fork, or at somebody's commit, is somebody's.
        """
        ref = self.pulls.get(pull.number)
        if ref is None and pull.head.repo is not None and same(pull.head.repo.full_name, str(self.ref)):
            ref = self.heads.get(pull.head.sha)
            if ref is not None and not pull.head.ref.startswith(work_branches(ref.number)[:-1] + "-"):
                ref = None
        return None if ref is None else self.issues.get(ref.number)


class LookedAt(Struct, frozen=True):
    """How new a thing was when it was looked at last, and the deliveries of that second, in their order."""

    at: datetime
    digests: tuple[str, ...] = ()


class Heard(Struct):
    """The whole fold."""

    self_login: str | None = None
    """As whom the rig writes on GitHub; set at start."""
    repositories: dict[str, Repository] = field(default_factory=dict[str, Repository])
    """By lower-case name, as GitHub tells them apart."""
    said: set[str] = field(default_factory=set[str])
    """Ids of what GitHub's bridge said, but for its records of effects."""
    approvers: tuple[str, ...] = ()
    """Whom the policy names as those who answer gates."""
    looked_at: dict[tuple[IssueRef, str], LookedAt] = field(default_factory=dict[tuple[IssueRef, str], LookedAt])

    def apply(self, recorded: Recorded) -> None:
        """Folds one event."""
        event = recorded.event
        if event.actor == Actor.GITHUB and not isinstance(event.data, EffectRecorded):
            self.said.add(event.id)
        match event.about:
            case IssueRef() as ref:
                repository = self.repositories.get(str(ref.repository).lower())
                if repository is not None:
                    issue = repository.issues.setdefault(ref.number, Issue(ref))
                    self._issue(repository, issue, event)
            case RepoRef() as ref:
                self._repository(ref, event)
            case _:
                if isinstance(event.data, PolicyAdopted):
                    self.approvers = event.data.policy.gates.approvers

    def see(self, seen: Iterable[Seen]) -> None:
        """Keeps how new things were when they were translated."""
        for one in seen:
            self._see(one.about, one.what, one.at, one.digest)

    def newest(self, about: IssueRef, what: str) -> datetime | None:
        """How new the newest was that was heard of this; None: nothing was."""
        known = self.looked_at.get((about, what))
        return None if known is None else known.at

    def newest_deliveries(self, about: IssueRef, what: str) -> tuple[str, ...]:
        """Digests of those that told of that; none where only the log is known."""
        known = self.looked_at.get((about, what))
        return () if known is None else known.digests

    def repository(self, full_name: str) -> Repository | None:
        """The repository of this name, if it is served."""
        found = self.repositories.get(full_name.lower())
        return found if found is not None and found.served else None

    def approver(self, home: Repository, by: str) -> str:
        """A person as the policy, or the repository, names who answers gates there: a login has no case."""
        overrides = home.configured.overrides if home.configured is not None else None
        own = overrides.approvers if overrides is not None else None
        return next((one for one in (self.approvers if own is None else own) if same(one, by)), by)

    def issue(self, ref: IssueRef) -> Issue | None:
        repository = self.repositories.get(str(ref.repository).lower())
        return None if repository is None else repository.issues.get(ref.number)

    def _see(self, about: IssueRef, what: str, at: datetime, digest: str = "") -> None:
        known = self.looked_at.get((about, what))
        if known is None or known.at < at:
            self.looked_at[about, what] = LookedAt(at, (digest,) if digest else ())
        elif known.at == at and digest and (digest not in known.digests or digest == BY_THE_API):
            others = [one for one in known.digests if one != digest]
            self.looked_at[about, what] = LookedAt(at, (*others, digest)[-_DELIVERIES_KEPT:])

    def _repository(self, ref: RepoRef, event: Envelope) -> None:
        known = self.repositories.get(str(ref).lower())
        if known is None:
            if not (isinstance(event.data, RepositoryAdded) and event.data.forge is Forge.GITHUB):
                return
            known = self.repositories[str(ref).lower()] = Repository(ref)
        match event.data:
            case RepositoryAdded(forge=Forge.GITHUB):
                known.ref, known.served, known.added, known.added_at = ref, True, event.id, event.time
            case RepositoryAdded() | RepositoryRemoved():
                known.served, known.configured = False, None
            case RepositoryConfigured() as configured:
                known.configured = configured
            case (
                MainChecksFailed(workflow=workflow, conclusion=conclusion)
                | MainChecksPassed(workflow=workflow, conclusion=conclusion)
            ):
                last = known.workflows.get(workflow)
                if last is None or last.at <= event.time:
                    known.workflows[workflow] = Run(conclusion, event.time)
            case _:
                pass

    def _issue(self, repository: Repository, issue: Issue, event: Envelope) -> None:
        by_github = event.actor == Actor.GITHUB
        match event.data:
            case IssueApproved() as approved:
                if issue.approval is None:
                    issue.approval, issue.approved_at = event.id, event.time
                issue.wanted = True
                issue.base_branch = approved.base_branch
                if by_github:
                    issue.asked, issue.told = True, _told(approved)
                    self._see(issue.ref, ISSUE, event.time)
            case IssueRevised() as revised if by_github and issue.told is not None:
                issue.told = _revised(issue.told, revised)
                if not tells_of_a_part(event.id):
                    self._see(issue.ref, ISSUE, event.time)
                elif revised.milestone is not UNSET:
                    issue.milestone_at = max(issue.milestone_at, event.time)
            case IssueWithdrawn():
                issue.wanted, issue.withdrawn_at = False, max(issue.withdrawn_at, event.time)
                if by_github:
                    issue.asked = False
                    self._see(issue.ref, ISSUE, event.time)
            case Merged(merge_sha=merge, head_sha=head):
                if merge not in issue.merges:
                    issue.merges[merge], issue.open = True, False
                    others = repository.merges[merge].issues if merge in repository.merges else ()
                    repository.merges[merge] = Landed((*others, issue.ref), event.time, issue.base_branch)
                repository.heads.setdefault(head, issue.ref)
            case Reverted(merge_sha=merge) if merge in issue.merges:
                issue.merges[merge] = False
                issue.reverted_at = max(issue.reverted_at, event.time)
            case IssueDone():
                issue.done = True
            case Deployed(environment=environment, sha=commit):
                issue.deployed.add((environment, commit))
            case PullRequestOpened() | PullRequestUpdated() | PullRequestClosed() as shown:
                _shown(repository, issue, shown, event.time)
            case _:
                _worked(repository, issue, event)


def same(one: str, other: str) -> bool:
    """Whether two names (logins, repositories) are one to GitHub."""
    return one.lower() == other.lower()


def _told(approved: IssueApproved) -> Told:
    return Told(
        title=approved.title,
        body=approved.body,
        priority=approved.priority,
        depends_on=approved.depends_on,
        milestone=approved.milestone,
        labels=approved.labels,
        requires=approved.requires,
    )


def _revised(told: Told, revised: IssueRevised) -> Told:
    changed = {name: getattr(revised, name) for name in Told.__struct_fields__}
    return replace(told, **{name: value for name, value in changed.items() if value is not UNSET})


def _shown(
    repository: Repository,
    issue: Issue,
    shown: PullRequestOpened | PullRequestUpdated | PullRequestClosed,
    at: datetime,
) -> None:
    if at < issue.shown_at:
        return
    issue.shown_at = at
    if isinstance(shown, PullRequestClosed):
        issue.open = issue.open and shown.pull_request != issue.pull_request
        return
    issue.pull_request, issue.open = shown.pull_request, True
    repository.pulls[shown.pull_request] = issue.ref
    repository.heads[shown.head_sha] = issue.ref


def _worked(repository: Repository, issue: Issue, event: Envelope) -> None:
    """What tells of runs, and of what people are asked and say."""
    if isinstance(event.data, Stopped | RetryRequested | AssignRequested):
        issue.steered_at = max(issue.steered_at, event.time)
    match event.data:
        case IssueAssigned():
            issue.question, issue.done = None, False
        case IssueUnassigned() | Stopped():
            issue.question = None
        case WorkPushed(head_sha=head):
            issue.question = None
            issue.heads[head] = None
            repository.heads[head] = issue.ref
        case WorkFailed():
            issue.question = None
        case QuestionAsked(epoch=epoch, run=run):
            issue.question = Question(epoch, run, event.time)
        case QuestionAnswered(run=run) if issue.question is not None and issue.question.run == run:
            issue.question = None
        case GateTriggered(head_sha=head):
            issue.gates = [*issue.gates, Gate(head, event.time)][-_GATES_KEPT:]
        case _:
            pass
