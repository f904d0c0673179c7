"""What the rig can be asked: the query service's answers, as tools. They change nothing.

What is answered is as it was said by whoever said it (a title, a finding): the loop shows it as a quotation.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from agents.llm.messages import Schema, ToolSpec
from agents.tools.config import OwnTool
from agents.tools.tool import Arguments, ToolResult
from bus import Bus, NoService, Refused
from schemas import (
    Agents,
    AgentsRequest,
    BadReference,
    DeadLetterPage,
    DeadLettersRequest,
    IssueDetail,
    IssueRef,
    IssueRequest,
    Issues,
    IssuesRequest,
    IssueState,
    RepoRef,
    Spend,
    SpendRequest,
    Status,
    StatusRequest,
)
from schemas.errors import MALFORMED
from schemas.queries import SpendBy

__all__ = ["QUESTIONS", "AskingRig"]

_AT_ONCE: Final = 30
"""Lines of one answer, unless more are asked for."""


class _Question(Struct, frozen=True):
    endpoint: str
    description: str
    properties: Mapping[str, Schema]
    request: Callable[[Arguments], Struct]
    """Raises BadReference or a decoding error."""
    answer: type[Struct]
    required: tuple[str, ...] = ()


def _issues(said: Arguments) -> Struct:
    place = said.get("repository")
    state = said.get("state")
    return IssuesRequest(
        repository=None if place is None else RepoRef.parse(str(place)),
        state=None if state is None else IssueState(str(state)),
        after=msgspec.convert(said.get("after", 0), int),
        limit=msgspec.convert(said.get("limit", _AT_ONCE), int),
    )


def _spend(said: Arguments) -> Struct:
    return msgspec.convert({"by": said.get("by", SpendBy.AGENT), "since": said.get("since")}, SpendRequest)


_REPOSITORY: Final[Schema] = {"type": "string", "description": "OWNER/REPO, like acme/web"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 100}
_AFTER: Final[Schema] = {"type": "integer", "minimum": 0, "description": "`next` of the answer before, to go on"}
_STATE: Final[Schema] = {"type": "string", "enum": [state.value for state in IssueState]}

QUESTIONS: Final[Mapping[OwnTool, _Question]] = {
    OwnTool.RIG_STATUS: _Question(
        "status", "How the rig stands: issues by state, agents, repositories.", {}, lambda _: StatusRequest(), Status
    ),
    OwnTool.RIG_ISSUES: _Question(
        "issues",
        "The issues of the rig, the oldest first: state, priority, who works on it, why it waits.",
        {"repository": _REPOSITORY, "state": _STATE, "limit": _COUNT, "after": _AFTER},
        _issues,
        Issues,
    ),
    OwnTool.RIG_ISSUE: _Question(
        "issue",
        "Everything about one issue, with what happened to it, in order.",
        {"issue": {"type": "string", "description": "OWNER/REPO#NUMBER, like acme/web#42"}},
        lambda said: IssueRequest(issue=IssueRef.parse(str(said["issue"])), timeline=_AT_ONCE),
        IssueDetail,
        ("issue",),
    ),
    OwnTool.RIG_AGENTS: _Question(
        "agents", "Every agent: whether it is there, and what it works on.", {}, lambda _: AgentsRequest(), Agents
    ),
    OwnTool.RIG_SPEND: _Question(
        "spend",
        "What was spent, in US dollars and tokens.",
        {
            "by": {"type": "string", "enum": [by.value for by in SpendBy]},
            "since": {"type": "string", "description": "from this day on, like 2026-01-31"},
        },
        _spend,
        Spend,
    ),
    OwnTool.RIG_DEAD_LETTERS: _Question(
        "dead_letters",
        "What could not be handled and waits for a person.",
        {"limit": _COUNT, "after": _AFTER},
        lambda said: msgspec.convert({"limit": _AT_ONCE, **said}, DeadLettersRequest),
        DeadLetterPage,
    ),
}


class AskingRig:
    """One of the questions; a `Tool`."""

    safe = True
    risky = False

    def __init__(self, name: OwnTool, bus: Bus) -> None:
        self._question = QUESTIONS[name]
        self._bus = bus
        parameters: dict[str, object] = {
            "type": "object",
            "properties": dict(self._question.properties),
            "required": list(self._question.required),
            "additionalProperties": False,
        }
        self.spec = ToolSpec(name.value, self._question.description, parameters)

    async def call(self, arguments: Arguments) -> ToolResult:
        """Asks, and answers in JSON."""
        question = self._question
        try:
            request = question.request(arguments)
            answer = await self._bus.services.ask("query", question.endpoint, request, question.answer)
        except (BadReference, Refused, NoService, ValueError, *MALFORMED) as error:
            return ToolResult(str(error), error=True)
        return ToolResult(msgspec.json.encode(answer).decode())
