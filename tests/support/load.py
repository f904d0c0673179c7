"""A log while it is written: whatever anybody may say, in bursts, and beside it a reckoning of what must come of it.

The reckoning knows nothing of the projector: it adds up, as it is said, what counts twice when it is applied twice.
What else is said (`any_event`) speaks of other issues and memories.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from bus import Bus
from schemas import (
    FLEET,
    Actor,
    CommandBlocked,
    Decided,
    Draft,
    Event,
    FailureKind,
    IssueApproved,
    IssueRef,
    MemoryKind,
    MemoryUsed,
    MemoryWritten,
    Ref,
    TokensUsed,
    WorkFailed,
    encode,
    envelope,
)
from schemas.refs import MemoryRef
from tests.support.anything import any_event
from tests.support.saying import assigned, started

Message: TypeAlias = tuple[str, bytes, dict[str, str]]

SCOPE: Final = MemoryRef("repo:demo/shop")
NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
ISSUES: Final = 12
REFUSED: Final = 2 * ISSUES - 1
"""Position of the last issue's approval, of which nothing more is said: who has the tables may have them refuse it."""
BURST: Final = 60
_DECIDED: Final = Decided(through=1 << 50, now=NOW, policy="", rules=1, count=1)
"""Behind whatever was decided before."""


class Sums:
    """What was said of demo/shop, each fact once."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        """By issue, in millionths of a US dollar."""
        self.blocked: Counter[str] = Counter()
        """Commands, by issue and run."""
        self.attempts: Counter[str] = Counter()
        """Those that failed, by issue."""
        self.uses: Counter[str] = Counter()
        """By memory."""
        self.copies = 0
        self.unreadable = 0

    @property
    def counted(self) -> dict[str, Counter[str]]:
        return {"spent": self.spent, "blocked": self.blocked, "attempts": self.attempts, "uses": self.uses}


class Load:
    """Says things without end, the same in every run. It alone speaks: no memory is such as its keeper would forget."""

    def __init__(self, bus: Bus, seed: int) -> None:
        """`bus` may say anything on every subject."""
        self.sums = Sums()
        self.said = 0
        """How many messages the log holds now."""
        self._connection = bus.connection
        self._random = Random(seed)  # noqa: S311 - a test's
        self._count = 0
        self._epochs: Counter[int] = Counter()
        self._facts: list[Message] = []
        self._waiting: list[Message] = list(self._opening())

    async def speak(self, count: int) -> int:
        """Says at least so many messages, in bursts; the position of the last."""
        until = self.said + count
        while self.said < until:
            while len(self._waiting) < 1 + self._random.randrange(BURST):
                self._waiting.extend(self._something())
            *burst, (subject, body, _) = self._waiting
            self._waiting = []
            if burst:
                await self._connection.publish_many(burst)
            stored = msgspec.json.decode(await self._connection.request(subject, body), type=_Stored)
            self.said += len(burst) + 1
            assert stored.seq == self.said, "nobody else speaks, and nothing is lost on the way"
        return self.said

    def _opening(self) -> Iterator[Message]:
        for number in range(1, ISSUES + 1):
            yield self._say(_issue(number), IssueApproved(title=f"Issue {number}", author="ada"), Actor.LOCAL)
            told = f"Total {number}"
            written = MemoryWritten(memory=f"m-{number}", kind=MemoryKind.FACT, title=told, text=told, importance=5)
            yield self._say(SCOPE, written, Actor.CLI)

    def _something(self) -> Iterator[Message]:
        some, sums = self._random, self.sums
        number = some.randrange(1, ISSUES)
        issue, run, memory = _issue(number), f"r-{some.randrange(4)}", f"m-{number}"
        match some.choices(("any", "spent", "used", "blocked", "failed", "again", "unreadable"), (8, 5, 2, 1, 1, 2, 1)):
            case ["spent"]:
                cents = some.randrange(900)
                sums.spent[str(issue)] += 10_000 * cents
                yield self._say(issue, TokensUsed(epoch=1, run=run, provider="p", model="m", cost_usd=cents / 100))
            case ["used"]:
                sums.uses[memory] += 1
                yield self._say(SCOPE, MemoryUsed(memory=memory))
            case ["blocked"]:
                sums.blocked[f"{issue}/{run}"] += 1
                yield self._say(issue, CommandBlocked(epoch=1, run=run, command="rm -r /", rule="rm"))
            case ["failed"]:
                self._epochs[number] += 1
                epoch = self._epochs[number]
                sums.attempts[str(issue)] += 1
                yield self._say(FLEET, _DECIDED, Actor.CONDUCTOR)
                yield self._say(issue, assigned(epoch), Actor.CONDUCTOR)
                yield self._say(issue, started(epoch, f"f-{epoch}", number=number))
                failed = WorkFailed(epoch=epoch, run=f"f-{epoch}", kind=FailureKind.CHECKS_FAILED, detail="")
                yield self._say(issue, failed)
            case ["again"] if self._facts:
                sums.copies += 1
                yield some.choice(self._facts)
            case ["unreadable"]:
                sums.unreadable += 1
                yield f"rig.{_branch(issue)}.dev-e.tokens_used", some.randbytes(some.randrange(90)), {}
            case _:
                event = any_event(some.randrange(1 << 40))
                if event is not None and not isinstance(event.data, MemoryWritten):
                    yield event.on, encode(event), {}

    def _say(self, about: Ref, data: Event, actor: Actor = Actor.DEV_E) -> Message:
        self._count += 1
        event = envelope(Draft(about=about, data=data), id=f"load:{self._count}", actor=actor, source="load", time=NOW)
        message: Message = (event.on, encode(event), {})
        if about != _issue(ISSUES) and actor is not Actor.CONDUCTOR:
            self._facts.append(message)
        return message


class _Stored(Struct):
    seq: int


def _issue(number: int) -> IssueRef:
    return IssueRef("demo", "shop", number)


def _branch(issue: IssueRef) -> str:
    return f"issue.{issue.owner}.{issue.repo}.{issue.number}"
