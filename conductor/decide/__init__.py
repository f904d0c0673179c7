"""decide: what should be said now and is not yet said?

Pure: no clock, no I/O, no randomness, no order that hangs on hashing. It looks at the state and not at the event that
changed it, so a missed trigger cannot exist. It acts on a passed deadline only when the log says that it passed.

    fleet        the rig as a whole           agents     replicas
    assignment   who gets work                issues     everything else that is due of an issue
    review       whom to ask for a verdict    merging    the merge gate, and the gates of people
    delivery     what follows a merge         money      what is set aside and settled
    round        what one round has given away
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from conductor.decide.agents import agents_due
from conductor.decide.assignment import assignments
from conductor.decide.fleet import budgets_exceeded, fleet_due
from conductor.decide.issues import issue_due
from conductor.decide.money import settlements
from conductor.decide.round import Round
from conductor.state import State
from schemas import Draft, Policy

__all__ = ["ROUND_MAX", "RULES", "decide", "may_decide", "moment"]

RULES: Final = 3
"""The version of evolve and decide together. A replay compares decisions of equal rules."""
ROUND_MAX: Final = 999
"""Decisions of one round: with its Decided they fill one atomic batch."""


def may_decide(state: State) -> bool:
    """Whether this prefix of the log may be decided on: it ends no batch in the middle, and its rules are not newer."""
    return state.batch_complete and state.policy is not None and state.rules <= RULES


def moment(state: State, clock: datetime) -> datetime:
    """The `now` of a round: the later of the clock and the last round's."""
    return clock if state.decided_now is None else max(clock, state.decided_now)


def decide(state: State, now: datetime, policy: Policy) -> list[Draft]:
    """Everything that is due, thing by thing, at most ROUND_MAX drafts; what does not fit comes next round."""
    drafts: list[Draft] = []
    for due in _due(Round(state, now, policy)):
        if len(drafts) + len(due) > ROUND_MAX:
            break
        drafts += due
    return drafts


def _due(this: Round) -> Iterator[list[Draft]]:
    """Whatever is due of one thing comes together, and each thing comes once."""
    yield from fleet_due(this)
    yield from agents_due(this)
    for issue, events in assignments(this):
        this.spoken_of.add(issue.ref)
        yield this.drafts(issue, [*settlements(issue), *events])
    yield from budgets_exceeded(this)
    for _, ref in this.state.unsettled:
        if ref not in this.spoken_of:
            issue = this.state.issues[ref]
            yield this.drafts(issue, issue_due(this, issue))
