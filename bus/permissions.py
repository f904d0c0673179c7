"""What each key lets its holder do, as data: generated from who may say what, and from the streams. Pure.

A principal is a role with a key. The server gives each an account of its own, into which only what stands here is
imported from the account of the streams (`STORE`). Permissions of one shared account would not do, measured: the server
publishes the answer to a request wherever the request says, and asks nobody's permission. Whoever may read a stored
message could so have it stored again on another's subject, with a body of his own choice, or have an acknowledgement
put there. Out of an account of its own no answer leads to another's subjects, and nobody hears another's answers. (To
pass on answers of many messages, the server keeps 0.8 KiB for each such question: for ten seconds where something is
read, for two minutes where work is pulled.)

    STORE     the streams, and `admin`, who makes them and writes nothing; and `restore`, who puts a lost log back: no
              process of a running rig holds that key, for it says again what everybody has said
    a role    exactly: what it may say, its own branches of the streams beside the log, the durables that it works on,
              reading, and the services that it asks or serves

No role may create, change or delete a stream or a consumer: a push consumer can be pointed at any subject.
"""

from typing import Final

from msgspec import Struct

from bus.suitable import DURABILITY_SUBJECT
from bus.topology import (
    DEAD,
    FIRED,
    INBOX,
    LEASES,
    LOG,
    OBJECTS,
    PRESENCE,
    PROJECTED,
    RECEIVED,
    RUNS,
    TIMERS,
    WANTED,
    WORK,
    Durable,
    Stream,
)
from schemas import MAY_SAY, Actor, Event, IssueAssigned

STORE: Final = "RIG"
"""The account that holds the streams."""
ADMIN: Final = "admin"
"""The key that makes streams and durables, for `rig up` alone."""
RESTORE: Final = "restore"
"""The key that puts a lost log back, for `rig restore` alone."""
QUERY: Final = "query"
ROLES: Final = (*(actor.value for actor in Actor), QUERY)
KEEPERS: Final = (ADMIN, RESTORE)
"""Those of the streams' own account."""
PRINCIPALS: Final = (*ROLES, *KEEPERS)
ANSWERS: Final = "_INBOX.>"
"""Of the principal's own account: nobody else can listen there."""
ANSWER_SECONDS: Final = 120
"""How long a service may take to answer what it was asked: once, wherever the question says."""


class Permissions(Struct, frozen=True, kw_only=True):
    """All that a key lets its holder do."""

    publish: tuple[str, ...]
    """To the streams and their server."""
    subscribe: tuple[str, ...] = ()
    """To what the server says again once it is stored."""
    asks: tuple[str, ...] = ()
    """Services, by their names."""
    serves: str | None = None
    """The service that it is."""

    @property
    def may_publish(self) -> tuple[str, ...]:
        """Every subject, as the server is told."""
        return (*self.publish, DURABILITY_SUBJECT, *(service(name) for name in self.asks))

    @property
    def may_subscribe(self) -> tuple[str, ...]:
        """Every subject, as the server is told."""
        own = (service(self.serves), "$SRV.>") if self.serves is not None else ()
        return (ANSWERS, *self.subscribe, *own)


class _Needs(Struct, frozen=True):
    """What a role needs beyond what it may say and what every role may read."""

    branches: tuple[str, ...] = ()
    """It writes below these; each names it."""
    reads: tuple[Stream, ...] = ()
    works_on: tuple[Durable, ...] = ()
    asks: tuple[str, ...] = ()
    serves: str | None = None
    looks_at: tuple[Durable, ...] = ()
    """How much waits there, and nothing of it is taken."""


_EVERYBODY_READS: Final = (LOG, PRESENCE, LEASES)
_AGENT: Final = ("presence", "run", "lease", "object")


def _agent(actor: Actor, *asks: str) -> _Needs:
    """Which of the two it is, work given to its role or timers of its own, the tables of the topology say."""
    branches = [f"{branch}.{actor.value}.>" for branch in _AGENT]
    if actor in TIMERS:
        branches.append(_timers(actor))
    works_on = [durables[actor] for durables in (WORK, FIRED) if actor in durables]
    if actor is Actor.REVIEW_E:
        works_on.append(WANTED)
    return _Needs(tuple(branches), (RUNS, OBJECTS), tuple(works_on), ("query", "conductor", *asks))


def _timers(actor: Actor) -> str:
    return f"timer.{actor.value}.set.>"


_NEEDS: Final = {
    Actor.CONDUCTOR.value: _Needs(
        ("lease.conductor.>", _timers(Actor.CONDUCTOR)), works_on=(FIRED[Actor.CONDUCTOR],), serves="conductor"
    ),
    Actor.DEV_E.value: _agent(Actor.DEV_E, "github"),
    Actor.REVIEW_E.value: _agent(Actor.REVIEW_E, "github"),
    Actor.AGENT.value: _agent(Actor.AGENT),
    # It looks from outside: at the log, at who gives signs of life, at what is dead, at what was delivered and waits,
    # at how far the read side is.
    Actor.WATCH.value: _Needs(
        ("lease.watch.>",), (DEAD, INBOX), looks_at=tuple(RECEIVED.values()), asks=("local", "query")
    ),
    # It buries what the read side cannot take, and shows all that is buried.
    Actor.PROJECTOR.value: _Needs(
        (f"dead.letter.{PROJECTED.stream.name}.{PROJECTED.name}",), (DEAD,), serves="projector"
    ),
    Actor.LOCAL.value: _Needs(("lease.local.>",), serves="local"),
    Actor.GITHUB.value: _Needs(
        ("inbox.github.>", "object.github.>", "lease.github.>"),
        (INBOX, OBJECTS),
        (RECEIVED[Actor.GITHUB],),
        serves="github",
    ),
    Actor.DISCORD.value: _Needs(("lease.discord.>",), asks=("local", "query")),
    Actor.SLACK.value: _Needs(("lease.slack.>",), asks=("local", "query")),
    Actor.DASHBOARD.value: _Needs(reads=(RUNS,), asks=("query",)),
    # What is given up is a person's to look after: to send it again, or to let it be.
    Actor.CLI.value: _Needs(("dead.retry.>", "dead.dropped.>"), (RUNS, DEAD), asks=("local", "github", "query")),
    QUERY: _Needs(reads=(RUNS,), asks=("projector",), serves="query"),
}


def service(name: str) -> str:
    """The subjects on which a service is asked."""
    return f"ask.{name}.>"


def permissions(principal: str) -> Permissions:
    """The permissions of one of PRINCIPALS. Raises KeyError for another."""
    if principal == ADMIN:
        return Permissions(publish=("$JS.API.>",))
    if principal == RESTORE:
        return Permissions(publish=("$JS.API.>", *LOG.subjects))
    needs = _NEEDS[principal]
    said = [subject for event in _may_say(principal) for subject in _subjects(principal, event)]
    reads = dict.fromkeys((*_EVERYBODY_READS, *needs.reads, *(durable.stream for durable in needs.works_on)))
    if needs.works_on:
        reads[DEAD] = None
    publish = [*sorted(said), *needs.branches, "$JS.API.INFO"]
    for stream in reads:
        publish += [f"$JS.API.{call}.{stream.name}" for call in ("STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET")]
    for durable in needs.works_on:
        publish += _work(durable)
    publish += [f"$JS.API.CONSUMER.INFO.{durable.stream.name}.{durable.name}" for durable in needs.looks_at]
    return Permissions(
        publish=tuple(publish),
        subscribe=tuple(stream.republish.dest for stream in reads if stream.republish is not None),
        asks=needs.asks,
        serves=needs.serves,
    )


def _may_say(principal: str) -> frozenset[type[Event]]:
    return MAY_SAY[Actor(principal)] if principal in set(Actor) else frozenset()


def _subjects(actor: str, event: type[Event]) -> tuple[str, ...]:
    """Where an actor says an event: about anything, under its own name alone."""
    about = {"issue": "*.*.*.", "repo": "*.*.", "agent": "*.", "chat": "*.*.", "memory": "*.", "fleet": ""}[event.noun]
    subject = f"rig.{event.noun}.{about}{actor}.{event.name()}"
    return (f"{subject}.*",) if event is IssueAssigned else (subject,)


def _work(durable: Durable) -> list[str]:
    """To take from a durable and from where its dead letters come back, and to bury what cannot be handled."""
    grants = [f"dead.letter.{durable.stream.name}.{durable.name}"]
    for each in (durable, durable.retries):
        name = f"{each.stream.name}.{each.name}"
        grants += [
            f"$JS.API.CONSUMER.INFO.{name}",
            f"$JS.API.CONSUMER.MSG.NEXT.{name}",
            # Token by token: within `$JS.ACK.*.*.<ours>.>` there would be `$JS.ACK.<theirs>.<ours>.1.1.1`.
            f"$JS.ACK.{name}.*.*.*.*.*",
            f"$JS.ACK.*.*.{name}.*.*.*.*.>",  # behind a domain and an account
        ]
    return grants
