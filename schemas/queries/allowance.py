"""Whether a call of a model may be paid for: what a conductor is asked before it is made."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from schemas.fields import Usd
from schemas.money import Scope
from schemas.refs import IssueRef, Name

ALLOWANCE: Final = "allowance"
"""The endpoint of the conductor's service."""


class AllowanceRequest(Struct, frozen=True, kw_only=True):
    """Asks whether every budget that the call counts against has room for it. Refused by a conductor that stands by.

    Nothing is set aside: what calls under way at once may cost together, the budgets may be passed by. Whoever asks
    for one call after another says what the last one used first, and asks with `wait_for`.
    """

    role: Name
    amount_usd: Usd
    """What it may cost. 0: nothing; also for that there is no room where a budget is used up."""
    issue: IssueRef | None = None
    wait_for: Annotated[int, Meta(ge=1)] | None = None
    """A position of the log up to which everything counts: of what the asker has said last."""


class Allowance(Struct, frozen=True, kw_only=True):
    """Yes or no, and the budget with the least room."""

    granted: bool
    scope: Scope
    limit_usd: Usd | None
    """None: no budget that it counts against has a limit."""
    committed_usd: Usd
    """What counts against it now."""
