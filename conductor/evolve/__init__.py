"""evolve: one event of the log → the state after it. Pure but for the state that it owns.

Idempotent: an event known already by its natural key changes nothing; a decision has its batch for one, what people say
its id, what a forge says its own time. It accepts a decision on any state, since other events may have landed between
what a decision was made on and where it stands; the next round says what follows. A failure of the state machine is a
failure of the rig: nothing here raises for anything the log may hold.

    issues     which of the following folds an event about an issue, and the indexes after it
    wishes     what people ask for            gates     where a person must let it through
    work       assignments and their runs     decided   what the conductor says besides
    forge      pull requests, verdicts        delivery  what happens after the merge
    money      set aside, spent, settled
    agents, repositories, fleet               what is not one issue
"""

from conductor.evolve.agents import fold_agent
from conductor.evolve.fleet import fold_fleet
from conductor.evolve.issues import fold_issue
from conductor.evolve.repositories import fold_repository
from conductor.state import State
from schemas import Actor, AgentRef, DeadlinePassed, Decided, Envelope, FleetRef, IssueRef, RepoRef
from schemas.agent import AgentDeadlinePassed
from schemas.fleet import FleetDeadlinePassed

__all__ = ["evolve"]

_CONDUCTOR = Actor.CONDUCTOR
_ALONE = (DeadlinePassed, AgentDeadlinePassed, FleetDeadlinePassed)
"""What a conductor says outside its batches."""


def evolve(state: State, event: Envelope | None, position: int) -> State:
    """Folds the event at `position`; None: a position that this version cannot read, which still counts as read.

    Returns the same state, changed.
    """
    if position <= state.position:
        return state
    state.position = position
    if event is None:
        return state
    subject = event.subject
    data = event.data
    if subject.actor == _CONDUCTOR:
        if isinstance(data, Decided):
            if data.through >= state.decided + state.decided_count:
                state.decided, state.decided_count, state.decided_now = position, data.count, data.now
                state.rules = max(state.rules, data.rules)
            return state
        in_a_batch = state.decided and position <= state.decided + state.decided_count
        if not in_a_batch and not isinstance(data, _ALONE):
            return state  # a decision counts in its batch, and nowhere else
    match subject.about:
        case IssueRef() as ref:
            fold_issue(state, ref, event, position)
        case AgentRef(name):
            fold_agent(state, name, event)
        case RepoRef() as ref:
            fold_repository(state, ref, event)
        case FleetRef():
            fold_fleet(state, event)
        case _:
            pass
    return state
