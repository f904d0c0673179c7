"""One claim of one assignment, and what can be said of it without a look at anything. Pure."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct, structs

from agents.brief import Brief
from agents.coders.driver import Blocked, Usage
from schemas import CommandBlocked, FailureKind, IssueAssigned, IssueRef, TokensUsed, WorkFailed, work_branch

ROLE = "dev-e"
DETAIL_CHARACTERS = 8_192
"""Of WorkFailed.detail and of a command that was blocked; longer ones are cut."""
RULE_CHARACTERS = 200
"""Of the rule by which it was."""
BODY_CHARACTERS = 4_000
"""Of an issue's body in a commit message."""
LEAST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
"""Of an assignment for which this replica lacks something; see `pause`."""


class Run(Struct, frozen=True, kw_only=True):
    """One claim of one assignment."""

    id: str
    issue: IssueRef
    assigned: IssueAssigned
    cause: str
    """Id of the IssueAssigned."""
    correlation: str | None
    traceparent: str | None

    @property
    def branch(self) -> str:
        return work_branch(self.issue.number, self.assigned.epoch, self.id)

    @property
    def session(self) -> str:
        """The rig's name of the conversation with the coder: it goes on over several runs."""
        return self.assigned.resume or self.id

    def failed(self, kind: FailureKind, detail: str, retry_at: datetime | None = None) -> WorkFailed:
        return WorkFailed(
            epoch=self.assigned.epoch,
            run=self.id,
            kind=kind,
            detail=detail[:DETAIL_CHARACTERS],
            retry_at=retry_at,
        )

    def used(self, provider: str, usage: Usage) -> TokensUsed:
        return TokensUsed(epoch=self.assigned.epoch, run=self.id, provider=provider, **structs.asdict(usage))

    def blocked(self, blocked: Blocked) -> CommandBlocked:
        return CommandBlocked(
            epoch=self.assigned.epoch,
            run=self.id,
            command=blocked.command[:DETAIL_CHARACTERS],
            rule=" ".join(blocked.rule.split())[:RULE_CHARACTERS],
        )


def commit_message(what: Brief, run: Run) -> str:
    """Subject, body and trailers of a run's commit."""
    body = what.body.replace("\0", "").strip()[:BODY_CHARACTERS]
    trailers = f"Rig-Issue: {run.issue}\nRig-Run: {run.id}"
    return "\n\n".join(part for part in (what.title, body, trailers) if part) + "\n"


def about_nested(paths: Sequence[str]) -> str:
    """What is to be done about repositories inside the repository."""
    what = "Repositories of their own, whose files cannot be committed here"
    return f"{what}, are left in: {', '.join(paths)}. Remove them, or their .git, or name them in .gitignore."


def pause(age_seconds: float, claim_seconds: float) -> float:
    """How long an assignment goes back for, by its age: at first hardly at all, for another replica may be idle.

    However many replicas lack what it needs, the conductor assigns it anew before bus.outcomes.MAX_ATTEMPTS are used
    up. Clocks may differ, either way.
    """
    return min(max(LEAST_PAUSE_SECONDS, 2 * abs(age_seconds)), max(LONGEST_PAUSE_SECONDS, claim_seconds / 8))
