"""What was tried for one answer, and what that has cost; and why there is none, in the end. Pure."""

from datetime import datetime
from typing import Final

from agents.llm.config import ModelName, split
from agents.llm.messages import NO_TOKENS, ErrorKind, ModelError, Tokens, Try

__all__ = ["Tally"]

_MATTERS: Final = (
    ErrorKind.TOO_LONG,
    ErrorKind.RATE_LIMITED,
    ErrorKind.OVERLOADED,
    ErrorKind.NETWORK,
    ErrorKind.QUOTA,
    ErrorKind.OVER_BUDGET,
    ErrorKind.REFUSED,
    ErrorKind.AUTH,
    ErrorKind.INVALID,
)
"""Of several failures, the one about which most can be done is why there is no answer."""


class Tally:
    """What was tried for one answer, and what that has cost."""

    def __init__(self) -> None:
        self.tries: list[Try] = []
        self.tokens = NO_TOKENS
        self.cost_usd: float | None = 0.0
        self.too_small = 0
        """A context of so many tokens was not enough."""

    def spent(self, tokens: Tokens, cost_usd: float | None) -> None:
        self.tokens += tokens
        self.cost_usd = None if self.cost_usd is None or cost_usd is None else self.cost_usd + cost_usd

    def failed(self, name: ModelName, kind: ErrorKind, detail: str, retry_at: datetime | None = None) -> None:
        self.tries.append(Try(*split(name), kind, detail, retry_at))

    def error(self) -> ModelError:
        """There is no answer, and why."""
        kind = min((failed.kind for failed in self.tries), key=_MATTERS.index, default=ErrorKind.INVALID)
        known = [failed.retry_at for failed in self.tries if failed.kind is kind and failed.retry_at]
        words = "; ".join(dict.fromkeys(f"{failed.provider}/{failed.model}: {failed.detail}" for failed in self.tries))
        detail = f"no model has answered: {words}" if words else "no model is configured: name some in RIG_GATEWAYS"
        return ModelError(
            kind,
            detail,
            retry_at=min(known, default=None),
            tries=self.tries,
            tokens=self.tokens,
            cost_usd=self.cost_usd,
        )
