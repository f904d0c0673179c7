"""Whether there is money for a call of a model outside the runs: what agents ask a conductor before they make one.

Any conductor that has read the log to its end answers, from the fold that it decides on and from what it has granted
and not heard of since. That stands in its memory alone and in no decision: work that is assigned meanwhile does not
wait for calls under way. For a run of work nobody asks here: money is set aside for it when it is assigned.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping

from msgspec import Struct

from bus import Refused
from conductor.policy import call_limits
from conductor.state import Micros, State, dollars, micros
from schemas import DAY, Allowance, AllowanceRequest, Event, IssueRef, ModelUsed, Policy, Scope, day_scopes

WAIT_SECONDS = 3.0
"""How long a position is waited for: less than an asker waits."""
HELD_SECONDS = 600.0
"""How long money is set aside for a call that nobody tells of: twice as long as an answer is waited for."""
_OVER_KEPT = 10_000
_NOTHING: Mapping[Scope, Micros] = {}


def allowance(
    request: AllowanceRequest, state: State, policy: Policy, held: Mapping[Scope, Micros] = _NOTHING
) -> Allowance:
    """Granted where every budget has room for that much, and where none is used up for what nobody knows the price of.

    `held` counts against each budget beside what the log says. Pure.
    """
    limits: list[tuple[Micros, Scope, Micros, Micros]] = []
    for scope, limit, said in call_limits(request.issue, request.role, state, policy):
        committed = said + held.get(scope, 0)
        limits.append((limit - committed, scope, limit, committed))
    if not limits:
        committed = state.ledger.committed(DAY) + held.get(DAY, 0)
        return Allowance(granted=True, scope=DAY, limit_usd=None, committed_usd=dollars(committed))
    room, scope, limit, committed = min(limits)
    return Allowance(
        granted=room >= max(1, micros(request.amount_usd)),
        scope=scope,
        limit_usd=dollars(limit),
        committed_usd=dollars(committed),
    )


class _Held(Struct, frozen=True):
    amount: Micros
    scopes: Collection[Scope]
    until: float


class UnderWay:
    """What is set aside for calls under way, each once whoever tells of it again. The time is passed in."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._over: OrderedDict[str, None] = OrderedDict()
        """Calls of which it is known what became of them: word of them may still be on its way."""

    def hold(self, call: str, amount: Micros, scopes: Collection[Scope], now: float) -> None:
        if call not in self._over:
            self._held[call] = _Held(amount, scopes, now + HELD_SECONDS)

    def over(self, call: str) -> None:
        """It was told of, or has come to nothing."""
        self._held.pop(call, None)
        self._over[call] = None
        if len(self._over) > _OVER_KEPT:
            self._over.popitem(last=False)

    def sums(self, now: float, *, but: str | None = None) -> dict[Scope, Micros]:
        """By budget, without one call's."""
        self._held = {call: held for call, held in self._held.items() if held.until > now}
        found: dict[Scope, Micros] = {}
        for call, held in self._held.items():
            for scope in held.scopes if call != but else ():
                found[scope] = found.get(scope, 0) + held.amount
        return found


def _scopes(issue: IssueRef | None, role: str) -> tuple[Scope, ...]:
    """Every budget that a call counts against."""
    if issue is None:
        return f"role:{role}", DAY
    return *day_scopes(issue.repository, role), f"issue:{issue}"


class Counter:
    """Where one asks. It stands beside the fold of a conductor, which says when it has read on."""

    def __init__(self, state: State, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._state = state
        self._clock = clock
        self._under_way = UnderWay()
        self._standing_by = "it has not read the log yet"
        self._waiting: list[tuple[int, asyncio.Event]] = []

    def read_on(self, event: Event | None = None) -> None:
        """The fold is at another position, and this event is in it."""
        if isinstance(event, ModelUsed):
            self._under_way.over(event.call)
        for position, reached in self._waiting:
            if position <= self._state.position:
                reached.set()

    def stand_by(self, why: str) -> None:
        """Answers nothing from now on, for this reason; an empty one: it answers."""
        self._standing_by = why

    async def allowance(self, request: AllowanceRequest) -> Allowance:
        """The answer. Raises Refused where the conductor stands by, or does not come to a position in time."""
        for call in request.given_back:
            self._under_way.over(call)
        policy = self._state.policy
        if self._standing_by or policy is None:
            raise Refused(f"this conductor stands by: {self._standing_by or 'no policy is adopted yet'}")
        if request.wait_for is not None:
            await self._reach(request.wait_for)
        now, scopes = self._clock(), _scopes(request.issue, request.role)
        for call, usd in request.beside.items():
            self._under_way.hold(call, micros(usd), scopes, now)
        held = self._under_way.sums(now, but=request.call)
        answer = allowance(request, self._state, self._state.policy or policy, held)
        if answer.granted and request.call is not None:
            self._under_way.hold(request.call, micros(request.amount_usd), scopes, now)
        return answer

    async def _reach(self, position: int) -> None:
        waiting = (position, asyncio.Event())
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while self._state.position < position:
                    await waiting[1].wait()
        except TimeoutError:
            at = self._state.position
            raise Refused(f"this conductor has read to position {at} of the log, not yet to {position}") from None
        finally:
            self._waiting.remove(waiting)
