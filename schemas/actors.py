"""Who may say what: the one table that the codec, the terminal and the server's permissions all follow.

An actor is a role, never a person or a replica; it is the token of the subject that its key may write.
"""

from enum import StrEnum
from typing import Final

from schemas import agent, fleet, issue, repo
from schemas.errors import NotAllowed
from schemas.event import Event


class Actor(StrEnum):
    """The roles that write to the log."""

    CONDUCTOR = "conductor"
    DEV_E = "dev-e"
    REVIEW_E = "review-e"
    LOCAL = "local"
    GITHUB = "github"
    CLI = "cli"


_AGENT: frozenset[type[Event]] = frozenset({agent.AgentJoined, agent.AgentCapacityChanged, agent.AgentLeft})
_WORKER: frozenset[type[Event]] = frozenset({issue.WorkStarted, issue.WorkPushed, issue.WorkFailed})
_REVIEWER: frozenset[type[Event]] = frozenset({issue.ReviewPassed, issue.ReviewDisputed})
_PERSON: frozenset[type[Event]] = frozenset(
    {
        issue.IssueApproved,
        issue.IssueRevised,
        issue.IssueWithdrawn,
        issue.Stopped,
        issue.RetryRequested,
        issue.PriorityChanged,
    }
)
_FORGE: frozenset[type[Event]] = frozenset(
    {
        issue.IssueApproved,
        issue.IssueRevised,
        issue.IssueWithdrawn,
        issue.PullRequestOpened,
        issue.PullRequestUpdated,
        issue.PullRequestClosed,
        issue.ChecksPassed,
        issue.ChecksFailed,
        issue.MergeConflicted,
        issue.MergeRefused,
        issue.Merged,
        repo.RepositoryAdded,
        repo.RepositoryConfigured,
        repo.RepositoryRemoved,
    }
    | _REVIEWER
)
_CONDUCTOR: frozenset[type[Event]] = frozenset(
    {
        issue.IssueRefused,
        issue.IssueWaiting,
        issue.IssueAssigned,
        issue.IssueUnassigned,
        issue.ReviewRequested,
        issue.MergeRequested,
        issue.IssueEscalated,
        issue.IssueDone,
        issue.DeadlineSet,
        issue.DeadlinePassed,
        fleet.Decided,
    }
)

MAY_SAY: dict[Actor, frozenset[type[Event]]] = {
    Actor.CONDUCTOR: _CONDUCTOR,
    Actor.DEV_E: _AGENT | _WORKER,
    Actor.REVIEW_E: _AGENT | _REVIEWER,
    Actor.LOCAL: _FORGE,
    Actor.GITHUB: _FORGE | _PERSON,
    Actor.CLI: _PERSON | {repo.RepositoryAdded, repo.RepositoryConfigured, repo.RepositoryRemoved, fleet.PolicyAdopted},
}

_SAYINGS: Final = frozenset((actor, event) for actor, events in MAY_SAY.items() for event in events)


def check_may_say(actor: str, event: type[Event]) -> None:
    """Raises NotAllowed when the table does not let `actor` say `event`, naming who may."""
    if (actor, event) in _SAYINGS:
        return
    who = ", ".join(role.value for role, events in MAY_SAY.items() if event in events) or "nobody"
    raise NotAllowed(f"{actor} may not say {event.__name__}; {who} may")
