"""What one connection may do on the server in memory, and whom it reaches: what an account is on the real server.

From the same table as there: bus/permissions.py, which deploy/keys.py writes out for that one. All accounts share one
space of subjects here. What is of one account alone stands in it behind a prefix: its inbox, the answers to what it
asks, the questions to the service that it is.
"""

from math import inf
from typing import Final

from bus.permissions import ANSWER_SECONDS, KEEPERS, permissions, service
from bus.testing.subjects import matches

__all__ = ["Grants"]

_OWN: Final = "_R_"
"""First token of what is an account's own; so the real server names where an answer to another account goes."""
_RESERVED: Final = ("_R_.", "_GR_.", "$JS.ACK.")
"""No client may want an answer there."""


class Grants:
    """Of one connection, with a principal's key; without one it may everything, in the account of the streams."""

    def __init__(self, key: str | None) -> None:
        may = None if key is None else permissions(key)
        self._publish = (">",) if may is None else may.may_publish
        self._subscribe = (">",) if may is None else may.may_subscribe
        self._imported = () if may is None else may.subscribe
        self._asks = () if may is None else may.asks
        self._serves = may is not None and may.serves is not None
        self._prefix = "" if key is None or key in KEEPERS else _own(key)
        self._asked: dict[str, float] = {}

    # ── what it may ──────────────────────────────────────────────────────────

    def refused(self, subject: str, reply: str, now: float) -> str | None:
        """Of a message that it publishes, the subject that it may not use. `now` in seconds, by any clock."""
        is_answer = self._asked.pop(subject, -inf) >= now
        if not is_answer and not _any(self._publish, subject):
            return subject
        return reply if reply.startswith(_RESERVED) else None

    def may_subscribe(self, pattern: str) -> bool:
        return _any(self._subscribe, pattern)

    def asked(self, reply: str, now: float) -> None:
        """It has been handed a message that wants an answer there."""
        if reply and self._serves:
            self._asked[reply] = now + ANSWER_SECONDS
            while next(iter(self._asked.values())) < now:
                del self._asked[next(iter(self._asked))]

    def forget(self) -> None:
        """The connection is gone, and what was asked over it."""
        self._asked.clear()

    # ── whom it reaches ──────────────────────────────────────────────────────

    def goes_to(self, subject: str) -> str:
        """Where everybody finds what it publishes: in the account of the streams, or of the service that it asks."""
        return next((_own(name) + subject for name in self._asks if matches(service(name), subject)), subject)

    def answers_to(self, reply: str) -> str:
        """Where everybody finds what it wants answered on `reply`: in its own account."""
        return self._prefix + reply if reply else ""

    def heard_on(self, pattern: str) -> str:
        """Where it finds what it subscribes to: in its own account, or what that takes over of the streams."""
        return pattern if _any(self._imported, pattern) else self._prefix + pattern

    def seen_as(self, subject: str) -> str:
        """What it is told of where it found something."""
        return subject.removeprefix(self._prefix)


def _any(allowed: tuple[str, ...], subject: str) -> bool:
    return any(matches(each, subject) for each in allowed)


def _own(account: str) -> str:
    return f"{_OWN}.{account}."
