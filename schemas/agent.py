"""Events about an agent's replica. Heartbeats are not among them: they live in presence."""

from enum import StrEnum
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from schemas.event import AgentEvent
from schemas.fields import Epoch, Instant, Line, Run, Text, Tokens, Usd
from schemas.refs import IssueRef, Name

Percent: TypeAlias = Annotated[float, Meta(ge=0, le=1_000)]
"""Of what a provider allows; more than 100 is said by some."""


class AgentJoined(AgentEvent, frozen=True, kw_only=True):
    """A replica is up and takes work. Its name is stable: joining again replaces what it said before."""

    boot: Run
    role: Name
    capabilities: tuple[str, ...] = ()
    provider: str
    models: tuple[str, ...] = ()
    slots: Annotated[int, Meta(ge=0)]
    version: str


class AgentCapacityChanged(AgentEvent, frozen=True, kw_only=True):
    """The replica takes more or less work at once from now on."""

    boot: Run
    slots: Annotated[int, Meta(ge=0)]
    degraded: tuple[str, ...] = ()
    """What does not work there now. A replica that names anything gets no new work."""


class LeaveReason(StrEnum):
    """Why a replica went."""

    STOPPED = "stopped"
    FAILED = "failed"


class AgentLeft(AgentEvent, frozen=True, kw_only=True):
    """The replica takes no more work."""

    boot: Run
    reason: LeaveReason


class AgentSilent(AgentEvent, frozen=True, kw_only=True):
    """No sign of life from the replica since then; said by the watch once that has lasted."""

    since: Instant


class AgentBack(AgentEvent, frozen=True, kw_only=True):
    """The replica that fell silent gives signs of life again."""

    since: Instant


class AgentStuck(AgentEvent, frozen=True, kw_only=True):
    """The replica has been silent for so long that its work is taken from it."""

    issue: IssueRef
    epoch: Epoch
    silent_seconds: Annotated[float, Meta(ge=0)]


class SuspensionReason(StrEnum):
    """Why a replica gets no work for now."""

    QUOTA = "quota"
    AUTH = "auth"


class AgentSuspended(AgentEvent, frozen=True, kw_only=True):
    """No more work goes to the replica: until its quota resets, or until it joins again with a login that works."""

    boot: Run
    reason: SuspensionReason
    until: Instant | None = None
    """None: until it joins again."""


class QuotaReported(AgentEvent, frozen=True, kw_only=True):
    """How much of its quota the replica (or reviewer) has used."""

    provider: str
    five_hour_percent: Percent
    weekly_percent: Percent
    resets_at: Instant | None = None
    """When the one that is used up resets."""


class LoginRequired(AgentEvent, frozen=True, kw_only=True):
    """The replica works again when a person has logged it in."""

    provider: str
    url: str = ""
    """Where a person can do that, from anywhere; "": on the replica's machine."""
    code: str = ""
    """What has to be entered there; good for some minutes."""


class LoginExpiring(AgentEvent, frozen=True, kw_only=True):
    """The replica's login ends soon."""

    provider: str
    url: str = ""
    at: Instant


class AgentDeadlineKind(StrEnum):
    """What is waited for of a replica."""

    QUOTA = "quota"
    """Its quota resets."""
    SILENT = "silent"
    """It has been silent, and its work is taken from it."""


class AgentDeadlineSet(AgentEvent, frozen=True, kw_only=True):
    """When something is due of the replica. Replaces its deadline of that kind before it."""

    kind: AgentDeadlineKind
    at: Instant


class AgentDeadlinePassed(AgentEvent, frozen=True, kw_only=True):
    """The timer of a replica's deadline fired; it counts only while that deadline lives."""

    kind: AgentDeadlineKind
    at: Instant


class ModelUsed(AgentEvent, frozen=True, kw_only=True):
    """One call of a model through the gateway. What a coding CLI uses in a run is told by TokensUsed."""

    call: Run
    """Its id."""
    role: Name
    """Whose budget it counts against."""
    purpose: Line
    """What it was for: chat, summary, review, learning, embedding."""
    provider: Line
    model: Line
    input: Tokens = 0
    output: Tokens = 0
    cache_read: Tokens = 0
    cache_write: Tokens = 0
    cost_usd: Usd | None = None
    """None: nobody knows the price."""
    assumed_usd: Usd | None = None
    """What it counts for in the budgets where nobody knows the price: rather too much."""
    issue: IssueRef | None = None
    """The work that it was for, whose budgets it counts against too."""

    @property
    def counts_usd(self) -> float:
        """What it takes from the budgets."""
        return (self.cost_usd if self.cost_usd is not None else self.assumed_usd) or 0.0


class WokenBy(StrEnum):
    """What wakes an agent."""

    SCHEDULE = "schedule"
    EVENT = "event"
    MESSAGE = "message"
    WEBHOOK = "webhook"
    PERSON = "person"


class AgentWoken(AgentEvent, frozen=True, kw_only=True):
    """The agent has something to do. Until it has rested from it that is open, whichever replica takes it up.

    Its id follows from agent, `by`, `key` and `due` (schemas.waking): however often it is said, it is one.
    """

    run: Run
    by: WokenBy
    key: Line
    """Which of these: the schedule's name, the id of the event or the message, the delivery's."""
    due: Instant | None = None
    """Of a schedule: for when it was."""
    text: Text = ""
    """What it was told."""


class Scheduled(Struct, frozen=True, kw_only=True):
    """When an agent wakes by one of its schedules."""

    name: Name
    cron: Line
    """A cron expression of five fields, or @daily and the like."""
    zone: Line
    """Whose clock it goes by: a name of the IANA time zone database."""


class AgentScheduled(AgentEvent, frozen=True, kw_only=True):
    """These are the agent's schedules from now on. One that is new, or at other times than before, begins here."""

    schedules: tuple[Scheduled, ...]


class RestOutcome(StrEnum):
    """How it went."""

    DONE = "done"
    LIMITED = "limited"
    """It came to a limit of its turns, its time or its money, and said so."""
    FAILED = "failed"
    CANCELLED = "cancelled"


class AgentRested(AgentEvent, frozen=True, kw_only=True):
    """The agent is through with what it was woken for."""

    run: Run
    outcome: RestOutcome
    detail: Text = ""
    """Its last words, or why it came no further."""
    turns: Annotated[int, Meta(ge=0)] = 0
    cost_usd: Usd | None = None
    """None: nobody knows the price."""
