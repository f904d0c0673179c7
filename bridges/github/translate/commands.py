"""Commands in a comment: `/rig stop` at the beginning of a line, outside of code. Who may is not asked here."""

import math
import re
from datetime import timedelta
from typing import Final, TypeAlias

from msgspec import Struct

from bridges.github.translate.words import lines
from schemas import Priority
from schemas.refs import NAME

COMMANDS_MAX: Final = 5
"""Of one comment."""
BUDGET_LASTS: Final = timedelta(days=1)
_COMMAND: Final = re.compile(r"/rig(?:[ \t]+(?P<word>\S+)(?P<rest>.*))?[ \t\r]*")
_AMOUNT: Final = re.compile(r"\$?([0-9]{1,7}(?:\.[0-9]{1,6})?)(?:\s+for\s+([0-9]{1,4})\s*([mhd]))?", re.IGNORECASE)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
_LONGEST: Final = timedelta(days=31)
_USD_MAX: Final = 1_000_000


class Stop(Struct, frozen=True):
    note: str


class Retry(Struct, frozen=True):
    note: str


class Approve(Struct, frozen=True):
    note: str


class Reject(Struct, frozen=True):
    note: str


class Budget(Struct, frozen=True):
    usd: float
    lasts: timedelta


class Prioritise(Struct, frozen=True):
    priority: Priority


class Reply(Struct, frozen=True):
    answer: str


class Assign(Struct, frozen=True):
    to: str


class Help(Struct, frozen=True):
    pass


class Unreadable(Struct, frozen=True):
    """A command that says nothing the rig could do."""

    reason: str


Command: TypeAlias = Stop | Retry | Approve | Reject | Budget | Prioritise | Reply | Assign | Help | Unreadable


def commands(text: str) -> list[Command]:
    """Every command of a comment, in order."""
    found = [match for line in lines(text) if (match := _COMMAND.fullmatch(line)) is not None]
    return [_read((match["word"] or "help").lower(), (match["rest"] or "").strip()) for match in found[:COMMANDS_MAX]]


def _read(word: str, rest: str) -> Command:
    match word:
        case "stop":
            return Stop(rest)
        case "retry":
            return Retry(rest)
        case "approve":
            return Approve(rest)
        case "reject":
            return Reject(rest)
        case "budget":
            return _budget(rest)
        case "priority":
            try:
                return Prioritise(Priority(rest.lower()))
            except ValueError:
                return Unreadable(f"priority {rest[:40]!r} is none of {', '.join(Priority)}")
        case "answer":
            return Reply(rest) if rest else Unreadable("answer: with what?")
        case "assign":
            to = rest.removeprefix("@")
            return Assign(to) if NAME.fullmatch(to) else Unreadable(f"assign: {to[:40]!r} is no name")
        case "help":
            return Help()
        case _:
            return Unreadable(f"{word[:40]!r} is no command of the rig's")


def _budget(rest: str) -> Command:
    found = _AMOUNT.fullmatch(rest)
    if found is None:
        return Unreadable(f"budget: {rest[:40]!r} is no amount, like 20 or 20 for 4h")
    usd, lasts = float(found[1]), BUDGET_LASTS
    if found[2] is not None:
        lasts = timedelta(**{_UNITS[found[3].lower()]: int(found[2])})
    if not math.isfinite(usd) or usd > _USD_MAX or not timedelta(0) < lasts <= _LONGEST:
        return Unreadable(f"budget: {rest[:40]!r} is beyond what may be allowed")
    return Budget(usd, lasts)
