"""Servers of tools, by the protocol's official SDK: started, kept running, and believed in nothing but their answers.

https://modelcontextprotocol.io: a program on its standard streams, or a URL (Streamable HTTP). One task owns the
connection to a server; when that breaks it is made anew, a little later each time until it has held for a while. What
a server says of its tools goes to a model as far as it is sound and short: a schema that is none would make a provider
refuse every tool. What it answers is text, bounded by the loop, and compared with what it promised.
"""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import msgspec

from agents.llm.messages import Schema, ToolSpec
from agents.tools.config import Egress, McpServer
from agents.tools.egress import address
from agents.tools.mcp_stdio import stdio
from agents.tools.schema import plain, plain_complaints, wrong_schema
from agents.tools.secrets import Secrets
from agents.tools.tool import Arguments, ToolResult
from schemas import one_line, printable

if TYPE_CHECKING:  # and imported late: it takes a second, and only who has servers needs it
    from mcp import Client
    from mcp_types import CallToolResult
    from mcp_types import Tool as Told

__all__ = ["McpTool", "Server", "ServerAway", "tool_name"]

TOOLS_MAX: Final = 128
"""Of one server; more would leave a model no room."""
PAGES_MAX: Final = 20
DESCRIPTION_CHARACTERS: Final = 2_000
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 60.0
STEADY_SECONDS: Final = 60.0
"""A connection that held for so long was a good one: the next pause is the first again."""
_ODD: Final = str.maketrans({chr(code): "_" for code in range(128) if not (chr(code).isalnum() or chr(code) in "_-")})

log = logging.getLogger(__name__)


class ServerAway(Exception):
    """The server does not run, or has gone away; the message says what is known of that."""


class Server:
    """One server. Its tools are those that it told of when it was last connected to."""

    def __init__(self, name: str, config: McpServer, egress: Egress, secrets: Secrets) -> None:
        self.name = name
        self.config = config
        self.tools: tuple[McpTool, ...] = ()
        self.starts = 0
        """How often it was connected to."""
        self._egress = egress
        self._secrets = secrets
        self._client: Client | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._broken = asyncio.Event()
        self._tried = asyncio.Event()
        """It is connected to, or the last try came to nothing."""
        self._problem = "it is being started"

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator["Server"]:
        """The server while the block runs; when it does not start in time, without tools for now."""
        try:
            await self.started()
            yield self
        finally:
            await self.stopped()

    async def started(self) -> None:
        """Has it kept running from now on; comes back when it runs, or has not started in time: that is logged."""
        self._keeper = self._keeper or asyncio.create_task(self._keep())
        try:
            await self._connected()
        except ServerAway as error:
            log.warning("the server of tools %s is left out: %s", self.name, error)

    async def stopped(self) -> None:
        """Ends it, for good."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))
            self._client, self._problem = None, "it was ended"
            self._tried.set()  # who waits for it waits in vain

    async def call(self, tool: str, arguments: Arguments, *, again: bool) -> "CallToolResult":
        """Calls a tool; if the connection breaks meanwhile, `again` where that does no harm. Raises ServerAway."""
        from mcp import MCPError
        from mcp_types import CONNECTION_CLOSED, CallToolRequest, CallToolRequestParams, CallToolResult

        asked = CallToolRequest(params=CallToolRequestParams(name=tool, arguments=dict(arguments)))
        while True:
            client = await self._connected()
            try:
                # Not `call_tool`: that follows the schema which the server has promised, however long that takes.
                return await client.session.send_request(
                    asked, CallToolResult, request_read_timeout_seconds=self.config.timeout_seconds
                )
            except MCPError as error:
                if error.code != CONNECTION_CLOSED:
                    return _failed(str(error))
                self._lost(client)
                if not again:
                    raise ServerAway(f"{self.name} has gone away; whether it has done that is not known") from None
                again = False

    def without_secrets(self, text: str) -> str:
        """What it says, to a model: it was given secrets, and may repeat them."""
        return self._secrets.taken_out(text)

    async def _connected(self) -> "Client":
        await self._tried.wait()  # which takes `start_seconds` and a pause at most
        if self._client is None:
            raise ServerAway(f"{self.name} does not run: {self._problem}")
        return self._client

    def _lost(self, client: "Client") -> None:
        if self._client is client:
            self._client = None
            self._tried.clear()
            self._broken.set()

    async def _keep(self) -> None:
        """Is connected to it, again and again, for ever."""
        clock = asyncio.get_running_loop().time
        pause = FIRST_PAUSE_SECONDS
        while True:
            before, began = self.starts, clock()
            try:
                await self._connect()
                self._problem = "the connection is closed"
            except TimeoutError:
                self._problem = f"it has not answered within {self.config.start_seconds:g} s"
            except Exception as error:  # noqa: BLE001 - somebody else's program, and the SDK's groups of errors
                self._problem = _why(error, self._secrets)
            self._client = None
            ran = self.starts > before
            if ran and clock() - began >= STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            log.warning("the server of tools %s: %s; once more in %g s", self.name, self._problem, pause)
            if ran and pause == FIRST_PAUSE_SECONDS:
                self._tried.clear()  # who calls now waits for it
            else:
                self._tried.set()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _connect(self) -> None:
        """One connection, until it breaks."""
        from mcp import Client

        self._broken.clear()
        async with asyncio.timeout(self.config.start_seconds) as limit, AsyncExitStack() as stack:
            transport = self._watched(await self._transport(stack))
            client = await stack.enter_async_context(Client(cast("Any", transport), cache=None))
            self.tools = tuple(self._made(await _listed(client)))
            limit.reschedule(None)
            self._client = client
            self.starts += 1
            self._tried.set()
            await self._broken.wait()

    async def _transport(self, stack: AsyncExitStack) -> Any:
        config, put_in = self.config, self._secrets.put_in
        if config.url is None:
            # Its words to people go where ours do.
            errors = sys.__stderr__ or stack.enter_context(open(os.devnull, "w"))  # noqa: ASYNC230, SIM115 - no disk is read; the stack closes it
            env = {name: put_in(text) for name, text in config.env.items()}
            return stdio([config.command or "", *config.args], env, errors)
        from mcp.client.streamable_http import streamable_http_client

        from agents.tools.mcp_http import client

        await address(self._egress, urlsplit(config.url).hostname or "", 0)  # to say it now, and plainly
        headers = {name: put_in(text) for name, text in config.headers.items()}
        http = await stack.enter_async_context(client(self._egress, headers, config.timeout_seconds))
        return streamable_http_client(config.url, http_client=http)

    @asynccontextmanager
    async def _watched(self, transport: Any) -> AsyncGenerator[Any]:
        """The transport; the end of what the server says is the end of the connection, also when nobody asks."""
        import anyio

        async with transport as (reading, writing), AsyncExitStack() as stack:
            pipe, seen = anyio.create_memory_object_stream[Any](0)
            group = await stack.enter_async_context(anyio.create_task_group())

            async def passed_on() -> None:
                async with pipe:
                    async for message in reading:
                        await pipe.send(message)
                self._broken.set()

            group.start_soon(passed_on)
            try:
                yield seen, writing
            finally:
                group.cancel_scope.cancel()
                seen.close()

    def _made(self, told: "Sequence[Told]") -> list["McpTool"]:
        config = self.config
        wanted = [one for one in told if not config.tools or one.name in config.tools]
        if missing := set(config.tools) - {one.name for one in told}:
            log.warning("the server of tools %s has no %s", self.name, ", ".join(sorted(missing)))
        made: dict[str, McpTool] = {}
        for one in wanted[:TOOLS_MAX]:
            name = tool_name(self.name, one.name)
            if name not in made:
                made[name] = McpTool(self, name, one)
        return list(made.values())


class McpTool:
    """One tool of a server; a `Tool`."""

    def __init__(self, server: Server, name: str, told: "Told") -> None:
        said = server.without_secrets(told.description or told.title or told.name)
        description = printable(said[:DESCRIPTION_CHARACTERS])
        self.spec = ToolSpec(name, description, sound(told.input_schema))
        self.safe = told.name in server.config.safe
        self.risky = told.name in server.config.risky
        self._server = server
        self._name = told.name
        self._promised: Schema | None = told.output_schema

    async def call(self, arguments: Arguments) -> ToolResult:
        """What the server answers, as text."""
        try:
            result = await self._server.call(self._name, arguments, again=self.safe)
        except ServerAway as error:
            return ToolResult(str(error), error=True)
        text = "\n\n".join(_text(block) for block in result.content)
        structured = cast("object", result.structured_content)
        if not text and structured is not None:
            text = msgspec.json.encode(structured).decode()
        if self._promised is not None and not result.is_error and structured is not None:
            wrong = plain_complaints(self._promised, structured)
            text += f"\n\n(It is not as the server has promised: {'; '.join(wrong)})" if wrong else ""
        return ToolResult(self._server.without_secrets(text), bool(result.is_error))


def tool_name(server: str, tool: str) -> str:
    """As a model is told: of 64 signs at most, all of which every provider takes."""
    known = "".join(sign if sign.isascii() else "_" for sign in tool).translate(_ODD)
    return f"{server}__{known}"[:64]


def sound(schema: object) -> Schema:
    """A schema that a provider will take: the server's own, or so much of it as is right."""
    for candidate in (schema, plain(schema)):
        if wrong_schema(candidate) is None and isinstance(candidate, dict):
            found = cast("dict[str, object]", candidate)
            if found.get("type") == "object":
                return found
    return {"type": "object"}


async def _listed(client: "Client") -> list["Told"]:
    tools: list[Told] = []
    cursor: str | None = None
    for _ in range(PAGES_MAX):
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        cursor = page.next_cursor
        if cursor is None or len(tools) >= TOOLS_MAX:
            break
    return tools


def _text(block: Any) -> str:
    """What of an answer can be read."""
    match block.type:
        case "text":
            return str(block.text)
        case "resource":
            return str(getattr(block.resource, "text", f"(a resource: {block.resource.uri})"))
        case "resource_link":
            return f"(a link: {block.uri})"
        case kind:
            return f"({one_line(str(kind), 20)} of {one_line(str(block.mime_type), 60)}, which is no text)"


def _failed(text: str) -> "CallToolResult":
    from mcp_types import CallToolResult, TextContent

    return CallToolResult(content=[TextContent(text=text)], is_error=True)


def _why(error: BaseException, secrets: Secrets) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return one_line(secrets.taken_out(f"{type(error).__name__}: {error}"), 300)
