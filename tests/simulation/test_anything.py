"""A log may hold anything that the codec accepts, in any order: the fold takes it, and what is decided can be said."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.decide import decide, may_decide, moment
from conductor.evolve import evolve
from conductor.shell import compose
from conductor.state import State
from schemas import FLEET, Actor, Decided, Draft, Envelope, envelope
from tests.support.anything import any_event, opening
from tests.support.recomputed import differences
from tests.support.world import START

reached: Counter[str] = Counter()
"""What was decided, in all logs together: where nothing is decided nothing is shown."""
OFTEN = (
    *("DeadlineSet", "FleetDeadlineSet", "IssueAssigned", "BudgetReserved", "BudgetSettled", "BudgetReleased"),
    *("IssueRefused", "IssueDone", "AgentSuspended", "ReviewRequested", "IncidentOpened", "MergeRequested"),
    *("IssueUnassigned", "IssueEscalated", "GateTriggered"),
)
"""What must be decided in some of them."""


def fold(state: State, event: Envelope | None) -> None:
    """At the next position; what the conductor says stands in a batch of its own."""
    if event is not None and event.actor == Actor.CONDUCTOR:
        if isinstance(event.data, Decided):
            return
        data = Decided(through=state.position, now=START, policy="p", rules=2, count=1)
        decided = envelope(Draft(about=FLEET, data=data), id="d", actor=Actor.CONDUCTOR, source="c", time=START)
        evolve(state, decided, state.position + 1)
    evolve(state, event, state.position + 1)


def decides(state: State, *, lands: bool) -> None:
    """A round, if it may decide; what it says comes back from the log, or another was first."""
    if state.policy is None or not may_decide(state):
        return
    now = moment(state, START)
    drafts = decide(state, now, state.policy)
    reached.update(type(draft.data).__name__ for draft in drafts)
    reached["rounds"] += 1
    if not drafts:
        return
    reached["something to say"] += 1
    batch = compose(drafts, state, now, "conductor")
    for event in batch if lands else []:
        evolve(state, event, state.position + 1)


def whatever_the_log_holds(seeds: list[int]) -> None:
    state = State()
    for event in opening(seeds[0]):
        fold(state, event)
        decides(state, lands=True)
    for seed in seeds:
        fold(state, any_event(seed))
        wrong = differences(state)
        assert wrong == [], wrong
        decides(state, lands=seed % 3 > 0)


SEEDS = st.lists(st.integers(0, 2**20), min_size=20, max_size=60)


LOGS = 170


@settings(max_examples=LOGS, deadline=None, derandomize=True, database=None)
@given(seeds=SEEDS)
def anything(seeds: list[int]) -> None:
    whatever_the_log_holds(seeds)


def test_no_event_that_the_codec_accepts_stops_the_conductor() -> None:
    reached.clear()
    anything()
    assert reached["rounds"] > 20 * LOGS
    assert {kind: reached[kind] for kind in OFTEN if not reached[kind]} == {}, f"too rare: {reached}"
