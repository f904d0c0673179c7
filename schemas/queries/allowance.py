"""Whether a call of a model may be paid for: what a conductor is asked before it is made."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from schemas.fields import Run, Usd
from schemas.money import Scope
from schemas.refs import IssueRef, Name

ALLOWANCE: Final = "allowance"
"""The endpoint of the conductor's service."""


class AllowanceRequest(Struct, frozen=True, kw_only=True):
    """Asks whether every budget that the call counts against has room for it. Refused by a conductor that stands by.

    What is granted is set aside, in the memory of the conductor that answers, until it reads the call's ModelUsed, or
    the call is given back to it, or ten minutes have passed. Of several conductors each knows what it granted itself,
    and what askers tell with `beside`: so one asker's calls never spend the same money, and those of several may pass
    a budget by what the other conductors have granted meanwhile. Whoever asks for one call after another says what the
    last one used first, and asks with `wait_for`.
    """

    role: Name
    amount_usd: Usd
    """What it may cost. 0: nothing; also for that there is no room where a budget is used up."""
    issue: IssueRef | None = None
    call: Run | None = None
    """The id of the call, as its ModelUsed will name it. None: nothing is set aside."""
    beside: Annotated[dict[Run, Usd], Meta(max_length=1_000)] = {}
    """The asker's other calls under way, for the same role and issue, and what each may cost."""
    given_back: Annotated[tuple[Run, ...], Meta(max_length=1_000)] = ()
    """Calls that came to nothing."""
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
