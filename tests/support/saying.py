"""What tests say on the log where it does not matter what: an approved issue, a decision, a piece of work."""

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
    WorkPushed,
    WorkStarted,
    envelope,
)

DECIDED = "rig.fleet.conductor.decided"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def issue(number: int = 7) -> IssueRef:
    return IssueRef("acme", "web.js", number)


def approved(number: int = 7, title: str = "Fix it", *, body: str = "", url: str = "") -> Draft:
    return Draft(about=issue(number), data=IssueApproved(title=title, author="ada", body=body, url=url))


# ── a piece of work ──────────────────────────────────────────────────────────


def assigned(epoch: int = 1, attempt: int = 1) -> IssueAssigned:
    return IssueAssigned(epoch=epoch, role="dev-e", attempt=attempt, reason=AssignReason.NEW)


def started(epoch: int = 1, run: str = "r-1", agent: str = "dev-e-1", number: int = 1) -> WorkStarted:
    branch = f"rig/{number}/{epoch}-{run}"
    return WorkStarted(epoch=epoch, run=run, agent=agent, branch=branch, session=f"s-{run}", provider="scripted")


def pushed(epoch: int = 1, run: str = "r-1", head: str = "a" * 40, number: int = 1) -> WorkPushed:
    return WorkPushed(
        epoch=epoch,
        run=run,
        branch=f"rig/{number}/{epoch}-{run}",
        head_sha=head,
        title="Fix the total",
        body="",
        files_changed=1,
        lines_changed=2,
    )


# ── decisions ────────────────────────────────────────────────────────────────


def decision(through: int, *epochs: tuple[int, int]) -> list[Envelope]:
    """A decision that assigns issues: (number, epoch) of each."""
    drafts = [Draft(about=FLEET, data=Decided(through=through, now=NOW, policy="p", rules=1, count=len(epochs)))]
    drafts += [Draft(about=issue(number), data=assigned(epoch)) for number, epoch in epochs]
    return [
        envelope(draft, id=f"conductor:{through}:{index}", actor=Actor.CONDUCTOR, source="conductor", time=NOW)
        for index, draft in enumerate(drafts)
    ]


async def assign(conductor: Bus, *epochs: tuple[int, int]) -> None:
    """Says a decision behind the last one."""
    last = await conductor.log.last(DECIDED)
    position = last.position if last is not None else 0
    await conductor.log.append(decision(position + 1, *epochs), expect=Expect(DECIDED, position))
