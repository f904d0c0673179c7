"""What was spent and what is set aside, in millionths of a US dollar: sums of whole numbers do not drift."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias

from msgspec import Struct, field

from schemas import Scope

Micros: TypeAlias = int
MOST_USD: Final = 1_000_000.0


def micros(usd: float) -> Micros:
    """US dollars → millionths."""
    return round(usd * 1_000_000)


def dollars(amount: Micros) -> float:
    """Millionths → US dollars, as many as an event can say."""
    return min(amount / 1_000_000, MOST_USD)


class Account(Struct):
    """The money of one run."""

    epoch: int
    role: str
    claimed: bool = True
    """Whether it is a run's; what is set aside for an epoch is not, until somebody claims it."""
    over: bool = False
    """Whether the run has ended. That it is settled is said next; what was left over is free from now on."""
    reserved: Micros = 0
    spent: Micros = 0
    """As far as the run has said."""
    said: bool = False
    """Whether it said anything of what it spent."""
    unknown: bool = False
    """Whether it used what nobody knows the price of."""
    settled: Micros | None = None
    """What it counts for since that was said."""

    @property
    def counts(self) -> Micros:
        """What it takes from the budgets now."""
        if self.settled is not None:
            return max(self.settled, self.spent)
        return self.charge if self.over else max(self.reserved, self.spent)

    @property
    def charge(self) -> Micros:
        """What it is to be settled with: a run that does not know, or did not say, counts as what was reserved."""
        if not self.claimed:
            return 0
        return self.spent if self.said and not self.unknown else max(self.reserved, self.spent)


class Raised(Struct, frozen=True):
    """More than the policy allows, for a time."""

    limit: Micros
    until: datetime
    cause: str


class Ledger(Struct):
    """The sums over every issue, by budget; those of single issues are with the issues."""

    reserved: dict[Scope, Micros] = field(default_factory=dict[Scope, Micros])
    """For runs that are not settled."""
    spent: dict[Scope, Micros] = field(default_factory=dict[Scope, Micros])
    """Settled on this day."""
    raised: dict[Scope, Raised] = field(default_factory=dict[Scope, Raised])
    exceeded: dict[Scope, Micros] = field(default_factory=dict[Scope, Micros])
    """Limits of which it was said that they leave no room."""

    def committed(self, scope: Scope) -> Micros:
        """All that counts against a budget now."""
        return self.reserved.get(scope, 0) + self.spent.get(scope, 0)

    def move(self, scopes: Sequence[Scope], *, reserved: Micros = 0, spent: Micros = 0) -> None:
        """Adds to what is reserved and to what is spent, in each of the budgets."""
        for sums, amount in ((self.reserved, reserved), (self.spent, spent)):
            if amount:
                for scope in scopes:
                    total = sums.get(scope, 0) + amount
                    if total:
                        sums[scope] = total
                    else:
                        del sums[scope]
