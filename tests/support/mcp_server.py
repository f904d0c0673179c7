"""A server of tools for tests, made with the official SDK: `python -m tests.support.mcp_server [COUNTER]`.

It counts its starts in the file COUNTER, where one is named.
"""

import asyncio
import os
import sys
from pathlib import Path

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError


def server() -> MCPServer:
    """Tools that are good, slow, huge, failing, and one that ends it all."""
    made = MCPServer("tests", log_level="CRITICAL")

    @made.tool()
    def add(a: int, b: int) -> int:
        """Adds two numbers."""
        return a + b

    @made.tool()
    async def sleep() -> str:
        """Never answers."""
        return str(await asyncio.Event().wait())

    @made.tool()
    def huge() -> str:
        """Says much."""
        return "a" * 500_000

    @made.tool()
    def fail() -> str:
        """Fails."""
        raise ToolError("it cannot be done")

    @made.tool()
    def end() -> str:
        """Ends the server."""
        os._exit(3)

    @made.tool()
    def environment() -> list[str]:
        """Its process, names of its variables, and one of the values."""
        return [str(os.getpid()), *sorted(os.environ), os.environ.get("TOKEN", "")]

    return made


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with Path(sys.argv[1]).open("a") as counter:
            counter.write(".")
    server().run()
