"""The states of an issue: the words that the conductor's fold, the read models and the screens share."""

from enum import StrEnum


class IssueState(StrEnum):
    """Where an issue stands. Each is left by an event, or is final until a person says otherwise."""

    QUEUED = "queued"
    """Approved, and nobody has it."""
    ASSIGNED = "assigned"
    """Given to a role, not claimed yet."""
    IN_PROGRESS = "in_progress"
    """Claimed: a run works on it."""
    IN_REVIEW = "in_review"
    """Pushed: the pull request, its checks or its review are awaited."""
    CHANGES_REQUESTED = "changes_requested"
    """Checks failed or a reviewer disputed the current head."""
    READY_TO_MERGE = "ready_to_merge"
    """Every verdict that is needed has passed for the current head."""
    GATED = "gated"
    """A person must let it through."""
    MERGING = "merging"
    """The forge was asked to merge."""
    MERGE_CONFLICT = "merge_conflict"
    """Head and base do not merge."""
    DEPLOYING = "deploying"
    """Merged: what the policy asks for after that is awaited."""
    DONE = "done"
    """Merged, and verified where that is asked for; nothing more is due."""
    ESCALATED = "escalated"
    """The rig has done what it may; a person decides."""
    REFUSED = "refused"
    """Cannot be taken until it is revised."""
    STOPPED = "stopped"
    """A person stopped it; it waits for a person to ask again."""
    WITHDRAWN = "withdrawn"
    """Nobody wants it any more."""

    @property
    def final(self) -> bool:
        """Whether nothing happens until a person speaks."""
        return self in _FINAL


_FINAL = frozenset(
    {IssueState.DONE, IssueState.ESCALATED, IssueState.REFUSED, IssueState.STOPPED, IssueState.WITHDRAWN}
)
