"""Who may say what: the one table that the codec, the terminal and the server's permissions all follow.

An actor is a role, never a person or a replica; it is the token of the subject that its key may write.
"""

from enum import StrEnum
from typing import Final, TypeAlias

from schemas import agent, chat, decision, delivery, fleet, forge, gate, issue, memory, money, repo, work
from schemas.errors import NotAllowed
from schemas.event import Event


class Actor(StrEnum):
    """The roles that write to the log."""

    CONDUCTOR = "conductor"
    WATCH = "watch"
    PROJECTOR = "projector"
    DEV_E = "dev-e"
    REVIEW_E = "review-e"
    AGENT = "agent"
    """Every agent that has no role of its own; which it is, its source says: `agent/monitor-e`."""
    LOCAL = "local"
    GITHUB = "github"
    DISCORD = "discord"
    SLACK = "slack"
    CLI = "cli"
    DASHBOARD = "dashboard"


_Events: TypeAlias = frozenset[type[Event]]

_MEMORY: _Events = frozenset(
    {
        memory.MemoryWritten,
        memory.MemoryRead,
        memory.MemoryUsed,
        memory.MemoryForgotten,
        memory.MemoriesCompacted,
        memory.MemoryEmbedded,
    }
)
_AGENT: _Events = _MEMORY | {
    agent.AgentJoined,
    agent.AgentCapacityChanged,
    agent.AgentLeft,
    agent.QuotaReported,
    agent.LoginRequired,
    agent.LoginExpiring,
    agent.ModelUsed,
    chat.MessageSent,
}
_WORKER: _Events = frozenset(
    {
        work.WorkStarted,
        work.WorkPushed,
        work.WorkFailed,
        work.QuestionAsked,
        work.TokensUsed,
        work.CommandBlocked,
    }
)
_REVIEWER: _Events = frozenset({forge.ReviewPassed, forge.ReviewDisputed, forge.ReviewAbstained})
_ASKED_FOR: _Events = frozenset({issue.IssueApproved, issue.IssueRevised, issue.IssueWithdrawn})
_WISHES: _Events = frozenset(
    {
        issue.Stopped,
        issue.RetryRequested,
        issue.AssignRequested,
        issue.PriorityChanged,
        issue.QuestionAnswered,
        gate.GateApproved,
        gate.GateRejected,
        gate.GateBypassed,
        money.BudgetRaised,
    }
)
"""What people say of work that is under way, wherever they say it."""
_OPERATOR: _Events = frozenset({fleet.Paused, fleet.Resumed})
_DELIVERY: _Events = frozenset(
    {
        delivery.Deployed,
        delivery.SmokePassed,
        delivery.SmokeFailed,
        delivery.EndToEndPassed,
        delivery.EndToEndFailed,
        delivery.Verified,
    }
)
_REPOSITORIES: _Events = frozenset({repo.RepositoryAdded, repo.RepositoryConfigured, repo.RepositoryRemoved})
_FORGE: _Events = (
    _ASKED_FOR
    | _REVIEWER
    | _REPOSITORIES
    | {
        forge.PullRequestOpened,
        forge.PullRequestUpdated,
        forge.PullRequestClosed,
        forge.ChecksPassed,
        forge.ChecksFailed,
        forge.ReviewWanted,
        forge.MergeConflicted,
        forge.MergeRefused,
        forge.Merged,
        forge.Reverted,
        forge.EffectRecorded,
        repo.MainChecksFailed,
        repo.MainChecksPassed,
        repo.AuditCompleted,
    }
)
_CHAT: _Events = (
    _ASKED_FOR
    | _WISHES
    | _OPERATOR
    | {
        chat.MessageReceived,
        chat.CommandReceived,
        chat.MessagesForgotten,
        forge.EffectRecorded,
        memory.MemoryWritten,
        memory.MemoryForgotten,
    }
)
_CONDUCTOR: _Events = frozenset(
    {
        decision.IssueRefused,
        decision.IssueWaiting,
        decision.IssueAssigned,
        decision.IssueUnassigned,
        decision.ReviewRequested,
        decision.MergeRequested,
        decision.IssueEscalated,
        decision.IssueOrphaned,
        decision.IssueNeedsHuman,
        decision.IssueDone,
        decision.DeadlineSet,
        decision.DeadlinePassed,
        gate.GateTriggered,
        gate.GateReminded,
        money.BudgetReserved,
        money.BudgetSettled,
        money.BudgetReleased,
        money.BudgetExceeded,
        agent.AgentStuck,
        agent.AgentSuspended,
        agent.AgentDeadlineSet,
        agent.AgentDeadlinePassed,
        fleet.Decided,
        fleet.MilestoneCompleted,
        fleet.TierChanged,
        fleet.IncidentOpened,
        fleet.IncidentEscalated,
        fleet.IncidentClosed,
        fleet.FleetDeadlineSet,
        fleet.FleetDeadlinePassed,
        fleet.ScheduleFired,
    }
)

MAY_SAY: dict[Actor, _Events] = {
    Actor.CONDUCTOR: _CONDUCTOR,
    Actor.WATCH: frozenset(
        {
            agent.AgentSilent,
            agent.AgentBack,
            fleet.HaltDetected,
            fleet.HaltCleared,
            fleet.CanaryIssued,
            fleet.CanaryReturned,
        }
    ),
    # It only reads but for this: it looks after what is remembered, as the read side has it.
    Actor.PROJECTOR: frozenset({memory.MemoryForgotten, memory.MemoriesCompacted}),
    Actor.DEV_E: _AGENT | _WORKER,
    Actor.REVIEW_E: _AGENT | _REVIEWER | {work.TokensUsed},
    Actor.AGENT: _AGENT | {agent.AgentScheduled, agent.AgentWoken, agent.AgentRested},
    Actor.LOCAL: _FORGE,
    Actor.GITHUB: _FORGE | _WISHES | _DELIVERY,
    Actor.DISCORD: _CHAT,
    Actor.SLACK: _CHAT,
    Actor.CLI: _ASKED_FOR
    | _WISHES
    | _OPERATOR
    | _DELIVERY
    | _REPOSITORIES
    | {
        fleet.PolicyAdopted,
        fleet.LogRestored,
        agent.AgentWoken,
        chat.MessageReceived,
        chat.CommandReceived,
        chat.MessagesForgotten,
        memory.MemoryWritten,
        memory.MemoryForgotten,
    },
    Actor.DASHBOARD: _WISHES | _OPERATOR | {chat.MessagesForgotten, memory.MemoryWritten, memory.MemoryForgotten},
}

_SAYINGS: Final = frozenset((actor, event) for actor, events in MAY_SAY.items() for event in events)


def check_may_say(actor: str, event: type[Event]) -> None:
    """Raises NotAllowed when the table does not let `actor` say `event`, naming who may."""
    if (actor, event) in _SAYINGS:
        return
    who = ", ".join(role.value for role, events in MAY_SAY.items() if event in events) or "nobody"
    raise NotAllowed(f"{actor} may not say {event.__name__}; {who} may")
