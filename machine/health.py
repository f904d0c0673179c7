"""/livez and /readyz of a long-running process, for an orchestrator or a person: what is, never what should be.

    /livez    200 while the main function runs; a stuck event loop does not answer at all, which is an answer too
    /readyz   200 when the start is over, nothing asks for a stop, and every dependency is well; else 503
              body: {"ready": …, "checks": {"nats": {"ok": …, "detail": …}, …}}

Imports aiohttp, so it is imported only by a process that serves it.
"""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict

from aiohttp import web

from machine.lifecycle import Lifecycle, Misconfigured

__all__ = ["serve"]

OK = 200
UNAVAILABLE = 503
SHUTDOWN_SECONDS = 1.0

log = logging.getLogger(__name__)


@asynccontextmanager
async def serve(life: Lifecycle, address: str) -> AsyncGenerator[str]:
    """Serve both at `address` ("host:port", port 0 for any); yields, and logs, where that is.

    Raises Misconfigured when one cannot listen there.
    """
    host, port = _parse(address)

    async def livez(_: web.Request) -> web.Response:
        return web.json_response({"live": life.running}, status=OK if life.running else UNAVAILABLE)

    async def readyz(_: web.Request) -> web.Response:
        checks = {name: asdict(check) for name, check in life.checks.items()}
        body = {"ready": life.is_ready, "checks": checks}
        return web.json_response(body, status=OK if life.is_ready else UNAVAILABLE)

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz)])
    # Nobody waits for a probe's idle connection, and probes are not worth a log line each.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:  # taken, not ours, or no such host
            raise Misconfigured(f"health address {address!r}: cannot listen there: {error.strerror}") from None
        bound_host, bound_port = runner.addresses[0][:2]
        where = f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}"
        log.info("health at %s/livez and %s/readyz", where, where)
        yield where
    finally:
        await runner.cleanup()


def _parse(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal() and int(port) < 1 << 16):
        raise Misconfigured(f"health address {address!r}: write host:port, for example 127.0.0.1:8080")
    return host.strip("[]"), int(port)
