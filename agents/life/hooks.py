"""Requests of other systems that wake an agent: verified, said to the log, and then answered. See webhooks.

202         it is in the log
401         no secret, or a wrong one; of a hook that is not there, too, so that nobody finds out which there are
408 413     too slow; more than the log takes
503         the bus cannot store it now: send it again
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from agents.character.reload import Watched
from agents.life.webhooks import BODY_MAX, delivery_key, proves
from agents.tools.secrets import Secrets
from bus import Bus, BusError, DuplicateMismatch
from machine.lifecycle import Misconfigured
from schemas import AgentRef, Draft, WokenBy, printable, woken

__all__ = ["receiving"]

BODY_SECONDS: Final = 10.0
STORE_SECONDS: Final = 8.0

log = logging.getLogger(__name__)


@asynccontextmanager
async def receiving(bus: Bus, watched: Watched, secrets: Secrets, *, address: str) -> AsyncGenerator[str]:
    """Takes requests in at `address` ("host:port", port 0 for any); yields where. Raises Misconfigured."""

    async def handle(request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await request.read()
        except TimeoutError:
            return web.Response(status=408)
        headers = {name.lower(): value for name, value in request.headers.items()}
        name, agent = request.match_info["hook"], request.match_info["agent"]
        hooks = watched.current.webhooks if agent == watched.current.name else ()
        hook = next((each for each in hooks if each.name == name), None)
        secret = "" if hook is None else secrets.values.get(hook.secret, "")
        now = bus.connection.now()
        if hook is None or not proves(secret, headers, body, now):
            return web.Response(status=401)
        text = printable(body.decode("utf-8", "replace"))
        data, said = woken(agent, WokenBy.WEBHOOK, delivery_key(name, headers, body, now), text=text)
        try:
            draft = Draft(about=AgentRef(agent), data=data)
            await bus.log.publish(draft, said, timeout_seconds=STORE_SECONDS)
        except DuplicateMismatch:
            log.warning("a request for %s is known by its id, and says other words: the first ones count", agent)
        except BusError as error:
            log.warning("a request for %s cannot be stored: %s", agent, error)
            return web.Response(status=503)
        return web.Response(status=202)

    app = web.Application(client_max_size=BODY_MAX)
    app.router.add_post("/hooks/{agent}/{hook}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        host, _, port = address.rpartition(":")
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except (OSError, OverflowError, ValueError) as error:
            raise Misconfigured(f"RIG_AGENT_HTTP {address!r}: cannot listen there: {error}") from None
        bound_host, bound_port = runner.addresses[0][:2]
        where = f"http://{bound_host}:{bound_port}/hooks/{watched.current.name}/"
        log.info("webhooks are taken in below %s", where)
        yield where
    finally:
        await runner.cleanup()
