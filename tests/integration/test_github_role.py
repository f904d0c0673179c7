"""`rig run github` as a process: told everything by the environment, taking in what is signed, showing no secret."""

import asyncio
import hashlib
import hmac
import json
import os
import re
import signal
import sys
import urllib.error
import urllib.request
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bus import Bus, NoService
from deploy.embedded.nats import NatsServer
from schemas import Actor
from schemas.queries import Audited, AuditRequest
from tests.conftest import Connect
from tests.support.scripted import Says, scripted
from tests.support.servers import reaching

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("RIG_")}
SECRET, TOKEN = "the-old-one", "ghp_0123456789abcdefghij"


@asynccontextmanager
async def bridge(**env: str) -> AsyncIterator[Process]:
    """The role, its log on a pipe."""
    argv = ("-P", "-m", "deploy.roles", "github")
    process = await asyncio.create_subprocess_exec(sys.executable, *argv, env={**CLEAN, **env}, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line_with(process: Process, pattern: str) -> re.Match[str]:
    """Reads the log up to a line; the test's time limit is the bound."""
    assert process.stderr is not None
    while line := (await process.stderr.readline()).decode():
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"no {pattern} in the log")


def post(url: str, secret: str, guid: str) -> int:
    body = json.dumps({"zen": "Keep it logically awesome."}).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-GitHub-Event": "ping", "X-GitHub-Delivery": guid}
    request = urllib.request.Request(url, body, {**headers, "X-Hub-Signature-256": f"sha256={signature}"})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


async def test_without_an_account_or_a_secret_it_does_not_start() -> None:
    async with bridge() as process:
        _, log = await process.communicate()
        assert process.returncode == 2
    said = [line.partition(": ")[2].split()[0] for line in log.decode().splitlines()]
    assert said == ["RIG_GITHUB_APP_ID", "RIG_GITHUB_WEBHOOK_SECRET", "RIG_NATS_URL"]


async def test_it_takes_in_what_either_secret_signed_audits_and_ends_when_asked(
    nats: NatsServer, connect: Connect
) -> None:
    person = await connect(Actor.CLI)
    async with scripted() as github:
        github.on("GET", "/user", Says(body={"login": "rig"}))
        env = {
            **reaching(nats, "github"),
            "RIG_HTTP": "127.0.0.1:0",
            "RIG_GITHUB_API": github.url,
            "RIG_GITHUB_TOKEN": TOKEN,
            "RIG_GITHUB_WEBHOOK_SECRET": f"{SECRET},the-new-one",
        }
        async with bridge(**env) as process:
            url = (await line_with(process, r"webhooks are taken in at (\S+)"))[1]
            answers = [
                await asyncio.to_thread(post, url, secret, guid)
                for secret, guid in (("the-old-one", "a"), ("the-new-one", "b"), ("another", "c"))
            ]
            assert answers == [202, 202, 401]
            bus = await connect(Actor.GITHUB)
            assert await bus.inbox.known(["a", "b", "c"]) == {"a", "b"}
            assert (await audited(person)).trouble is None
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            rest = (await process.stderr.read()).decode()
            assert await process.wait() == 0
            assert SECRET not in rest
            assert TOKEN not in rest


async def audited(person: Bus) -> Audited:
    while True:
        try:
            return await person.services.ask("github", "audit", AuditRequest(now=True), Audited)
        except NoService:  # it has only begun
            await asyncio.sleep(0.02)
