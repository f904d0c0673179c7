"""Whether what a person wishes of an issue would change anything, as it stands. Pure.

A wish that holds already is not said again: a command repeated after a lost answer finds its own word here. One that
could change nothing is refused, with what to do instead.
"""

from typing import Final, NoReturn

from bridges.standing import GATE_ANSWERS, GateAnswer, OpenGate, Standing, may_be_tried_again, rests
from bridges.terminal import show
from bridges.terminal.errors import Failed
from schemas import (
    AssignRequested,
    Event,
    GateReason,
    IssueApproved,
    IssueState,
    IssueWithdrawn,
    PriorityChanged,
    QuestionAnswered,
    Recorded,
    RetryRequested,
    Stopped,
)

_OVER: Final = (IssueState.DONE, IssueState.WITHDRAWN)


def holds(it: Standing, wish: Event) -> Recorded | None:
    """What was said already and holds; None: it should be said. Raises Failed where it would change nothing."""
    match wish:
        case Stopped():
            if it.state is IssueState.STOPPED:
                return it.wishes.get(Stopped)
            if it.state.final:
                raise Failed(f"{it.issue} is {it.words}: there is nothing to stop")
        case RetryRequested():
            if not may_be_tried_again(it) and not rests(it):
                return _latest(it, wish) or _refuse(it, "it is tried again when it is escalated or stopped, or rests")
        case IssueWithdrawn():
            if it.state is IssueState.WITHDRAWN:
                return it.wishes.get(IssueWithdrawn)
            if it.state is IssueState.DONE:
                _refuse(it, "what is merged is taken out again by a revert")
        case PriorityChanged(priority=priority):
            if it.state in _OVER:
                _refuse(it, "how urgent it is no longer matters")
            if it.priority is priority:
                return it.wishes.get(PriorityChanged) or it.wishes[IssueApproved]
        case AssignRequested():
            if it.state in _OVER and not may_be_tried_again(it):
                _refuse(it, "nobody works on it any more")
            return _latest(it, wish)
        case _:
            pass
    return None


def open_question(it: Standing, answer: str, by: str) -> Recorded:
    """The question that waits, or the same answer given already. Raises Failed when nobody asks anything."""
    if it.question is not None:
        return it.question
    given = it.wishes.get(QuestionAnswered)
    if given is not None and _is_latest(it, given):
        data = given.event.data
        if isinstance(data, QuestionAnswered) and (data.answer, data.by) == (answer, by):
            return given
    raise Failed(f"{it.issue} is {it.words}, and no run of it waits for an answer; {_why(it)}")


def open_gates(it: Standing, reason: GateReason | None, head: str | None) -> list[OpenGate]:
    """The gates that are meant, in the order in which they were opened; each of them is open.

    `head` is how the head begins that the person has seen. Raises Failed when no such gate is open.
    """
    if not it.gates:
        raise Failed(f"no gate of {it.issue} is open: it is {it.words}; {_why(it)}")
    meant = [gate for gate in it.gates.values() if reason in (None, gate.reason)]
    if not meant:
        raise Failed(f"no gate {spoken(reason)} of {it.issue} is open, but {', '.join(map(show.gate_name, it.gates))}")
    if head is not None:
        seen = [gate for gate in meant if (gate.head_sha or "").startswith(head)]
        if not seen:
            at = ", ".join(sorted({(gate.head_sha or "no head")[:12] for gate in meant}))
            raise Failed(f"{it.issue} is at {at} now, not at {head}: look at what is there, and decide about that")
        return seen
    return meant


def answered_before(it: Standing, answer: GateAnswer) -> Recorded | None:
    """The same word at a gate of this issue, when nobody has said anything since."""
    said = it.wishes.get(type(answer))
    if it.gates or said is None or not _is_latest(it, said):
        return None
    data = said.event.data
    if isinstance(data, GATE_ANSWERS) and (data.by, data.note) == (answer.by, answer.note):
        return said
    return None


def spoken(word: str | None) -> str:
    """`sensitive_path` → sensitive path."""
    return (word or "").replace("_", " ")


def _latest(it: Standing, wish: Event) -> Recorded | None:
    """The same wish, when it is the last thing that anybody has said of the issue."""
    said = it.wishes.get(type(wish))
    return said if said is not None and said.event.data == wish and _is_latest(it, said) else None


def _is_latest(it: Standing, said: Recorded) -> bool:
    return said.position == max(wish.position for wish in it.wishes.values())


def _refuse(it: Standing, why: str) -> NoReturn:
    raise Failed(f"{it.issue} is {it.words}: {why}; {_why(it)}")


def _why(it: Standing) -> str:
    return f"`rig why {it.issue}` says how it got there"
