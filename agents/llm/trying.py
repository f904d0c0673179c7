"""Asking one model after another until one has answered; what a failure leads to, by its kind:

auth             the next model; every model of that provider rests for a while
quota            the next; it rests until the quota is there again, and is not asked before
rate_limited     the next; it rests as long as it says. When no other answers and that is soon, it is waited for
overloaded       the next; then all once more, a little later. Several in a row open its circuit (standing)
network          the same
too_long         the next that is not known to hold no more
refused          the next
invalid          the next
over_budget      the next, which may be cheaper: this one is not asked
"""

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeVar

from msgspec import Struct

from agents.llm.config import ModelFacts, ModelName, split
from agents.llm.endpoint import Endpoint
from agents.llm.errors import Failure
from agents.llm.messages import NO_TOKENS, ErrorKind, TaskKind, Tokens
from agents.llm.prices import assumed, at_most, cost
from agents.llm.purse import Purse, Spent
from agents.llm.standing import Standing
from agents.llm.tally import Tally
from bus.tracing import tracing

__all__ = ["Asking", "Clock", "Question", "WallClock"]

log = logging.getLogger(__name__)

ROUNDS: Final = 3
"""How often a model is asked for one answer, at most."""
LONGEST_WAIT: Final = timedelta(seconds=60)
"""For trouble that may pass, or a limit that says when it ends."""
FIRST_PAUSE: Final = timedelta(seconds=1)
_UNKNOWN: Final = ModelFacts()
_PASSING: Final = frozenset({ErrorKind.RATE_LIMITED, ErrorKind.OVERLOADED, ErrorKind.NETWORK})
T = TypeVar("T")
Answer_co = TypeVar("Answer_co", covariant=True)


class Clock(Protocol):
    """The time in which models rest and are waited for."""

    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None: ...


class WallClock:
    """The machine's."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Got(Struct, frozen=True):
    """What one exchange has brought, beside its answer."""

    tokens: Tokens | None
    model: str = ""
    """As it calls itself."""
    finish: str = ""


class Question(Protocol[Answer_co]):
    """What is asked of any model."""

    @property
    def task(self) -> TaskKind: ...

    @property
    def operation(self) -> str:
        """By the conventions for spans: chat, embeddings."""
        ...

    def size(self, name: ModelName) -> tuple[int, int]:
        """About how many tokens it has, and how many the answer may have."""
        ...

    async def ask(self, name: ModelName, endpoint: Endpoint, without: frozenset[str]) -> tuple[Answer_co, Got]:
        """Asks this one. `without` is what it does not understand. Raises Failure."""
        ...


class Asking:
    """Asks models; what it learns of them it keeps."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        facts: Mapping[ModelName, ModelFacts],
        purse: Purse,
        standing: Standing,
        clock: Clock,
    ) -> None:
        self._endpoints = endpoints
        self._facts = facts
        self._purse = purse
        self._standing = standing
        self._clock = clock

    async def first(
        self, names: Sequence[ModelName], question: Question[T], tally: Tally, *, patience_seconds: float
    ) -> tuple[ModelName, T]:
        """The first answer, and whose it is. Raises ModelError."""
        patience = asyncio.timeout(patience_seconds)
        try:
            async with patience:
                found = await self._rounds(names, question, tally, patience_seconds)
        except TimeoutError:
            if not patience.expired():
                raise
            found = None
        await self._purse.tell()
        if found is None:
            raise tally.error()
        return found

    def facts(self, name: ModelName) -> ModelFacts:
        """What is known of a model."""
        return self._facts.get(name, _UNKNOWN)

    async def _rounds(
        self, names: Sequence[ModelName], question: Question[T], tally: Tally, patience_seconds: float
    ) -> tuple[ModelName, T] | None:
        until = self._clock.now() + timedelta(seconds=patience_seconds)
        for number in range(ROUNDS):
            again: dict[ModelName, datetime] = {}
            for name in names:
                found = await self._try(name, question, tally)
                if not isinstance(found, _Failed):
                    return name, found
                if found.passing:
                    again[name] = found.retry_at or self._clock.now() + FIRST_PAUSE * 2**number
            now = self._clock.now()
            soonest = min(again.values(), default=None)
            if soonest is None or soonest > min(until, now + LONGEST_WAIT) or number == ROUNDS - 1:
                return None
            await self._clock.sleep(max(0.0, (soonest - now).total_seconds()))
            names = tuple(again)
        return None

    async def _try(self, name: ModelName, question: Question[T], tally: Tally) -> "T | _Failed":
        """One model, once."""
        facts = self.facts(name)
        if tally.too_small and facts.context_tokens is not None and facts.context_tokens <= tally.too_small:
            tally.failed(
                name,
                ErrorKind.TOO_LONG,
                f"it holds {facts.context_tokens} tokens, and {tally.too_small} were not enough",
            )
            return _Failed()
        if rest := self._standing.resting(name, self._clock.now()):
            tally.failed(name, rest.kind, f"not asked until {rest.until:%H:%M:%S} UTC: {rest.detail}", rest.until)
            return _Failed(passing=rest.kind is ErrorKind.RATE_LIMITED, retry_at=rest.until)
        call = f"c-{secrets.token_hex(8)}"
        most = at_most(assumed(facts), *question.size(name)) or 0.0
        if why_not := await self._purse.allow(call, most):
            tally.failed(name, ErrorKind.OVER_BUDGET, why_not)
            return _Failed()
        try:
            answer, got = await self._exchange(name, question)
        except Failure as failure:
            self._standing.failed(name, failure, self._clock.now())
            if failure.used:
                self._spent(call, name, question.task, failure.tokens, tally, most=most)
            else:
                self._purse.not_spent(call)
            if failure.kind is ErrorKind.TOO_LONG:
                tally.too_small = max(tally.too_small, facts.context_tokens or 0)
            tally.failed(name, failure.kind, failure.detail, failure.retry_at)
            log.info("%s does not answer (%s): %s", name, failure.kind, failure.detail)
            return _Failed(passing=failure.kind in _PASSING, retry_at=failure.retry_at)
        except BaseException:  # cancelled, in the middle of it: it may cost what it would have
            self._spent(call, name, question.task, None, tally, most=most)
            tally.failed(name, ErrorKind.NETWORK, "it was asked, and not waited for any longer")
            raise
        self._standing.answered(name)
        self._spent(call, name, question.task, got.tokens, tally, most=most)
        return answer

    async def _exchange(self, name: ModelName, question: Question[T]) -> tuple[T, Got]:
        """Asks until it is asked in a way that the model understands."""
        provider, model = split(name)
        said = {
            "gen_ai.operation.name": question.operation,
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
            "gen_ai.request.max_tokens": question.size(name)[1],
            "rig.task": question.task.value,
        }
        while True:
            without = self._standing.without(name)
            with tracing.calling(f"{question.operation} {model}", said) as span:
                try:
                    answer, got = await question.ask(name, self._endpoints[provider], without)
                except Failure as failure:
                    failed = failure
                    if span is not None:
                        span.fail(failure.kind.value)
                else:
                    if span is not None:
                        for what, value in _attributes(got).items():
                            span.note(what, value)
                    return answer, got
            if failed.unknown is None or failed.unknown in without:
                raise failed
            self._standing.not_understood(name, failed.unknown)

    def _spent(
        self, call: str, name: ModelName, task: TaskKind, tokens: Tokens | None, tally: Tally, *, most: float
    ) -> None:
        """What nobody knows the price of counts all the same: by its tokens, or for what it was allowed."""
        facts, used = self.facts(name), tokens or NO_TOKENS
        usd = cost(facts, tokens)
        counted = None if usd is not None else most if tokens is None else cost(assumed(facts), tokens)
        tally.spent(used, usd)
        self._purse.spent(Spent(call=call, purpose=task, name=name, tokens=used, cost_usd=usd, assumed_usd=counted))


class _Failed(Struct, frozen=True):
    passing: bool = False
    retry_at: datetime | None = None


def _attributes(got: Got) -> dict[str, str | int]:
    said: dict[str, str | int] = {}
    if got.tokens is not None:
        tokens = got.tokens
        said["gen_ai.usage.input_tokens"] = tokens.input + tokens.cache_read + tokens.cache_write
        said["gen_ai.usage.output_tokens"] = tokens.output
        said["gen_ai.usage.cache_read.input_tokens"] = tokens.cache_read
        said["gen_ai.usage.cache_creation.input_tokens"] = tokens.cache_write
    if got.model:
        said["gen_ai.response.model"] = got.model
    if got.finish:
        said["gen_ai.response.finish_reasons"] = got.finish
    return said
