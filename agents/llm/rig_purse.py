"""The rig's own money for calls of models, as its conductor gives it.

Fail closed: where no conductor says yes, nothing is spent; where it cannot be told what the last call has cost, there
is no next one.
"""

import asyncio
import logging
from typing import Final

from agents.llm.config import split
from agents.llm.purse import Spent
from bus import Bus, BusError, NoService, Refused
from schemas import AgentRef, Draft, IssueRef, ModelUsed, event_id
from schemas.queries import ALLOWANCE, Allowance, AllowanceRequest

__all__ = ["BusPurse"]

log = logging.getLogger(__name__)

CONDUCTOR: Final = "conductor"
GRACE_SECONDS: Final = 15.0
"""For a conductor that does not answer, or stands by: another may be taking over."""
ANSWER_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 0.5
TELLING_SECONDS: Final = 5.0
AT_ONCE: Final = 1_000
"""Calls that are given back with one request."""
MOST_USD: Final = 1_000_000.0
"""Of what can be asked for."""


class BusPurse:
    """The rig's money, as its conductor gives it, for one agent."""

    def __init__(
        self,
        bus: Bus,
        *,
        agent: str,
        role: str,
        issue: IssueRef | None = None,
        cause: str | None = None,
        grace_seconds: float | None = None,
    ) -> None:
        self._bus = bus
        self._agent = agent
        self._role = role
        self._issue = issue
        self._cause = cause
        self._grace = GRACE_SECONDS if grace_seconds is None else grace_seconds
        self._under_way: dict[str, float] = {}
        """What calls may still cost: a conductor that did not allow them itself does not know of them."""
        self._given_back: list[str] = []
        """Calls that came to nothing: what is set aside for them nobody has been told yet."""
        self._unsaid: dict[str, ModelUsed] = {}
        self._said: int | None = None
        """The position of what was said last."""
        self._telling = asyncio.Lock()
        self._asking = asyncio.Lock()
        """One call after another: what is asked for and may be refused takes nothing from the others."""

    async def allow(self, call: str, amount_usd: float) -> str | None:
        until = asyncio.get_running_loop().time() + self._grace
        async with self._asking:
            await self._say()
            if self._unsaid:
                return "what models have cost so far cannot be told: the bus does not take it"
            self._under_way[call] = amount_usd
            why_not = "nobody was asked"
            try:
                why_not = await self._ask(call, amount_usd, until)
            finally:
                if why_not is not None:
                    self.not_spent(call)
            return why_not

    def spent(self, spent: Spent) -> None:
        self._under_way.pop(spent.call, None)
        provider, model = split(spent.name)
        self._unsaid[spent.call] = ModelUsed(
            call=spent.call,
            role=self._role,
            purpose=spent.purpose.value,
            provider=provider,
            model=model,
            input=spent.tokens.input,
            output=spent.tokens.output,
            cache_read=spent.tokens.cache_read,
            cache_write=spent.tokens.cache_write,
            cost_usd=spent.cost_usd,
            assumed_usd=spent.assumed_usd,
            issue=self._issue,
        )

    def not_spent(self, call: str) -> None:
        if self._under_way.pop(call, None):  # for nothing nothing is set aside
            self._given_back.append(call)

    async def tell(self) -> None:
        await self._say()
        if self._given_back:
            wanted = self._request()
            try:
                await self._bus.services.ask(CONDUCTOR, ALLOWANCE, wanted, Allowance, timeout_seconds=ANSWER_SECONDS)
            except BusError as error:
                log.info("what is set aside for calls that came to nothing stays so for a while: %s", error)
            self._given_back = [each for each in self._given_back if each not in wanted.given_back]

    async def _say(self) -> None:
        async with self._telling:
            while self._unsaid:  # others may have spent something meanwhile
                call, used = next(iter(self._unsaid.items()))
                draft = Draft(about=AgentRef(self._agent), data=used, cause=self._cause)
                said = event_id(self._bus.log.actor, self._agent, "model_used", call)
                try:
                    self._said = await self._bus.log.publish(draft, said, timeout_seconds=TELLING_SECONDS)
                except BusError as error:
                    log.warning("what %s has used is not told yet: %s", used.model, error)
                    return
                del self._unsaid[call]

    def _request(self, call: str | None = None, amount_usd: float = 0.0) -> AllowanceRequest:
        return AllowanceRequest(
            role=self._role,
            amount_usd=min(amount_usd, MOST_USD),
            issue=self._issue,
            call=call,
            beside={other: min(usd, MOST_USD) for other, usd in self._under_way.items() if other != call and usd},
            given_back=tuple(self._given_back[:AT_ONCE]),
            wait_for=self._said,
        )

    async def _ask(self, call: str, amount_usd: float, until: float) -> str | None:
        """Raises nothing: whoever cannot be asked has not allowed it. `until`: so long one is waited for."""
        wanted = self._request(call, amount_usd)
        while True:
            try:
                answer = await self._bus.services.ask(
                    CONDUCTOR, ALLOWANCE, wanted, Allowance, timeout_seconds=ANSWER_SECONDS
                )
            except (NoService, Refused) as error:
                if asyncio.get_running_loop().time() >= until:
                    return f"no conductor says that it may be spent: {error}"
            except BusError as error:
                return f"no conductor can be asked: {error}"
            else:
                self._given_back = [each for each in self._given_back if each not in wanted.given_back]
                if answer.granted:
                    return None
                self._under_way.pop(call, None)  # nothing is set aside
                return _no_room(answer, amount_usd)
            await asyncio.sleep(PAUSE_SECONDS)


def _no_room(answer: Allowance, amount_usd: float) -> str:
    limit = 0.0 if answer.limit_usd is None else answer.limit_usd
    return (
        f"the budget {answer.scope} has no room for ${amount_usd:.4f}:"
        f" ${answer.committed_usd:.2f} of ${limit:.2f} is spent or set aside"
    )
