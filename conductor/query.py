"""The query service: answers people and screens from the read side, by NATS request and reply.

Every answer is one moment of the read side and carries the position of the log that it is true for. Nothing on the work
path asks here. With Postgres away it refuses and says so.
"""

from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from bus import Bus, BusError, NoResponder, NoService, Refused
from conductor import recall, spending, talks
from conductor.answers import agent_line, issue_detail, issue_line, timeline_entry
from conductor.moments import Moments
from conductor.postgres import Session, keep_session
from conductor.projector.issues import IssueRow
from conductor.projector.letters import dead_position
from conductor.projector.roster import AgentRow, RepositoryRow
from conductor.vectors import VectorIndexes
from machine.lifecycle import Lifecycle
from schemas import (
    PAGE_MAX,
    Agents,
    AgentsRequest,
    Conversations,
    ConversationsRequest,
    DeadLetterLine,
    DeadLetterPage,
    DeadLettersRequest,
    FoundMemories,
    IssueDetail,
    IssueRef,
    IssueRequest,
    Issues,
    IssuesRequest,
    IssueState,
    LeftOut,
    Memories,
    MemoriesRequest,
    MemorySearchRequest,
    Messages,
    MessagesRequest,
    Spend,
    SpendRequest,
    Status,
    StatusRequest,
    Writing,
    WritingRequest,
    branch,
    decode,
)

T = TypeVar("T")

SERVICE: Final = "query"
STATEMENT_SECONDS: Final = 1.5
"""With the wait for a position, less than an asker waits."""
HEAR_SECONDS: Final = 0.5
"""How long the projector may take to say how it stands: it is not waited for."""
NAMED_MAX: Final = 5
"""Events that the read side leaves out: so many are named, all are counted."""


class _Row(Struct):
    row: str


class _Listed(Struct):
    row: str
    opened: int


class _Count(Struct):
    count: int


class _InState(Struct):
    state: IssueState
    issues: int


class _Busy(Struct):
    agent: str
    issue: str


class _Event(Struct):
    position: int
    body: str


async def run_query(bus: Bus, lifecycle: Lifecycle, postgres_url: str) -> None:
    """Answers until asked to stop."""
    desk = Desk(bus, lifecycle)
    await bus.services.serve(SERVICE, "status", StatusRequest, desk.status)
    await bus.services.serve(SERVICE, "issues", IssuesRequest, desk.issues)
    await bus.services.serve(SERVICE, "issue", IssueRequest, desk.issue)
    await bus.services.serve(SERVICE, "agents", AgentsRequest, desk.agents)
    await bus.services.serve(SERVICE, "spend", SpendRequest, desk.spend)
    await bus.services.serve(SERVICE, "dead_letters", DeadLettersRequest, desk.dead_letters)
    await bus.services.serve(SERVICE, "memories", MemoriesRequest, desk.memories)
    await bus.services.serve(SERVICE, "search_memories", MemorySearchRequest, desk.search_memories)
    await bus.services.serve(SERVICE, "conversations", ConversationsRequest, desk.conversations)
    await bus.services.serve(SERVICE, "messages", MessagesRequest, desk.messages)
    async with desk.vector_indexes.kept(postgres_url):
        await keep_session(
            postgres_url, lifecycle, desk.moments.attend, name="rig query", statement_seconds=STATEMENT_SECONDS
        )


class Desk:
    """Answers requests. Every method raises Refused with the reason."""

    def __init__(self, bus: Bus, lifecycle: Lifecycle) -> None:
        self.vector_indexes = VectorIndexes()
        self.moments = Moments(lifecycle)
        self._bus = bus

    async def status(self, request: StatusRequest) -> Status:
        """The log, the read side, and what there is."""
        async with self.moments.at_least(request.wait_for) as (session, position):
            issues = await session.rows("count_issues", _InState)
            skipped = await _count(session, "count_skipped")
            agents = await _count(session, "count_present")
            repositories = await _models(session, RepositoryRow, "present_repositories", PAGE_MAX)
            left_out = await _count(session, "count_poisoned")
            first = await session.rows("first_poisoned", LeftOut, NAMED_MAX)
            letters = await _count(session, "count_open_letters")
        last = await self._bus.log.last()
        log_position = max(position, 0 if last is None else last.position)
        return Status(
            position=position,
            log_position=log_position,
            behind=log_position - position,
            skipped=skipped,
            issues={row.state: row.issues for row in issues},
            agents=agents,
            repositories=tuple(row.line for row in repositories),
            lossy=self._bus.connection.lossy,
            left_out=left_out,
            left_out_first=tuple(first),
            dead_letters=letters,
            writing=await self._trouble(),
        )

    async def _trouble(self) -> str | None:
        """Why the read side is not written just now, as far as one hears."""
        try:
            asked = self._bus.services.ask(
                "projector", "writing", WritingRequest(), Writing, timeout_seconds=HEAR_SECONDS
            )
            return (await asked).trouble
        except NoService as error:
            return "no projector runs" if isinstance(error.__cause__, NoResponder) else None
        except BusError:
            return None

    async def issues(self, request: IssuesRequest) -> Issues:
        """One page, the oldest first."""
        place, state = request.repository, request.state
        wanted = (
            request.after,
            None if place is None else str(place),
            None if state is None else state.value,
            request.limit + 1,
        )
        async with self.moments.at_least(request.wait_for) as (session, position):
            found = await session.rows("list_issues", _Listed, *wanted)
        page = found[: request.limit]
        return Issues(
            position=position,
            issues=tuple(issue_line(msgspec.json.decode(row.row, type=IssueRow)) for row in page),
            next=page[-1].opened if len(found) > len(page) else None,
        )

    async def issue(self, request: IssueRequest) -> IssueDetail:
        """Everything about one issue; refused when nobody has approved it."""
        ref = request.issue
        async with self.moments.at_least(request.wait_for) as (session, position):
            rows = await _models(session, IssueRow, "one_issue", str(ref))
            if not rows:
                raise Refused(f"there is no issue {ref} (as of position {position} of the log)")
            events = await session.rows("newest_events_about", _Event, branch(ref), request.timeline)
            told = await _count(session, "count_events_about", branch(ref))
        timeline = tuple(timeline_entry(event.position, decode(event.body.encode())) for event in reversed(events))
        return issue_detail(rows[0], position, timeline, told - len(timeline))

    async def agents(self, request: AgentsRequest) -> Agents:
        """Everybody who ever joined, by name."""
        async with self.moments.at_least(request.wait_for) as (session, position):
            rows = await _models(session, AgentRow, "list_agents")
            busy = await session.rows("busy", _Busy)
        return Agents(
            position=position,
            agents=tuple(
                agent_line(row, [IssueRef.parse(at.issue) for at in busy if at.agent == row.name]) for row in rows
            ),
        )

    async def spend(self, request: SpendRequest) -> Spend:
        """What was spent, by one thing, and what came of it."""
        async with self.moments.at_least(request.wait_for) as (session, position):
            return await spending.spend(session, position, request)

    async def dead_letters(self, request: DeadLettersRequest) -> DeadLetterPage:
        """One page, the oldest first."""
        state = None if request.state is None else request.state.value
        async with self.moments.at_least(request.wait_for) as (session, position):
            wanted = (request.after, state, request.about, request.limit + 1)
            found = await _models(session, DeadLetterLine, "list_letters", *wanted)
            read_to = await dead_position(session)
        page = found[: request.limit]
        return DeadLetterPage(
            position=position,
            dead_position=read_to,
            letters=tuple(page),
            next=page[-1].id if len(found) > len(page) else None,
        )

    async def memories(self, request: MemoriesRequest) -> Memories:
        """One page, those written last first."""
        async with self.moments.at_least(request.wait_for) as (session, position):
            return await recall.memories(session, position, request, datetime.now(UTC))

    async def search_memories(self, request: MemorySearchRequest) -> FoundMemories:
        """One page, the best match first; refused where nothing is asked, or a vector without its model."""
        recall.check(request)
        async with self.moments.at_least(request.wait_for) as (session, position):
            return await recall.search(session, position, request, datetime.now(UTC), self.vector_indexes)

    async def conversations(self, request: ConversationsRequest) -> Conversations:
        """One page, those with the newest message first."""
        async with self.moments.at_least(request.wait_for) as (session, position):
            return await talks.conversations(session, position, request)

    async def messages(self, request: MessagesRequest) -> Messages:
        """One page of a conversation, the newest last; refused where there is none."""
        async with self.moments.at_least(request.wait_for) as (session, position):
            return await talks.messages(session, position, request)


async def _models(session: Session, shape: type[T], name: str, *arguments: object) -> list[T]:
    return [msgspec.json.decode(row.row, type=shape) for row in await session.rows(name, _Row, *arguments)]


async def _count(session: Session, name: str, *arguments: object) -> int:
    found = await session.row(name, _Count, *arguments)
    return 0 if found is None else found.count
