"""The whole rig on this machine: servers, streams, policy and every role, put together in order and taken apart again.

`running_rig` is that; `rig up`, the demo and the tests share it. What each part does is its own business: see
`embedded.servers`, `supervisor`, `roles`.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from agents.character.document import secrets_of
from agents.character.shelf import load
from agents.coders.driver import CODER_VARIABLES
from agents.llm.gateways import variables as gateway_variables
from bridges.github.config import GitHubConfig
from bridges.terminal.policy import Adoption, in_force
from bridges.terminal.policy import adopt as adopt_policy
from bus import Bus, make_streams
from bus.permissions import ADMIN
from deploy.embedded.servers import Servers, servers
from deploy.guard import ServerReport, guard
from deploy.home import Home, Running
from deploy.logs import keep_bounded
from deploy.restoring import check_log
from deploy.settings import characters_place, github_variables
from deploy.supervisor import Report, RoleSpec, Supervisor
from machine import process
from machine.sandbox import Sandboxing
from schemas import Actor, Policy

__all__ = ["News", "Rig", "Unwitnessed", "Upgraded", "roles_of", "running_rig"]

CONNECT_SECONDS = 5.0
"""How long a server that was given may take to answer."""
READY_SECONDS = 60.0
_NOBODY: Mapping[str, Path] = MappingProxyType({})
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A stream, or who consumes one, was brought in line with this release."""

    change: str

    def __str__(self) -> str:
        return self.change


@dataclass(frozen=True, slots=True)
class Unwitnessed:
    """The log was not compared with the read side, which is away."""

    why: str

    def __str__(self) -> str:
        return self.why


News: TypeAlias = Report | ServerReport | Upgraded | Unwitnessed
"""What happens to the parts of a rig while it starts and runs."""


@dataclass(frozen=True, slots=True)
class Rig:
    """A rig that is up."""

    home: Home
    servers: Servers
    supervisor: Supervisor
    agents: tuple[str, ...]
    github: GitHubConfig | None
    policy: Adoption
    """The one in force, and whether it is so from now on."""
    seconds: float
    """From the beginning until every role was ready."""
    lossy: str | None
    """How the NATS server may lose what it has acknowledged, where RIG_ALLOW_LOSSY=1 accepts that."""
    guards: tuple[asyncio.Task[None], ...]

    async def unless_failed(self, work: Coroutine[Any, Any, T]) -> T:
        """Does the work. Raises RoleFailed, and stops it, once a role has failed for good."""
        doing = asyncio.ensure_future(work)
        roles = asyncio.ensure_future(self.supervisor.wait())
        try:
            await asyncio.wait((doing, roles, *self.guards), return_when=asyncio.FIRST_COMPLETED)
            for task in (roles, *self.guards):
                if task.done():
                    task.result()
            return await doing
        finally:
            for task in (doing, roles):
                task.cancel()
            await asyncio.gather(doing, roles, return_exceptions=True)


@asynccontextmanager
async def running_rig(
    home: Home,
    *,
    coder: str | None = None,
    agents: int = 1,
    reviewers: int = 0,
    slots: int = 1,
    capabilities: Sequence[str] = (),
    sandboxing: Sandboxing = Sandboxing.AUTO,
    disk_bytes: int | None = None,
    characters: Mapping[str, Path] = _NOBODY,
    policy: Policy | None = None,
    nats_url: str | None = None,
    nats_replicas: int | None = None,
    postgres_url: str | None = None,
    github: GitHubConfig | None = None,
    report: Callable[[News], None] = lambda _: None,
) -> AsyncGenerator[Rig]:
    """Everything that makes a rig, ready, on `home`; in the end all of it is stopped and no process is left.

    Servers that are not given by their URL are started; for `nats_replicas` see `bus.ensure`. Without a `coder` (see
    agents.coders) no dev-e runs; `reviewers`, and the `characters` by name with their files, ask the models that the
    environment names. Without `github` there is no bridge to it. `policy` is adopted where it differs from the one in
    force; None keeps that, or is the default on a new log. `report` must be quick. Raises HomeInUse, ServerFailed,
    LogRefused, RoleFailed, BusError.
    """
    began = time.monotonic()
    async with home.lock() as lock:
        home.withdraw()  # what one that was killed had announced
        async with servers(home, nats_url=nats_url, postgres_url=postgres_url) as both:
            admin = both.key(ADMIN)
            changes = await make_streams(
                both.nats_url, key=admin, replicas=nats_replicas, timeout_seconds=CONNECT_SECONDS
            )
            for change in changes:
                if not change.endswith(" was created"):  # that is no news on a new server
                    report(Upgraded(change))
            async with await Bus.connect(
                both.nats_url,
                actor=Actor.CLI,
                source="rig up",
                key=both.key(Actor.CLI),
                timeout_seconds=CONNECT_SECONDS,
            ) as bus:
                unwitnessed = await check_log(bus, both.postgres_url)
                if unwitnessed is not None:
                    report(Unwitnessed(unwitnessed))
                adopted = await adopt(bus, policy)
                lossy = bus.connection.lossy
            names = tuple(f"dev-e-{number}" for number in range(1, agents + 1)) if coder is not None else ()
            roles = roles_of(
                home,
                both,
                names,
                {
                    "RIG_CODER": coder or "",
                    "RIG_SLOTS": str(slots),
                    "RIG_CAPABILITIES": ",".join(capabilities),
                    **({} if disk_bytes is None else {"RIG_DISK_GIB": str(disk_bytes // 1024**3)}),
                },
                github,
                sandboxing=sandboxing,
                reviewers=[f"review-e-{number}" for number in range(1, reviewers + 1)],
                characters=characters,
            )
            guards = [
                asyncio.create_task(guard(name, server, report))
                for name, server, given in (
                    ("nats-server", both.nats, nats_url),
                    ("PostgreSQL", both.postgres, postgres_url),
                )
                if given is None
            ]
            guards.append(asyncio.create_task(keep_bounded(home.logs)))
            try:
                async with Supervisor(roles, home.logs, report=report, keep_open=[lock]) as supervisor:
                    await supervisor.wait_ready(READY_SECONDS)
                    home.announce(Running(both.nats_url, both.postgres_url, os.getpid(), datetime.now(UTC)))
                    yield Rig(
                        home,
                        both,
                        supervisor,
                        (*names, *characters),
                        github,
                        adopted,
                        time.monotonic() - began,
                        lossy,
                        tuple(guards),
                    )
            finally:
                home.withdraw()
                for task in guards:
                    task.cancel()
                await asyncio.gather(*guards, return_exceptions=True)


async def adopt(bus: Bus, policy: Policy | None) -> Adoption:
    """Says which policy is in force, if that is news: see `running_rig`."""
    before = None if policy is not None else await in_force(bus)
    return await adopt_policy(bus, policy or (Policy() if before is None else before.policy))


_OUTWARD = frozenset({"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"})
"""By what way out, and whom to trust there: for who reaches GitHub. Proxies are written small, too."""


def _outward() -> dict[str, str]:
    """Those that are set here: what `rig github check` is told by the environment, the bridge is told, too."""
    return {name: value for name, value in os.environ.items() if name.upper() in _OUTWARD}


def _of_coders() -> dict[str, str]:
    """What coding CLIs are logged in with, and their way to their models: for who runs them, and for nobody else."""
    return {name: os.environ[name] for name in CODER_VARIABLES if name in os.environ}


def of_character(name: str, file: Path) -> dict[str, str]:
    """Who an agent is, the secrets that it names and no other, and where its webhooks come in, if it has any."""
    character = load(file)
    wanted = {f"RIG_SECRET_{secret}{end}" for secret in secrets_of(character) for end in ("", "_FILE")}
    told = {"RIG_CHARACTER": str(file), "RIG_AGENT": name}
    wanted |= {"RIG_AGENT_HTTP"} if character.webhooks else set[str]()
    return told | {key: os.environ[key] for key in wanted if key in os.environ}


def roles_of(
    home: Home,
    both: Servers,
    agents: Sequence[str],
    of_agents: dict[str, str],
    github: GitHubConfig | None,
    *,
    sandboxing: Sandboxing = Sandboxing.AUTO,
    reviewers: Sequence[str] = (),
    characters: Mapping[str, Path] = _NOBODY,
) -> list[RoleSpec]:
    """Each with what it needs to know and no more: its own key, and only who reads PostgreSQL holds its password."""

    def nats(role: str) -> dict[str, str]:
        key = both.key(role)
        return {"RIG_NATS_URL": both.nats_url} | ({} if key is None else {"RIG_NATS_KEY": str(key)})

    postgres = {"RIG_POSTGRES_URL": both.postgres_url}
    place = {"RIG_HOME": str(home.path)}
    who = {"RIG_CHARACTERS": str(characters_place(os.environ))}
    kept = {"RIG_SANDBOX": sandboxing.value}
    worker = of_agents | kept | _of_coders()
    return [
        _role("conductor", "conductor", nats("conductor")),
        _role("local", "local", nats("local") | place | kept),
        *(
            [_role("github", "github", _outward() | nats("github") | github_variables(github))]
            if github is not None
            else []
        ),
        *(_role(name, "dev-e", nats("dev-e") | place | who | worker | {"RIG_AGENT": name}) for name in agents),
        *(
            _role(name, "review-e", nats("review-e") | place | who | _of_reviewers() | {"RIG_AGENT": name})
            for name in reviewers
        ),
        *(
            _role(name, "agent", nats("agent") | _outward() | gateway_variables(os.environ) | of_character(name, file))
            for name, file in characters.items()
        ),
        _role("projector", "projector", nats("projector") | postgres),
        _role("query", "query", nats("query") | postgres),
        _role("watch", "watch", nats("watch")),
    ]


def _of_reviewers() -> dict[str, str]:
    """Which models there are, by what way out, and as whom they review."""
    own = {name: os.environ[name] for name in ("RIG_REVIEWER", "RIG_REVIEWER_OWN", "RIG_SLOTS") if name in os.environ}
    return _outward() | own | gateway_variables(os.environ)


def _role(name: str, role: str, variables: dict[str, str]) -> RoleSpec:
    # -P: a directory `agents` or `schemas` where the rig is started is not ours.
    argv = [sys.executable, "-P", "-m", "deploy.roles", role]
    lossy = {name: os.environ[name] for name in ("RIG_ALLOW_LOSSY",) if name in os.environ}
    return RoleSpec(name, argv, process.environment(variables | lossy, allow=process.ALLOWED_VARIABLES | {"OTEL_*"}))
