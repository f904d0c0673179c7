"""What the watch knows of one issue, and of the place where it lives. Pure.

Of an issue that is in hand either a decision is owed, or the time for something runs. `issues` and `facts` say which.
"""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct, field

from schemas import (
    DeadlineKind,
    Delivery,
    GateReason,
    IssueRef,
    IssueWaiting,
    Overrides,
    Ownership,
    Policy,
    Recorded,
    Tier,
)


class Rest(StrEnum):
    """Why the rig need not move an issue."""

    NEW = "new"
    """Nobody has approved it yet."""
    REFUSED = "refused"
    HOMELESS = "homeless"
    """Refused, since its repository is not under the rig."""
    ESCALATED = "escalated"
    STOPPED = "stopped"
    WITHDRAWN = "withdrawn"


class Due(Struct, frozen=True):
    """A deadline that lives."""

    kind: DeadlineKind
    at: datetime


class Owed(Struct, frozen=True):
    """What a decision must follow."""

    since: datetime
    position: int
    what: str
    """The event's name."""
    ended: Due | None = None
    """The deadline that it ended, where that may yet be taken back: a pull request that is closed is shown again."""


class Home(Struct, frozen=True):
    """What a repository says of itself that changes who counts there."""

    reviewers: tuple[str, ...]
    overrides: Overrides


class Law(Struct, frozen=True):
    """What counts where an issue lives, when something is said of it."""

    policy: Policy
    home: Home | None
    tired: bool = False
    """Whether one of its reviewers has used up its quota: then perhaps nobody can be asked for now."""

    def hears(self, by: str) -> bool:
        """Whether this person may answer at a gate."""
        own = self.home.overrides.approvers if self.home is not None else None
        allowed = self.policy.gates.approvers if own is None else own
        return not allowed or by in allowed

    def holds(self, labels: tuple[str, ...]) -> bool:
        """Whether one of these labels keeps an issue from being merged."""
        blocking = {label.casefold() for label in self.policy.gates.blocking_labels}
        return any(label.casefold() in blocking for label in labels)

    @property
    def driven(self) -> bool:
        """Whether there are changes that a person drives. Which they are is the conductor's to say."""
        return Tier.T3 in (self.policy.tiers.otherwise, *self.policy.tiers.begin.values())

    @property
    def delivery(self) -> Delivery:
        own = self.home.overrides.delivery if self.home is not None else None
        return self.policy.delivery if own is None else own

    def routes(self, reviewer: str) -> bool:
        """Whether somebody else must be asked, or a person told, when this reviewer will not say."""
        return self.home is not None and reviewer in self.home.reviewers and not self.tired


class Issue(Struct):
    """One issue. At most one of `owed` and `due` is set: a decision is to come, or the time is running."""

    ref: IssueRef
    rest: Rest | None = Rest.NEW
    """None: it is in hand."""
    heard: set[str] = field(default_factory=set[str])
    """Ids of what people and forges said: said again, it is nothing new."""
    ownership: Ownership = field(default_factory=Ownership)
    owed: Owed | None = None
    due: Due | None = None
    wanting: datetime | None = None
    """Since when it could be worked on, and is neither assigned nor explained."""
    waiting: IssueWaiting | None = None
    """The explanation that holds."""

    question: str | None = None
    """The run that waits for an answer."""
    gates: set[tuple[GateReason, str | None]] = field(default_factory=set[tuple[GateReason, str | None]])
    """Where it waits for a person, as far as that is sure; none: who answers need not be answered."""
    pushed: str | None = None
    """The head that its owner pushed last."""
    pull_request: int | None = None
    """The one that the forge shows; None: there is none, or it is not sure which."""
    review: tuple[str, str] | None = None
    """The head and the reviewer of the last request for a review."""
    merge: str | None = None
    """The head that was to be merged last."""
    merges: set[str] = field(default_factory=set[str])
    """Merge commits that the forge has told of."""
    merged: str | None = None
    """The merge that is to be delivered."""
    reverted: bool = False
    """Whether that was taken out again."""
    smoked: set[int] = field(default_factory=set[int])
    """Attempts in which what was deployed did not answer."""
    tested: datetime | None = None
    """When the tests of the whole ended last, by their own clock."""
    shown: datetime | None = None
    """When the forge showed a pull request last, by its own clock: what is older changes nothing."""
    answered: datetime | None = None
    """When it would not merge, by its own clock: checks from before that may be of a base that is no more."""

    def begin(self, said: Recorded) -> None:
        """Somebody wants it done, from the beginning."""
        self.rest = None
        self.owe(said)
        self.want(said.stored_at)
        self.smoked.clear()
        if self.reverted:
            self.merged, self.reverted, self.pull_request = None, False, None

    def put_down(self, rest: Rest) -> None:
        self.rest = rest
        self.owed = self.due = self.wanting = self.waiting = None
        self.leave()

    def owe(self, said: Recorded, *, ended: Due | None = None) -> None:
        self.owed = Owed(said.stored_at, said.position, said.event.data.name(), ended)
        self.due = None

    def take_back(self) -> None:
        """What ended the wait holds no more, before anybody could decide on it."""
        if self.owed is not None and self.owed.ended is not None:
            self.owed, self.due = None, self.owed.ended

    def want(self, at: datetime | None) -> None:
        self.wanting, self.waiting = at, None

    def leave(self) -> None:
        """Nobody is asked any more."""
        self.question = None
        self.gates.clear()
