"""What `rig up` tells a person, or as JSON a program: the rig is ready and where things are, and what happens to parts.

For people the one line "ready" is on standard output and the rest on standard error; as JSON every line is one object
on standard output. Nobody need listen: the rig runs on when whoever read this has left.
"""

import sys
from dataclasses import fields

import msgspec

from bridges.terminal.output import tell
from bridges.terminal.policy import Adoption
from deploy.embedded.cluster import Cluster
from deploy.guard import NotStarted
from deploy.home import Home
from deploy.redact import redacted
from deploy.supervisor import Crashed, Failed, Ready, Restarting, Started, Stopped
from deploy.up import News, Rig, Unwitnessed, Upgraded
from schemas import one_line

__all__ = ["Screen"]

NO_CODER = (
    "nobody writes code, since no coder was given: issues are taken in and wait."
    " Give one with --coder 'command:PROGRAM ARGUMENT…' (or scripted:PATH), or in RIG_CODER"
)


class Screen:
    """One `rig up`."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._up = False

    def news(self, news: News) -> None:
        """Something happened to a part."""
        if self._as_json:
            _object(_as_object(news))
            return
        match news:
            case Started() | Stopped() | Failed():
                return  # as wanted; or told in full at the end
            case Ready() if not self._up:
                return
            case Ready() | Crashed() | Restarting() | NotStarted() | Upgraded() | Unwitnessed():
                tell(sys.stderr, str(news))

    def ready(self, rig: Rig, provider: str | None) -> None:
        """Every role is ready. `provider`: the coder's name (its command line may hold secrets)."""
        self._up = True
        nats, postgres = redacted(rig.servers.nats_url), redacted(rig.servers.postgres_url)
        if self._as_json:
            _object(
                {
                    "state": "ready",
                    "seconds": round(rig.seconds, 3),
                    "nats_url": nats,
                    "postgres_url": postgres,
                    "data": str(rig.home.path),
                    "logs": str(rig.home.logs),
                    "agents": list(rig.agents),
                    "coder": provider,
                    "github": None if rig.github is None else {"api": rig.github.api, "http": rig.github.http},
                    "policy": rig.policy.hash,
                    "lossy": rig.lossy,
                }
            )
            return
        coder = "" if provider is None else f" with {provider}"
        agents = f"{', '.join(rig.agents)}{coder}" if rig.agents else "none"
        tell(
            sys.stdout,
            f"ready after {rig.seconds:.1f} s · nats {nats} · postgres {postgres} · data {rig.home.path}"
            f" · logs {rig.home.logs} · agents {agents}{_github(rig)} · policy {rig.policy.hash}",
        )
        tell(sys.stderr, _policy(rig.policy))
        if rig.lossy is not None:
            tell(sys.stderr, f"not safe: {rig.lossy}")
        if provider is None:
            tell(sys.stderr, NO_CODER)

    def cluster_ready(self, cluster: Cluster, home: Home, seconds: float) -> None:
        """`rig cluster`: every node is up, and the streams are there."""
        self._up = True
        if self._as_json:
            data = str(home.cluster)
            _object(
                {
                    "state": "ready",
                    "seconds": round(seconds, 3),
                    "nats_url": cluster.url,
                    "replicas": len(cluster.nodes),
                    "data": data,
                }
            )
            return
        tell(sys.stdout, f"ready after {seconds:.1f} s · nats {cluster.url} · data {home.cluster}")
        tell(
            sys.stderr,
            f"for a rig on it: RIG_NATS_URL={cluster.url} RIG_NATS_REPLICAS={len(cluster.nodes)} rig up",
        )

    def stopped(self) -> None:
        """All is put away."""
        if self._as_json:
            _object({"state": "stopped"})
        else:
            tell(sys.stderr, "stopped")


def _github(rig: Rig) -> str:
    return "" if rig.github is None else f" · github {rig.github.site}, webhooks at {rig.github.http}"


def _policy(adoption: Adoption) -> str:
    by = one_line(adoption.by, 100)
    if adoption.already:
        return f"policy {adoption.hash} is in force since position {adoption.position}, by {by}: `rig policy show`"
    before = "" if adoption.before is None else f", in place of {one_line(adoption.before, 40)}"
    return f"policy {adoption.hash} is adopted (position {adoption.position}){before}: `rig policy show`"


def _as_object(news: News) -> dict[str, object]:
    said = {field.name: getattr(news, field.name) for field in fields(news)}
    failure = said.pop("failure", None)
    state = "not_started" if isinstance(news, NotStarted) else type(news).__name__.lower()
    return {"state": state, **said, **({"detail": redacted(str(failure))} if failure is not None else {})}


def _object(value: dict[str, object]) -> None:
    tell(sys.stdout, msgspec.json.encode(value).decode())
