"""Money of which one piece of work may use so much, and no more, whoever else has any left."""

from agents.llm.purse import Purse, Spent

__all__ = ["CappedPurse"]


class CappedPurse:
    """Another's, up to a limit; a `Purse`. What nobody knows the price of counts for what is assumed."""

    def __init__(self, inner: Purse, limit_usd: float) -> None:
        self._inner = inner
        self._limit = limit_usd
        self._used = 0.0
        self._under_way: dict[str, float] = {}

    async def allow(self, call: str, amount_usd: float) -> str | None:
        committed = self._used + sum(self._under_way.values())
        if amount_usd and committed + amount_usd > self._limit:
            return f"${amount_usd:.4f} more is too much: of ${self._limit:g} for this work ${committed:.4f} is used"
        self._under_way[call] = amount_usd
        why_not: str | None = "nobody was asked"
        try:
            why_not = await self._inner.allow(call, amount_usd)
        finally:
            if why_not is not None:
                del self._under_way[call]
        return why_not

    def spent(self, spent: Spent) -> None:
        self._under_way.pop(spent.call, None)
        self._used += (spent.cost_usd if spent.cost_usd is not None else spent.assumed_usd) or 0.0
        self._inner.spent(spent)

    def not_spent(self, call: str) -> None:
        self._under_way.pop(call, None)
        self._inner.not_spent(call)

    async def tell(self) -> None:
        await self._inner.tell()
