"""What can be asked and what is answered, by request and reply: the query service's and the local forge's.

Answers of the query service are true for one position of the log, which they carry. People and screens ask; who
works reads the log itself. Text in an answer is as it was said: whoever shows it makes it printable.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from schemas.chat import Attachment
from schemas.decision import DeadlineKind, EscalationReason, Refusal, WaitingReason
from schemas.fields import Branch, Line, Priority, Text
from schemas.memory import MemoryKind
from schemas.refs import IssueRef, Name, RepoRef
from schemas.state import IssueState

PAGE_MAX = 200
"""Issues in one answer."""
TIMELINE_MAX = 200
"""Newest events in the answer about one issue."""
MEMORIES_MAX = 50
"""Memories in one answer; fewer where their texts are long."""
REPLACES_MAX = 100
"""Names of others that an answer tells of one memory."""

CONVERSATIONS_MAX = 100
"""Conversations in one answer."""
AUTHORS_MAX = 20
"""Names in the line of one conversation."""
MESSAGES_MAX = 200
"""Messages in one answer; fewer where they are long."""

Position: TypeAlias = Annotated[int, Meta(ge=0)]

# ── status ───────────────────────────────────────────────────────────────────


class StatusRequest(Struct, frozen=True, kw_only=True):
    """How the rig stands."""

    wait_for: Position | None = None
    """Answer only once the read side has reached this position of the log (bounded; refused when it does not)."""


class RepositoryLine(Struct, frozen=True, kw_only=True):
    """One repository under the rig."""

    repository: RepoRef
    configured: bool
    """Whether the forge has looked at it since it was added."""
    base_branch: str | None
    clone_url: str
    check: str
    reviewers: tuple[str, ...] = ()


class LeftOut(Struct, frozen=True):
    """An event that the read side could not take."""

    position: int
    why: str
    letter: int | None
    """Its dead letter; None: it is being written."""


class Status(Struct, frozen=True, kw_only=True):
    """The log and how far the read side follows it; what there is, counted."""

    position: int
    """The position that this answer is true for."""
    log_position: int
    """The log's last position when asked."""
    behind: int
    skipped: int
    """Positions that hold no event this version can read."""
    issues: dict[IssueState, int]
    agents: int
    """Agents that have joined and not left."""
    repositories: tuple[RepositoryLine, ...]
    lossy: str | None = None
    """How the server may lose what it has acknowledged, where RIG_ALLOW_LOSSY=1 accepts that."""
    left_out: int = 0
    """Events that the read side could not take, and goes on without."""
    left_out_first: tuple[LeftOut, ...] = ()
    """The first of them."""
    dead_letters: int = 0
    """Those that nobody has decided about."""
    writing: str | None = None
    """Why the read side is not written just now; None: it is."""


class WritingRequest(Struct, frozen=True, kw_only=True):
    """How the projector stands; the query service asks it, and tells it in Status."""


class Writing(Struct, frozen=True, kw_only=True):
    """Whether the read side is being written."""

    trouble: str | None
    """Why not just now; None: it is."""


# ── issues ───────────────────────────────────────────────────────────────────


class IssuesRequest(Struct, frozen=True, kw_only=True):
    """Issues, the oldest first, a page at a time."""

    repository: RepoRef | None = None
    state: IssueState | None = None
    after: Position = 0
    """`next` of the page before."""
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 50
    wait_for: Position | None = None


class IssueLine(Struct, frozen=True, kw_only=True):
    """One issue in a list."""

    issue: IssueRef
    state: IssueState
    priority: Priority
    title: str
    agent: str | None
    """Who works on it now."""
    attempts: int
    waiting: tuple[WaitingReason, ...]
    updated: datetime


class Issues(Struct, frozen=True, kw_only=True):
    """One page."""

    position: int
    issues: tuple[IssueLine, ...]
    next: int | None
    """Ask again with `after` set to this; None: that was all."""


class IssueRequest(Struct, frozen=True, kw_only=True):
    """Everything about one issue."""

    issue: IssueRef
    timeline: Annotated[int, Meta(ge=0, le=TIMELINE_MAX)] = TIMELINE_MAX
    """How many of its newest events to tell."""
    wait_for: Position | None = None


class Verdict(Struct, frozen=True, kw_only=True):
    """What checks or a reviewer said about one head commit."""

    passed: bool
    head_sha: str
    base_sha: str | None = None
    """Of checks: the base that head was merged with."""
    by: str
    at: datetime


class Deadline(Struct, frozen=True, kw_only=True):
    """By when something must have come."""

    kind: DeadlineKind
    at: datetime


class TimelineEntry(Struct, frozen=True, kw_only=True):
    """One event of the issue, in words."""

    position: int
    time: datetime
    """The source's own clock."""
    actor: str
    type: str
    summary: str
    """One printable line."""


class IssueDetail(Struct, frozen=True, kw_only=True):
    """Everything a person wants to know about one issue."""

    position: int
    issue: IssueRef
    state: IssueState
    title: str
    body: str
    author: str
    priority: Priority
    depends_on: tuple[IssueRef, ...]
    approved: datetime
    waiting: tuple[WaitingReason, ...]
    waits_for: tuple[IssueRef, ...]
    epoch: int
    """The newest assignment's number; 0: never assigned."""
    run: str | None
    """The run that claimed it last."""
    agent: str | None
    """Who works on it now."""
    attempts: int
    """The last assignment's attempt."""
    branch: str | None
    pull_request: int | None
    url: str
    """Of the pull request."""
    head_sha: str | None
    checks: Verdict | None
    """About the current head."""
    reviews: tuple[Verdict, ...]
    """About the current head."""
    merge_sha: str | None
    findings: str
    """What was last found wrong, in full: failed checks, a dispute, a conflict, a failed run. Empty once done."""
    refusal: Refusal | None
    cycle: tuple[IssueRef, ...]
    escalation: EscalationReason | None
    deadline: Deadline | None
    timeline: tuple[TimelineEntry, ...]
    earlier: int
    """Events before the first one of the timeline."""


# ── agents ───────────────────────────────────────────────────────────────────


class AgentsRequest(Struct, frozen=True, kw_only=True):
    """Everybody who ever joined."""

    wait_for: Position | None = None


class AgentLine(Struct, frozen=True, kw_only=True):
    """One replica of an agent."""

    name: str
    role: str
    slots: int
    busy: tuple[IssueRef, ...]
    """The issues that it works on now."""
    provider: str
    version: str
    joined: datetime
    left: datetime | None


class Agents(Struct, frozen=True, kw_only=True):
    """Agents by name."""

    position: int
    agents: tuple[AgentLine, ...]


# ── money ────────────────────────────────────────────────────────────────────


class SpendBy(StrEnum):
    """By what spending is told apart."""

    AGENT = "agent"
    """By the replica that spent it."""
    ROLE = "role"
    REPOSITORY = "repository"
    ISSUE = "issue"
    DAY = "day"
    """Of UTC."""
    MODEL = "model"


class SpendRequest(Struct, frozen=True, kw_only=True):
    """What was spent, by one thing, a page at a time: the dearest first, days the newest first."""

    by: SpendBy = SpendBy.AGENT
    since: date | None = None
    """From this day on (UTC)."""
    until: date | None = None
    """Up to this day, and with it."""
    repository: RepoRef | None = None
    after: Position = 0
    """`next` of the page before: how many came before."""
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 50
    wait_for: Position | None = None


class Spent(Struct, frozen=True, kw_only=True):
    """What runs have said that they used. Sums are of whole millionths of a dollar: they do not drift."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
    """Reports whose price nobody knows: they are not in the cost."""


class SpendLine(Spent, frozen=True, kw_only=True):
    """Of one agent, role, repository, issue, day or model."""

    name: str
    """Empty: it was not said, which model."""


class SpendOnMerged(Struct, frozen=True, kw_only=True):
    """The changes that were merged on the days that were asked for."""

    changes: int
    reverted: int
    """So many of them were taken out again since."""
    cost_usd: float
    """All that was ever spent on their issues, on whichever day."""
    per_change_usd: float | None
    """None: nothing was merged."""


class Spend(Struct, frozen=True, kw_only=True):
    """One page; what is not a line is of all days and repositories that were asked for, whatever the page."""

    position: int
    lines: tuple[SpendLine, ...]
    next: int | None
    """Ask again with `after` set to this; None: that was all."""
    total: Spent
    merged: SpendOnMerged
    unmerged_usd: float
    """How much of the total went into issues of which nothing was ever merged."""


# ── memory ───────────────────────────────────────────────────────────────────

Scope: TypeAlias = Annotated[str, Meta(min_length=1, max_length=100)]


class MemoriesRequest(Struct, frozen=True, kw_only=True):
    """Memories, those written last first, a page at a time; expired and forgotten ones are not among them."""

    scopes: tuple[Scope, ...] = ()
    """In any of these; none: in all."""
    kinds: tuple[MemoryKind, ...] = ()
    """Of any of these; none: of all."""
    tags: tuple[Line, ...] = ()
    """With every one of these."""
    importance: Annotated[int, Meta(ge=1, le=5)] = 1
    """At least."""
    after: Position = 0
    """`next` of the page before."""
    limit: Annotated[int, Meta(ge=1, le=MEMORIES_MAX)] = 20
    wait_for: Position | None = None


class MemorySearchRequest(MemoriesRequest, frozen=True, kw_only=True):
    """Memories that match, the best first: by their words, and by their meaning where the asker knows a vector."""

    query: Text = ""
    model: Line | None = None
    """Which made the vector; only what the same model made is compared with it."""
    vector: Annotated[tuple[float, ...], Meta(min_length=1, max_length=8_192)] | None = None
    after: Position = 0
    """`next` of the page before: how many came before."""


class MemoryLine(Struct, frozen=True, kw_only=True):
    """One memory, with who wrote it and where."""

    scope: str
    memory: str
    """Its name in its scope."""
    kind: MemoryKind
    title: str
    text: str
    tags: tuple[str, ...]
    importance: int
    expires_at: datetime | None
    about: IssueRef | None
    position: int
    """Where the log says it."""
    written: datetime
    actor: str
    source: str
    hits: int
    """How often a search said that it found it."""
    uses: int
    last_used: datetime | None
    replaces: tuple[str, ...]
    """Memories that became this one: the last of them, where there are more than REPLACES_MAX."""


class Memories(Struct, frozen=True, kw_only=True):
    """One page."""

    position: int
    memories: tuple[MemoryLine, ...]
    next: int | None
    """Ask again with `after` set to this; None: that was all."""


class FoundMemory(Struct, frozen=True, kw_only=True):
    """One memory and how well it matches."""

    memory: MemoryLine
    score: float
    """By which they are in order: words and meaning, times freshness and importance."""
    text: float
    """How well its words match, against the best match found: 0 to 1."""
    similarity: float | None
    """Of its vector and the asker's, 0 to 1; None: there is none to compare."""


class FoundMemories(Struct, frozen=True, kw_only=True):
    """One page."""

    position: int
    found: tuple[FoundMemory, ...]
    next: int | None


# ── dead letters ─────────────────────────────────────────────────────────────


class LetterState(StrEnum):
    """What became of a letter."""

    OPEN = "open"
    RETRIED = "retried"
    DROPPED = "dropped"
    REPLACED = "replaced"
    """The same message was buried again: there is a newer letter about it."""


class DeadLettersRequest(Struct, frozen=True, kw_only=True):
    """What could not be handled, the oldest first, a page at a time."""

    state: LetterState | None = None
    about: Annotated[int, Meta(ge=1)] | None = None
    """Of the message at this position of its stream."""
    after: Position = 0
    """`next` of the page before."""
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 50
    wait_for: Position | None = None


class DeadLetterLine(Struct, frozen=True, kw_only=True):
    """One dead letter, without what it holds of its message."""

    id: int
    """Its position in RIG_DEAD."""
    state: LetterState
    stream: str
    consumer: str
    position: int
    """Of the message in its stream."""
    subject: str
    reason: str
    attempts: int
    time: datetime
    size: int
    """Bytes of the message's body."""
    cause: str | None
    """The retry that failed again, like RIG_DEAD:17."""
    by: str | None = None
    """Who decided about it."""
    because: str | None = None
    decided: datetime | None = None


class DeadLetterPage(Struct, frozen=True, kw_only=True):
    """One page."""

    position: int
    dead_position: int
    """How far RIG_DEAD was read."""
    letters: tuple[DeadLetterLine, ...]
    next: int | None
    """Ask again with `after` set to this; None: that was all."""


# ── conversations ────────────────────────────────────────────────────────────


class ConversationsRequest(Struct, frozen=True, kw_only=True):
    """Conversations on chat platforms, those with the newest message first, a page at a time."""

    platform: Name | None = None
    after: Position = 0
    """`next` of the page before."""
    limit: Annotated[int, Meta(ge=1, le=CONVERSATIONS_MAX)] = 20
    wait_for: Position | None = None


class ConversationLine(Struct, frozen=True, kw_only=True):
    """One conversation, as far as its messages are not forgotten."""

    platform: str
    conversation: str
    messages: int
    first: datetime
    last: datetime
    """Of the first and last message in the log, by the clock of who said it."""
    position: int
    """Of the last message in the log."""
    authors: tuple[str, ...]
    """Who wrote in it, by name; at most AUTHORS_MAX of them."""
    more_authors: bool


class Conversations(Struct, frozen=True, kw_only=True):
    """One page."""

    position: int
    conversations: tuple[ConversationLine, ...]
    next: int | None
    """Ask again with `after` set to this; None: that was all."""


class MessagesRequest(Struct, frozen=True, kw_only=True):
    """Messages of one conversation: its newest, or those before a position; forgotten ones are not among them."""

    platform: Name
    conversation: Annotated[str, Meta(min_length=1, max_length=100)]
    before: Annotated[int, Meta(ge=1)] | None = None
    """`earlier` of the page with those that came later."""
    limit: Annotated[int, Meta(ge=1, le=MESSAGES_MAX)] = 50
    wait_for: Position | None = None


class MessageLine(Struct, frozen=True, kw_only=True):
    """One message, with who said it and where."""

    id: str
    """Of its event: it is forgotten by this."""
    position: int
    """Where the log says it."""
    at: datetime
    actor: str
    source: str
    """Who put it into the log, more exactly than the actor."""
    author: str
    """Of a message to the rig; of one from it, who sent it."""
    text: str
    thread: str | None
    in_reply_to: str | None
    """Id of the event that it answers."""
    attachments: tuple[Attachment, ...]


class Messages(Struct, frozen=True, kw_only=True):
    """One page, the newest last."""

    position: int
    messages: tuple[MessageLine, ...]
    earlier: int | None
    """Ask again with `before` set to this; None: these are the first."""


# ── the local forge ──────────────────────────────────────────────────────────


class AddIssue(Struct, frozen=True, kw_only=True):
    """Asks the local forge to allot a number and say `IssueApproved`."""

    request: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\A[A-Za-z0-9-]+\Z")]
    """The asker's id of this request: the same one again gives the same issue."""
    repository: RepoRef
    title: Line
    body: Text = ""
    author: Line
    priority: Priority = Priority.NORMAL
    depends_on: tuple[IssueRef, ...] = ()
    labels: tuple[Line, ...] = ()
    requires: tuple[Name, ...] = ()
    """What a replica must have to work on it, beside what the repository asks for."""
    milestone: Line | None = None
    base_branch: Branch | None = None


class IssueAdded(Struct, frozen=True, kw_only=True):
    """The issue's number, and where the log holds its approval."""

    issue: IssueRef
    position: int
