"""What holds whatever happens: several conductors on one log, and everybody else sensible or not.

Properties hold up to the overlap that rounds.md names: what lands between the prefix that was decided on and the batch.
"""

from collections import Counter
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from conductor.decide.issues import issue_due
from conductor.decide.round import Round
from conductor.state import Issue
from conductor.watch.fold import Fold
from schemas import (
    Actor,
    BudgetReserved,
    Decided,
    Envelope,
    FleetDeadlineKind,
    IssueAssigned,
    IssueRef,
    IssueState,
    IssueUnassigned,
    MergeRequested,
    Recorded,
    RepoRef,
    Scope,
    scopes,
)
from tests.support.happenings import SHOPS, Happenings
from tests.support.recomputed import differences, unlike
from tests.support.witness import Money, Places, merge_wrong, policy_of
from tests.support.world import Reader

FIRINGS_MAX = 250
"""So many deadlines may pass until everything stands still."""


class Properties(Happenings):
    """What holds after every step, and at the end of every run."""

    reached: ClassVar[Counter[str]] = Counter()
    """What happened, in all runs together: a property of what never happens is worth nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.money, self.places, self.heard = Money(), Places(), 0
        self.checked = 0
        self.epochs: dict[IssueRef, int] = {}

    @invariant()
    def holds(self) -> None:
        self.a_second_delivery_changes_nothing()
        self.whoever_has_read_the_same_knows_the_same()
        self.the_indexes_follow_from_the_facts()
        self.nothing_is_due_of_what_is_settled()
        self.nothing_is_forgotten()
        self.what_is_merged_is_over()
        self.gates_are_where_people_must_answer()
        self.every_batch_is_right()
        self.owners_are_who_the_log_says()
        self.money_is_conserved()

    def a_second_delivery_changes_nothing(self) -> None:
        wrong = unlike(self.world.unrepeated.state, self.world.whole.state)
        assert wrong == [], wrong

    def whoever_has_read_the_same_knows_the_same(self) -> None:
        """Whether it has read from the beginning or since it was last here, in small parts or large ones."""
        for reader in self.world.readers:
            if reader.behind == 0:
                wrong = unlike(reader.state, self.world.whole.state)
                assert wrong == [], wrong

    def the_indexes_follow_from_the_facts(self) -> None:
        wrong = differences(self.world.whole.state)
        assert wrong == [], wrong

    def nothing_is_due_of_what_is_settled(self) -> None:
        state = self.world.whole.state
        if state.policy is not None and state.batch_complete:
            this = Round(state, max(self.world.now, state.decided_now or self.world.now), state.policy)
            for ref, issue in state.issues.items():
                due = issue_due(this, issue) if ref not in state.unsettled else []
                assert due == [], f"{ref} counts as settled: {due}"

    def nothing_is_forgotten(self) -> None:
        """Where nothing more is to be said, whatever is not over is waited for: by a deadline, or by a person."""
        state = self.world.whole.state
        for ref, issue in state.issues.items():
            waits = issue.deadline is not None and not issue.deadline.passed
            due = ref in state.unsettled or issue.lane is not None
            assert waits or due or issue.state.final, f"{ref} is {issue.state}, and nothing will wake it"

    def owners_are_who_the_log_says(self) -> None:
        """To the conductor, and to agents and forges: as an independent witness tells it."""
        for ref, issue in self.world.whole.state.issues.items():
            owner, _ = self.places.work[ref]
            said = (owner.epoch, owner.open, owner.run, tuple(owner.claims))
            for known in (issue.ownership, self.world.cases[ref].ownership):
                assert (known.epoch, known.open, known.run, known.claims) == said, f"{ref}: {known}, not {said}"

    def what_is_merged_is_over(self) -> None:
        for ref, issue in self.world.whole.state.issues.items():
            over = issue.state.final or issue.state is IssueState.DEPLOYING
            assert issue.merge_sha is None or over, f"{ref} is merged and {issue.state}"

    def gates_are_where_people_must_answer(self) -> None:
        for ref, issue in self.world.whole.state.issues.items():
            assert bool(issue.open_gates) == (issue.state is IssueState.GATED), f"{ref} is {issue.state}: {issue.gates}"
            assert all(head in (None, issue.head) for _, head in issue.open_gates), f"{ref}: a gate of an older head"

    def money_is_conserved(self) -> None:
        """The fold's sums are what an independent witness makes of the log."""
        state = self.world.whole.state
        days = ("day", "role:dev-e", "role:ops-e", *(f"repository:{shop}" for shop in SHOPS))
        sums = {f"issue:{ref}": issue.committed for ref, issue in state.issues.items()}
        sums |= {scope: state.ledger.committed(scope) for scope in days}
        for scope, kept in sums.items():
            assert kept == self.money.committed(scope), f"{scope}: {kept}, and the log says {self.money}"

    # ── every batch ──────────────────────────────────────────────────────────

    def every_batch_is_right(self) -> None:
        """Held against what the witnesses make of the log that it was decided on."""
        while self.checked < len(self.world.batches):
            through, position = self.world.batches[self.checked]
            self.checked += 1
            self._hear(through)
            self._check(through, position)
        self._hear(len(self.world.log))

    def _hear(self, position: int) -> None:
        """The witnesses read as far as that. Where they have read further, they begin anew."""
        if position < self.heard:
            self.money, self.places, self.heard = Money(), Places(), 0
        for number in range(self.heard + 1, position + 1):
            if number not in self.world.copies:
                self.money.hear(self.world.log[number - 1])
                self.places.hear(self.world.log[number - 1])
        self.heard = position

    def _check(self, through: int, position: int) -> None:
        opening = self.world.log[position - 1].data
        assert isinstance(opening, Decided)
        batch = self.world.log[position : position + opening.count]
        history = [self.world.log[one - 1] for one in range(1, through + 1) if one not in self.world.copies]
        self.reached["overtaken"] += through < position - 1
        assert len({(said.on, repr(said.data)) for said in batch}) == len(batch), "said twice in one breath"
        given: Counter[str | RepoRef] = Counter()
        ended: Counter[tuple[IssueRef, int]] = Counter()
        reserved: Counter[Scope] = Counter()
        for said in batch:
            match said.about, said.data:
                case IssueRef() as ref, MergeRequested() as asked:
                    wrong = merge_wrong(history, ref, asked)
                    assert wrong is None, f"{ref}: {wrong}"
                case IssueRef() as ref, IssueAssigned(epoch=epoch, role=role):
                    before = self.epochs.get(ref, 0)
                    assert epoch == before + 1, f"{ref}: epoch {epoch} after {before}"
                    self.epochs[ref] = epoch
                    given.update([role, ref.repository])
                case IssueRef() as ref, IssueUnassigned(epoch=epoch):
                    ended[ref, epoch] += 1
                    assert ended[ref, epoch] == 1, f"{ref}: epoch {epoch} is ended twice"
                case IssueRef() as ref, BudgetReserved(amount_usd=usd):
                    reserved.update(dict.fromkeys(scopes(ref, self._role(ref, batch)), round(usd * 1e6)))
                case _:
                    pass
        self._within_the_budgets(reserved, history)
        self._within_the_slots(given, history)

    def _role(self, ref: IssueRef, batch: list[Envelope]) -> str:
        """That the issue was assigned to last, in this batch or before."""
        given = [said.data.role for said in batch if said.about == ref and isinstance(said.data, IssueAssigned)]
        return given[0] if given else self.places.work[ref][1]

    def _within_the_budgets(self, reserved: Counter[Scope], history: list[Envelope]) -> None:
        """What is set aside fits: a run that keeps to what was set aside for it never spends more."""
        policy = policy_of(history)
        for scope, amount in reserved.items():
            limit, committed = self.money.limit(scope, policy, history), self.money.committed(scope)
            assert limit is None or committed + amount <= limit, f"{scope}: {committed} + {amount} of {limit}"

    def _within_the_slots(self, given: Counter[str | RepoRef], history: list[Envelope]) -> None:
        policy, places = policy_of(history), self.places
        for key, count in given.items():
            if isinstance(key, RepoRef):
                under_way, of_repository = places.under_way(repository=key), places.limits.get(key)
                limit = policy.repository_in_progress_max if of_repository is None else of_repository
            else:
                of_role, under_way = policy.of_role(key), places.under_way(role=key)
                slots = max(places.joined(key), of_role.scale_to)
                limit = slots if of_role.in_progress_max is None else min(slots, of_role.in_progress_max)
            assert limit is None or under_way + count <= limit, f"{key}: {under_way} + {count} of {limit}"

    # ── at the end ───────────────────────────────────────────────────────────

    def teardown(self) -> None:
        if self.world.whole.state.policy is not None:
            self.rounds()
            self._time_alone_leads_to_an_end()
            for reader in [*self.world.readers, Reader(self.world)]:
                reader.read()
                assert unlike(reader.state, self.world.whole.state) == []
            self.holds()
            self._the_watch_is_content()
            assert self.world.replayed().differences == ()
            self._count()

    def _time_alone_leads_to_an_end(self) -> None:
        """When nobody says anything more, timers alone lead to an end or to a person, and every wait is explained."""
        for _ in range(FIRINGS_MAX):
            self.rounds()
            issues = self.world.whole.state.issues
            if not any(_goes_on(issue) for issue in issues.values()):
                unexplained = [ref for ref, issue in issues.items() if issue.told == 2 and issue.waiting is None]
                assert [ref for ref in unexplained if issues[ref].wants_work] == []
                return
            timers = [timer for timer in self.world.live_timers() if timer.kind != FleetDeadlineKind.SCHEDULE]
            self.fires(timers[0], early=False)
        raise AssertionError(f"{FIRINGS_MAX} deadlines passed, and the rig still waits for somebody")

    def _the_watch_is_content(self) -> None:
        """The conductor has said all that it has to say, and the watch, which shares no code with it, misses nothing.

        Of what the conductor says nothing lands twice: its batches are compare-and-set."""
        watch = Fold()
        for position, said in enumerate(self.world.log, start=1):
            if position not in self.world.copies or said.actor != Actor.CONDUCTOR:
                watch.apply(Recorded(position, said.time, said))
        assert list(watch.owed()) == []

    def _count(self) -> None:
        self.reached["copies"] += len(self.world.copies)
        kinds = Counter(type(said.data).__name__ for said in self.world.log)
        kinds["taken over"] = sum(run.took_over for run in self.others.runs)
        kinds["late claim"] = self.others.late_claims
        self.reached.update(kinds)
        for kind in kinds:
            event(kind)


def _goes_on(issue: Issue) -> bool:
    """Whether somebody is waited for, and no person was told to look: not even why it waits is an end."""
    return not issue.state.final and issue.state is not IssueState.GATED and issue.told < 2


OFTEN = (
    *("Merged", "IssueDone", "IssueEscalated", "IssueRefused", "IssueWaiting", "GateTriggered", "ReviewRequested"),
    *("WorkFailed", "ReviewDisputed", "MergeRefused", "Reverted", "TierChanged", "BudgetSettled", "IncidentOpened"),
    *("DeadlinePassed", "taken over", "late claim", "overtaken", "copies", "IssueNeedsHuman"),
)
"""What must be reached time and again."""


def check(examples: int, steps: int) -> None:
    Properties.reached.clear()
    run_state_machine_as_test(
        Properties,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
    rare = {kind: count for kind in OFTEN if (count := Properties.reached[kind]) < examples // 40}
    assert rare == {}, f"too rare in {examples} runs: {rare} of {Properties.reached}"


@pytest.mark.timeout(300)  # when something is found, making it small takes a while
def test_whatever_happens() -> None:
    check(examples=80, steps=40)


@pytest.mark.full
@pytest.mark.timeout(600)
def test_whatever_happens_for_long() -> None:
    check(examples=400, steps=60)
