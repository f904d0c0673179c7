"""Commands that an agent may offer in its answer, for a person to give or not. Pure.

An offer does nothing. It is one of a closed set, of what can be taken back: gates, budgets and policies are not in it.
What a person is shown (`spelt_offer`) is all that it means; whoever shows it looks at it with `check_offer` first,
since an agent wrote it.
"""

import re
import shlex
from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from schemas.errors import BadReference
from schemas.fields import Line, Priority
from schemas.fleet import is_pause_scope
from schemas.refs import IssueRef, RepoRef

__all__ = ["OFFERS_MAX", "Offer", "Offered", "check_offer", "spelt_offer"]

OFFERS_MAX: Final = 4
"""Of one answer."""
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""What shows as nothing, though Unicode counts it as printable: fillers, and selectors of variants."""
_PLAIN: Final = re.compile(r"[\w@%+=:,./-][\w@%+=:,./#-]*", re.ASCII)


class Offered(StrEnum):
    """What may be offered."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    RETRY = "retry"
    PRIORITY = "priority"
    ANSWER = "answer"

    @property
    def of_issue(self) -> bool:
        """Whether it is about one issue; else about the rig, a repository or a role."""
        return self not in (Offered.PAUSE, Offered.RESUME)


class Offer(Struct, frozen=True, kw_only=True):
    """A command, as it is typed behind `rig` or `rig issue`."""

    command: Offered
    arguments: Annotated[tuple[Line, ...], Meta(min_length=1, max_length=2)]
    """What it is about, as OWNER/REPO#N, OWNER/REPO, role:NAME or all; then the priority or the answer."""


def check_offer(offer: Offer) -> IssueRef | RepoRef | None:
    """What it is about; None: the rig, or a role. Raises BadReference where no such command could be typed."""
    about, *more = offer.arguments
    wanted = 2 if offer.command in (Offered.PRIORITY, Offered.ANSWER) else 1
    if len(offer.arguments) != wanted:
        raise BadReference(f"{offer.command} takes {wanted} argument{'s' if wanted > 1 else ''}, not {1 + len(more)}")
    if any(said.startswith("-") or not said.isprintable() or _UNSEEN.search(said) for said in offer.arguments):
        raise BadReference("an argument begins with a dash, or holds characters that cannot be seen")
    if offer.command is Offered.PRIORITY and more[0] not in set(Priority):
        raise BadReference(f"{more[0]!r} is no priority: write one of {', '.join(Priority)}")
    if offer.command.of_issue:
        return IssueRef.parse(about)
    if "/" in about and ":" not in about:
        return RepoRef.parse(about)
    if about.startswith("repository:") or not is_pause_scope(about):
        raise BadReference(f"{about!r} cannot be paused: write all, a repository like acme/web, or role:dev-e")
    return None


def spelt_offer(offer: Offer) -> str:
    """As a person types it."""
    group = "rig issue" if offer.command.of_issue else "rig"
    words = (word if _PLAIN.fullmatch(word) else shlex.quote(word) for word in offer.arguments)
    return f"{group} {offer.command} {' '.join(words)}"
