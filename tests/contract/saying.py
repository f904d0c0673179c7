"""What the tests of this directory say."""

from datetime import UTC, datetime

from bus import Bus, Expect
from schemas import (
    FLEET,
    Actor,
    AssignReason,
    Decided,
    Draft,
    Envelope,
    IssueApproved,
    IssueAssigned,
    IssueRef,
    envelope,
)

DECIDED = "rig.fleet.conductor.decided"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def issue(number: int = 7) -> IssueRef:
    return IssueRef("acme", "web.js", number)


def approved(title: str = "Fix it", number: int = 7) -> Draft:
    return Draft(about=issue(number), data=IssueApproved(title=title, author="ada"))


def decision(through: int, *epochs: tuple[int, int]) -> list[Envelope]:
    """A decision that assigns issues: (number, epoch) of each."""
    drafts = [Draft(about=FLEET, data=Decided(through=through, now=NOW, policy="p", rules=1, count=len(epochs)))]
    for number, epoch in epochs:
        assigned = IssueAssigned(epoch=epoch, role="dev-e", attempt=1, reason=AssignReason.NEW)
        drafts.append(Draft(about=issue(number), data=assigned))
    return [
        envelope(draft, id=f"conductor:{through}:{index}", actor=Actor.CONDUCTOR, source="conductor", time=NOW)
        for index, draft in enumerate(drafts)
    ]


async def assign(conductor: Bus, *epochs: tuple[int, int]) -> None:
    """Says a decision behind the last one."""
    last = await conductor.log.last(DECIDED)
    position = last.position if last is not None else 0
    await conductor.log.append(decision(position + 1, *epochs), expect=Expect(DECIDED, position))
