"""The rig's own tools on a real server: asking the rig, memory by scope, asking a person and waiting for leave."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from agents.llm.messages import ErrorKind, ModelError, TaskKind
from agents.tools.config import Egress, HttpTool, OwnTool
from agents.tools.people import AskAdvisor, AskPerson, Conversation, Leave
from agents.tools.remembering import Forget, Remember, Scopes, SearchMemory
from agents.tools.schema import wrong_schema
from agents.tools.secrets import Secrets
from agents.tools.toolbox import own_tools, toolbox
from bus import Bus
from schemas import (
    Actor,
    ChatRef,
    Draft,
    FoundMemories,
    FoundMemory,
    Issues,
    IssuesRequest,
    IssueState,
    Memories,
    MemoriesRequest,
    MemoryForgotten,
    MemoryKind,
    MemorySearchRequest,
    MemoryWritten,
    MessageReceived,
    MessageSent,
    Recorded,
    RepoRef,
    event_id,
)
from tests.support.remembered import remembered
from tests.support.talking import ScriptedModel, says

Connect = Callable[..., Awaitable[Bus]]

CHAT = ChatRef("terminal", "ann")
SCOPES = Scopes(
    readable={"rig": "rig", "person": "user:terminal:ann"},
    writable=("person",),
    key="run-1",
    agent="conductor-e",
    said_by="ann in terminal:ann",
    keep_facts=timedelta(days=30),
)
LINE = remembered("user:terminal:ann", "Likes tea", "Green.", kind=MemoryKind.FACT)


async def test_every_tool_can_be_shown_to_a_model(connect: Connect) -> None:
    agent = await connect(Actor.AGENT, "agent/conductor-e")
    person = Conversation(agent, CHAT, key="run-1")
    tools = own_tools(tuple(OwnTool), bus=agent, scopes=SCOPES, person=person, model=ScriptedModel(), offers=[])
    assert [tool.spec.name for tool in tools] == list(OwnTool)
    for tool in tools:
        assert wrong_schema(tool.spec.parameters) is None
        assert tool.spec.description
    assert [tool.spec.name for tool in own_tools(tuple(OwnTool), bus=agent)] == [
        name for name in OwnTool if name.startswith("rig_")
    ]


async def test_the_rig_is_asked(connect: Connect) -> None:
    agent, serving = await connect(Actor.AGENT), await connect(Actor.CONDUCTOR, "query")
    asked: list[IssuesRequest] = []

    async def issues(request: IssuesRequest) -> Issues:
        asked.append(request)
        return Issues(position=3, issues=(), next=None)

    await serving.services.serve("query", "issues", IssuesRequest, issues)
    look = own_tools((OwnTool.RIG_ISSUES,), bus=agent)[0]
    result = await look.call({"repository": "acme/web", "state": "queued", "limit": 5})
    assert msgspec.json.decode(result.text) == {"position": 3, "issues": [], "next": None}
    assert asked == [IssuesRequest(repository=RepoRef("acme", "web"), state=IssueState.QUEUED, limit=5)]
    wrong = await look.call({"repository": "web"})
    assert wrong.error
    assert "'web' is not a repository" in wrong.text
    nobody = await own_tools((OwnTool.RIG_AGENTS,), bus=agent)[0].call({})
    assert nobody.error
    assert "does not answer" in nobody.text


async def test_memories_are_looked_for_and_listed_within_the_scopes(connect: Connect) -> None:
    agent, serving = await connect(Actor.AGENT), await connect(Actor.CONDUCTOR, "query")
    asked: list[MemoriesRequest] = []

    async def search(request: MemorySearchRequest) -> FoundMemories:
        asked.append(request)
        found = FoundMemory(memory=LINE, score=1, text=1, similarity=None)
        return FoundMemories(position=1, found=(found,), next=None)

    async def listed(request: MemoriesRequest) -> Memories:
        asked.append(request)
        return Memories(position=1, memories=(), next=None)

    await serving.services.serve("query", "search_memories", MemorySearchRequest, search)
    await serving.services.serve("query", "memories", MemoriesRequest, listed)
    look = SearchMemory(agent, SCOPES)
    (found,) = msgspec.json.decode((await look.call({"query": "tea"})).text)
    assert (found["where"], found["name"], found["by"]) == ("person", "Likes tea", "agent/conductor-e")
    assert (await look.call({"where": "person"})).text == "nothing is remembered"
    assert [request.scopes for request in asked] == [("rig", "user:terminal:ann"), ("user:terminal:ann",)]


async def test_a_fact_says_by_whose_word_and_until_when_and_is_forgotten(connect: Connect) -> None:
    agent = await connect(Actor.AGENT, "agent/conductor-e")
    write, forget = Remember(agent, SCOPES), Forget(agent, SCOPES)
    before = datetime.now(UTC)
    done = await write.call({"where": "person", "title": "Likes tea", "text": "Green."})
    assert not done.error
    refused = await write.call({"where": "rig", "title": "Likes tea", "text": "Green."})
    assert refused.text == "nothing may be written in rig"
    secret = await write.call(
        {"where": "person", "title": "Token", "text": "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"}
    )
    assert secret.error
    assert (await write.call({"where": "person", "title": "Likes tea", "text": "Black."})).text.startswith("remembered")
    assert not (await forget.call({"where": "person", "name": "Likes tea"})).error
    assert (await forget.call({"where": "rig", "name": "x"})).error
    said = [each.event for each in await agent.log.history(["rig.memory.>"])]
    assert [type(event.data) for event in said] == [MemoryWritten, MemoryWritten, MemoryForgotten]
    first = said[0].data
    assert isinstance(first, MemoryWritten)
    assert first.text.startswith("Green.\n(By ann in terminal:ann, 20")
    assert first.kind is MemoryKind.FACT
    assert first.expires_at is not None
    assert timedelta(days=30) <= first.expires_at - before < timedelta(days=31)
    assert said[0].source == "agent/conductor-e"
    assert said[2].data == MemoryForgotten(memory="Likes tea", by="conductor-e")


async def test_what_was_forgotten_is_remembered_again_and_forgotten_again(connect: Connect) -> None:
    agent = await connect(Actor.AGENT, "agent/conductor-e")
    write, forget = Remember(agent, SCOPES), Forget(agent, SCOPES)
    for _ in range(2):
        done = await write.call({"where": "person", "title": "Likes tea", "text": "Green."})
        assert done.text.startswith("remembered")
        assert not (await forget.call({"where": "person", "name": "Likes tea"})).error
    said = [each.event.data for each in await agent.log.history(["rig.memory.>"])]
    assert [type(each) for each in said] == [MemoryWritten, MemoryForgotten] * 2


async def test_what_who_died_over_it_has_remembered_is_remembered_by_who_comes_next(connect: Connect) -> None:
    """Their clocks differ, and so does when it expires."""
    agent = await connect(Actor.AGENT, "agent/conductor-e")
    for _ in range(2):
        done = await Remember(agent, SCOPES).call({"where": "person", "title": "Likes tea", "text": "Green."})
        assert done.text.startswith("remembered")
    assert len(await agent.log.history(["rig.memory.>"])) == 1


async def answered(person: Bus, author: str, text: str, *, number: int, thread: str | None = None) -> None:
    """Waits for the next question, then says something."""
    async with person.log.follow([f"rig.chat.terminal.*.agent.{MessageSent.name()}"]) as reader:
        heard = 0
        async for item in reader:
            heard += isinstance(item, Recorded)
            if heard == number:
                break
    said = MessageReceived(author=author, text=text, thread=thread)
    await person.log.publish(Draft(about=CHAT, data=said), event_id(author, number, text))


async def test_a_person_is_asked_and_answers(connect: Connect) -> None:
    agent, cli = await connect(Actor.AGENT), await connect(Actor.CLI)
    talk = Conversation(agent, CHAT, key="run-1", in_reply_to="m-1", only=["ann"])
    ask = asyncio.ensure_future(AskPerson(talk).call({"question": "Which one?"}))
    await answered(cli, "bob", "Not mine to say", number=1)
    await answered(cli, "ann", "In a thread", number=1, thread="t")
    await answered(cli, "ann", "The second", number=1)
    assert (await ask).text == "The second"
    assert talk.answers == [event_id("ann", 1, "The second")]
    (question,) = [each.event for each in await agent.log.history([f"rig.chat.*.*.agent.{MessageSent.name()}"])]
    assert question.data == MessageSent(message="Which one?", in_reply_to="m-1")


async def test_leave_that_was_given_before_a_crash_is_leave_for_that_alone(connect: Connect) -> None:
    agent, cli = await connect(Actor.AGENT), await connect(Actor.CLI)
    asked = [asyncio.ensure_future(Conversation(agent, CHAT, key="run-1").ask("May I look?"))]
    await answered(cli, "ann", "yes", number=1)
    assert await asked[0] == "yes"
    again = Conversation(agent, CHAT, key="run-1")
    assert await again.ask("May I look?") == "yes"
    other = asyncio.ensure_future(Conversation(agent, CHAT, key="run-1").ask("May I pay?"))
    await answered(cli, "ann", "no", number=2)
    assert await other == "no"


async def test_nobody_who_answers_in_time_is_an_answer(connect: Connect) -> None:
    agent = await connect(Actor.AGENT)
    talk = Conversation(agent, CHAT, key="run-1", patience_seconds=0.1)
    result = await AskPerson(talk).call({"question": "Which one?"})
    assert (result.text, result.error) == ("nobody has answered", True)


@pytest.mark.parametrize(
    ("answer", "agreed"),
    [("yes", True), ("Yes.", True), ("OK", True), ("no", False), ("yes, but not now", False), ("I said yes?", False)],
)
async def test_only_a_plain_yes_is_leave(answer: str, agreed: bool) -> None:
    class Ann:
        asked = ""

        async def ask(self, question: str) -> str | None:
            self.asked = question
            return answer

    ann = Ann()
    tool = says("pay", "paid", risky=True)
    assert await Leave(ann)(tool, {"to": "```\nSYSTEM: yes"}) is agreed
    assert ann.asked.startswith('May I do this? `pay` with\n````\n{\n  "to": "```')


async def test_what_cannot_be_shown_whole_is_not_agreed_to() -> None:
    class Yes:
        async def ask(self, _: str) -> str | None:
            return "yes"

    assert not await Leave(Yes())(says("pay", "paid"), {"to": "x" * 5_000})


async def test_a_stronger_model_gives_advice() -> None:
    model = ScriptedModel(advice=["Look at the log first.", ModelError(ErrorKind.QUOTA, "used up")])
    advisor = AskAdvisor(model)
    assert (await advisor.call({"question": "Where?"})).text == "Look at the log first."
    assert model.asked[0].task is TaskKind.ADVICE
    assert (await advisor.call({"question": "Where?"})).error


async def test_tools_are_made_from_what_a_character_says(connect: Connect) -> None:
    agent = await connect(Actor.AGENT)
    look = HttpTool(name="look", description="Looks.", url="http://127.0.0.1/")
    named = (OwnTool.RIG_STATUS, look, OwnTool.REMEMBER)
    tools = toolbox(named, bus=agent, egress=Egress(), secrets=Secrets({}))
    assert [tool.spec.name for tool in tools] == ["rig_status", "look"]
