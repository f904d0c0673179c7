"""One role as a process: `rig run ROLE`, which is `python -m deploy.roles ROLE`. The supervisor starts roles this way.

Configured by the environment (see `settings`), it connects as the right actor, watches the connection, and hands over
to its room. It imports what its own role needs and nothing else: starting is most of what a restart costs.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import cast

from bus import Bus, BusError, LogChanged, Unavailable
from deploy.failures import NoGit
from deploy.redact import hide, redacted
from deploy.settings import GATEWAY, GITHUB, Settings
from deploy.telemetry import telemetry
from deploy.tools import GET_GIT, git_version
from machine import lifecycle
from machine.lifecycle import Lifecycle, Misconfigured
from machine.sandbox import NoSandbox, Sandbox, kept
from schemas import Actor, Invalid

__all__ = ["Role", "main", "needs", "run"]

CONNECT_SECONDS = 30.0
"""How long the NATS server may take to be there. A role that has waited so long fails, and is started again."""
WATCH_SECONDS = 1.0
FAILED = 1
WRONG_USAGE = 2

log = logging.getLogger(__name__)


class Role(StrEnum):
    """What a process can be."""

    CONDUCTOR = "conductor"
    PROJECTOR = "projector"
    QUERY = "query"
    LOCAL = "local"
    GITHUB = "github"
    WATCH = "watch"
    DEV_E = "dev-e"
    REVIEW_E = "review-e"
    AGENT = "agent"


def needs(role: Role) -> tuple[str, ...]:
    """The variables without which a role cannot run."""
    match role:
        case Role.PROJECTOR | Role.QUERY:
            return ("RIG_NATS_URL", "RIG_POSTGRES_URL")
        case Role.DEV_E:
            return ("RIG_NATS_URL", "RIG_CODER")
        case Role.REVIEW_E:
            return ("RIG_NATS_URL", GATEWAY)
        case Role.AGENT:
            return ("RIG_NATS_URL", "RIG_CHARACTER", GATEWAY)
        case Role.GITHUB:
            return ("RIG_NATS_URL", GITHUB)
        case Role.CONDUCTOR | Role.LOCAL | Role.WATCH:
            return ("RIG_NATS_URL",)


def run(role: Role, environ: Mapping[str, str]) -> int:
    """Is that role until asked to stop; the process's exit code: 0, 1 failed, 2 cannot run with what it was given."""
    _log_to_stderr()
    try:
        settings = Settings.read({**environ, "RIG_AGENT": environ.get("RIG_AGENT") or f"{role}-1"}, needs=needs(role))
    except Invalid as wrong:
        for problem in wrong.problems:
            log.error("%s", problem)
        return WRONG_USAGE
    hide(settings.confidential)
    failures: list[str] = []

    async def work(life: Lifecycle) -> None:
        try:
            await _live(role, settings, life)
        except Exception as error:
            causes = _causes(error)
            if hopeless := next((cause for cause in causes if isinstance(cause, Misconfigured)), None):
                raise hopeless from None
            if changed := next((cause for cause in causes if isinstance(cause, LogChanged)), None):
                # Started again it would go on with a log in which something is missing, and write behind that.
                raise Misconfigured(f"{changed}; `rig up` says more, before it starts anybody") from None
            if not all(isinstance(cause, BusError) for cause in causes):
                raise
            failures.extend(map(str, causes))  # known, so said in a line, without where in the code it happened

    with telemetry(f"rig-{role}", environ):
        code = lifecycle.run(work, health_address=settings.health)
    for failure in failures:
        log.error("%s", failure)
    return FAILED if failures else code


async def _live(role: Role, settings: Settings, life: Lifecycle) -> None:
    if role in (Role.LOCAL, Role.DEV_E, Role.REVIEW_E):
        await _check_git()
    bus = await _unless_stopped(life, _connected(role, settings))
    if bus is None:
        return
    async with bus:
        life.check("nats", ok=True)
        working = asyncio.ensure_future(_start(role, settings)(bus, life))
        watching = asyncio.ensure_future(_watch(bus, life))
        try:
            await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()  # raises: it does not end otherwise
            await working
        finally:
            for task in (working, watching):
                task.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)


async def _check_git() -> None:
    """Before such a role says that it is ready: it could do nothing."""
    try:
        await git_version()
    except NoGit as error:
        raise Misconfigured(f"{error}; {GET_GIT}") from None


def _start(role: Role, settings: Settings) -> Callable[[Bus, Lifecycle], Awaitable[None]]:
    """The role's own part: it runs until `life.stop`, and says when it is ready."""
    postgres_url = settings.postgres_url or ""  # there where it is needed: see `needs`
    match role:
        case Role.CONDUCTOR:
            from conductor.shell import run_conductor

            return run_conductor
        case Role.PROJECTOR:
            from conductor.projector import run_projector

            return lambda bus, life: run_projector(bus, life, postgres_url)
        case Role.QUERY:
            from conductor.query import run_query

            return lambda bus, life: run_query(bus, life, postgres_url)
        case Role.LOCAL:
            from bridges.local import shell

            sandbox = _sandbox(settings)
            return lambda bus, life: shell.run(bus, life, scratch=settings.home.forge, sandbox=sandbox)
        case Role.GITHUB:
            return lambda bus, life: _github(bus, life, settings)
        case Role.WATCH:
            from conductor.watch import run_watch

            return run_watch
        case Role.DEV_E:
            return lambda bus, life: _dev_e(bus, life, settings)
        case Role.REVIEW_E:
            return lambda bus, life: _review_e(bus, life, settings)
        case Role.AGENT:
            return lambda bus, life: _agent(bus, life, settings)


def _sandbox(settings: Settings) -> Sandbox | None:
    """What coders, and checks of what they wrote, are kept in: nothing of the rig's own is to be seen there."""
    try:
        return kept(settings.sandboxing, (settings.home.path,))
    except NoSandbox as error:
        raise Misconfigured(str(error)) from None


async def _dev_e(bus: Bus, life: Lifecycle, settings: Settings) -> None:
    from agents.character import Shelf
    from agents.dev_e import manner_of, run_dev_e
    from agents.workspace import WorkspaceInUse

    coder, data = settings.coder or "", settings.home.agents
    try:
        manner = manner_of(Shelf((settings.characters,)).find(Role.DEV_E))
        await run_dev_e(
            bus,
            life,
            name=settings.agent,
            slots=settings.slots,
            coder=coder,
            data_dir=data,
            capabilities=settings.capabilities,
            sandbox=_sandbox(settings),
            disk_bytes=settings.disk_bytes,
            manner=manner,
        )
    except (Invalid, WorkspaceInUse) as error:  # two replicas of one name: no restart helps
        raise Misconfigured(str(error)) from None


async def _review_e(bus: Bus, life: Lifecycle, settings: Settings) -> None:
    from agents.character import Shelf
    from agents.review_e import by_gateways, identity_of, run_review_e
    from agents.workspace import WorkspaceInUse

    if settings.gateways is None:
        raise Misconfigured("no model is configured")
    try:
        character = Shelf((settings.characters,)).load(Role.REVIEW_E)
        reviewers, learners = (  # each with what it knows of the models: no verdict is to suffer from learning
            by_gateways(
                bus, settings.gateways, character.llm, agent=settings.agent, limit_usd=character.budget.cost_usd
            )
            for _ in range(2)
        )
        await run_review_e(
            bus,
            life,
            name=settings.agent,
            slots=settings.slots,
            data_dir=settings.home.agents,
            models=reviewers,
            learners=learners,
            provider=next(iter(settings.gateways.providers), "gateway"),
            identity=identity_of(character, name=settings.reviewer, own_models=settings.reviewer_own),
            disk_bytes=settings.disk_bytes,
        )
    except (Invalid, WorkspaceInUse) as error:
        raise Misconfigured(str(error)) from None


async def _agent(bus: Bus, life: Lifecycle, settings: Settings) -> None:
    from agents.life.role import run_agent

    if settings.character is None or settings.gateways is None or settings.secrets is None:
        raise Misconfigured("no character, or no model, is configured")
    await run_agent(
        bus,
        life,
        file=settings.character,
        gateways=settings.gateways,
        secrets=settings.secrets,
        http=settings.agent_http,
    )


async def _github(bus: Bus, life: Lifecycle, settings: Settings) -> None:
    from bridges.github import shell

    if settings.github is None:
        raise Misconfigured("no account at GitHub is configured")
    await shell.run(bus, life, settings.github)


async def _connected(role: Role, settings: Settings) -> Bus:
    match role:
        case Role.LOCAL:
            actor, source = Actor.LOCAL, "local"
        case Role.GITHUB:
            actor, source = Actor.GITHUB, "github"
        case Role.WATCH:
            actor, source = Actor.WATCH, "watch"
        case Role.PROJECTOR:
            actor, source = Actor.PROJECTOR, "projector"
        case Role.DEV_E:
            actor, source = Actor.DEV_E, f"dev-e/{settings.agent}"
        case Role.REVIEW_E:
            actor, source = Actor.REVIEW_E, f"review-e/{settings.agent}"
        case Role.AGENT:
            name = "agent" if settings.character is None else settings.character.parent.name
            actor, source = Actor.AGENT, f"agent/{name}"
        case Role.CONDUCTOR | Role.QUERY:
            actor, source = Actor.CONDUCTOR, str(role)
    url, key = settings.nats_url or "", settings.nats_key
    return await Bus.connect(url, actor=actor, source=source, key=key, timeout_seconds=CONNECT_SECONDS)


async def _watch(bus: Bus, life: Lifecycle) -> None:
    """Looks every second how the connection is, for ever. Raises Unavailable once it is closed for good."""
    while True:
        try:
            async with asyncio.timeout(WATCH_SECONDS):
                await bus.connection.closed.wait()
        except TimeoutError:
            pass
        else:
            raise Unavailable("the connection to the NATS server was closed for good")
        if not bus.connection.connected:
            life.check("nats", ok=False, detail="the connection is lost; connecting again")
            continue
        try:
            await bus.connection.check()
        except BusError as error:
            life.check("nats", ok=False, detail=str(error))
        else:
            life.check("nats", ok=True)


async def _unless_stopped(life: Lifecycle, connecting: Awaitable[Bus]) -> Bus | None:
    """The bus, or None when the process was asked to stop first."""
    connection = asyncio.ensure_future(connecting)
    stopped = asyncio.ensure_future(life.stop.wait())
    try:
        await asyncio.wait((connection, stopped), return_when=asyncio.FIRST_COMPLETED)
        return connection.result() if connection.done() else None
    finally:
        for task in (connection, stopped):
            task.cancel()
        await asyncio.gather(connection, stopped, return_exceptions=True)


def _causes(error: Exception) -> list[Exception]:
    """What is in a group of groups; an error that is no group is alone."""
    if not isinstance(error, ExceptionGroup):
        return [error]
    group = cast("ExceptionGroup[Exception]", error)
    return [cause for inner in group.exceptions for cause in _causes(inner)]


# ── the log of the process ───────────────────────────────────────────────────


class _Formatter(logging.Formatter):
    """Lines with time and place, exceptions too, without the logins that stand in URLs."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of each request


def main(arguments: Sequence[str]) -> int:
    """`python -m deploy.roles ROLE`."""
    if len(arguments) != 1 or arguments[0] not in set(Role):
        sys.stderr.write(f"usage: python -m deploy.roles {'|'.join(Role)}\n")
        return WRONG_USAGE
    return run(Role(arguments[0]), os.environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
