"""Deterministic event ids: the same fact said again has the same id, on any machine.

An id is its parts joined by `:`, each escaped, so that different parts never make one id. It doubles as the
`Nats-Msg-Id`, by which the server knows a second copy within its window.
"""

from hashlib import sha256

from schemas.subjects import escape

MAX_ID = 160
"""Characters; a longer id is replaced by its hash."""


def event_id(*parts: str | int) -> str:
    """The id of a fact, from what makes it that fact (actor, cause, index). Raises BadSubject for an empty part."""
    text = ":".join(escape(str(part)) for part in parts)
    return text if len(text) <= MAX_ID else f"{escape(str(parts[0]))}:{sha256(text.encode()).hexdigest()}"
