"""Who receives, as a process of its own: the bridge's receiver on a bus, or a bare handler that only reads the body.

    python tests/bench/_github_edge.py rig|bare

Prints where it listens; ends with its standard input.
"""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web

sys.path[0] = str(Path(__file__).parents[2])

from bridges.github.receive import PATH, receiving  # noqa: E402 - the path is set above
from bus import Bus  # noqa: E402 - the path is set above
from machine import garbage  # noqa: E402 - the path is set above
from schemas import Actor  # noqa: E402 - the path is set above
from tests.support.deliveries import SECRET  # noqa: E402 - the path is set above


async def bare(request: web.BaseRequest) -> web.StreamResponse:
    await request.read()
    return web.Response(status=202)


async def main(what: str) -> None:
    async with AsyncExitStack() as stack:
        if what == "rig":
            url, key = os.environ["RIG_NATS_URL"], Path(os.environ["RIG_NATS_KEY"])
            bus = await stack.enter_async_context(await Bus.connect(url, actor=Actor.GITHUB, source="github", key=key))
            where = await stack.enter_async_context(receiving(bus.inbox, address="127.0.0.1:0", secrets=[SECRET]))
        else:
            runner = web.ServerRunner(web.Server(bare, access_log=None), shutdown_timeout=1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            where = f"http://{host}:{port}{PATH}"
        print(where, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    garbage.settle()
    asyncio.run(main(sys.argv[1]))
