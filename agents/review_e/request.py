"""What a reviewer is asked, and where that stands in the log: whose work it is, whether it is answered or over. Pure.

A request is about one head of one pull request. Once the pull request is at another head, closed or merged, there is
nothing to say about this one any more.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase

from msgspec import Struct

from schemas import (
    IssueRef,
    IssueWithdrawn,
    Merged,
    Ownership,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    Recorded,
    ReviewDisputed,
    ReviewPassed,
    ReviewRequested,
    ReviewWanted,
    Stopped,
    TokensUsed,
    WorkPushed,
    WorkStarted,
    event_id,
)

__all__ = ["ROLE", "Author", "Request", "Standing", "asked"]

ROLE = "review-e"


class Request(Struct, frozen=True, kw_only=True):
    """One request of a review."""

    id: str
    """Of the event."""
    position: int
    issue: IssueRef
    pull_request: int
    head_sha: str
    reviewer: str
    title: str | None = None
    """Of a pull request that is nobody's issue."""
    author: str | None = None
    """Of the same."""
    correlation: str | None = None

    @property
    def verdict_id(self) -> str:
        """The id of the answer, whatever it is: there is one."""
        return event_id(ROLE, self.id, "verdict")

    def __str__(self) -> str:
        return f"{self.issue}: the review of {self.head_sha[:12]}"


def asked(recorded: Recorded) -> Request | None:
    """The request that an event is; None: it is none."""
    event, about = recorded.event, recorded.event.about
    if not isinstance(about, IssueRef):
        return None
    match event.data:
        case ReviewRequested(pull_request=number, head_sha=head, reviewer=reviewer):
            title = author = None
        case ReviewWanted(pull_request=number, head_sha=head, reviewer=reviewer, title=title, author=author):
            pass
        case _:
            return None
    return Request(
        id=event.id,
        position=recorded.position,
        issue=about,
        pull_request=number,
        head_sha=head,
        reviewer=reviewer,
        title=title,
        author=author,
        correlation=event.correlationid,
    )


class Author(Struct, frozen=True):
    """One run whose work is in the pull request."""

    agent: str
    models: frozenset[str]
    """As PROVIDER/MODEL, as far as it was said; PROVIDER/ where it was not."""


class Standing:
    """The fold of the issue's events, as far as they concern a request."""

    def __init__(self, request: Request) -> None:
        self.over: str | None = None
        """Why nothing is to be said any more."""
        self.disputed: list[ReviewDisputed] = []
        """What this reviewer has found wrong with earlier heads, oldest first."""
        self._request = request
        self._shown: datetime | None = None
        self._owner = Ownership()
        self._agents: dict[str, str] = {}
        self._models: dict[str, set[str]] = {}
        self._pushed: set[str] = set()
        """The runs that pushed this head."""

    @classmethod
    def of(cls, request: Request, events: Iterable[Recorded]) -> "Standing":
        standing = cls(request)
        for recorded in events:
            standing.apply(recorded)
        return standing

    def apply(self, recorded: Recorded) -> None:
        """Folds the next event of the issue."""
        event, request = recorded.event, self._request
        effective = self._owner.apply(event.data)
        if event.id == request.verdict_id:
            self._ends("it is answered")
        match event.data:
            case ReviewPassed() | ReviewDisputed() as said if said.reviewer == request.reviewer:
                if said.head_sha == request.head_sha:
                    self._ends("it is answered")
                elif isinstance(said, ReviewDisputed):
                    self.disputed.append(said)
            case WorkStarted(run=run, agent=agent, provider=provider, model=model):
                self._agents[run] = agent
                self._models.setdefault(run, set()).add(f"{provider}/{model or ''}")
            case TokensUsed(run=run, provider=provider, model=model):
                self._models.setdefault(run, set()).add(f"{provider}/{model}")
            case WorkPushed(head_sha=head, run=run) if head == request.head_sha:
                self._pushed.add(run)
            case PullRequestOpened() | PullRequestUpdated() as shown if shown.pull_request == request.pull_request:
                self._moved(shown.head_sha, event.time, recorded.position)
            case ReviewWanted(pull_request=request.pull_request, head_sha=head):
                self._moved(head, event.time, recorded.position)
            case WorkPushed() if effective and recorded.position > request.position:
                self._ends("the work went on")
            case PullRequestClosed(pull_request=request.pull_request) if recorded.position > request.position:
                self._ends("the pull request was closed")
            case Merged() | IssueWithdrawn() | Stopped() if recorded.position > request.position:
                self._ends(event.data.name().replace("_", " "))
            case _:
                pass

    @property
    def authors(self) -> Sequence[Author]:
        """Whoever worked on the issue; what models there were, of the runs that pushed this head."""
        return [
            Author(agent, frozenset(self._models.get(run, ())) if run in self._pushed else frozenset())
            for run, agent in self._agents.items()
        ]

    def own_work(self, names: Iterable[str], models: Iterable[str]) -> str | None:
        """Why a reviewer by these names, for whom work of these models (patterns) is its own, gives no verdict."""
        mine = frozenset(names)
        if self._request.author in mine:
            return f"{self._request.author} is the author"
        for author in self.authors:
            if author.agent in mine:
                return f"{author.agent} has worked on it"
            for model in sorted(author.models):
                if any(fnmatchcase(model, pattern) for pattern in models):
                    return f"it was written by {model}, whose work is not to be reviewed here"
        return None

    def _moved(self, head: str, time: datetime, position: int) -> None:
        """Of two that tell what is shown the source's later time wins, at equal time the later position."""
        if self._shown is not None and time < self._shown:
            return
        self._shown = time
        if head != self._request.head_sha and position > self._request.position:
            self._ends("the pull request is at another commit")

    def _ends(self, why: str) -> None:
        self.over = self.over or why
