"""What can be asked and what is answered, by request and reply: the query service's, the forges' and the conductor's.

Answers of the query service are true for one position of the log, which they carry. People and screens ask; who
works reads the log itself. Text in an answer is as it was said: whoever shows it makes it printable.
"""

from schemas.queries.agents import AgentLine, Agents, AgentsRequest
from schemas.queries.allowance import ALLOWANCE, Allowance, AllowanceRequest
from schemas.queries.conversations import (
    AUTHORS_MAX,
    CONVERSATIONS_MAX,
    MESSAGES_MAX,
    ConversationLine,
    Conversations,
    ConversationsRequest,
    MessageLine,
    Messages,
    MessagesRequest,
)
from schemas.queries.credentials import GIT_CREDENTIAL, GitCredential, GitCredentialRequest
from schemas.queries.forge import AddIssue, IssueAdded
from schemas.queries.github import Audited, AuditRequest, DeliveryLog, Looked, LookRequest, RepositoryAudit
from schemas.queries.issues import (
    TIMELINE_MAX,
    Deadline,
    IssueDetail,
    IssueLine,
    IssueRequest,
    Issues,
    IssuesRequest,
    TimelineEntry,
    Verdict,
)
from schemas.queries.letters import DeadLetterLine, DeadLetterPage, DeadLettersRequest, LetterState
from schemas.queries.memories import (
    MEMORIES_MAX,
    REPLACES_MAX,
    FoundMemories,
    FoundMemory,
    Memories,
    MemoriesRequest,
    MemoryLine,
    MemorySearchRequest,
)
from schemas.queries.paging import PAGE_MAX, Position
from schemas.queries.spend import Spend, SpendBy, SpendLine, SpendOnMerged, SpendRequest, Spent
from schemas.queries.status import LeftOut, RepositoryLine, Status, StatusRequest, Writing, WritingRequest

__all__ = [
    "ALLOWANCE",
    "AUTHORS_MAX",
    "CONVERSATIONS_MAX",
    "GIT_CREDENTIAL",
    "MEMORIES_MAX",
    "MESSAGES_MAX",
    "PAGE_MAX",
    "REPLACES_MAX",
    "TIMELINE_MAX",
    "AddIssue",
    "AgentLine",
    "Agents",
    "AgentsRequest",
    "Allowance",
    "AllowanceRequest",
    "AuditRequest",
    "Audited",
    "ConversationLine",
    "Conversations",
    "ConversationsRequest",
    "DeadLetterLine",
    "DeadLetterPage",
    "DeadLettersRequest",
    "Deadline",
    "DeliveryLog",
    "FoundMemories",
    "FoundMemory",
    "GitCredential",
    "GitCredentialRequest",
    "IssueAdded",
    "IssueDetail",
    "IssueLine",
    "IssueRequest",
    "Issues",
    "IssuesRequest",
    "LeftOut",
    "LetterState",
    "LookRequest",
    "Looked",
    "Memories",
    "MemoriesRequest",
    "MemoryLine",
    "MemorySearchRequest",
    "MessageLine",
    "Messages",
    "MessagesRequest",
    "Position",
    "RepositoryAudit",
    "RepositoryLine",
    "Spend",
    "SpendBy",
    "SpendLine",
    "SpendOnMerged",
    "SpendRequest",
    "Spent",
    "Status",
    "StatusRequest",
    "TimelineEntry",
    "Verdict",
    "Writing",
    "WritingRequest",
]
