"""Everybody but the conductors, each following the log alone: a fleet of replicas, a forge, reviewers, people.

What they say is sensible or not: `luck` decides. 0 is the worst, and most of the rest is what should happen. Whoever
has nothing to say in some situation says nothing.
"""

from datetime import timedelta

from msgspec import Struct, field, structs

from schemas import (
    FLEET,
    Actor,
    AgentBack,
    AgentCapacityChanged,
    AgentJoined,
    AgentLeft,
    AgentRef,
    AgentSilent,
    Changes,
    ChecksFailed,
    ChecksPassed,
    Conclusion,
    Deployed,
    EndToEndFailed,
    EndToEndPassed,
    Environment,
    Event,
    FailedCheck,
    FailureKind,
    GateApproved,
    GateBypassed,
    GateReason,
    GateRejected,
    IssueRef,
    IssueState,
    LeaveReason,
    MergeConflicted,
    Merged,
    MergeRefusal,
    MergeRefused,
    Policy,
    PolicyAdopted,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    QuestionAnswered,
    QuestionAsked,
    QuotaReported,
    RepoRef,
    RetryRequested,
    Reverted,
    ReviewAbstained,
    ReviewDisputed,
    ReviewPassed,
    SmokeFailed,
    SmokePassed,
    TokensUsed,
    Verified,
    WorkFailed,
    WorkPushed,
    WorkStarted,
)
from tests.support.story import sha
from tests.support.world import World

REVIEWERS = ("ann", "bob", "review-e")
APPROVER = "ada"
"""May let things through wherever anybody may; `eve` may not where approvers are named."""
PATHS = {
    "code": Changes(files=1, lines=9, paths=("cart.py",)),
    "docs": Changes(files=1, lines=9, paths=("docs/cart.md",)),
    "auth": Changes(files=1, lines=9, paths=("auth/login.py",)),
    "large": Changes(files=1, lines=900, paths=("cart.py",)),
    "uncounted": None,
}
"""What a push may change."""


class Run(Struct):
    """One run of a replica, as it knows itself."""

    ref: IssueRef
    epoch: int
    name: str
    agent: str
    left: float
    """US dollars that it may still spend."""
    took_over: bool
    """Whether another had claimed it before."""


class Replica(Struct):
    role: str
    boot: str
    slots: int
    up: bool = True
    runs: list[str] = field(default_factory=list[str])


class Everybody:
    """Who speaks, and what each remembers of what he said."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.replicas: dict[str, Replica] = {}
        self.runs: list[Run] = []
        self.late_claims = 0
        """Of an older epoch, while another is open."""
        self.bases: dict[RepoRef, int] = {}
        self.changes: dict[str, str] = {}
        """Of each head: which of PATHS."""
        self.shown: dict[IssueRef, str] = {}
        """The head that each pull request shows; none: there is no pull request."""
        self.pulls: dict[IssueRef, int] = {}

    def adopt(self, policy: Policy) -> None:
        self.world.say(Actor.CLI, FLEET, PolicyAdopted(policy=policy, hash=policy.digest(), by="ada"))

    # ── the fleet ────────────────────────────────────────────────────────────

    def join(self, name: str, role: str, slots: int, capabilities: tuple[str, ...] = ()) -> None:
        """Also again, after a death: it remembers no run."""
        boot = f"b-{len(self.world.log)}"
        self.replicas[name] = Replica(role, boot, slots)
        joined = AgentJoined(
            boot=boot, role=role, capabilities=capabilities, provider="scripted", slots=slots, version="0"
        )
        self.world.say(Actor.DEV_E, AgentRef(name), joined)

    def of_replica(self, name: str, what: str, number: int) -> None:
        """Something happens to a replica."""
        replica = self.replicas.get(name)
        if replica is None:
            return
        match what:
            case "leaves":
                replica.up, replica.runs = False, []
                self._agent(name, AgentLeft(boot=replica.boot, reason=LeaveReason.STOPPED))
            case "dies":
                replica.runs = []
            case "changes":
                replica.slots = number
                self._agent(name, AgentCapacityChanged(boot=replica.boot, slots=number))
            case "degrades":
                self._agent(name, AgentCapacityChanged(boot=replica.boot, slots=replica.slots, degraded=("disk",)))
            case "falls silent":
                self.world.say(Actor.WATCH, AgentRef(name), AgentSilent(since=self.world.now - timedelta(seconds=60)))
            case "is back":
                self.world.say(Actor.WATCH, AgentRef(name), AgentBack(since=self.world.now))
            case _:
                self.quota(name, (0, 60, 100)[number % 3], resets=number % 2 == 0)

    def quota(self, name: str, percent: float, *, resets: bool) -> None:
        at = self.world.now + timedelta(hours=2) if resets else None
        said = QuotaReported(provider="scripted", five_hour_percent=percent, weekly_percent=1, resets_at=at)
        self._agent(name, said)

    def _agent(self, name: str, data: Event) -> None:
        self.world.say(Actor.DEV_E, AgentRef(name), data)

    # ── its work ─────────────────────────────────────────────────────────────

    def claim(self, ref: IssueRef, luck: int) -> None:
        """A replica with a slot to spare takes what is assigned to its role, whoever had it before."""
        case = self.world.cases[ref]
        if not case.ownership.open or case.assigned is None:
            return
        able = [
            name
            for name, replica in self.replicas.items()
            if replica.up and replica.role == case.assigned.role and len(replica.runs) < replica.slots
        ]
        if not able:
            return
        name = able[luck % len(able)]
        money, owner = case.assigned.reserved_usd, case.ownership
        run = Run(ref, owner.epoch, f"r-{len(self.world.log)}", name, money, took_over=owner.run is not None)
        self.runs.append(run)
        self.replicas[name].runs.append(run.name)
        self._start(run)
        if luck % 3 == 0:
            self.claim_late(ref)

    def claim_late(self, ref: IssueRef) -> None:
        """A replica that has slept finds an assignment of an older epoch, and takes it."""
        ownership = self.world.cases[ref].ownership
        older = [run for run in self.runs if run.ref == ref and run.epoch < ownership.epoch]
        if older:
            self.late_claims += ownership.open
            self._start(structs.replace(older[-1], name=f"r-{len(self.world.log)}"))

    def _start(self, run: Run) -> None:
        started = WorkStarted(
            epoch=run.epoch,
            run=run.name,
            agent=run.agent,
            branch=f"rig/{run.ref.number}/{run.epoch}-{run.name}",
            session=f"s-{run.name}",
            provider="scripted",
        )
        self.world.say(Actor.DEV_E, run.ref, started)

    def owner(self, ref: IssueRef) -> Run | None:
        ownership = self.world.cases[ref].ownership
        for run in self.runs:
            if run.ref == ref and ownership.owns(run.epoch, run.name):
                return run
        return None

    def work(self, run: Run, luck: int) -> None:
        """A run says something: of money, of what it made, of what went wrong. Also one that owns nothing any more."""
        if run.left > 0 and luck % 3:
            self.spend(run, luck)
        match luck:
            case 0 | 10 | 20:
                kinds = list(FailureKind)
                self.fail(run, kinds[(len(self.world.log) + luck) % len(kinds)])
            case 1:
                asked = QuestionAsked(epoch=run.epoch, run=run.name, question="which?")
                self.world.say(Actor.DEV_E, run.ref, asked)
            case 2:
                pass  # it only spent something
            case 3:
                self.push(run, self.world.cases[run.ref].head or sha("first"), "code")
            case _:
                self.push(run, sha(f"{len(self.world.log)}"), list(PATHS)[luck % len(PATHS) if luck < 11 else 0])

    def spend(self, run: Run, luck: int) -> None:
        """Never more than was reserved for it; sometimes nobody knows how much."""
        amount = round(run.left * (0.3, 0.6, 1.0)[luck % 3], 6)
        run.left -= amount
        used = TokensUsed(epoch=run.epoch, run=run.name, provider="scripted", cost_usd=None if luck == 7 else amount)
        self.world.say(Actor.DEV_E, run.ref, used)

    def fail(self, run: Run, kind: FailureKind) -> None:
        retry_at = self.world.now + timedelta(hours=1) if kind is FailureKind.QUOTA else None
        failed = WorkFailed(epoch=run.epoch, run=run.name, kind=kind, detail=f"{kind} of {run.name}", retry_at=retry_at)
        self.world.say(Actor.DEV_E, run.ref, failed)
        self._over(run)

    def push(self, run: Run, head: str, changes: str) -> None:
        self.changes[head] = changes
        pushed = WorkPushed(
            epoch=run.epoch,
            run=run.name,
            branch=f"rig/{run.ref.number}/{run.epoch}-{run.name}",
            head_sha=head,
            title="Fix",
            body="",
            files_changed=1,
            lines_changed=9,
        )
        self.world.say(Actor.DEV_E, run.ref, pushed)
        self._over(run)

    def _over(self, run: Run) -> None:
        runs = self.replicas[run.agent].runs
        if run.name in runs:
            runs.remove(run.name)

    # ── the forge ────────────────────────────────────────────────────────────

    def base(self, ref: IssueRef) -> str:
        return sha(f"base {self.bases.get(ref.repository, 0)}")

    def show(self, ref: IssueRef, head: str, *, age: float = 0) -> None:
        """Opens the pull request, or moves it."""
        changes, branch = PATHS[self.changes.get(head, "code")], f"rig/{ref.number}-fix"
        self.shown[ref] = head
        if ref in self.pulls:
            moved = PullRequestUpdated(pull_request=self.pulls[ref], branch=branch, head_sha=head, changes=changes)
            self.world.say(Actor.LOCAL, ref, moved, age=age)
            return
        self.pulls[ref] = ref.number
        opened = PullRequestOpened(
            pull_request=ref.number, url="", branch=branch, head_sha=head, author="dev-e", changes=changes
        )
        self.world.say(Actor.LOCAL, ref, opened, age=age)

    def close(self, ref: IssueRef, superseded_by: int | None) -> None:
        number = self.pulls.pop(ref, None)
        if number is not None:
            self.shown.pop(ref, None)
            if superseded_by is not None:
                self.pulls[ref] = superseded_by
            self.world.say(Actor.LOCAL, ref, PullRequestClosed(pull_request=number, superseded_by=superseded_by))

    def check(self, ref: IssueRef, head: str, *, passed: bool, base: str | None = None, age: float = 0) -> None:
        base = base or self.base(ref)
        if passed:
            self.world.say(Actor.LOCAL, ref, ChecksPassed(head_sha=head, base_sha=base, checks=("check",)), age=age)
        else:
            failed = (FailedCheck(name="check", conclusion=Conclusion.FAILURE, excerpt="1 failed"),)
            self.world.say(Actor.LOCAL, ref, ChecksFailed(head_sha=head, base_sha=base, failed=failed), age=age)

    def merge(self, ref: IssueRef, luck: int) -> None:
        """Answers what it was asked for last: merges only that head on that base, if both are still so."""
        asked = self.world.cases[ref].asked
        if asked is None:
            return
        head, base = asked.head_sha, asked.base_sha
        if self.shown.get(ref) != head:
            self._refuse(ref, MergeRefusal.HEAD_MOVED)
        elif base != self.base(ref):
            self._refuse(ref, MergeRefusal.BASE_MOVED)
        elif luck == 0:
            self.world.say(Actor.LOCAL, ref, MergeConflicted(head_sha=head, base_sha=base, paths=("cart.py",)))
        elif luck == 1:
            self._refuse(ref, list(MergeRefusal)[len(self.world.log) % len(MergeRefusal)])
        else:
            self._merged(ref, head)

    def merge_by_hand(self, ref: IssueRef) -> None:
        self._merged(ref, self.shown.get(ref) or sha("by hand"))

    def _merged(self, ref: IssueRef, head: str) -> None:
        base = self.base(ref)
        self.bases[ref.repository] = self.bases.get(ref.repository, 0) + 1
        merge = sha(f"m{len(self.world.log)}")
        self.pulls.pop(ref, None)
        self.shown.pop(ref, None)
        self.world.say(Actor.LOCAL, ref, Merged(head_sha=head, base_sha=base, merge_sha=merge))

    def _refuse(self, ref: IssueRef, reason: MergeRefusal) -> None:
        asked = self.world.cases[ref].asked
        if asked is not None:
            refused = MergeRefused(head_sha=asked.head_sha, base_sha=asked.base_sha, reason=reason)
            self.world.say(Actor.LOCAL, ref, refused)

    def revert(self, ref: IssueRef) -> None:
        merged = self.world.cases[ref].merged
        if merged is not None:
            reverted = Reverted(merge_sha=merged, revert_sha=sha(f"v{len(self.world.log)}"), by="ada")
            self.world.say(Actor.LOCAL, ref, reverted)

    def review(self, ref: IssueRef, reviewer: str, head: str, luck: int) -> None:
        number = self.pulls.get(ref, ref.number)
        kind = ReviewDisputed if luck == 0 else ReviewAbstained if luck in (1, 2) else ReviewPassed
        said = kind(pull_request=number, head_sha=head, reviewer=reviewer, summary="read it")
        self.world.say(Actor.REVIEW_E, ref, said)

    # ── people ───────────────────────────────────────────────────────────────

    def answer(self, ref: IssueRef, head: str | None, luck: int, reason: GateReason | None = None) -> None:
        """At a gate."""
        by = "eve" if luck == 3 else APPROVER
        kind = GateRejected if luck == 0 else GateBypassed if luck in (1, 5, 6) else GateApproved
        self.world.say(Actor.CLI, ref, kind(reason=reason, head_sha=head, by=by, note="I looked"))

    def deliver(self, ref: IssueRef, luck: int, *, environment: Environment = Environment.STAGING) -> None:
        """The next fact about a merge, or one that is not the next."""
        merged = self.world.cases[ref].merged
        if merged is None:
            return
        done = self.world.whole.state.issues[ref].delivered
        bad = luck == 0
        step = luck % 4 if luck > 10 else 0 if not done.deployed else 1 if not done.smoke_passed else 2
        step = 3 if step == 2 and done.end_to_end else step
        said: Event
        match step:
            case 0:
                said = Deployed(environment=environment, sha=sha("other") if bad else merged)
            case 1 if bad or luck == 1:
                attempt = len(done.smoke_failures) + 1
                said = SmokeFailed(environment=environment, attempt=attempt, reason="no answer")
            case 1:
                said = SmokePassed(environment=environment)
            case 2 if bad:
                said = EndToEndFailed(passed=1, failed=1, total=2, duration_ms=5)
            case 2:
                said = EndToEndPassed(passed=2, total=2, duration_ms=5)
            case _:
                said = Verified(environment=environment, by="ada")
        self.world.say(Actor.CLI, ref, said)

    # ── what should happen next ──────────────────────────────────────────────

    def go_on(self, ref: IssueRef, luck: int) -> None:
        """Whoever's turn it is takes it."""
        world = self.world
        issue, case = world.whole.state.issues[ref], world.cases[ref]
        match issue.state:
            case IssueState.ASSIGNED:
                self.claim(ref, luck)
            case IssueState.IN_PROGRESS:
                run = self.owner(ref)
                if issue.question is not None and luck:
                    answer = QuestionAnswered(epoch=issue.ownership.epoch, run=issue.question, answer="this", by="ada")
                    world.say(Actor.CLI, ref, answer)
                elif run is not None and run.name in self.replicas[run.agent].runs:
                    if luck == 9:
                        self._over(run)  # it dies and says nothing
                    elif luck in (23, 24):
                        self.claim(ref, luck)  # it is thought dead
                    else:
                        self.work(run, luck)
                else:
                    self.claim(ref, luck)  # the owner died: its work is delivered again
            case IssueState.IN_REVIEW if case.head is not None:
                self._to_the_merge(ref, case.head, luck)
            case IssueState.GATED:
                reason, head = issue.open_gates[luck % len(issue.open_gates)]
                self.answer(ref, head, 5 if reason is GateReason.TIER and luck % 2 else luck)
            case IssueState.MERGING:
                self.merge(ref, luck)
            case IssueState.DEPLOYING:
                self.deliver(ref, luck)
            case IssueState.ESCALATED | IssueState.STOPPED:
                world.say(Actor.CLI, ref, RetryRequested(by="ada"))
            case IssueState.DONE if luck < 2:
                self.revert(ref)
            case _:
                pass

    def _to_the_merge(self, ref: IssueRef, head: str, luck: int) -> None:
        issue = self.world.whole.state.issues[ref]
        known = issue.checks.get(head)
        if self.shown.get(ref) != head or issue.pull_request_head != head:
            self.show(ref, head)
        elif known is None or known.base != self.base(ref):
            self.check(ref, head, passed=luck > 1)
        else:
            reviewer = self.world.cases[ref].reviewer
            if reviewer is not None:
                self.review(ref, reviewer, head, luck)
