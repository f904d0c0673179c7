"""An agent that goes round in circles, seen from its calls and what came of them. Pure.

It is counted out after the same call with the same result four times in a row, the same error three times in a row,
or two that take turns over six. Whatever goes on meanwhile in the model, nothing new comes of it.
"""

import re
from collections import deque
from hashlib import sha256

__all__ = ["Repetition"]

SAME = 4
ERRORS = 3
TURNS = 6

_VARYING = re.compile(r"0x[0-9a-fA-F]+|\b[0-9a-f]{7,64}\b|\d+")
"""Of two errors that differ in addresses, ids, times and line numbers alone, the second is the first."""


class Repetition:
    """What one agent has done last. It keeps no more of that than it needs to tell."""

    def __init__(self) -> None:
        self._seen: deque[tuple[bytes, bytes]] = deque(maxlen=TURNS)
        """The call with its result, and the error; the latter empty where there was none."""

    def saw(self, call: str, result: str, *, error: bool) -> str | None:
        """A call has ended. Why the agent is counted out, for people, or None."""
        what = _digest(call, result)
        failure = _digest(_VARYING.sub("#", result)) if error else b""
        self._seen.append((what, failure))
        whats = [what for what, _ in self._seen]
        failures = [failure for _, failure in self._seen]
        if len(whats) >= SAME and len(set(whats[-SAME:])) == 1:
            return f"it made the same call with the same result {SAME} times in a row"
        if error and len(failures) >= ERRORS and len(set(failures[-ERRORS:])) == 1:
            return f"it met the same error {ERRORS} times in a row"
        if len(whats) == TURNS and len(set(whats[::2])) == 1 and len(set(whats[1::2])) == 1:
            return f"it made the same two calls in turn, {TURNS // 2} times each"
        return None


def _digest(*parts: str) -> bytes:
    whole = sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        whole.update(len(data).to_bytes(8, "big") + data)
    return whole.digest()
