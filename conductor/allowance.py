"""Whether there is money for a call of a model outside the runs: what agents ask a conductor before they make one.

Any conductor that has read the log to its end answers, from the fold that it decides on. For a run of work nobody asks
here: money is set aside for it when it is assigned.
"""

import asyncio

from bus import Refused
from conductor.policy import call_limits
from conductor.state import State, dollars, micros
from schemas import DAY, Allowance, AllowanceRequest, Policy

WAIT_SECONDS = 3.0
"""How long a position is waited for: less than an asker waits."""


def allowance(request: AllowanceRequest, state: State, policy: Policy) -> Allowance:
    """Granted where every budget has room for that much, and where none is used up for what nobody knows the price of.

    Pure.
    """
    limits = [
        (limit - committed, scope, limit, committed)
        for scope, limit, committed in call_limits(request.issue, request.role, state, policy)
    ]
    if not limits:
        return Allowance(granted=True, scope=DAY, limit_usd=None, committed_usd=dollars(state.ledger.committed(DAY)))
    room, scope, limit, committed = min(limits)
    return Allowance(
        granted=room >= max(1, micros(request.amount_usd)),
        scope=scope,
        limit_usd=dollars(limit),
        committed_usd=dollars(committed),
    )


class Counter:
    """Where one asks. It stands beside the fold of a conductor, which says when it has read on."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._standing_by = "it has not read the log yet"
        self._waiting: list[tuple[int, asyncio.Event]] = []

    def read_on(self) -> None:
        """The fold is at another position."""
        for position, reached in self._waiting:
            if position <= self._state.position:
                reached.set()

    def stand_by(self, why: str) -> None:
        """Answers nothing from now on, for this reason; an empty one: it answers."""
        self._standing_by = why

    async def allowance(self, request: AllowanceRequest) -> Allowance:
        """The answer. Raises Refused where the conductor stands by, or does not come to a position in time."""
        policy = self._state.policy
        if self._standing_by or policy is None:
            raise Refused(f"this conductor stands by: {self._standing_by or 'no policy is adopted yet'}")
        if request.wait_for is not None:
            await self._reach(request.wait_for)
        return allowance(request, self._state, self._state.policy or policy)

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
