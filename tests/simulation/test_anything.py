"""A log may hold anything that the codec accepts, in any order: the fold takes it, and what is decided can be said."""

from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.decide import decide, moment
from conductor.evolve import evolve
from conductor.shell import compose
from conductor.state import State
from schemas import FLEET, Actor, Decided, Draft, Envelope, envelope
from tests.support.anything import any_event
from tests.support.recomputed import differences
from tests.support.world import START


def fold(state: State, event: Envelope | None) -> None:
    """At the next position; what the conductor says stands in a batch of its own."""
    if event is not None and event.actor == Actor.CONDUCTOR:
        if isinstance(event.data, Decided):
            return
        data = Decided(through=state.position, now=START, policy="p", rules=2, count=1)
        decided = envelope(Draft(about=FLEET, data=data), id="d", actor=Actor.CONDUCTOR, source="c", time=START)
        evolve(state, decided, state.position + 1)
    evolve(state, event, state.position + 1)


def whatever_the_log_holds(seeds: list[int]) -> None:
    state = State()
    for seed in seeds:
        fold(state, any_event(seed))
        wrong = differences(state)
        assert wrong == [], wrong
        if state.policy is not None:
            now = moment(state, START)
            drafts = decide(state, now, state.policy)
            if drafts:
                compose(drafts, state, now, "conductor")


SEEDS = st.lists(st.integers(0, 2**20), min_size=20, max_size=60)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(seeds=SEEDS)
def test_no_event_that_the_codec_accepts_stops_the_conductor(seeds: list[int]) -> None:
    whatever_the_log_holds(seeds)
