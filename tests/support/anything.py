"""Any event that the codec accepts, made from the schemas' own types: a new field is tried without a word here.

Names come from few, so that events speak of the same things; numbers and times reach to their ends. A log that begins
with `opening` is one on which something is decided.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from random import Random
from typing import Any

from msgspec import inspect
from msgspec.structs import replace

from schemas import (
    FLEET,
    Actor,
    AgentJoined,
    AgentRef,
    Budget,
    Changes,
    ChecksPassed,
    Delivery,
    Draft,
    Envelope,
    Environment,
    Event,
    IssueApproved,
    IssueRef,
    Merged,
    Policy,
    PolicyAdopted,
    PullRequestOpened,
    Ref,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    Tier,
    Tiers,
    WorkPushed,
    WorkStarted,
    decode,
    encode,
    envelope,
)
from schemas.actors import MAY_SAY
from schemas.errors import SchemaError
from schemas.refs import ChatRef, MemoryRef

_NAMES = (
    *("dev-e", "dev-e-1", "review-e", "r-1", "r-2", "ci", "code", "docs"),
    *("a" * 40, "b" * 40),
    *("all", "day", "role:dev-e", "repository:acme/web", "issue:acme/web#1", "issue:acme/web#2", "acme/web: ci"),
)
_TEXTS = (*_NAMES, "", "·\x00\u202e", "x" * 9_000)
_TIMES = (
    datetime(1, 1, 2, tzinfo=UTC),
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-10))),
    datetime(2026, 1, 2, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, tzinfo=UTC),
)
_ABOUT: dict[str, list[Ref]] = {
    "issue": [IssueRef("acme", "web", 1), IssueRef("acme", "web", 2)],
    "repo": [RepoRef("acme", "web")],
    "agent": [AgentRef("dev-e-1"), AgentRef("review-e")],
    "chat": [ChatRef("discord", "general")],
    "memory": [MemoryRef("rig")],
    "fleet": [FLEET],
}
_SAYINGS: list[tuple[Actor, type[Event]]] = sorted(
    ((actor, event) for actor, events in MAY_SAY.items() for event in events),
    key=lambda saying: (saying[0], saying[1].__name__),
)
_ALONE = [saying for saying in _SAYINGS if saying[1].noun in ("issue", "repo", "agent", "fleet")]


def _make(some: Random, kind: inspect.Type) -> Any:
    """A value of a type, as msgspec describes it."""
    match kind:
        case inspect.Metadata(type=inner):
            return _make(some, inner)
        case inspect.IntType(ge=least, le=most):
            low = -5 if least is None else int(least)
            return some.choice([low, low + 1, low + 2, 1_000 if most is None else int(most)])
        case inspect.FloatType(ge=least, gt=above, le=most):
            low = float(least) if least is not None else -1.0 if above is None else float(above) + 1e-9
            return some.choice([low, low + 1.5, 1e9 if most is None else float(most)])
        case inspect.StrType(pattern=pattern, max_length=longest):
            return some.choice(_fitting(pattern, longest))
        case inspect.BoolType():
            return some.random() < 0.5
        case inspect.NoneType():
            return None
        case inspect.DateTimeType():
            return some.choice(_TIMES)
        case inspect.EnumType(cls=values):
            return some.choice(list(values))
        case inspect.UnionType(types=types):
            return _make(some, some.choice(types))
        case inspect.VarTupleType(item_type=item):
            return tuple(_make(some, item) for _ in range(some.randrange(3)))
        case inspect.DictType(key_type=key, value_type=value):
            return {_make(some, key): _make(some, value) for _ in range(some.randrange(3))}
        case inspect.StructType(cls=cls) if cls in (IssueRef, RepoRef):
            return some.choice(_ABOUT["issue" if cls is IssueRef else "repo"])
        case inspect.StructType(cls=cls, fields=fields):
            rarely = 0.1 if cls is Policy else 0.5
            given = [one for one in fields if one.required or some.random() < rarely]
            return cls(**{one.name: _make(some, one.type) for one in given})
        case _:
            raise TypeError(f"nothing makes a {kind}: say how")


@cache
def _fitting(pattern: str | None, longest: int | None) -> list[str]:
    return [
        text
        for text in _TEXTS
        if (pattern is None or re.search(pattern, text)) and (longest is None or len(text) <= longest)
    ]


@cache
def _described(event: type[Event]) -> inspect.Type:
    return inspect.type_info(event)


def any_event(seed: int) -> Envelope | None:
    """Some event, by somebody who may say it, through the codec; None: one that it refuses."""
    some = Random(seed)  # noqa: S311 - a test's
    actor, kind = some.choice(_SAYINGS if some.random() < 0.1 else _ALONE)
    draft = Draft(about=some.choice(_ABOUT[kind.noun]), data=_make(some, _described(kind)))
    known_as = f"{actor}:{some.randrange(90)}"
    try:
        return decode(encode(envelope(draft, id=known_as, actor=actor, source=actor, time=some.choice(_TIMES))))
    except (SchemaError, OverflowError):
        return None


_SITE, _FIX, _SHA, _BASE = RepoRef("acme", "web"), IssueRef("acme", "web", 1), "a" * 40, "b" * 40
_OPENING: list[tuple[Actor, Ref, Event]] = [
    (Actor.CLI, _SITE, RepositoryAdded(clone_url="repo", check="true", by="ada")),
    (Actor.LOCAL, _SITE, RepositoryConfigured(base_branch="main", base_sha=_BASE, clone_url="repo", check="true")),
    (
        Actor.DEV_E,
        AgentRef("dev-e-1"),
        AgentJoined(boot="dev-e-1", role="dev-e", provider="any", slots=2, version="0"),
    ),
    (Actor.LOCAL, _FIX, IssueApproved(title="Fix it", author="ada")),
]
_FURTHER: list[tuple[Actor, Ref, Event]] = [
    (
        Actor.DEV_E,
        _FIX,
        WorkStarted(epoch=1, run="r-1", agent="dev-e-1", branch="rig/1", session="s", provider="any"),
    ),
    (
        Actor.DEV_E,
        _FIX,
        WorkPushed(
            epoch=1, run="r-1", branch="rig/1", head_sha=_SHA, title="Fix it", body="", files_changed=1, lines_changed=1
        ),
    ),
    (
        Actor.LOCAL,
        _FIX,
        PullRequestOpened(
            pull_request=1,
            url="",
            branch="rig/1",
            head_sha=_SHA,
            author="dev-e",
            changes=Changes(files=1, lines=1, paths=("cart.py",)),
        ),
    ),
    (Actor.LOCAL, _FIX, ChecksPassed(head_sha=_SHA, base_sha=_BASE, checks=("check",))),
    (Actor.LOCAL, _FIX, Merged(head_sha=_SHA, base_sha=_BASE, merge_sha=_BASE)),
]
"""Each further on the way of an issue."""


_POLICIES = (
    Policy(),
    Policy(budget=Budget(run_usd=0)),
    Policy(budget=Budget(run_usd=0), tiers=Tiers(otherwise=Tier.T2)),
    Policy(budget=Budget(run_usd=5, issue_usd=2)),
    Policy(attempts_max=1, unassignments_max=1, delivery=Delivery(environment=Environment.STAGING, smoke=True)),
)


def opening(seed: int) -> list[Envelope]:
    """How a log begins on which something is decided: a policy, a repository, a replica, an issue somewhere on its way.

    Each is said when the conductor has answered the one before."""
    some = Random(seed)  # noqa: S311 - a test's
    reviewers = some.choice([(), (), (), ("review-e",), ("review-e", "ci")])
    policy = some.choice(_POLICIES)
    adopted = PolicyAdopted(policy=policy, hash=policy.digest(), by="ada")
    said = [(Actor.CLI, FLEET, adopted), *_OPENING, *_FURTHER[: some.randint(0, len(_FURTHER))]]
    return [
        envelope(
            Draft(about=about, data=replace(data, reviewers=reviewers) if about == _SITE else data),
            id=f"opening:{number}",
            actor=actor,
            source=actor,
            time=_TIMES[1],
        )
        for number, (actor, about, data) in enumerate(said)
    ]
