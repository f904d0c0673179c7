"""A log in memory and a conductor on it, for tests that read like a story. Time is what the story says it is."""

from datetime import UTC, datetime, timedelta
from typing import ClassVar, TypeVar

from conductor.decide import decide, may_decide, moment
from conductor.evolve import evolve
from conductor.replay import Replayed, replay
from conductor.shell import compose
from conductor.state import Issue, State
from conductor.timers import Owner, Timer, live
from schemas import (
    FLEET,
    Actor,
    AgentDeadlineKind,
    AgentJoined,
    AgentRef,
    Budget,
    Changes,
    ChecksFailed,
    ChecksPassed,
    Conclusion,
    Draft,
    Envelope,
    Event,
    FailedCheck,
    FailureKind,
    GateApproved,
    GateBypassed,
    GateReason,
    GateRejected,
    IssueApproved,
    IssueEvent,
    IssueRef,
    Merged,
    MergeRequested,
    Policy,
    PolicyAdopted,
    PullRequestOpened,
    PullRequestUpdated,
    QuotaReported,
    Ref,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    ReviewAbstained,
    ReviewDisputed,
    ReviewPassed,
    TokensUsed,
    WorkFailed,
    WorkPushed,
    WorkStarted,
    decode,
    encode,
    envelope,
)

T = TypeVar("T", bound=Event)
SHOP = RepoRef("demo", "shop")
BASE = "b" * 40
FREE = Policy(budget=Budget(run_usd=0))
"""Money aside, for the stories that are about something else."""
SMALL = Changes(files=1, lines=2, paths=("cart.py",))


def sha(text: str) -> str:
    """A commit id that a reader can tell apart."""
    return text.encode().hex().ljust(40, "0")[:40]


def kinds(events: list[IssueEvent]) -> list[str]:
    """What was said, by name."""
    return [type(event).__name__ for event in events]


class Story:
    """Everybody's words, in order. Every event goes through the codec, as it would on the bus."""

    told: ClassVar[list["Story"] | None] = None
    """Where every story that begins is kept, while somebody records them."""

    def __init__(self, policy: Policy | None = None, *, slots: int = 1, reviewers: tuple[str, ...] = ()) -> None:
        if self.told is not None:
            self.told.append(self)
        self.log: list[Envelope] = []
        self.state = State()
        self.now = datetime(2026, 1, 1, 9, 0, tzinfo=UTC)
        policy = policy or FREE
        self.adopt(policy)
        self.add(SHOP, reviewers)
        self.join("dev-e-1", slots=slots)

    def adopt(self, policy: Policy) -> None:
        self.say(Actor.CLI, FLEET, PolicyAdopted(policy=policy, hash=policy.digest(), by="ada"))

    def add(self, repository: RepoRef, reviewers: tuple[str, ...] = (), **fields: object) -> None:
        """A person puts a repository under the rig, and the forge looks at it: `fields` are what it found there."""
        self.say(
            Actor.CLI,
            repository,
            RepositoryAdded(clone_url="repo", check="true", reviewers=reviewers, by="ada"),
        )
        values: dict[str, object] = {"clone_url": "repo", "check": "true", "reviewers": reviewers, **fields}
        found = RepositoryConfigured(base_branch="main", base_sha=BASE, **values)  # pyright: ignore[reportArgumentType]
        self.say(Actor.LOCAL, repository, found)

    def join(
        self, name: str, *, role: str = "dev-e", slots: int = 1, can: tuple[str, ...] = (), boot: str = "b1"
    ) -> None:
        """A replica is up."""
        joined = AgentJoined(boot=boot, role=role, provider="scripted", slots=slots, capabilities=can, version="0")
        self.say(Actor.DEV_E, AgentRef(name), joined)

    # ── saying ───────────────────────────────────────────────────────────────

    def say(self, actor: Actor, about: Ref, data: Event, *, id: str | None = None) -> Envelope:  # noqa: A002 - CloudEvents' name
        event = envelope(
            Draft(about=about, data=data), id=id or f"{actor}:{len(self.log)}", actor=actor, source=actor, time=self.now
        )
        return self.append(event)

    def append(self, event: Envelope) -> Envelope:
        self.log.append(decode(encode(event)))
        evolve(self.state, self.log[-1], len(self.log))
        return event

    def round(self) -> list[IssueEvent]:
        """One round of the conductor: what it says, in order; nothing when it has nothing to say."""
        drafts, batch = self.decision()
        for event in batch:
            self.append(event)
        return [draft.data for draft in drafts if isinstance(draft.data, IssueEvent)]

    def decision(self) -> tuple[list[Draft], list[Envelope]]:
        """What a round would append, as the shell makes it; nothing when there is nothing to say."""
        policy = self.state.policy
        assert policy is not None
        assert may_decide(self.state)
        now = moment(self.state, self.now)
        drafts = decide(self.state, now, policy)
        return drafts, compose(drafts, self.state, now, "conductor") if drafts else []

    def rounds(self) -> list[IssueEvent]:
        """Rounds until there is nothing more to say."""
        said: list[IssueEvent] = []
        for _ in range(1_000):
            before = len(self.log)
            said += self.round()
            if len(self.log) == before:
                return said
        raise AssertionError(f"the conductor never comes to rest: {kinds(said[-5:])} …")

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def deadline_passes(self, owner: Owner) -> None:
        """The timer of the live deadline of an issue, a replica or the rig fires at its time."""
        timer = live(self.state, owner)
        assert timer is not None, f"{owner} has no deadline"
        passed = timer.passed()
        self.now = max(self.now, timer.at)
        self.say(Actor.CONDUCTOR, passed.about, passed.data)

    def time_passes(self, seconds: float) -> list[IssueEvent]:
        """Every timer fires when it is due, and the conductor answers each; nobody else says anything."""
        end = self.now + timedelta(seconds=seconds)
        said = self.rounds()
        while due := sorted((timer.at, timer.name, timer.owner) for timer in self.timers() if timer.at <= end):
            self.deadline_passes(due[0][2])
            said += self.rounds()
        self.now = end
        return said

    def timers(self) -> list[Timer]:
        """Of every deadline that lives."""
        agents = [(name, kind) for name in self.state.agents for kind in AgentDeadlineKind]
        owners: list[Owner] = [*self.state.issues, *agents, *self.state.deadlines]
        return [timer for owner in owners if (timer := live(self.state, owner)) is not None]

    # ── the others ───────────────────────────────────────────────────────────

    def issue(self, ref: IssueRef) -> Issue:
        return self.state.issues[ref]

    def approve(self, number: int = 1, *, repository: RepoRef = SHOP, **fields: object) -> IssueRef:
        ref = IssueRef(repository.owner, repository.repo, number)
        values: dict[str, object] = {"title": f"Issue {number}", "author": "ada", **fields}
        self.say(Actor.LOCAL, ref, IssueApproved(**values))  # pyright: ignore[reportArgumentType]
        return ref

    def start(self, ref: IssueRef, run: str = "r-1", *, agent: str = "dev-e-1") -> None:
        epoch = self.issue(ref).ownership.epoch
        branch = f"rig/{ref.number}/{epoch}-{run}"
        self.say(
            Actor.DEV_E,
            ref,
            WorkStarted(epoch=epoch, run=run, agent=agent, branch=branch, session=f"s-{run}", provider="scripted"),
        )

    def push(self, ref: IssueRef, head: str, run: str = "r-1") -> None:
        epoch = self.issue(ref).ownership.epoch
        self.say(
            Actor.DEV_E,
            ref,
            WorkPushed(
                epoch=epoch,
                run=run,
                branch=f"rig/{ref.number}/{epoch}-{run}",
                head_sha=sha(head),
                title="Fix",
                body="",
                files_changed=1,
                lines_changed=1,
            ),
        )

    def fail(
        self,
        ref: IssueRef,
        kind: FailureKind,
        detail: str = "it broke",
        run: str = "r-1",
        *,
        retry_at: datetime | None = None,
    ) -> None:
        epoch = self.issue(ref).ownership.epoch
        self.say(Actor.DEV_E, ref, WorkFailed(epoch=epoch, run=run, kind=kind, detail=detail, retry_at=retry_at))

    def spend(self, ref: IssueRef, usd: float | None, run: str = "r-1", *, id: str | None = None) -> None:  # noqa: A002 - CloudEvents' name
        """The run has used tokens; None: nobody knows their price."""
        used = TokensUsed(epoch=self.issue(ref).ownership.epoch, run=run, provider="any", cost_usd=usd)
        self.say(Actor.DEV_E, ref, used, id=id)

    def open(self, ref: IssueRef, head: str, changes: Changes | None = SMALL) -> None:
        """The forge opens the pull request, or moves the one that is open."""
        number, branch = ref.number, f"rig/{ref.number}-fix"
        if self.issue(ref).pull_request is None:
            event: Event = PullRequestOpened(
                pull_request=number, url="", branch=branch, head_sha=sha(head), author="dev-e", changes=changes
            )
        else:
            event = PullRequestUpdated(pull_request=number, branch=branch, head_sha=sha(head), changes=changes)
        self.say(Actor.LOCAL, ref, event)

    def check(self, ref: IssueRef, head: str, *, passed: bool = True, base: str = BASE, log: str = "1 failed") -> None:
        if passed:
            self.say(Actor.LOCAL, ref, ChecksPassed(head_sha=sha(head), base_sha=base, checks=("check",)))
        else:
            failed = (FailedCheck(name="check", conclusion=Conclusion.FAILURE, excerpt=log),)
            self.say(Actor.LOCAL, ref, ChecksFailed(head_sha=sha(head), base_sha=base, failed=failed))

    def review(self, ref: IssueRef, head: str, by: str = "review-e", *, passed: bool = True, text: str = "") -> None:
        """A reviewer's verdict."""
        data = (ReviewPassed if passed else ReviewDisputed)(
            pull_request=ref.number, head_sha=sha(head), reviewer=by, summary=text
        )
        self.say(Actor.REVIEW_E, ref, data)

    def abstain(self, ref: IssueRef, head: str, by: str = "review-e") -> None:
        self.say(Actor.REVIEW_E, ref, ReviewAbstained(pull_request=ref.number, head_sha=sha(head), reviewer=by))

    def quota(self, name: str, percent: float, *, weekly: float = 0, resets_at: datetime | None = None) -> None:
        """A replica, or a reviewer, says how much of its quota it has used."""
        said = QuotaReported(provider="any", five_hour_percent=percent, weekly_percent=weekly, resets_at=resets_at)
        self.say(Actor.REVIEW_E, AgentRef(name), said)

    def merge(self, ref: IssueRef, merged_as: str | None = None) -> None:
        """The forge merges what it was asked to last."""
        asked = [event.data for event in self.log if event.about == ref and isinstance(event.data, MergeRequested)][-1]
        merged = Merged(head_sha=asked.head_sha, base_sha=asked.base_sha, merge_sha=sha(merged_as or f"m{ref.number}"))
        self.say(Actor.LOCAL, ref, merged)

    def merge_by_hand(self, ref: IssueRef, head: str, merge: str = "by-hand") -> None:
        """A person merges this head, whatever the rig thinks of it."""
        self.say(Actor.LOCAL, ref, Merged(head_sha=sha(head), base_sha=BASE, merge_sha=sha(merge)))

    def gate(
        self,
        answer: type[GateApproved | GateRejected | GateBypassed],
        ref: IssueRef,
        head: str | None,
        *,
        reason: GateReason | None = None,
        by: str = "ada",
        note: str = "looked at it",
    ) -> None:
        """A person answers at a gate; without a reason at every gate that is open for that head."""
        at = None if head is None else sha(head)
        self.say(Actor.CLI, ref, answer(reason=reason, head_sha=at, by=by, note=note))

    # ── as far as something goes by itself ───────────────────────────────────

    def to_review(self, ref: IssueRef, head: str = "h1", run: str = "r-1", *, changes: Changes | None = SMALL) -> None:
        """Assigned, worked, pushed, and shown by the forge."""
        self.rounds()
        self.start(ref, run)
        self.rounds()
        self.push(ref, head, run)
        self.open(ref, head, changes)

    def to_merging(
        self, ref: IssueRef, head: str = "h1", run: str = "r-1", *, changes: Changes | None = SMALL
    ) -> list[IssueEvent]:
        """Its checks have passed as well: what the conductor says to that. Where nobody reviews, it asks to merge."""
        self.to_review(ref, head, run, changes=changes)
        self.check(ref, head)
        return self.rounds()

    # ── looking back ─────────────────────────────────────────────────────────

    def states(self, *refs: IssueRef) -> list[str]:
        return [self.issue(ref).state.value for ref in refs]

    def said(self, event: type[T]) -> list[T]:
        """Everything of that kind that was ever said."""
        return [known.data for known in self.log if isinstance(known.data, event)]

    def ends(self) -> None:
        """What holds at the end of every story: nothing waits for nobody, and every decision comes out again."""
        self.rounds()
        for issue in self.state.issues.values():
            assert issue.state.final or live(self.state, issue.ref) is not None, f"nothing will wake {issue.ref}"
        assert self.replayed().differences == ()

    def replayed(self) -> Replayed:
        return replay(list(enumerate(self.log, start=1)))

    def subjects(self) -> list[str]:
        return [str(event.subject) for event in self.log]
