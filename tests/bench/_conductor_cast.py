"""Whoever answers the conductor in the benchmarks: replicas that claim, work and fail, a forge, reviewers, people.

What each of them is about to say waits in `due`, and one of it is said at a time, in no order: so replicas and forge
interleave as they would.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial

from schemas import (
    Actor,
    Changes,
    ChecksFailed,
    ChecksPassed,
    Conclusion,
    DeadlineKind,
    DeadlinePassed,
    DeadlineSet,
    Draft,
    FailedCheck,
    FailureKind,
    GateApproved,
    GateTriggered,
    IssueAssigned,
    IssueDone,
    IssueEscalated,
    IssueEvent,
    IssueRef,
    MergeConflicted,
    Merged,
    MergeRefusal,
    MergeRefused,
    MergeRequested,
    PullRequestOpened,
    PullRequestUpdated,
    QuestionAnswered,
    QuestionAsked,
    RetryRequested,
    ReviewAbstained,
    ReviewDisputed,
    ReviewPassed,
    ReviewRequested,
    TokensUsed,
    WorkFailed,
    WorkPushed,
    WorkStarted,
)
from tests.bench._conductor_world import BASE, PROFILES, World

PATHS = (("cart.py",), ("cart.py", "tests/test_cart.py"), ("README.md",), ("tests/test_cart.py",), ("auth/login.py",))


class Cast:
    """Everybody but the conductor."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.due: list[Callable[[], None]] = []
        self.done = 0
        self._free: dict[frozenset[str], list[str]] = defaultdict(list)
        for name, replica in world.state.agents.items():
            if replica.usable:
                self._free[replica.capabilities].append(name)

    def hear(self, drafts: Iterable[Draft]) -> None:
        """What a round said, once it has landed."""
        for draft in drafts:
            if isinstance(draft.about, IssueRef):
                self._hear(draft.about, draft.data)

    def _hear(self, ref: IssueRef, data: object) -> None:
        match data:
            case IssueAssigned(epoch=epoch):
                self.due.append(partial(self._claim, ref, epoch))
            case ReviewRequested(reviewer=reviewer, head_sha=head):
                self.due.append(partial(self._review, ref, reviewer, head))
            case MergeRequested(head_sha=head):
                self.due.append(partial(self._merge, ref, head))
            case GateTriggered(head_sha=head):
                self.due.append(partial(self._let_through, ref, head))
            case DeadlineSet(kind=DeadlineKind.BACKOFF):
                self.due.append(partial(self.deadline_passes, ref))
            case IssueEscalated():
                self.due.append(partial(self._say, Actor.CLI, ref, RetryRequested(by="ada", note="again")))
            case IssueDone():
                self.done += 1
            case _:
                pass

    def speak(self) -> bool:
        """One of them says what is due. False: nobody has anything to say."""
        if not self.due:
            return False
        chosen = self.world.random.randrange(len(self.due))
        self.due[chosen], self.due[-1] = self.due[-1], self.due[chosen]
        self.due.pop()()
        return True

    def deadline_passes(self, ref: IssueRef) -> None:
        """The timer of the issue's live deadline fires, if it has one; early, for all that the world's clock says."""
        live = self.world.issue(ref).deadline
        if live is not None:
            self._say(Actor.CONDUCTOR, ref, DeadlinePassed(kind=live.kind, at=live.at))

    def _say(self, actor: Actor, ref: IssueRef, data: IssueEvent) -> None:
        self.world.say(actor, ref, data)

    def _chance(self) -> float:
        return self.world.random.random()

    # ── replicas ─────────────────────────────────────────────────────────────

    def _claim(self, ref: IssueRef, epoch: int) -> None:
        name = self._able(ref)
        if name is None:
            self.due.append(partial(self._claim, ref, epoch))
            return
        run = f"r-{ref.number}-{epoch}"
        started = WorkStarted(
            epoch=epoch, run=run, agent=name, branch=f"rig/{ref.number}/{epoch}-{run}", session=run, provider="scripted"
        )
        self._say(Actor.DEV_E, ref, started)
        self.due.append(partial(self._work, ref, epoch, run, name))

    def _able(self, ref: IssueRef) -> str | None:
        needs = set(self.world.issue(ref).requires)
        for capabilities in map(frozenset, PROFILES):
            if needs <= capabilities and self._free[capabilities]:
                return self._free[capabilities].pop()
        return None

    def _work(self, ref: IssueRef, epoch: int, run: str, name: str) -> None:
        cost = round(self._chance(), 4)
        used = TokensUsed(epoch=epoch, run=run, provider="scripted", model="m", input=9_000, output=700, cost_usd=cost)
        self._say(Actor.DEV_E, ref, used)
        if self._chance() < 0.3:
            self.due.append(partial(self._work, ref, epoch, run, name))
        elif self._chance() < 0.03:
            self._say(Actor.DEV_E, ref, QuestionAsked(epoch=epoch, run=run, question="Which rounding is meant?"))
            self.due.append(partial(self._answered, ref, epoch, run, name))
        else:
            self.due.append(partial(self._end, ref, epoch, run, name))

    def _answered(self, ref: IssueRef, epoch: int, run: str, name: str) -> None:
        self._say(Actor.CLI, ref, QuestionAnswered(epoch=epoch, run=run, answer="To the cent.", by="ada"))
        self.due.append(partial(self._end, ref, epoch, run, name))

    def _end(self, ref: IssueRef, epoch: int, run: str, name: str) -> None:
        self._free[self.world.state.agents[name].capabilities].append(name)
        if self._chance() < 0.15:
            kind = self.world.random.choice((FailureKind.CHECKS_FAILED, FailureKind.NO_CHANGES, FailureKind.OVERLOADED))
            self._say(Actor.DEV_E, ref, WorkFailed(epoch=epoch, run=run, kind=kind, detail="E assert 90 == 100\n" * 60))
            return
        head = f"{ref.number:036x}{epoch:04x}"
        pushed = WorkPushed(
            epoch=epoch,
            run=run,
            branch=f"rig/{ref.number}/{epoch}-{run}",
            head_sha=head,
            title="Round after the discount",
            body="The discount is taken before rounding. " * 8,
            files_changed=2,
            lines_changed=14,
        )
        self._say(Actor.DEV_E, ref, pushed)
        self.due.append(partial(self._open, ref, head))

    # ── the forge ────────────────────────────────────────────────────────────

    def _open(self, ref: IssueRef, head: str) -> None:
        paths = self.world.random.choices(PATHS, (60, 25, 6, 4, 5))[0]
        changes = Changes(files=len(paths), lines=14, paths=paths)
        branch = f"rig/{ref.number}-fix"
        if self.world.issue(ref).pull_request is None:
            opened = PullRequestOpened(
                pull_request=ref.number, url="", branch=branch, head_sha=head, author="dev-e", changes=changes
            )
            self._say(Actor.LOCAL, ref, opened)
        else:
            moved = PullRequestUpdated(pull_request=ref.number, branch=branch, head_sha=head, changes=changes)
            self._say(Actor.LOCAL, ref, moved)
        self.due.append(partial(self._check, ref, head))

    def _check(self, ref: IssueRef, head: str) -> None:
        if self._chance() < 0.9:
            self._say(Actor.LOCAL, ref, ChecksPassed(head_sha=head, base_sha=BASE, checks=("check",)))
            return
        failed = FailedCheck(name="check", conclusion=Conclusion.FAILURE, excerpt="E assert 90 == 100\n" * 60)
        self._say(Actor.LOCAL, ref, ChecksFailed(head_sha=head, base_sha=BASE, failed=(failed,)))

    def _merge(self, ref: IssueRef, head: str) -> None:
        chance = self._chance()
        if chance < 0.04:
            self._say(Actor.LOCAL, ref, MergeConflicted(head_sha=head, base_sha=BASE, paths=("cart.py",)))
        elif chance < 0.12:
            moved = MergeRefused(head_sha=head, base_sha=BASE, reason=MergeRefusal.BASE_MOVED)
            self._say(Actor.LOCAL, ref, moved)
            self.due.append(partial(self._check, ref, head))
        else:
            self._say(Actor.LOCAL, ref, Merged(head_sha=head, base_sha=BASE, merge_sha=f"{ref.number:040x}"))

    # ── people ───────────────────────────────────────────────────────────────

    def _review(self, ref: IssueRef, reviewer: str, head: str) -> None:
        chance, number = self._chance(), self.world.issue(ref).pull_request or ref.number
        if chance < 0.1:
            disputed = ReviewDisputed(pull_request=number, head_sha=head, reviewer=reviewer, summary="And if it is 0?")
            self._say(Actor.LOCAL, ref, disputed)
        elif chance < 0.14:
            self._say(Actor.LOCAL, ref, ReviewAbstained(pull_request=number, head_sha=head, reviewer=reviewer))
        else:
            self._say(Actor.LOCAL, ref, ReviewPassed(pull_request=number, head_sha=head, reviewer=reviewer))

    def _let_through(self, ref: IssueRef, head: str | None) -> None:
        self._say(Actor.CLI, ref, GateApproved(head_sha=head, by="ada", note="seen"))
